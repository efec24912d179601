"""What can go wrong for a user, and how a command says so: one sentence, one exit code."""

import ctypes
import errno
import gc
import sys
from collections.abc import Callable

from pipeline import streams
from pipeline.environment import ignore_warnings, set_defaults
from pipeline.masking import mask, mask_output
from pipeline.watchdog import Watchdog

# What the system says of a disk or a folder that a user has to see to.
_OF_THE_DISK = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR,
    errno.ENAMETOOLONG, errno.ELOOP,
)  # fmt: skip
_LONGEST = 1000  # characters of a sentence that somebody is to read

_INTERRUPTED = "interrupted"

DONE, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130


class PipelineError(Exception):
    """Something that a user can cause or mend. Its text is the sentence that the user reads."""

    exit_code = FAILED

    def __init__(self, sentence: str) -> None:
        super().__init__(mask("\n".join(map(printable, sentence.splitlines()))))


class UsageError(PipelineError):
    """A bad argument, environment variable or study file: refused before anything starts.

    Its text is one line that fits a screen, whatever stands in the names and values it quotes.
    """

    exit_code = BAD_USAGE

    def __init__(self, sentence: str) -> None:
        super().__init__(one_line(sentence))


def one_line(text: str) -> str:
    """Makes one printable line of a text, so that a message stays one; shortens a long one."""
    line = " ".join(text.splitlines())
    line = printable(line)
    if len(line) <= _LONGEST:
        return line
    return f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 3 :]}"


def printable(text: str) -> str:
    """Shows characters that a terminal would obey instead of printing them."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def first_line(error: BaseException) -> str:
    """Returns the first line of what an error says, without secrets, or the name of its class."""
    lines = mask(str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def run_command(command: Callable[[], int]) -> int:
    """Runs a command line's `main` and returns its exit code.

    A `PipelineError` becomes one line on stderr, as does a full or forbidden disk; any other
    exception is a bug and keeps its traceback. No secret of the environment is printed. Where
    nobody reads what is printed, the command goes on to its end all the same.
    """
    streams.make_safe()
    mask_output()
    set_defaults()  # before `command` imports any library
    ignore_warnings()
    gc.set_threshold(50_000, 20, 20)  # else imports alone set it off hundreds of times
    try:
        try:
            with Watchdog(INTERRUPTED, _INTERRUPTED):
                return command()
        except KeyboardInterrupt:
            streams.hurry()
            raise
        except Exception as error:
            if interruption := _of_which_it_came(error):
                streams.hurry()
                raise KeyboardInterrupt(*interruption.args) from error
            raise
        finally:
            _forget_signals()
            sys.stdout.flush()  # what stdout cannot take is an error, and not for the interpreter
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as interruption:
        streams.hurry()  # if it came when all was done but the printing
        print(str(interruption) or _INTERRUPTED, file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        where = one_line(str(error.filename or "the disk"))
        print(f"error: {where}: {error.strerror}", file=sys.stderr)
        return FAILED


def _of_which_it_came(error: BaseException) -> KeyboardInterrupt | None:
    """Finds the Ctrl-C that made a library fail, as where a transaction cannot be rolled back."""
    known: list[BaseException] = []
    while error.__context__ and error not in known:
        known.append(error)
        error = error.__context__
        if isinstance(error, KeyboardInterrupt):
            return error
    return None


def _forget_signals() -> None:
    """Has the interpreter end with the exit code that it is given, and not by a signal.

    Where Ctrl-C comes while a library's C code runs some Python code, as some do when they are
    imported, CPython notes that nobody has heard it, and `python -m` ends by SIGINT in the end,
    whatever came of it. The next code that is run in this way makes it forget that.
    """
    ctypes.pythonapi.PyRun_SimpleString(b"")
