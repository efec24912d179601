"""Answers pictures, arrays or rows: class and probability, or the value with an interval.

    python -m pipeline.predict [STUDY] INPUT ... [--invert] [--json | --request]

The first argument is the study if it is no file that is there, and is the name of a study in
`studies/` or in Optuna's store, or the path of a study file (`studies/NAME.toml`): so a study and
a folder of the same name are told apart.
"""

import argparse
import sys

from pipeline.errors import DONE, run_command

_INPUTS = """\
INPUT, as the study's data are:
  pictures   any file that Pillow reads, or a folder with pictures anywhere in it
  arrays     .npy or .npz (of x): one example, or (n, ...) of them
  tables     CSV or Parquet with the columns of the training; - reads CSV from stdin
Rows and examples in a file are counted from 1.
"""


def main() -> int:
    """Prints the answers of a study's champion."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.predict",
        usage="%(prog)s [STUDY] INPUT ... [--invert] [--json|--request]",
        description="Answers pictures, arrays or rows by the champion of a study.",
        epilog=_INPUTS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "arguments", nargs="*", metavar="[STUDY] INPUT", help="study (fashion_mnist), and inputs"
    )
    parser.add_argument(
        "--invert", action="store_true", help="answer pictures as negatives: dark on light ones"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, a line for each answer")
    form.add_argument(
        "--request",
        action="store_true",
        help="print what `make serve` is sent, of the INPUTs, or of a validation example",
    )
    found = parser.parse_intermixed_args()
    from pipeline.predict.command import predict

    predict(
        found.arguments,
        "request" if found.request else "json" if found.json else "text",
        invert=found.invert,
    )
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
