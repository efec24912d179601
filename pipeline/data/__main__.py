"""Shows a data set: fetches and verifies one that has a name, reads a file of one's own.

python -m pipeline.data [NAME] [--picture FILE]
python -m pipeline.data FILE [--target COLUMN]
"""

import argparse
import sys
from pathlib import Path

from pipeline.errors import DONE, UsageError, run_command


def main() -> int:
    """Shows what a data set holds."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.data",
        description="Fetches, verifies and shows a data set, or shows what stands in a table.",
    )
    parser.add_argument(
        "name", nargs="?", default="fashion_mnist", help="of a data set, or a CSV or Parquet file"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="where to save samples (PNG)")
    parser.add_argument("--target", metavar="COLUMN", help="what is to be answered, of a table")
    arguments = parser.parse_args()
    path = Path(arguments.name)
    if path.suffix or len(path.parts) > 1 or path.is_file():
        if arguments.picture is not None:
            raise UsageError("--picture: found with a table, allowed with pictures")
        from pipeline.data.show_table import show_table

        show_table(path, arguments.target or "")
        return DONE
    if arguments.target is not None:
        raise UsageError("--target: found with a data set's name, allowed with a table's file")
    from pipeline.data.show import show

    show(arguments.name, arguments.picture)
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
