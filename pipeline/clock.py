"""What time it is; and how long a process has worked, which is not how long ago it began."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

LOOK_SECONDS = 0.5  # between two looks
MOST_SECONDS = 3.0  # between two looks, of a process that runs, however busy its machine is


class Repeated(Protocol):
    """Something that is done again and again, beside all else."""

    def end(self) -> None:
        """Has it done no more; may return while it is done for the last time."""

    def join(self) -> None:
        """Waits until it is done no more, after `end`."""


class Clock(Protocol):
    """What a process asks the time, and has things done by."""

    def time(self) -> float:
        """Returns the seconds since 1970, which may jump."""

    def monotonic(self) -> float:
        """Returns seconds since some moment, which do not jump."""

    def sleep(self, seconds: float) -> None:
        """Waits so long."""

    def working(self) -> AbstractContextManager[Callable[[], float]]:
        """Counts the seconds of a `with` in which this process ran."""

    def every(
        self, seconds: float, do: Callable[[], bool], at_end: Callable[[], None]
    ) -> Repeated:
        """Has something done every so often, whatever else goes on, until that returns False.

        Args:
            seconds: before the first time, and between two times.
            do: tells whether it is to be done again; raises nothing.
            at_end: done once when all is over; raises nothing.
        """


def now(clock: "Clock | None" = None) -> str:
    """Returns the time on the wall, as it is noted: `2026-11-26 05:20:40+00:00`."""
    seconds = (clock or SystemClock()).time()
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


class SystemClock:
    """The system's; what is repeated has a thread of its own."""

    def time(self) -> float:
        """Returns the seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Returns seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Waits so long."""
        time.sleep(seconds)

    def working(self) -> "WorkingClock":
        """Counts the seconds of a `with` in which this process ran."""
        return WorkingClock()

    def every(
        self, seconds: float, do: Callable[[], bool], at_end: Callable[[], None]
    ) -> "RepeatingThread":
        """Has something done every so often, as `Clock` says."""
        return RepeatingThread(seconds, do, at_end)


class RepeatingThread:
    """A thread in which something is done every so often; arguments as in `Clock.every`."""

    def __init__(self, seconds: float, do: Callable[[], bool], at_end: Callable[[], None]) -> None:
        self._is_over = threading.Event()
        arguments = (self._is_over, seconds, do, at_end)
        self._thread = threading.Thread(target=_repeat, args=arguments, daemon=True)
        self.end = self._is_over.set  # holds nothing else, for who forgets this may call it
        self._thread.start()

    def join(self) -> None:
        """Waits until it is done no more."""
        self._thread.join()


def _repeat(
    is_over: threading.Event,
    seconds: float,
    do: Callable[[], bool],
    at_end: Callable[[], None],
) -> None:
    while not is_over.wait(seconds):
        if not do():
            break
    at_end()


class WorkingClock:
    """Counts the seconds in which this process ran; those of its `with` alone.

    A thread looks at the time twice a second, whatever the others do. What lies between two looks
    that are far apart does not count: meanwhile the process was stopped (Ctrl-Z), its machine
    asleep, or a clock was set.

    Args:
        now: the time, in seconds from some moment on.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._looked, self._seconds = now, now(), 0.0
        self._lock, self._is_over = threading.Lock(), threading.Event()

    def __call__(self) -> float:
        """Looks at the time, and returns the seconds counted so far."""
        with self._lock:
            now = self._now()
            passed, self._looked = now - self._looked, now
            if 0 <= passed <= MOST_SECONDS:
                self._seconds += passed
            return self._seconds

    def __enter__(self) -> "WorkingClock":
        """Starts the thread."""
        self._looked = self._now()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the thread."""
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(LOOK_SECONDS):
            self()
