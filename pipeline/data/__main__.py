"""Fetches, verifies and shows a data set.

python -m pipeline.data [NAME] [--picture FILE]
"""

import argparse
import sys
from pathlib import Path

from pipeline.errors import DONE, run_command


def main() -> int:
    """Shows what a data set holds."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.data", description="Fetches, verifies and shows a data set."
    )
    parser.add_argument("name", nargs="?", default="fashion_mnist")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="where to save samples (PNG)")
    arguments = parser.parse_args()
    from pipeline.data.show import show

    show(arguments.name, arguments.picture)
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
