"""The best validation accuracy so far against wall time, of one search."""

import csv
import math
import sqlite3
from dataclasses import dataclass
from pathlib import Path

Row = tuple[float, str, float]  # time (seconds since 1970), trial, validation accuracy


@dataclass(frozen=True)
class Curve:
    """What a search had reached when.

    Attributes:
        name: of the contender.
        seed: of the search.
        seconds: how long it was watched.
        n_trials: how many trials had an epoch behind them.
        n_epochs: epochs of all trials.
        steps: (seconds since the process was started, validation accuracy) of each new best.
    """

    name: str
    seed: int
    seconds: float
    n_trials: int
    n_epochs: int
    steps: tuple[tuple[float, float], ...]

    @property
    def best(self) -> float:
        """The best validation accuracy; nan if no epoch was finished."""
        return self.steps[-1][1] if self.steps else math.nan

    def seconds_to(self, accuracy: float) -> float:
        """When it had reached so much; infinite if it had not."""
        return next((seconds for seconds, value in self.steps if value >= accuracy), math.inf)


def curve(name: str, seed: int, started: float, seconds: float, rows: list[Row]) -> Curve:
    """The curve of a search that was started at `started` (seconds since 1970)."""
    steps: list[tuple[float, float]] = []
    for moment, _, value in sorted(rows):
        if not steps or value > steps[-1][1]:
            steps.append((round(moment - started, 2), value))
    n_trials = len({trial for _, trial, _ in rows})
    return Curve(name, seed, round(seconds, 1), n_trials, len(rows), tuple(steps))


def append(path: Path, moment: float, trial: str, accuracy: float) -> None:
    """Adds an epoch to a file that `from_csv` reads."""
    with path.open("a", newline="") as file:
        csv.writer(file).writerow([moment, trial, accuracy])


def from_csv(path: Path) -> list[Row]:
    """Every epoch that `append` wrote; none if there is no file yet."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            (float(row[0]), row[1], float(row[2])) for row in csv.reader(file) if len(row) == 3
        ]


def from_mlflow(path: Path) -> list[Row]:
    """Every epoch that MLflow's database holds; none if there is no database yet."""
    if not path.exists():
        return []
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        return [
            (milliseconds / 1000, run, value)
            for milliseconds, run, value in connection.execute(
                "SELECT timestamp, run_uuid, value FROM metrics WHERE key = 'val_accuracy'"
            )
        ]
    except sqlite3.OperationalError:  # being created
        return []
    finally:
        connection.close()
