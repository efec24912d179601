"""RESULTS.md: one section for each benchmark, replaced when that benchmark is run again."""

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pipeline.files import write_atomically
from pipeline.report.document import Block, Paragraph, as_markdown

FILE = Path(__file__).parent / "RESULTS.md"
TITLE = "Results of the benchmarks"
INTRODUCTION = """\
Each section was written by the command that it names; anybody can run it again. These machines are
shared and noisy: what is compared was run in turns, a cell is a median with the smallest and the
largest value, and ratios say more than seconds."""
# Sections in the order of the file; other titles are refused.
SECTIONS = (
    "Training loop",
    "Cheaper looks",
    "Scale",
    "Trials",
    "Supervisor",
    "Many workers",
    "Start",
    "Quality over time",
    "Recorded curves",
    "Policies",
    "Coverage",
    "Coverage of real studies",
    "Tables",
    "Encodings of numbers",
    "Growth",
    "Soak",
)


@dataclass(frozen=True)
class Section:
    """What a benchmark found.

    Attributes:
        title: one of `SECTIONS`.
        blocks: tables and the text to read them by.
    """

    title: str
    blocks: Sequence[Block]


def main(measure: Callable[[bool], Section], module: str) -> int:
    """The command line of a benchmark: measures, prints the section, and puts it in the file.

    Args:
        measure: takes whether everything is asked for (`--full`) or the short form.
        module: its name, for the command to run it again.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{module}")
    parser.add_argument("--full", action="store_true", help="everything, not the short form")
    is_full = parser.parse_args().full
    section = measure(is_full)
    record(section, f"python -m benchmarks.{module}{' --full' if is_full else ''}")
    return 0


def record(section: Section, command: str) -> None:
    """Prints a section and puts it in the place of the one of the same title."""
    from pipeline.provenance import collect_provenance

    known = collect_provenance()
    versions = ", ".join(
        f"{key.removeprefix('version.')} {value}"
        for key, value in known.items()
        if key.startswith("version.")
    )
    load = os.getloadavg()[2]
    about = Paragraph(
        f"`{command}` on {date.today()}, {known['machine']} (load {load:.1f} over the last "
        f"quarter of an hour); {versions}; commit {known.get('git_commit', 'unknown')}."
    )
    text = as_markdown(section.title, [*section.blocks, about])
    text = "\n".join(f"#{line}" if line.startswith("#") else line for line in text.splitlines())
    print(text)
    sections = _sections()
    sections[section.title] = text.strip()
    ordered = [sections[title] for title in SECTIONS if title in sections]
    write_atomically(FILE, "\n\n".join([f"# {TITLE}", INTRODUCTION, *ordered]) + "\n")
    print(f"written to {FILE}", file=sys.stderr)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median, smallest and largest, for a cell of a table."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"  # noqa: RUF001


def _sections() -> dict[str, str]:
    if not FILE.exists():
        return {}
    parts = ("\n" + FILE.read_text(encoding="utf-8")).split("\n## ")[1:]
    return {part.splitlines()[0]: f"## {part.strip()}" for part in parts}
