"""What a user reads of an error, and the exit code that a script gets."""

import errno

import pytest

from pipeline.errors import PipelineError, UsageError, one_line, run_command


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
