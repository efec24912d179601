"""When values of epochs are sent: soon where trials are few, and never for long."""

from itertools import pairwise

from mlflow.entities import Metric

from pipeline.clock import SystemClock
from pipeline.tracking import curves


class Clock(SystemClock):
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def noting(n_trials: int, seconds_of_a_send: float) -> tuple[list[tuple[float, int | None]], int]:
    """Notes an epoch a second of each trial for ten minutes; returns what was sent when."""
    clock, sent = Clock(), list[tuple[float, int | None]]()
    n_values = 0

    def send(trial: int | None, metrics: list[Metric]) -> None:
        nonlocal n_values
        clock.now += seconds_of_a_send
        sent.append((clock.now, trial))
        n_values += len(metrics)

    noted = curves.Curves(clock, send)
    while clock.now < 600:
        for trial in range(n_trials):
            clock.now += 1 / n_trials
            noted.note(trial, {"loss": 0.5, "val_loss": 0.6}, 1, 0)
    return sent, n_values


def test_a_curve_is_seen_within_seconds() -> None:
    sent, n_values = noting(3, 0.01)
    assert len(sent) == 3 * (600 // (curves.SECONDS + 1))
    assert n_values > 2 * 3 * (600 - curves.SECONDS - 2)


def test_those_of_a_thousand_trials_take_little_of_the_time_and_never_much_at_once() -> None:
    sent, _ = noting(1_000, 0.05)
    assert len(sent) * 0.05 < 600 * 2 * curves.SHARE
    assert min(b - a for (a, _), (b, _) in pairwise(sent)) >= 0.5


def test_a_trial_is_sent_alone_when_it_ends_and_what_was_dropped_never() -> None:
    sent: list[tuple[int | None, int]] = []
    noted = curves.Curves(Clock(), lambda trial, metrics: sent.append((trial, len(metrics))))
    for trial in (1, 2, 3):
        noted.note(trial, {"loss": 0.5}, 1, 0)
        noted.note(trial, {"loss": 0.4}, 2, 0)
    noted.note(None, {"best": 0.4}, 2, 0)
    noted.flush(2)
    noted.flush(2)
    assert sent == [(2, 2)]
    noted.drop(1)
    noted.flush()
    assert sent == [(2, 2), (3, 2), (None, 1)]
