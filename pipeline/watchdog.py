"""Ends a process that was asked to end, where it waits for something that does not come.

Python hears a signal between two steps of its main thread: not while a database that is locked, or
a library, keeps that busy. And who has heard it may still wait for a server that hangs.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable

FREE_SECONDS = 1.5  # after a signal: what somebody may wait for is ended
END_SECONDS = 4.0  # after a signal: the process is


class Watchdog:
    """Sees to it, from its `with` to its end, that Ctrl-C and SIGTERM are obeyed within 5 s.

    What is ended so is as safe as what is killed: nothing is lost, and the same command goes on.
    The signals do what they did; SIGTERM is heard if Python has a handler for it.

    Args:
        exit_code: of the process, if it has to be ended.
        last_words: are printed then.
        free: called first, from another thread; ends what the process may wait for.
    """

    def __init__(
        self, exit_code: int, last_words: str, free: Callable[[], None] = lambda: None
    ) -> None:
        self._exit_code, self._last_words, self._free = exit_code, last_words, free
        self._is_over = threading.Event()
        self.clean_up: Callable[[], None] = lambda: None  # before the last words; may hang

    def __enter__(self) -> "Watchdog":
        """Begins to listen; only a main thread hears signals, and in another this does nothing."""
        self._listens = threading.current_thread() is threading.main_thread()
        if self._listens:
            self._reader, self._writer = os.pipe()
            os.set_blocking(self._writer, False)
            self._before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Listens no longer: all is done in time."""
        if self._listens:
            self._is_over.set()
            signal.set_wakeup_fd(self._before)
            os.write(self._writer, b"\0")
            self._thread.join()
            os.close(self._reader)
            os.close(self._writer)

    def _watch(self) -> None:
        while not {signal.SIGINT, signal.SIGTERM} & set(os.read(self._reader, 100)):
            if self._is_over.is_set():
                return
        if self._is_over.wait(FREE_SECONDS):
            return
        self._free()
        if self._is_over.wait(END_SECONDS - FREE_SECONDS):
            return
        self._free()  # what came meanwhile
        try:
            for last in (self.clean_up, self._say_last_words):
                doing = threading.Thread(target=last, daemon=True)
                doing.start()
                doing.join(0.3)
        finally:
            os._exit(self._exit_code)

    def _say_last_words(self) -> None:
        """Prints them, or waits for who cannot print what came before: there is no reader."""
        print(self._last_words, file=sys.stderr, flush=True)
