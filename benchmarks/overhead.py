"""What the supervisor takes of the CPU time of a search, MLflow's and Optuna's writes included.

The accounting is the system's own and misses no process, however short its life. Workers are
children of the forkserver, which reaps each of them; the forkserver is a child of the supervisor,
which kills and reaps it when the search is over. So at the supervisor's exit `RUSAGE_SELF` is the
supervisor alone, and `RUSAGE_CHILDREN` is everybody else. Imports are told apart by a second look
at the moment of the first event: by then supervisor and forkserver have imported all they need,
and the forkserver, not reaped yet, is asked for by `psutil`.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import projects, results
from benchmarks.results import Section
from pipeline.paths import DEFAULT_STUDY
from pipeline.report.document import Paragraph, Table

GOAL = 0.03


def measure(full: bool) -> Section:
    """A minute of the default study in a new project; in full all of it."""
    minutes = 15 if full else 1
    with projects.fresh() as folder:
        counted = folder / "seconds.json"
        code = "import sys; from benchmarks import overhead; overhead.search(*sys.argv[1:])"
        subprocess.run(
            [sys.executable, "-c", code, str(counted), str(minutes)],
            cwd=folder,
            env=projects.environment(),
            stdout=subprocess.DEVNULL,
            check=True,
        )
        seconds = json.loads(counted.read_text())
    first, last = seconds["first event"], seconds["end"]
    after = [last[0] - first[0], last[1] - first[1]]
    rows = [
        _row("whole search", *last),
        _row("until the first event: imports, opening the stores", *first),
        _row("after it", *after),
    ]
    n_trials, n_epochs = seconds["trials"], seconds["epochs"]
    return Section(
        "Supervisor",
        [
            Paragraph(
                f"User and system CPU time of {minutes:g} minutes of the default study "
                f"({n_trials} trials, {n_epochs} epochs), in seconds; goal: at most {GOAL:.0%} "
                "for the supervisor. Others are the workers and the process they are forked from."
            ),
            Table(["part", "supervisor, s", "others, s", "supervisor's share"], rows),
            Paragraph(
                f"After the first event the supervisor takes {1000 * after[0] / n_epochs:.0f} ms "
                f"for each epoch, or {1000 * after[0] / n_trials:.0f} ms for each trial."
            ),
        ],
    )


def _row(part: str, supervisor: float, others: float) -> list[str]:
    share = supervisor / (supervisor + others)
    return [part, f"{supervisor:.1f}", f"{others:.1f}", f"{share:.1%}"]


def search(file: str, minutes: str) -> None:
    """Searches in this process, as `pipeline.search` does, and writes what CPU time it took."""
    import psutil

    from pipeline.errors import run_command
    from pipeline.execution import local
    from pipeline.search import __main__ as search_command
    from pipeline.training.job import EpochEnd, Event, Started

    seconds: dict[str, Any] = {"trials": 0, "epochs": 0}

    class Counted(local.LocalExecutor):
        def events(self, timeout_seconds: float) -> list[Event]:
            happened = super().events(timeout_seconds)
            if happened and "first event" not in seconds:
                others = sum(
                    sum(child.cpu_times()[:4])  # its own, and that of children it has reaped
                    for child in psutil.Process().children()
                )
                seconds["first event"] = (_own(), others + _reaped())
            seconds["trials"] += sum(isinstance(event, Started) for event in happened)
            seconds["epochs"] += sum(isinstance(event, EpochEnd) for event in happened)
            return happened

    local.LocalExecutor = Counted  # type: ignore[misc]
    sys.argv = ["search", DEFAULT_STUDY, "--minutes", minutes]
    code = run_command(search_command.main)
    seconds["end"] = (_own(), _reaped())
    Path(file).write_text(json.dumps(seconds))
    sys.exit(code)


def _own() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _reaped() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(results.main(measure, "overhead"))
