"""What time it is; and how long a process has worked, which is not how long ago it began."""

import threading
import time
from collections.abc import Callable
from datetime import datetime

LOOK_SECONDS = 0.5  # between two looks
MOST_SECONDS = 3.0  # between two looks, of a process that runs, however busy its machine is


def now() -> str:
    """Returns the time on the wall, as it is noted: `2026-11-26 05:20:40+00:00`."""
    return datetime.now().astimezone().isoformat(" ", "seconds")


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
