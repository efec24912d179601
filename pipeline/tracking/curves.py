"""Values of epochs that wait to be sent to MLflow together: one by one would take long."""

from collections import defaultdict
from collections.abc import Callable, Mapping

from mlflow.entities import Metric

from pipeline.clock import Clock

SECONDS = 15.0  # how old a curve in the UI may be while its trial is running; or older,
SHARE = 0.05  # for at most so much of the time is spent with those of all


class Curves:
    """Keeps what is noted of runs until it is sent.

    Args:
        clock: of this process.
        send: sends the values of a trial, or of the study itself (None).
    """

    def __init__(self, clock: Clock, send: Callable[[int | None, list[Metric]], None]) -> None:
        self._clock, self._send = clock, send
        self._noted: dict[int | None, list[Metric]] = defaultdict(list)
        self._due = clock.monotonic() + SECONDS

    def note(self, trial: int | None, metrics: Mapping[str, float], step: int, now: int) -> None:
        """Notes values, and sends all if they were sent long ago.

        Args:
            trial: number of the trial; None of the study itself.
            metrics: values by name.
            step: of the curve.
            now: milliseconds since 1970.
        """
        self._noted[trial] += [Metric(key, value, now, step) for key, value in metrics.items()]
        if trial is not None and self._clock.monotonic() > self._due:
            self.flush()

    def flush(self, trial: int | None = None) -> None:
        """Sends what was noted of a trial; without one, of all."""
        if trial is not None:
            if noted := self._noted.pop(trial, None):
                self._send(trial, noted)
            return
        began = self._clock.monotonic()
        for each in list(self._noted):
            self._send(each, self._noted.pop(each))
        now = self._clock.monotonic()
        self._due = now + max(SECONDS, (now - began) / SHARE)

    def drop(self, trial: int) -> None:
        """Forgets what was noted of a trial."""
        self._noted.pop(trial, None)
