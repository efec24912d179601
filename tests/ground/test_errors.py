"""What a user reads of an error, and the exit code that a script gets."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import PipelineError, UsageError, one_line, run_command

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("found 1, allowed is 2", "found 1, allowed is 2"),
        ("two\nlines\r\nthree\u2028four", "two lines three four"),
        ("\x1b[2J\x07\x00", r"\x1b[2J\x07\x00"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("둘 naïve 🙂", "둘 naïve 🙂"),
    ],
)
def test_a_usage_error_is_a_line_that_shows_what_it_is(text: str, line: str) -> None:
    assert one_line(text) == str(UsageError(text)) == line


def test_of_a_long_line_both_ends_are_shown() -> None:
    line = one_line(f"goal: found {'x' * 10_000}, allowed is less")
    assert line.startswith("goal: found xxx")
    assert line.endswith("xxx, allowed is less")
    assert len(line) < 1000


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PipelineError("it failed"), 1, "error: it failed\n"),
        (UsageError("bad"), 2, "error: bad\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (KeyboardInterrupt("interrupted; go on with: x"), 130, "interrupted; go on with: x\n"),
        (OSError(errno.ENOSPC, "No space left"), 1, "error: the disk: No space left\n"),
        (OSError(errno.ENAMETOOLONG, "Too long", "a\nb"), 1, "error: a b: Too long\n"),
    ],
    ids=repr,
)
def test_what_a_user_can_mend_is_said_in_a_line(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> int:
        raise error

    assert run_command(command) == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(errno.ENOENT, "No such file")])
def test_a_bug_keeps_its_traceback(error: Exception) -> None:
    def command() -> int:
        raise error

    with pytest.raises(type(error)):
        run_command(command)


INTERRUPTED_IN_C = """
import ctypes, sys
from pipeline.errors import run_command

def main():
    # as where a library that is being imported runs Python code, and Ctrl-C comes just then
    ctypes.pythonapi.PyRun_SimpleString(b"raise KeyboardInterrupt")
    raise KeyboardInterrupt

sys.exit(run_command(main))
"""


def test_ctrl_c_that_a_library_turns_into_an_error_is_ctrl_c(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As SQLAlchemy does, where a transaction that was interrupted cannot be rolled back."""

    def command() -> int:
        try:
            try:
                raise KeyboardInterrupt
            finally:
                raise ValueError("cannot be rolled back")
        except ValueError as error:
            raise PipelineError("the store cannot be used") from error

    assert run_command(command) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_interrupted_command_ends_by_its_exit_code(tmp_path: Path) -> None:
    """By `python -m`, which would end by the signal if code run from C was interrupted."""
    (tmp_path / "command.py").write_text(INTERRUPTED_IN_C)
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    ended = subprocess.run(
        [sys.executable, "-m", "command"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 130
    assert ended.stderr.endswith("interrupted\n")
