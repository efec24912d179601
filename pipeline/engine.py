"""What runs jobs, as a command is told."""

import argparse
from enum import StrEnum


class Engine(StrEnum):
    """What runs jobs: processes of this machine, or a Ray cluster."""

    LOCAL = "local"
    RAY = "ray"


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Adds the choice of an engine to the arguments of a command that trains."""
    parser.add_argument(
        "--engine",
        type=_engine,
        metavar=f"{{{','.join(Engine)}}}",
        help="what runs trials: processes of this machine (the default), or Ray: the cluster of "
        "RAY_ADDRESS, or else one of its own here",
    )


def _engine(text: str) -> Engine:
    try:
        return Engine(text)
    except ValueError:
        allowed = " or ".join(Engine)
        raise argparse.ArgumentTypeError(f"found {text!r}, allowed is {allowed}") from None
