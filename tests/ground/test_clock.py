"""What counts as time in which a search has worked."""

import itertools
from collections.abc import Sequence

import pytest

from pipeline.clock import MOST_SECONDS, WorkingClock


@pytest.mark.parametrize(
    ("looks", "seconds"),
    [
        ([1.0, 2.0, 4.5], 4.5),
        ([1.0, 61.0, 62.0], 2.0),  # stopped for a minute
        ([1.0, 1.0 + MOST_SECONDS], 1.0 + MOST_SECONDS),
        ([1.0, 1e9, 1e9 + 1], 2.0),  # asleep
        ([1.0, -3600.0, -3599.0], 2.0),  # set back
    ],
)
def test_only_time_between_looks_that_are_close_counts(
    looks: Sequence[float], seconds: float
) -> None:
    clock = WorkingClock(iter([0.0, *looks]).__next__)
    assert [clock() for _ in looks][-1] == pytest.approx(seconds)


def test_a_thread_looks_while_the_supervisor_waits() -> None:
    ticks = itertools.count()
    clock = WorkingClock(lambda: float(next(ticks)))
    with clock:
        deadline = 10_000
        while clock._seconds < 2 and deadline:  # without looking ourselves
            deadline -= 1
            clock._is_over.wait(0.02)
    assert clock._seconds >= 2
    assert not clock._thread.is_alive()
