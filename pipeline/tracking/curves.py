"""Values of epochs that wait to be sent to MLflow together: one by one would take long."""

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
        self._noted: dict[int | None, list[Metric]] = {}  # those that have waited longest first
        self._since: dict[int | None, float] = {}
        self._pause_until = clock.monotonic()

    def note(self, trial: int | None, metrics: Mapping[str, float], step: int, now: int) -> None:
        """Notes values, and sends those that have waited for long, as far as there is time.

        Args:
            trial: number of the trial; None of the study itself.
            metrics: values by name.
            step: of the curve.
            now: milliseconds since 1970.
        """
        noted = self._noted.setdefault(trial, [])
        noted += [Metric(key, value, now, step) for key, value in metrics.items()]
        moment = self._clock.monotonic()
        self._since.setdefault(trial, moment)
        while self._noted and moment >= self._pause_until:
            oldest = next(iter(self._noted))
            if moment - self._since[oldest] <= SECONDS:
                break
            self._send_of(oldest)
            after = self._clock.monotonic()
            self._pause_until, moment = after + (after - moment) / SHARE, after

    def flush(self, trial: int | None = None) -> None:
        """Sends what was noted of a trial; without one, of all."""
        for each in list(self._noted) if trial is None else [trial]:
            self._send_of(each)

    def drop(self, trial: int) -> None:
        """Forgets what was noted of a trial."""
        self._noted.pop(trial, None)
        self._since.pop(trial, None)

    def _send_of(self, trial: int | None) -> None:
        self._since.pop(trial, None)
        if noted := self._noted.pop(trial, None):
            self._send(trial, noted)
