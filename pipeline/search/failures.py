"""When a search gives up: too many trials failed in a row, and nothing says that it will end."""

from pipeline.errors import PipelineError
from pipeline.search.running import Running


class FailuresInARow:
    """Counts trials that failed one after the other, for no cause that lies in themselves.

    Args:
        most: so many end the search.
    """

    def __init__(self, most: int) -> None:
        self._most, self._n = most, 0

    def count(self, running: Running) -> None:
        """Counts a trial that has ended.

        One whose hyperparameters are to blame counts for neither: nothing is broken.

        Raises:
            PipelineError: it is one too many; the text says what happened to it.
        """
        if running.cause is None:
            self._n = self._n + 1 if running.reason else 0
        if self._n >= self._most:
            raise PipelineError(
                f"stopped, for {self._n} trials failed in a row, the last one "
                f"(trial {running.trial.number}) because: {running.reason}; mend that, and the "
                "same command goes on ([training] stop_after_failures says how many may fail in "
                "a row)"
            )
