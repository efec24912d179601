"""How whoever holds a lease shows that he lives.

He gives a sign now and then, whatever else goes on, and gives none any more when he is killed or
suspended. Whether a process of the same system is dead can be seen, too: `pipeline/host.py`.
"""

import contextlib
import weakref
from collections.abc import Callable

from pipeline.clock import Clock
from pipeline.errors import PipelineError

BEAT_SECONDS = 5.0  # between two signs of life


class Heartbeat:
    """Gives a sign of life every few seconds, until it is stopped or dropped.

    Args:
        beat: gives one, from another thread. What cannot be written is tried again the next time;
            a PipelineError says that it may not be, and is the end.
        close: called in that thread when all is over.
        clock: by which it is done.
    """

    def __init__(self, beat: Callable[[], None], close: Callable[[], None], clock: Clock) -> None:
        def give() -> bool:
            try:
                beat()
            except PipelineError:
                return False
            except Exception:  # of a store that is busy, out of reach or gone: others will say so
                return True
            return True

        def end() -> None:
            with contextlib.suppress(Exception):
                close()

        self._signs = clock.every(BEAT_SECONDS, give, end)
        self._end = weakref.finalize(self, self._signs.end)  # of who forgets the lease

    def stop(self) -> None:
        """Gives no more signs: none comes when this has returned."""
        self._end()
        self._signs.join()
