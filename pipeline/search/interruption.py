"""What Ctrl-C and SIGTERM do to a search."""

import contextlib
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.search.supervisor import Supervisor


class Interruption:
    """Hears Ctrl-C and SIGTERM, from its `with` on.

    They raise KeyboardInterrupt, but for a supervisor, which is asked to stop: what runs is being
    told, and will not be cut short. And they are remembered, for libraries may swallow exceptions.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._supervisor: Supervisor | None = None

    def __enter__(self) -> "Interruption":
        """Takes over the handlers of both signals."""
        signals = (signal.SIGINT, signal.SIGTERM)
        self._before = {each: signal.signal(each, self._hear) for each in signals}
        return self

    def __exit__(self, *_: object) -> None:
        """Puts the earlier handlers back."""
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _hear(self, *_: object) -> None:
        self.is_asked = True
        if self._supervisor is None:
            raise KeyboardInterrupt
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
