"""Runs every benchmark, one after the other, each in a fresh process.

python -m benchmarks [--full]
"""

import argparse
import subprocess
import sys

# The longest last: what is written by then stays written.
MODULES = (
    "start", "epochs", "cheaper_looks", "scale", "trials", "overhead", "many_workers", "growth",
    "coverage", "encodings", "tables", "time_to_quality",
)  # fmt: skip


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="everything, not the short form")
    arguments = ["--full"] if parser.parse_args().full else []
    failed = [
        module
        for module in MODULES
        if subprocess.run([sys.executable, "-m", f"benchmarks.{module}", *arguments]).returncode
    ]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
