"""What can go wrong for a user, and how a command says so: one sentence, one exit code."""

import gc
import sys
from collections.abc import Callable

DONE, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130


class PipelineError(Exception):
    """Something that a user can cause or mend. Its text is the sentence that the user reads."""

    exit_code = FAILED


class UsageError(PipelineError):
    """A bad argument, environment variable or study file: refused before anything starts.

    Its text is one line, whatever line breaks stand in the names and keys that it quotes.
    """

    exit_code = BAD_USAGE

    def __init__(self, sentence: str) -> None:
        super().__init__(" ".join(sentence.splitlines()))


def run_command(command: Callable[[], int]) -> int:
    """Runs a command line's `main` and returns its exit code.

    A `PipelineError` becomes one line on stderr; any other exception is a bug and keeps its
    traceback.
    """
    gc.set_threshold(50_000, 20, 20)  # else imports alone set it off hundreds of times
    try:
        return command()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `... | head` has read enough
        sys.stderr.close()
        return DONE
