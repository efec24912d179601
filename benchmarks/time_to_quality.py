"""How soon a search finds a good network: this pipeline, Keras Tuner, a straightforward script.

Every search is a fresh process in a fresh folder and is watched from its start, imports included.
Those that are compared take turns. What was found is kept in `time_to_quality.jsonl`; a run that
was interrupted is gone on with, one that was complete is begun anew.
"""

import dataclasses
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import curves, projects, results
from benchmarks.curves import Curve
from pipeline.report.document import Block, Paragraph, Table

RECORD = Path(__file__).parent / "time_to_quality.jsonl"  # every search of the full form
PICTURE = Path(__file__).parent / "time_to_quality.svg"
POLL_SECONDS = 2.0
# A search is watched no longer once it is better than this (and than all of Keras Tuner's).
ENOUGH = 0.894
RANDOM_MINUTES = 15.0  # of random search, whose best the pipeline is to have sooner
KERAS_TUNER, SCRIPT, RANDOM = "Keras Tuner's tutorial", "straightforward script", "random search"
OURS, OURS_ALONE = "this pipeline", "this pipeline, no references"


@dataclass(frozen=True)
class Contender:
    """A way to search.

    Attributes:
        name: as in the table.
        command: arguments of Python; `{seed}` is replaced.
        n_seeds: how many searches.
        minutes: after which it is stopped; None if it ends by itself.
        study: which of our studies it is, "" for none.
        is_watched_whole: also after it is good enough.
    """

    name: str
    command: tuple[str, ...]
    n_seeds: int
    minutes: float | None
    study: str = ""
    is_watched_whole: bool = False


def contenders(is_full: bool) -> list[Contender]:
    """Who takes part; in the short form three, for half a minute each."""
    n_seeds, minutes = (5, 5.0) if is_full else (1, 0.5)
    search = ("-m", "pipeline.search", "{study}")
    tutorial = Contender(
        KERAS_TUNER, ("-m", "benchmarks.keras_tuner_search", "{seed}"), 3, None, "", True
    )
    random = Contender(RANDOM, search, n_seeds, RANDOM_MINUTES, "random", True)
    return [
        *([tutorial] if is_full else []),
        Contender(OURS, search, n_seeds, minutes, "fashion_mnist"),
        Contender(SCRIPT, ("-m", "benchmarks.plain_script", "{seed}"), n_seeds, minutes),
        Contender(OURS_ALONE, search, n_seeds, minutes, "alone", True),
        *([random] if is_full else []),
    ]


def measure(is_full: bool) -> results.Section:
    """Runs what has not been run yet, then compares. The short form leaves no record."""
    with tempfile.TemporaryDirectory() as folder:
        record = Record(RECORD if is_full else Path(folder) / RECORD.name, contenders(is_full))
        if next(record.missing(), None) is None:
            record.path.unlink()
        while missing := next(record.missing(), None):
            contender, seed = missing
            found = watch(contender, seed, record.enough())
            print(f"{found.name}, seed {seed}: {found.best:.4f} in {found.seconds:.0f} s, "
                  f"{found.n_epochs} epochs", file=sys.stderr, flush=True)  # fmt: skip
            record.add(found)
        draw(record.done())
        return results.Section("Quality over time", compare(record.done(), record.contenders))


@dataclass(frozen=True)
class Record:
    """The searches of a run so far.

    Attributes:
        path: of the file that holds them, a line each.
        contenders: who takes part.
    """

    path: Path
    contenders: Sequence[Contender]

    def add(self, found: Curve) -> None:
        """Writes a search at the end."""
        with self.path.open("a") as file:
            file.write(json.dumps(dataclasses.asdict(found)) + "\n")

    def done(self) -> list[Curve]:
        """The last search of each contender and seed."""
        latest: dict[tuple[str, int], Curve] = {}
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            each = Curve(**json.loads(line))
            latest[each.name, each.seed] = each
        return list(latest.values())

    def enough(self) -> float:
        """The accuracy above which nothing remains to be compared."""
        return max([ENOUGH, *(each.best for each in self.done() if each.name == KERAS_TUNER)])

    def missing(self) -> Iterator[tuple[Contender, int]]:
        """Searches still to be run, in turns; one that stopped before a later target is again."""
        done = {(each.name, each.seed): each for each in self.done()}
        for seed in range(1, 1 + max(each.n_seeds for each in self.contenders)):
            for contender in self.contenders:
                known = done.get((contender.name, seed))
                is_cut_short = known is not None and contender.minutes is not None and (
                    not contender.is_watched_whole
                    and known.best < self.enough() and known.seconds < 60 * contender.minutes
                )  # fmt: skip
                if seed <= contender.n_seeds and (known is None or is_cut_short):
                    yield contender, seed


def watch(contender: Contender, seed: int, enough: float) -> Curve:
    """Runs one search until it ends, has been watched long enough, or is good enough."""
    with projects.fresh() as folder:
        _prepare(folder, seed)
        command = [part.format(seed=seed, study=contender.study) for part in contender.command]
        started = time.time()
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=folder, start_new_session=True,
                env=projects.environment(), stdout=log, stderr=log,
            )  # fmt: skip
        limit = math.inf if contender.minutes is None else 60 * contender.minutes
        try:
            while process.poll() is None and time.time() < started + limit:
                time.sleep(POLL_SECONDS)
                best = max((value for *_, value in _rows(folder, contender)), default=0.0)
                if not contender.is_watched_whole and best >= enough:
                    break
            seconds = time.time() - started
            ended = process.poll()
        finally:
            _stop(process)
        rows = _rows(folder, contender)
        if not rows or (ended is not None and ended != 0):
            tail = "\n".join((folder / "log").read_text().splitlines()[-5:])
            raise SystemExit(f"{contender.name}, seed {seed}, came to nothing:\n{tail}")
        rows = [row for row in rows if row[0] <= started + seconds]
        return curves.curve(contender.name, seed, started, seconds, rows)


def compare(done: Sequence[Curve], taking_part: Sequence[Contender]) -> list[Block]:
    """The table, and what it says."""
    targets = [each for each in done if each.name == KERAS_TUNER]
    rows = []
    for contender in taking_part:
        of_it = [each for each in done if each.name == contender.name]
        if not of_it:
            continue
        ratios = [
            each.seconds_to(target.best) / target.seconds_to(target.best)
            for target in targets
            for each in of_it
        ]
        times = [each.seconds_to(target.best) for target in targets for each in of_it]
        after = [_best_after(each, 60.0) for each in of_it]
        rows.append(
            [
                contender.name,
                str(len(of_it)),
                results.spread(after, 4),
                results.spread([each.n_epochs / each.seconds * 60 for each in of_it], 0),
                _or_never(times, 0),
                "1" if contender.name == KERAS_TUNER else _or_never(ratios, 2),
            ]
        )
    blocks: list[Block] = [
        Table(
            ["search", "seeds", "best after 60 s", "epochs a minute",
             "seconds to Keras Tuner's final best", "share of Keras Tuner's time"],
            rows,
        )
    ]  # fmt: skip
    if targets:
        found = ", ".join(
            f"{each.best:.4f} after {each.seconds_to(each.best):.0f} of {each.seconds:.0f} s "
            f"({each.n_epochs} epochs)"
            for each in targets
        )
        blocks.append(
            Paragraph(
                f"Keras Tuner's tutorial ended with {found}. Every other search was watched until "
                f"it was better than all of these and {ENOUGH}, or for five minutes (`never` if "
                "that was not enough). Times count from the start of the process, imports "
                "included; each search of a row is held against each of Keras Tuner's. Keras "
                "Tuner validates on the last 12,000 training images, as its tutorial does, the "
                f"others on the chapter's 12,000. [The curves]({PICTURE.name})."
            )
        )
    return [*blocks, *_against_random(done)]


def _against_random(done: Sequence[Curve]) -> list[Block]:
    """Says after which time the pipeline has random search's best of a quarter of an hour."""
    random = [each.best for each in done if each.name == RANDOM]
    ours = [each for each in done if each.name == OURS_ALONE]
    if not (random and ours):
        return []
    times = [each.seconds_to(best) for best in random for each in ours]
    n_in_time = sum(map(math.isfinite, times))
    watched = statistics.median(each.seconds for each in ours)
    return [
        Paragraph(
            f"Random search's best after {RANDOM_MINUTES:g} minutes, {results.spread(random, 4)}, "
            f"is reached without references within {watched:.0f} s in {n_in_time} of {len(times)} "
            f"pairs of searches (seconds: {_or_never(times, 0)})."
        )
    ]


def draw(done: Sequence[Curve]) -> None:
    """Draws every search: the best validation accuracy so far against wall time."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for number, name in enumerate(dict.fromkeys(each.name for each in done)):
        for i, each in enumerate(each for each in done if each.name == name):
            seconds = [moment for moment, _ in each.steps] + [each.seconds]
            values = [value for _, value in each.steps] + [each.best]
            axes.step(
                seconds, values, where="post", color=f"C{number}", alpha=0.8, linewidth=1.5,
                label=None if i else name,
            )  # fmt: skip
            axes.plot(seconds[-1], values[-1], "o", color=f"C{number}", markersize=4)
    axes.set(
        xscale="log",
        ylim=(0.85, max(each.best for each in done) + 0.005),
        xlabel="seconds since the process was started",
        ylabel="best validation accuracy so far",
    )
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(which="both", alpha=0.2)
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(PICTURE, metadata={"Date": None})


def _prepare(folder: Path, seed: int) -> None:
    """Our studies with another seed, and the default one without its references."""
    for file in (folder / "studies").glob("*.toml"):
        file.write_text(re.sub(r"^seed = .*$", f"seed = {seed}", file.read_text(), flags=re.M))
    text = (folder / "studies" / "fashion_mnist.toml").read_text()
    (folder / "studies" / "alone.toml").write_text(text.partition("\n[[reference]]")[0])


def _rows(folder: Path, contender: Contender) -> list[curves.Row]:
    if contender.study:
        return curves.from_mlflow(folder / "mlruns" / "mlflow.db")
    return curves.from_csv(folder / "curve.csv")


def _best_after(each: Curve, seconds: float) -> float:
    return max((value for moment, value in each.steps if moment <= seconds), default=0.0)


def _or_never(values: Sequence[float], digits: int) -> str:
    """Median and range, where a search that did not get there took forever."""
    if not values:
        return ""
    numbers = [min(values), statistics.median(values), max(values)]
    low, middle, high = ("never" if math.isinf(x) else f"{x:.{digits}f}" for x in numbers)
    return middle if low == high else f"{middle} ({low}–{high})"  # noqa: RUF001


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a search and all that it started."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    sys.exit(results.main(measure, "time_to_quality"))
