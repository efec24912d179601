"""What `python -m pipeline` says."""

import subprocess
import sys
from pathlib import Path

import pipeline

ROOT = Path(__file__).parents[2]


def test_the_package_lists_its_commands_a_line_each() -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "pipeline", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert run("--version") == f"python -m pipeline {pipeline.__version__}\n"
    lines = [line.split() for line in run().splitlines() if "python -m pipeline." in line]
    listed = {words[2].removeprefix("pipeline.") for words in lines}
    doors = {file.parent.name for file in (ROOT / "pipeline").glob("*/__main__.py")}
    assert listed == doors | {"best", "serve", "ui"}
    assert max(map(len, run().splitlines())) <= 80
