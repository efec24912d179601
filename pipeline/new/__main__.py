"""Writes a study file fitted to data of one's own, with comments, ready to be searched.

python -m pipeline.new [NAME] --data PATH [--target COLUMN] [--set SETTING=VALUE]... [--if-missing]
"""

import argparse
import sys

from pipeline.errors import DONE, run_command
from pipeline.paths import Project


def main() -> int:
    """Writes the study file, and says what was found and what to do next."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.new",
        description="Writes studies/NAME.toml: a study file with comments, fitted to the data.",
    )
    parser.add_argument("name", nargs="?", help="of the study (default: that of the file)")
    parser.add_argument(
        "--data",
        required=True,
        metavar="PATH",
        help="a table (CSV, Parquet), arrays (.npz), a folder of pictures by class, or a data "
        "set by name, such as digits",
    )
    parser.add_argument("--target", metavar="COLUMN", default="", help="column to be answered")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="given",
        metavar="SETTING=VALUE",
        help="a setting of [data], its value in TOML or a bare word, such as encoding=cp949 or "
        '\'drop=["a", "b"]\'; may be repeated',
    )
    parser.add_argument(
        "--if-missing",
        action="store_true",
        help="take a study file that is there, if it asks the same; print the study's name alone",
    )
    arguments = parser.parse_args()
    from pipeline.new import command
    from pipeline.new.given import read_settings

    project, settings = Project.here(), read_settings(arguments.given)
    asked = command.Asked.of(project, arguments.name, arguments.data, arguments.target, settings)
    if arguments.if_missing:
        print(command.ensure(project, asked))
    else:
        print(command.create(project, asked))
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
