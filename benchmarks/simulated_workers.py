"""A search whose workers are simulated in real time, and what its supervisor does meanwhile.

An epoch ends when the clock says so, and takes no processor: so one machine has a thousand
workers, and what the supervisor costs is seen alone.
"""

import functools
import importlib
import json
import math
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.execution.replay import Curves, ReplayExecutor
from pipeline.names import state_file
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.training.job import EpochEnd, Event, Job

MODEL, STATE = bytes(400_000), bytes(100)  # a real state is written by the worker, not by us
SPREAD = 0.2  # of the seconds of networks, so that they do not keep step
# Of the supervisor's time, by the name that a part has in the table: modules, classes, methods.
# What a part calls of another one counts for that one.
PARTS: Mapping[str, tuple[tuple[str, str, tuple[str, ...]], ...]] = {
    "Optuna: trials begin": (
        ("optuna", "Study", ("ask",)),
        ("optuna.trial", "Trial", ("suggest_float", "suggest_int", "suggest_categorical")),
    ),
    "Optuna: epochs, notes, ends": (
        ("optuna", "Study", ("tell", "set_user_attr")),
        ("optuna", "Trial", ("report", "set_user_attr")),
    ),
    "Optuna: transactions": (
        ("pipeline.storage.sole_writer", "CacheOfSoleWriter", ("look", "_write_kept")),
    ),
    "sampler": (("pipeline.search.distinct", "DistinctSampler", ("_draw_untried",)),),
    "policy": (("pipeline.search.freeze_thaw", "FreezeThaw", ("choose", "goes_on")),),
    "pruner": (("pipeline.search.running", "Running", ("should_prune",)),),
    "MLflow": (("pipeline.tracking.delivery", "Delivery", ("send", "send_kept")),),
    "files of paused trials": (
        (
            "pipeline.storage.paused",
            "FolderOfStates",
            ("has", "remove", "size", "keep", "model"),
        ),
    ),
    "simulating workers": (
        ("benchmarks.simulated_workers", "Workers", ("events", "submit", "stop")),
    ),
}  # fmt: skip
REST = "all else"


@dataclass(frozen=True)
class Found:
    """What a search has cost while it was looked at.

    Attributes:
        seconds: for which that was.
        busy: share of the workers' time that went into epochs of which the supervisor heard.
        begun: trials that began, or went on.
        epochs: that ended.
        late: seconds from the end of an epoch until it was decided on, median and 95 %.
        processor: seconds of the supervisor's process, without those of simulating workers.
        parts: seconds of its main thread by part: of the processor, and of the clock.
        stop: seconds from Ctrl-C until the process has told its stores.
        memory_mb: most memory of the process.
        is_told: whether MLflow could be told all.
    """

    seconds: float
    busy: float
    begun: int
    epochs: int
    late: tuple[float, float]
    processor: float
    parts: Mapping[str, tuple[float, float]]
    stop: float
    memory_mb: float
    is_told: bool = True


class Workers(ReplayExecutor):
    """Workers in real time: they go on while the supervisor is busy.

    Attributes:
        epochs: from and until when each was trained that the supervisor was told of.
        late: when an epoch was over, and how much later it was decided on.
        n_begun: jobs.
    """

    def __init__(self, n_workers: int, epoch_seconds: float) -> None:
        super().__init__(functools.partial(_curves, epoch_seconds), n_workers)
        self.epochs: list[tuple[float, float]] = []
        self.late: list[tuple[float, float]] = []
        self.n_begun = 0
        self._jobs: dict[int, Job] = {}
        self._told: list[float] = []
        self._now = time.monotonic()

    def submit(self, job: Job) -> None:
        """Starts a job."""
        self._now = time.monotonic()
        self.n_begun += 1
        self._jobs[job.trial] = job
        super().submit(job)

    def stop(self, trial: int) -> None:
        """Ends a job."""
        self._now = time.monotonic()
        super().stop(trial)

    def events(self, timeout_seconds: float) -> list[Event]:
        """Waits for something to happen, and returns all that has; all before was decided on."""
        now = time.monotonic()
        self.late += [(over, now - over) for over in self._told]
        moment = min((each.moment for each in self._running.values()), default=math.inf)
        if moment > now:
            time.sleep(min(moment - now, timeout_seconds))
            now = time.monotonic()
        happened: list[tuple[float, Event]] = []
        for trial, due in list(self._running.items()):
            while due.moment <= now:
                happened.append((due.moment, due.event))
                if (following := next(due.rest, None)) is None:
                    del self._running[trial]
                    break
                seconds, due.event = following
                due.moment += seconds
        happened.sort(key=lambda each: each[0])
        self._told = [over for over, event in happened if isinstance(event, EpochEnd)]
        return [self._as_sent(over, event) for over, event in happened]

    def under_way(self, now: float) -> list[tuple[float, float]]:
        """Lists from when epochs are trained that have not ended."""
        return [
            (each.moment - each.event.metrics["seconds"], now)
            for each in list(self._running.values())
            if isinstance(each.event, EpochEnd)
        ]

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        """Does nothing."""

    def _as_sent(self, over: float, event: Event) -> Event:
        """Does what a worker does before it tells of an epoch; returns what it tells."""
        if not isinstance(event, EpochEnd):
            return event
        self.epochs.append((over - event.metrics["seconds"], over))
        job = self._jobs[event.trial]
        if event.epoch in job.rungs:
            (Path(job.state_folder) / state_file(job.trial, event.epoch)).write_bytes(STATE)
        return replace(event, model=MODEL) if event.model is not None else event


class Clockwork:
    """Adds up what parts of a process take, each second of its main thread in one of them."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {REST: [0.0, 0.0]}
        self._stack = [REST]
        self._since = (time.thread_time(), time.perf_counter())
        self._thread = threading.get_ident()

    def watch(self, part: str, kind: type, method: str) -> None:
        """Counts what a method takes for a part, but for what other parts take in it."""
        original = getattr(kind, method)
        self.seconds.setdefault(part, [0.0, 0.0])

        @functools.wraps(original)
        def watched(*arguments: Any, **named: Any) -> Any:
            if threading.get_ident() != self._thread:
                return original(*arguments, **named)
            self._turn(part)
            try:
                return original(*arguments, **named)
            finally:
                self._turn(None)

        setattr(kind, method, watched)

    def taken(self) -> dict[str, tuple[float, float]]:
        """Gives the seconds so far, of processor and clock, by part."""
        return {part: (each[0], each[1]) for part, each in self.seconds.items()}

    def _turn(self, to: str | None) -> None:
        now = (time.thread_time(), time.perf_counter())
        counted = self.seconds[self._stack[-1]]
        counted[0] += now[0] - self._since[0]
        counted[1] += now[1] - self._since[1]
        self._since = now
        if to is None:
            self._stack.pop()
        else:
            self._stack.append(to)


def _curves(epoch_seconds: float, given: Hyperparameters, seed: int) -> Curves:
    """Computes how a network learns: rising to a level that depends on its hyperparameters."""
    from benchmarks.growth import level

    reached = level(given)
    values = [
        round(reached - 0.1 * 0.6**epoch + 0.002 * math.sin(seed * epoch), 6)
        for epoch in range(1, given.epochs + 1)
    ]
    metrics = {
        "loss": [1.05 - each for each in values],
        "accuracy": [each + 0.01 for each in values],
        "val_loss": [1.1 - each for each in values],
        "val_accuracy": values,
    }
    own = epoch_seconds * (1 + SPREAD * (seed % 1000 / 1000 - 0.5))
    return Curves(metrics, [own] * given.epochs, n_parameters=100_000)


def search(
    study: str, n_workers: int, epoch_seconds: float, ramp_seconds: float, seconds: float
) -> None:
    """Searches a study of the current folder for a while; prints what was `Found`, as JSON.

    Args:
        study: its name.
        n_workers: how many trials are trained at a time.
        epoch_seconds: of an epoch, more or less.
        ramp_seconds: after the first job, until it is looked at.
        seconds: for which it is looked at; then it is interrupted.
    """
    from benchmarks import simulated_workers  # whose classes are watched: not those of __main__
    from pipeline.environment import set_defaults
    from pipeline.outside import Outside
    from pipeline.paths import Project
    from pipeline.search import run_study, session  # noqa: F401, which watched methods are in
    from pipeline.search.interruption import Interruption
    from pipeline.study.load import load

    set_defaults()
    workers = simulated_workers.Workers(n_workers, epoch_seconds)
    project = Project(Path.cwd(), Outside(executor=lambda _: workers))
    spec = load(project, study).model_copy(update={"finals": None})
    clockwork = Clockwork()
    for part, places in PARTS.items():
        for module, kind, methods in places:
            for method in methods:
                of = getattr(importlib.import_module(module), kind)
                clockwork.watch(part, of, method)
    looks: list[_Look] = []
    with Interruption("") as interruption:

        def watch() -> None:
            while not workers.n_begun:
                time.sleep(0.05)
            for pause in (ramp_seconds, seconds):
                time.sleep(pause)
                looks.append(_Look.at(workers, clockwork))
            interruption.is_asked = True
            if interruption._supervisor:
                interruption._supervisor.interrupt()

        threading.Thread(target=watch, daemon=True).start()
        session.search_interruptibly(project, spec, n_workers, interruption)
    before, after = looks
    print(json.dumps(asdict(_found(workers, before, after, time.monotonic() - after.now))))


@dataclass(frozen=True)
class _Look:
    """What was so far at a moment."""

    now: float
    processor: float
    n_begun: int
    parts: Mapping[str, tuple[float, float]]
    epochs: list[tuple[float, float]]

    @classmethod
    def at(cls, workers: Workers, clockwork: Clockwork) -> "_Look":
        now = time.monotonic()
        epochs = [*workers.epochs, *workers.under_way(now)]
        return cls(now, time.process_time(), workers.n_begun, clockwork.taken(), epochs)


def _found(workers: Workers, before: _Look, after: _Look, stop: float) -> Found:
    begin, end = before.now, after.now
    busy = sum(max(0.0, min(t, end) - max(s, begin)) for s, t in after.epochs)
    late = [by for over, by in workers.late if begin <= over < end] or [0.0, 0.0]
    cuts = statistics.quantiles(late, n=20, method="inclusive")
    parts = {
        part: (found[0] - before.parts[part][0], found[1] - before.parts[part][1])
        for part, found in after.parts.items()
    }
    simulated, _ = parts.pop("simulating workers")
    memory = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    return Found(
        seconds=end - begin,
        busy=busy / (workers.n_workers * (end - begin)),
        begun=after.n_begun - before.n_begun,
        epochs=sum(begin <= over < end for _, over in workers.epochs),
        late=(cuts[9], cuts[18]),
        processor=after.processor - before.processor - simulated,
        parts=parts,
        stop=stop,
        memory_mb=int(memory) / 1000,
    )
