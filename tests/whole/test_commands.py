"""Every command and snippet that README and docs/ show of a study, or a command prints, works.

Pasted into a shell in the project's folder, in which nothing is activated, in the order in which
they stand there. Only what takes a quarter of an hour is left out, by name.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import empty_mlflow
import numpy as np
import pytest

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]
README, EXPORTING, STUDIES = "README.md", "docs/exporting.md", "docs/studies.md"
LONG = {"make search"}
SERVERS = re.compile(r"make (ui|dashboard|serve)")
PORTS = {
    "make ui": "UI_PORT=5000",
    "make serve": "SERVE_PORT=5001",
    "make dashboard": "DASHBOARD_PORT=8080",
}


def section(page: str, title: str) -> str:
    text = (REPOSITORY / page).read_text()
    (found,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return str(found)


def commands(text: str) -> list[str]:
    """The indented lines; one that ends in a pipe goes on in the next."""
    lines = re.findall(r"^    (\S.*|  \S.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return "\n".join(lines).replace("|\n", "| ").splitlines()


class Shell:
    """A project in which `quick` is searched, and somebody who pastes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.before = ""  # what was exported and set in this terminal
        self.ports: dict[str, str] = {}
        self.servers: list[subprocess.Popen[bytes]] = []
        self.printed = folder.parent / "printed by servers"
        self.variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MLFLOW_", "PIPELINE_S", "MAKE", "PYTHONPATH", "VIRTUAL_ENV"))
        }
        own = str(Path(sys.prefix) / "bin")
        path = [each for each in self.variables["PATH"].split(os.pathsep) if each != own]
        self.variables["PATH"] = os.pathsep.join(path)
        self.variables["KERAS_BACKEND"] = "jax"  # of other work, and not installed

    def paste(self, command: str) -> str:
        """Returns what it printed."""
        command = self._elsewhere(command)
        if re.match(r"export |\w+=(?!.* \.venv|\S*sqlite|.*mlflow models)", command):
            self.before += f"{command}\n"
            return ""
        if SERVERS.match(command):
            self._serve(command)
            return ""
        done = subprocess.run(
            ["bash", "-c", self.before + command],
            cwd=self.folder, env=self.variables, capture_output=True, text=True, timeout=400,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, f"{command}\n{done.stderr}"
        return done.stdout

    def python(self, code: str, folder: Path | None = None) -> str:
        done = subprocess.run(
            [str(self.folder / ".venv/bin/python"), "-c", code],
            cwd=folder or self.folder, env=self.variables, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        return done.stdout

    def _elsewhere(self, command: str) -> str:
        """Takes a port that is free in the place of the one that is shown."""
        if SERVERS.match(command):
            command += f" {PORTS[' '.join(command.split()[:2])]}"
        for shown in re.findall(r"(?:_PORT=|127\.0\.0\.1:)(\d+)", command):
            if shown not in self.ports:
                with socket.create_server(("127.0.0.1", 0)) as free:
                    self.ports[shown] = str(free.getsockname()[1])
            command = command.replace(shown, self.ports[shown])
        return command

    def _serve(self, command: str) -> None:
        with self.printed.open("ab") as printed:
            server = subprocess.Popen(
                ["bash", "-c", f"{self.before}{command}"],
                cwd=self.folder, env=self.variables, start_new_session=True, stdout=printed,
            )  # fmt: skip
        self.servers.append(server)
        port = re.findall(r"\d{4,5}", command)[-1]
        path = "ping" if "make serve" in command else ""
        deadline = time.monotonic() + 120
        while True:
            assert server.poll() is None, command
            assert time.monotonic() < deadline, command
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5).close()
                return
            except OSError:
                time.sleep(0.5)

    def close(self) -> None:
        for server in self.servers:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=30)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("pasted") / "project"
    folder.mkdir()
    for name in ("pipeline", ".ci"):
        (folder / name).symlink_to(REPOSITORY / name)
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(REPOSITORY / name, folder)
    shutil.copytree(REPOSITORY / "studies", folder / "studies")
    empty_mlflow.copy_into(folder, empty_database)
    quick = folder / "studies" / "quick.toml"
    text, n_changed = re.subn(r"^trials = \d+$", "trials = 2", quick.read_text(), flags=re.M)
    assert n_changed == 1
    quick.write_text(text)
    (folder / ".venv").mkdir()  # as installed here
    for path in Path(sys.prefix).iterdir():
        if path.name != ".installed":
            (folder / ".venv" / path.name).symlink_to(path)
    (folder / ".venv" / ".installed").touch()
    there = Shell(folder)
    try:
        yield there
    finally:
        there.close()


def test_what_the_readme_shows_to_start_with_and_what_is_printed(shell: Shell) -> None:
    shown = commands(section(README, "Start"))
    assert len(shown) >= 5
    assert set(shown) >= LONG
    searched, reported = re.findall(r"```text\n(.*?)```", section(README, "Start"), re.S)
    for command in shown:
        if command in LONG:
            continue
        said = shell.paste(command.split("  #")[0].strip())
        if command.startswith("make search"):
            printed = re.findall(r"^  (make .*|\.venv.*)$", said.partition("next:")[2], re.M)
            assert len(printed) == 3
            assert said.split()[:2] == searched.split()[:2]
            assert said.partition("next:")[2] == searched.partition("next:")[2]
        if command.startswith("make report"):
            assert said == reported
    for command in printed:
        if not SERVERS.match(command) and "--export" not in command:  # above, and refused twice
            shell.paste(command)
    assert any("pipeline.best quick --export" in command for command in printed)
    assert (shell.folder / "exports" / "quick" / "model.keras").exists()
    best = shell.paste(".venv/bin/python -m pipeline.best quick").splitlines()
    assert "Model: " in shell.paste(best[-1])
    assert best[-3].removeprefix("the model: ") in {each.split("  #")[0].strip() for each in shown}


def test_what_is_shown_of_the_model(shell: Shell) -> None:
    text = section(EXPORTING, "Use the model")
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.S)
    assert re.search(r"\[\d( \d){4}\]", shell.python(snippet))
    printed = [shell.paste(command) for command in commands(text)]
    assert "Trainable params" in printed[-1]


def test_what_is_shown_of_predicting_and_serving(shell: Shell) -> None:
    """The request is sent as it stands there, to the server that is started as it stands there."""
    text = section(EXPORTING, "Predict and serve")
    shown = commands(text)
    assert any(command.startswith("make serve") for command in shown)
    assert re.search(r"--request \|\s+curl ", shown[-1])
    *_, predicted, served, answered = [shell.paste(command) for command in shown]
    assert served == ""
    assert re.search(r"^shoe.jpg  \S.*  0\.\d{4} +\S.* 0\.\d{4}$", predicted, re.M)
    ((probabilities,),) = json.loads(answered).values()
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    again = shell.paste(f"{shown[-3]} --json")
    own = json.loads(again)["probabilities"]
    np.testing.assert_allclose(probabilities, list(own.values()), atol=1e-5)
    divided = "import json, sys; x = json.load(sys.stdin)['inputs'][0]"
    divided += "; print(json.dumps({'inputs': [[[p / 255 for p in row] for row in x]]}))"
    make, send = shown[-1].split("|")
    said = shell.paste(f'{make}| .venv/bin/python -c "{divided}" |{send}')
    np.testing.assert_allclose(json.loads(said)["predictions"][0], probabilities, atol=1e-4)
    assert shell.printed.read_bytes() == b""
    (shell.folder / "shoe.jpg").unlink()


def test_what_the_model_card_shows(shell: Shell) -> None:
    exported = shell.folder / "exports" / "quick"
    card = (exported / "MODEL_CARD.md").read_text()
    assert "divided by 255 is noticed" in card
    blocks = re.findall(r"```python\n(.*?)```", card, re.S)
    assert len(blocks) == 5  # Keras, SavedModel, LiteRT, ONNX, NumPy
    given = "import numpy; images = numpy.full((3, 28, 28), 200)\n"
    for block in blocks:
        given += f"{block}print(probabilities.shape, probabilities.argmax(axis=1))\n"
    said = re.findall(r"\(3, 10\) .*", shell.python(given, exported))
    assert len(said) == 5
    assert len({*said}) == 1


def test_what_is_shown_of_a_study_of_ones_own(shell: Shell) -> None:
    text = section(STUDIES, "Ask your own question")
    (study,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    (shell.folder / "studies" / "my_study.toml").write_text(study)
    (command,) = commands(text)
    assert "trials" in shell.paste(command)


def test_nothing_is_left_lying_about(shell: Shell) -> None:
    made = {path.name for path in shell.folder.iterdir()}
    assert made == {
        ".ci", ".venv", "Makefile", "exports", "mlruns", "pipeline", "requirements.lock", "studies"
    }  # fmt: skip
