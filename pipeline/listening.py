"""What every server of this program keeps to: 127.0.0.1 alone, a free port, a quiet end."""

import argparse
import contextlib
import re
import signal
import socket
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from pipeline.errors import PipelineError

HOST = "127.0.0.1"
UI_PORT = 5000  # of MLflow's UI, unless `make ui` is told another


def check_port(port: int, make: str) -> None:
    """Refuses a port on which no server can listen, before one takes seconds to find that out.

    Args:
        port: on `HOST`.
        make: how another port is chosen, as in "make ui UI_PORT".

    Raises:
        PipelineError: the text says why, and how another port is chosen.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError as error:
            other = port + 1 if 1024 <= port < 2**16 - 1 else 8081
            raise PipelineError(
                f"no server can listen on {HOST}:{port} ({error.strerror}); "
                f"choose another port: {make}={other}"
            ) from None


def parse_port(text: str) -> int:
    """Converts an argument for argparse, and refuses what is no port.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not (re.fullmatch("[1-9][0-9]{0,4}", text) and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"found {text!r}, allowed is a number from 1 to 65535")
    return int(text)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Has SIGTERM and a closed terminal do what Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
