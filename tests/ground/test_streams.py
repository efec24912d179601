"""What a command does when nobody reads what it prints, or nobody can."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = """
import sys
from pathlib import Path
from pipeline.errors import PipelineError, run_command

def main():
    for i in range(200):  # more than a pipe holds
        print("result", i, "x" * 1000)
        print("progress", i, "x" * 1000, file=sys.stderr)
    Path("done").touch()
    if sys.argv[1:] == ["fails"]:
        raise PipelineError("it failed")
    return 0

sys.exit(run_command(main))
"""
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
UNREAD = [
    "| head -1",
    "2>&1 | head -2",
    "2>&1 >/dev/null | head -2",
    "2>&1 | true",
    ">&-",
    "2>&-",
    ">&- 2>&-",
    "<&- >&- 2>&-",
    ">/dev/null 2>/dev/full",
]


def run(folder: Path, script: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs a line of Bash that begins with the command."""
    (folder / "command.py").write_text(COMMAND)
    return subprocess.run(
        ["bash", "-c", f"{sys.executable} command.py {script}; exit ${{PIPESTATUS[0]}}"],
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("script", UNREAD)
def test_a_command_that_nobody_reads_goes_on_to_its_end(tmp_path: Path, script: str) -> None:
    done = run(tmp_path, script)
    assert done.returncode == 0, done.stderr[-500:]
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("script", UNREAD)
def test_its_exit_code_is_its_own(tmp_path: Path, script: str) -> None:
    assert run(tmp_path, f"fails {script}").returncode == 1


@contextlib.contextmanager
def pipe(*, blocks: bool) -> Iterator[tuple[int, int]]:
    """Makes a pipe whose writer blocks where it is full, or is told so, as by ssh and node."""
    reader, writer = os.pipe()
    os.set_blocking(writer, blocks)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["fails"], 1)])
def test_a_command_whose_progress_is_not_read_goes_on_to_its_end(
    tmp_path: Path, arguments: list[str], code: int, *, blocks: bool
) -> None:
    (tmp_path / "command.py").write_text(COMMAND)
    with pipe(blocks=blocks) as (_, writer):
        done = subprocess.run(
            [sys.executable, "command.py", *arguments],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=writer,
            text=True,
            timeout=60,
        )
    assert done.returncode == code
    assert (tmp_path / "done").exists()
    assert done.stdout.count("\n") == 200


@pytest.mark.parametrize("blocks", [True, False])
def test_a_result_waits_for_a_slow_reader(tmp_path: Path, *, blocks: bool) -> None:
    (tmp_path / "command.py").write_text(COMMAND)
    with pipe(blocks=blocks) as (reader, writer):
        process = subprocess.Popen(
            [sys.executable, "command.py"],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=writer,
            stderr=subprocess.DEVNULL,
        )
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)  # the pipe is full by then
        result = b""
        while result.count(b"\n") < 200:
            result += os.read(reader, 100_000)
        assert process.wait(60) == 0
    assert result.count(b"result") == 200


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("moment", ["at work", "at the end"])
def test_a_result_that_nobody_reads_is_given_up_at_ctrl_c(moment: str, *, blocks: bool) -> None:
    script = f"""
import os, sys
from pipeline.errors import run_command

def main():
    os.write(1, b"x" * os.fpathconf(1, "PC_PIPE_BUF") * 16)
    print("result " * {1 if moment == "at the end" else 100_000})
    return 0

sys.exit(run_command(main))
"""
    with pipe(blocks=blocks) as (reader, writer):
        process = subprocess.Popen(
            [sys.executable, "-c", script], env=ENVIRONMENT, stdout=writer, stderr=subprocess.PIPE
        )
        assert os.read(reader, 1) == b"x"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)  # now it waits
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, b"interrupted\n")


def test_a_result_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    done = run(tmp_path, ">/dev/full")
    assert done.returncode == 1
    assert done.stderr.endswith("error: stdout: No space left on device\n")
    assert done.stderr.count("No space left") == 1


def test_so_is_a_short_one_that_is_written_in_the_end(tmp_path: Path) -> None:
    command = f"{sys.executable} -m pipeline.best --help >/dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "error: stdout: No space left on device\n")


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    script = tmp_path / "opens.py"
    script.write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from pipeline.errors import run_command\n"
        "def main():\n"
        "    file = open('store', 'w')\n"
        "    Path('number').write_text(str(file.fileno()))\n"
        "    print('progress', file=sys.stderr)\n"
        "    os.write(2, b'from a library in C')\n"
        "    return 0\n"
        "sys.exit(run_command(main))\n"
    )
    subprocess.run(
        ["bash", "-c", f"{sys.executable} {script} <&- >&- 2>&-"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        check=True,
        timeout=60,
    )
    assert int((tmp_path / "number").read_text()) > 2
    assert (tmp_path / "store").read_text() == ""


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=str,
)
def test_a_character_that_a_terminal_cannot_show_is_spelt(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    script = tmp_path / "says.py"
    script.write_text(
        "import sys\n"
        "from pipeline.errors import PipelineError, run_command\n"
        "def main():\n"
        "    print('\uba74 \udcff')\n"
        "    raise PipelineError('no \ub0b4')\n"
        "sys.exit(run_command(main))\n".encode("ascii", "backslashreplace").decode()
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "\\uba74 \\udcff\n",
        "error: no \\ub0b4\n",
    )
