"""What the doctor's sentences share."""

import sys
from collections.abc import Sequence

from pipeline.wording import inflect, join_names


def say(line: str) -> None:
    """Prints what happens during mending, on stderr at once."""
    print(line, file=sys.stderr, flush=True)


def name_trials(numbers: Sequence[int]) -> str:
    """Names trials: `trial 3`, `trials 3 and 4`, `trials 0, 1 and 98 more`."""
    return f"{inflect('trial', len(numbers))} {join_names(list(map(str, sorted(numbers))))}"
