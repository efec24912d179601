"""Shows a data set: fetches and verifies one that has a name, reads a file or folder.

python -m pipeline.data [NAME] [--picture FILE]
python -m pipeline.data PATH [--target COLUMN]
"""

import argparse
import sys
from pathlib import Path

from pipeline.errors import DONE, UsageError, run_command


def main() -> int:
    """Shows what a data set holds."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.data",
        description="Fetches, verifies and shows a data set, or what stands in a file or folder.",
    )
    parser.add_argument(
        "name",
        nargs="?",
        default="fashion_mnist",
        help="of a data set, or a CSV, Parquet or .npz file, or a folder of pictures",
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="where to save samples (PNG)")
    parser.add_argument("--target", metavar="COLUMN", help="what is to be answered, of a table")
    arguments = parser.parse_args()
    from pipeline.reading.bundled import BUNDLED

    path = Path(arguments.name)
    if arguments.name in BUNDLED or path.suffix or len(path.parts) > 1 or path.exists():
        if arguments.picture is not None:
            raise UsageError("--picture: found with data of one's own, allowed with a name")
        from pipeline.data.show_table import show_own

        show_own(arguments.name, arguments.target or "")
        return DONE
    if arguments.target is not None:
        raise UsageError("--target: found with a data set's name, allowed with a table")
    from pipeline.data.show import show

    show(arguments.name, arguments.picture)
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
