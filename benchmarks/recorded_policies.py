"""Policies on recorded curves, in virtual time: what a search buys over chance.

python -m benchmarks.recorded_policies [--full]     # 50 seeds in full, 4 in the short form
"""

import os
import statistics
import sys

from benchmarks import policies, record, results
from benchmarks.measured import PARTS, Measured, spread
from benchmarks.measured import measure as held_against_random
from benchmarks.projects import ROOT
from benchmarks.results import Section
from pipeline.paths import Project
from pipeline.report.document import Paragraph, Table
from pipeline.study.load import load

ASKED = (policies.RANDOM, "tpe", "freeze-thaw")
N_SEEDS, N_SEEDS_SHORT = 50, 4
SHOWN = "{:.2f}".format


def measure(full: bool) -> Section:
    """Searches each recorded space by each policy."""
    n_seeds = N_SEEDS if full else N_SEEDS_SHORT
    rows: list[list[str]] = []
    for name, recording in record.RECORDINGS.items():
        spec = load(Project(ROOT), str(ROOT / recording.study), needs_data=False)
        spec = policies.searched(spec, spec.budget.minutes, references=False)
        curves = f"benchmarks.recorded_curves:{name}"
        runs = policies.compare(spec, curves, ASKED, n_seeds, n_jobs=os.cpu_count() or 1)
        found = held_against_random(runs, policies.RANDOM, policies.TWICE, spec.direction)
        rows += [_row(name, policy, found.policies[policy]) for policy in ASKED]
    columns = ["space", "policy", "share until random's final value", "better than random x2"]
    columns += [f"regret at {part:.0%}" for part in PARTS]
    return Section(
        "Policies",
        [
            Paragraph(
                f"Searches of the recorded spaces in virtual time: {n_seeds} seeds, two workers, "
                "the minutes of the study, no references. Random search with the same seed and "
                "the study's pruner is what a policy is held against: after which share of the "
                "budget its final value is reached, and how often its value after twice the "
                "budget is beaten. Regret is in points of accuracy, counted from the best of all "
                "searches of a space, at parts of the budget. Medians, with quartiles in brackets."
            ),
            Table([*columns, "trials", "epochs"], rows),
        ],
    )


def _row(space: str, policy: str, found: Measured) -> list[str]:
    return [
        f"`{space}`",
        policy,
        "" if policy == policies.RANDOM else spread(found.shares, SHOWN),
        "" if policy == policies.RANDOM else f"{statistics.fmean(found.beats_twice):.0%}",
        *(spread([100 * each for each in found.regrets[part]], SHOWN) for part in PARTS),
        f"{statistics.median(run.n_trials for run in found.runs):g}",
        f"{statistics.median(run.n_epochs for run in found.runs):g}",
    ]


def main() -> int:
    """Measures, and puts the section into the results."""
    return results.main(measure, "recorded_policies")


if __name__ == "__main__":
    sys.exit(main())
