"""What Ctrl-C and SIGTERM do to a search."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pipeline.errors import INTERRUPTED
from pipeline.execution import forkserver
from pipeline.watchdog import Watchdog

if TYPE_CHECKING:
    from pipeline.search.supervisor import Supervisor


class Interruption:
    """Hears Ctrl-C and SIGTERM, from its `with` on.

    They raise KeyboardInterrupt, but for a supervisor, which is asked to stop: what runs is being
    told. And they are remembered, for libraries may swallow exceptions. If that takes too long,
    workers are killed, and then this process ends as if it were, too: the next search goes on.

    Args:
        how_to_go_on: is said where a search was interrupted.
    """

    def __init__(self, how_to_go_on: str) -> None:
        self.is_asked = False
        self.how_to_go_on = how_to_go_on
        self._watchdog = Watchdog(INTERRUPTED, how_to_go_on, free=forkserver.kill_family)
        self._supervisor: Supervisor | None = None

    def __enter__(self) -> "Interruption":
        """Takes over the handlers of both signals."""
        signals = (signal.SIGINT, signal.SIGTERM)
        self._before = {each: signal.signal(each, self.hear) for each in signals}
        self._watchdog.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Puts the earlier handlers back."""
        self._watchdog.__exit__()
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def cleans_up(self, clean_up: Callable[[], None]) -> None:
        """Takes what is to be done before this process is ended, if it has to be."""
        self._watchdog.clean_up = clean_up

    def hear(self, *_: object) -> None:
        """Does what either signal does.

        Raises:
            KeyboardInterrupt: there is no supervisor to be asked; it says how to go on.
        """
        self.is_asked = True
        if self._supervisor is None:
            raise KeyboardInterrupt(self.how_to_go_on)
        self._supervisor.interrupt()

    @contextlib.contextmanager
    def asks(self, supervisor: "Supervisor") -> "Iterator[None]":
        """Has signals ask a supervisor to stop, in the place of raising an exception."""
        self._supervisor = supervisor
        if self.is_asked:
            supervisor.interrupt()
        try:
            yield
        finally:
            self._supervisor = None
