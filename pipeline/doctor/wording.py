"""Counts and lists of things, as a sentence says them."""

import sys
from collections.abc import Sequence

N_NAMED = 8  # trials that a sentence names one by one


def say(line: str) -> None:
    """Shows what mending comes upon while it goes on."""
    print(line, file=sys.stderr, flush=True)


def name_trials(numbers: Sequence[int]) -> str:
    """Names trials: `trial 3`, `trials 3 and 4`, `trials 0, 1 and 98 more`."""
    return f"{plural('trial', numbers)} {join_names(list(map(str, sorted(numbers))))}"


def join_names(names: Sequence[str]) -> str:
    """Joins names: `a`, `a and b`, `a, b and 98 more`."""
    if len(names) > N_NAMED:
        names = [*names[: N_NAMED - 1], f"{len(names) - N_NAMED + 1:,} more"]
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def plural(noun: str, things: Sequence[object], several: str = "") -> str:
    """Chooses a word for one thing or for several: the noun with an s, unless another is given."""
    return noun if len(things) == 1 else several or f"{noun}s"


def count(n: int, noun: str) -> str:
    """Counts things: `1 run`, `1,000 runs`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
