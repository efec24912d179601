"""How many workers one supervisor keeps busy, and what it saturates on.

The supervisor, its stores and its decisions are those of any search; workers are simulated, in
real time: an epoch ends when the clock says so, and takes no processor. So one machine has a
thousand workers, and what the supervisor costs is seen alone.
"""

import functools
import json
import math
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.execution.replay import Curves, ReplayExecutor
from pipeline.names import state_file
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.training.job import EpochEnd, Event, Job

N_EPOCHS, EPOCH_SECONDS = 10, 6.0  # of a training
MODEL, STATE = bytes(400_000), bytes(100)
RAMP_SECONDS = 60.0
STUDY, FILE = "many_workers", "many_workers.toml"
STUDY_FILE = """
goal = "See how many workers one supervisor keeps busy."
dataset = "fashion_mnist"
metric = "val_accuracy"

[budget]
minutes = 600

[training]
patience = 10
trial_minutes = 60

{deciding}

[fixed]
layer_kind = "dense"
epochs = 10

[space]
hidden_layers = {{ type = "int", low = 0, high = 4 }}
units         = {{ type = "int", low = 32, high = 512, log = true, per = "hidden_layers" }}
activation    = {{ type = "categorical", choices = ["relu", "sigmoid", "tanh", "elu"], when = {{ hidden_layers = [1, 2, 3, 4] }} }}
dropout       = {{ type = "float", low = 0.0, high = 0.5, when = {{ hidden_layers = [1, 2, 3, 4] }} }}
optimizer     = {{ type = "categorical", choices = ["sgd", "adagrad", "rmsprop", "adam"] }}
momentum      = {{ type = "float", low = 0.0, high = 0.99, when = {{ optimizer = ["sgd"] }} }}
nesterov      = {{ type = "categorical", choices = [false, true], when = {{ optimizer = ["sgd"] }} }}
learning_rate = {{ type = "float", low = 1e-4, high = 1e-1, log = true }}
batch_size    = {{ type = "categorical", choices = [32, 64, 128, 256] }}
"""
DECIDING = {
    "random": '[sampler]\ntype = "RandomSampler"\nseed = 1\n\n[pruner]\ntype = "NopPruner"',
    "halving": '[sampler]\ntype = "TPESampler"\nseed = 1\n\n'
    '[pruner]\ntype = "SuccessiveHalvingPruner"\nmin_resource = 2\nreduction_factor = 3',
    "default": '[sampler]\ntype = "FreezeThawSampler"\nseed = 1',
}
# Of the supervisor's processor time, by the name that a part has in the table.
PARTS = {
    "Optuna: ask": [("optuna", "Study", "ask")],
    "Optuna: params": [("optuna.trial", "Trial", "suggest_float"), ("optuna.trial", "Trial", "suggest_int"), ("optuna.trial", "Trial", "suggest_categorical"), ("optuna.trial", "Trial", "_suggest")],
    "sampler": [("pipeline.search.distinct", "DistinctSampler", "_draw_untried")],
    "policy": [("pipeline.search.freeze_thaw", "FreezeThaw", "choose"), ("pipeline.search.freeze_thaw", "FreezeThaw", "goes_on")],
    "pruner": [("pipeline.search.running", "Running", "should_prune")],
    "Optuna: report": [("optuna", "Trial", "report")],
    "Optuna: attributes": [("optuna", "Trial", "set_user_attr"), ("optuna", "Study", "set_user_attr")],
    "Optuna: tell": [("optuna", "Study", "tell")],
    "Optuna: reading": [("optuna", "Study", "get_trials"), ("optuna", "Study", "_get_trials")],
    "MLflow": [("pipeline.tracking.delivery", "Delivery", "send"), ("pipeline.tracking.delivery", "Delivery", "send_kept")],
    "states of paused trials": [("pipeline.storage.paused", "FolderOfStates", each) for each in ("has", "remove", "size", "keep_model", "model")],
    "progress": [("pipeline.search.outcomes", "Outcomes", "show")],
    "the simulated workers": [("benchmarks.many_workers", "Workers", each) for each in ("events", "submit", "stop")],
    "the loop": [("pipeline.search.supervisor", "Supervisor", "_handle")],
}


def curves(given: Hyperparameters, seed: int) -> Curves:
    """Computes how a network learns: rising to a level that depends on its hyperparameters."""
    from benchmarks.growth import level

    values = [
        round(level(given) - 0.1 * 0.6**epoch + 0.002 * math.sin(seed * epoch), 6)
        for epoch in range(1, given.epochs + 1)
    ]
    metrics = {
        "loss": [1.05 - each for each in values],
        "accuracy": [each + 0.01 for each in values],
        "val_loss": [1.1 - each for each in values],
        "val_accuracy": values,
    }
    spread = 0.9 + 0.2 * (seed % 1000) / 1000
    return Curves(metrics, [EPOCH_SECONDS * spread] * given.epochs, n_parameters=100_000)


class Workers(ReplayExecutor):
    """Workers in real time: they go on while the supervisor is busy, and take no processor."""

    def __init__(self, n_workers: int) -> None:
        super().__init__(curves, n_workers)
        self._jobs: dict[int, Job] = {}
        self.due: dict[int, float] = {}  # by the id of an event
        self.trained: list[tuple[float, float]] = []  # from and until when, of each epoch heard of
        self.first: float | None = None
        self._now = time.monotonic()

    def submit(self, job: Job) -> None:
        self._now = time.monotonic()
        self.first = self.first or self._now
        self._jobs[job.trial] = job
        super().submit(job)

    def stop(self, trial: int) -> None:
        self._now = time.monotonic()
        super().stop(trial)

    def events(self, timeout_seconds: float) -> list[Event]:
        now = time.monotonic()
        moment = min((each.moment for each in self._running.values()), default=math.inf)
        if moment > now:
            time.sleep(min(moment - now, timeout_seconds))
            now = time.monotonic()
        happened: list[tuple[float, int, Event]] = []
        for trial, due in list(self._running.items()):
            while due.moment <= now:
                happened.append((due.moment, len(happened), due.event))
                if (following := next(due.rest, None)) is None:
                    del self._running[trial]
                    break
                seconds, due.event = following
                due.moment += seconds
        happened.sort()
        return [self._told(moment, event) for moment, _, event in happened]

    def _told(self, moment: float, event: Event) -> Event:
        if not isinstance(event, EpochEnd):
            return event
        self.trained.append((moment - event.metrics["seconds"], moment))
        job = self._jobs[event.trial]
        if event.epoch in job.rungs:
            (Path(job.state_folder) / state_file(job.trial, event.epoch)).write_bytes(STATE)
        told = replace(event, model=MODEL) if event.model is not None else event
        self.due[id(told)] = moment
        return told

    def under_way(self) -> list[tuple[float, float]]:
        """Epochs that have not ended."""
        now = time.monotonic()
        return [
            (each.moment - each.event.metrics["seconds"], now)
            for each in self._running.values()
            if isinstance(each.event, EpochEnd)
        ]

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        """Does nothing."""


class Clockwork:
    """Adds up what parts of a process take: wall and processor, each second in one part only."""

    def __init__(self) -> None:
        self.wall: Counter[str] = Counter()
        self.cpu: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._stack: list[str] = ["the rest"]
        self._since = (time.perf_counter(), time.thread_time())
        self._thread = threading.get_ident()

    def _turn(self) -> None:
        now = (time.perf_counter(), time.thread_time())
        self.wall[self._stack[-1]] += now[0] - self._since[0]
        self.cpu[self._stack[-1]] += now[1] - self._since[1]
        self._since = now

    def watch(self, part: str, kind: type, method: str) -> None:
        original = getattr(kind, method)

        @functools.wraps(original)
        def watched(*arguments: Any, **named: Any) -> Any:
            if threading.get_ident() != self._thread:
                return original(*arguments, **named)
            self._turn()
            self._stack.append(part)
            self.calls[part] += 1
            try:
                return original(*arguments, **named)
            finally:
                self._turn()
                self._stack.pop()

        setattr(kind, method, watched)

    def take(self) -> dict[str, dict[str, float]]:
        self._turn()
        return {"wall": dict(self.wall), "cpu": dict(self.cpu), "calls": dict(self.calls)}


def run(deciding: str, n_workers: int, ramp: float, seconds: float) -> None:
    """Searches in the current folder, and prints what it cost as JSON."""
    import importlib

    from pipeline.outside import Outside
    from pipeline.paths import Project
    from pipeline.search import session, supervisor
    from pipeline.search.interruption import Interruption
    from pipeline.study.load import load

    made: list[Workers] = []

    def make(n: int) -> Workers:
        from benchmarks import many_workers
        made.append(many_workers.Workers(n))
        return made[0]

    project = Project(Path.cwd(), Outside(executor=make))
    spec = load(project, STUDY).model_copy(update={"finals": None})
    importlib.import_module("pipeline.search.run_study")
    clockwork = Clockwork()
    for part, methods in PARTS.items():
        for module, kind, method in methods:
            of = getattr(importlib.import_module(module), kind)
            if hasattr(of, method):
                clockwork.watch(part, of, method)
    late: list[tuple[float, float]] = []
    handle = supervisor.Supervisor._handle

    def handled(self: Any, event: Event) -> None:
        handle(self, event)
        if isinstance(event, EpochEnd):
            due = made[0].due.pop(id(event))
            late.append((due, time.monotonic() - due))

    supervisor.Supervisor._handle = handled
    took: dict[str, Any] = {}

    with Interruption("stopped") as interruption:
        interruption._watchdog._is_over.set()

        def look() -> None:
            while not made or made[0].first is None:
                time.sleep(0.05)
            begun = made[0].first
            marks = []
            for until in (begun + ramp, begun + ramp + seconds):
                while time.monotonic() < until:
                    time.sleep(0.05)
                marks.append((time.monotonic(), time.process_time(), clockwork_snapshot()))
            took["spans"] = [*made[0].trained, *made[0].under_way()]
            took["marks"] = marks
            took["asked"] = time.monotonic()
            interruption.is_asked = True
            interruption._supervisor.interrupt()

        def clockwork_snapshot() -> dict[str, dict[str, float]]:
            return {"wall": dict(clockwork.wall), "cpu": dict(clockwork.cpu), "calls": dict(clockwork.calls)}

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        session.search_interruptibly(project, spec, n_workers, interruption)
    took["ended"] = time.monotonic()
    (start, cpu0, parts0), (end, cpu1, parts1) = took["marks"]
    workers = made[0]

    def busy(a: float, b: float) -> float:
        spans = took["spans"]
        return sum(max(0.0, min(t, b) - max(s, a)) for s, t in spans) / (n_workers * (b - a))

    def diff(kind: str) -> dict[str, float]:
        return {key: parts1[kind][key] - parts0[kind].get(key, 0) for key in parts1[kind]}

    lateness = [each for due, each in late if start <= due < end]
    print(json.dumps({
        "seconds": end - start,
        "busy": busy(start, end),
        "busy_in_ramp": busy(workers.first, start),
        "cpu": cpu1 - cpu0,
        "wall": diff("wall"), "parts": diff("cpu"), "calls": diff("calls"),
        "epochs": len(lateness),
        "late": statistics.quantiles(lateness, n=20)[9::9] if len(lateness) > 20 else [],
        "stop": took["ended"] - took["asked"],
        "rss": int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1000,
    }))


if __name__ == "__main__":
    from benchmarks import many_workers
    many_workers.run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
