"""Counts and lists of things, and the command that mends them, as a sentence says them."""

import shutil
import textwrap
from collections.abc import Sequence

TERMINAL = 79  # columns of a line, at most
_NARROWEST = 20  # columns of a terminal for which lines are broken
N_NAMED = 8  # things that a sentence names one by one


def count_noun(count: float, noun: str) -> str:
    """Counts things: `1 run`, `1,000 runs`, `0.5 minutes`."""
    number = f"{count:,}" if isinstance(count, int) else f"{count:,.10g}"
    return f"{number} {inflect(noun, count)}"


def inflect(word: str, count: float, several: str = "") -> str:
    """Chooses a word by a count, and so its plural for several: with an s, unless given.

    Args:
        word: said of one thing, such as `run` or `is`.
        count: of the things.
        several: said of any other number of things, such as `are`.
    """
    return word if count == 1 else several or f"{word}s"


def wrap(text: object, width: int | None = None, indent: str = "") -> str:
    """Breaks a text into lines of at most so many columns; all but the first are indented more.

    Args:
        text: without line breaks.
        width: columns; None for 79, or fewer where stdout is a narrower terminal.
        indent: of the first line.
    """
    return textwrap.fill(
        str(text),
        width or _columns(),
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _columns() -> int:
    there = shutil.get_terminal_size((TERMINAL + 1, 0)).columns - 1  # no line fills a terminal's
    return max(_NARROWEST, min(TERMINAL, there))


def capitalize(text: str) -> str:
    """Makes the first letter a capital one, and leaves the others as they are: `ROC AUC`."""
    return text[:1].upper() + text[1:]


def join_names(names: Sequence[str]) -> str:
    """Joins names, and counts those beyond a few: `a`, `a and b`, `a, b and 98 more`."""
    if len(names) > N_NAMED:
        names = [*names[: N_NAMED - 1], f"{len(names) - N_NAMED + 1:,} more"]
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def search_command(study: str) -> str:
    """Spells the command that begins a study's search, or goes on with it."""
    return f"make search STUDY={study}"


def doctor_command(study: str = "") -> str:
    """Spells the command that mends a study, or all of them, for a sentence that advises it."""
    return " ".join([".venv/bin/python -m pipeline.doctor", *([study] if study else []), "--fix"])
