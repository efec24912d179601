"""Searches: runs a study until its budget is used. A rerun goes on where the last one stopped.

python -m pipeline.search [STUDY] [--trials N] [--minutes M] [--workers N] [--dry-run]
"""

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.errors import DONE, INTERRUPTED, PipelineError, run_command
from pipeline.paths import DEFAULT_STUDY, Project

if TYPE_CHECKING:
    from pipeline.executors import Executor
    from pipeline.study import StudySpec
    from pipeline.supervisor import Supervisor
    from pipeline.tracking import Tracker
    from pipeline.trials import Trial


def main() -> int:
    """Runs a study, or with --dry-run shows what it would do."""
    arguments = _parse(sys.argv[1:])
    from pipeline.study import load

    project = Project.here()
    spec = load(project, arguments.study)
    budget = {
        key: value
        for key, value in (("trials", arguments.trials), ("minutes", arguments.minutes))
        if value is not None
    }
    if budget:
        spec = spec.model_copy(update={"budget": spec.budget.model_copy(update=budget)})
    if arguments.dry_run:
        from pipeline.preview import preview

        print(preview(spec))
        return DONE
    return search(project, spec, arguments.workers)


def search(project: Project, spec: "StudySpec", n_workers: int) -> int:
    """Runs a study in this process and its workers, and returns the exit code."""
    from pipeline import data, executors

    project.runs_dir.mkdir(parents=True, exist_ok=True)
    with _only_supervisor(project, spec.name):
        executor = executors.LocalExecutor(
            spec.dataset,
            n_workers,
            log=project.runs_dir / f"{spec.name}.workers.log",
            scratch=project.runs_dir / f".{spec.name}.scratch",
        )
        try:
            data.fetch(spec.dataset)  # they need it when they have imported TensorFlow
            return _supervise(project, spec, executor)
        finally:
            executor.close()


def _supervise(project: Project, spec: "StudySpec", executor: "Executor") -> int:
    # imported while the workers import TensorFlow
    from pipeline import data, progress, trials
    from pipeline.supervisor import Outcome, Supervisor
    from pipeline.tracking import Tracker, facts

    trials.rehearse(spec)
    study = trials.open_study(project, spec)
    print(f"study {spec.name}: workers are importing TensorFlow ...", file=sys.stderr, flush=True)
    study.set_user_attr(trials.DATA_FINGERPRINT, data.fingerprint(spec.dataset))
    study.set_user_attr(trials.VERSIONS, facts())
    tracker = Tracker(project, spec.name)
    tracker.open_study(
        spec.goal,
        {"dataset": spec.dataset, "metric": spec.metric, "fingerprint": spec.fingerprint},
        data.fingerprint(spec.dataset),
    )
    status, display = "FAILED", progress.for_terminal()
    try:
        supervisor = Supervisor(spec, study, executor, tracker, display)
        with _ctrl_c_interrupts(supervisor):
            outcome = supervisor.run()
        display.close()
        if outcome is Outcome.INTERRUPTED:
            status = "KILLED"
            print(f"interrupted; go on with: make search STUDY={spec.name}", file=sys.stderr)
            return INTERRUPTED
        best = trials.ranking(trials.finished(study), spec.direction)[:1]
        if not best:
            raise PipelineError(_why_no_champion(spec, trials.finished(study)))
        _publish(project, spec, executor, tracker, best[0])
        status = "FINISHED"
        _say_what_next(spec, best[0], trials.counted(trials.finished(study)))
        return DONE
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        display.close()
        tracker.close_study(status)


def _publish(
    project: Project,
    spec: "StudySpec",
    executor: "Executor",
    tracker: "Tracker",
    champion: "Trial",
) -> None:
    """Registers the champion's model, unless it is the registered one."""
    from pipeline.tracking import publish_champion

    if tracker.champion_run() != champion.run_id:
        print("registering the champion's model ...", file=sys.stderr)
        executor.call(
            publish_champion,
            project.mlflow_uri,
            spec.name,
            champion.run_id,
            champion.best_epoch,
        )


def _say_what_next(spec: "StudySpec", champion: "Trial", ended: "list[Trial]") -> None:
    by_state = {
        state: sum(trial.state == state for trial in ended)
        for state in ("COMPLETE", "PRUNED", "FAIL")
    }
    counts = ", ".join(f"{n} {state.lower()}" for state, n in by_state.items() if n)
    study = "" if spec.name == DEFAULT_STUDY else f" STUDY={spec.name}"
    name = "" if spec.name == DEFAULT_STUDY else f" {spec.name}"
    print(f"""
study {spec.name}: {len(ended)} trials ({counts})
champion: trial {champion.number}, {spec.metric} {champion.value:.4f} \
at epoch {champion.best_epoch}
  {champion.hyperparameters}

next:
  make report{study}
      writes the study's report, studies/{spec.name}/report.html
  make ui
      shows runs, curves and models in MLflow
  .venv/bin/python -m pipeline.best{name} --export
      writes the champion to exports/{spec.name}/, with its test score""")


def _why_no_champion(spec: "StudySpec", ended: "list[Trial]") -> str:
    failed = [trial for trial in ended if trial.state == "FAIL" and not trial.interrupted]
    if failed:
        return (
            f"no trial of {spec.name} was completed; {len(failed)} failed, "
            f"the last one because: {failed[-1].reason}"
        )
    return f"no trial of {spec.name} was completed within the budget; raise it and run again"


@contextlib.contextmanager
def _only_supervisor(project: Project, study: str) -> Iterator[None]:
    """Holds the claim on a study. The system gives up a dead supervisor's claim by itself.

    Raises:
        PipelineError: another process holds it; the text says which, and since when.
    """
    import platform

    from filelock import FileLock, Timeout

    path = project.supervisor_lock(study)
    about = path.with_suffix(".lock.json")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        holder = "another process"
        with contextlib.suppress(OSError, ValueError, KeyError):
            known = json.loads(about.read_text())
            holder = f"process {known['process']} on {known['host']} since {known['since']}"
        raise PipelineError(f"study {study} is being searched already, by {holder}") from None
    try:
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        about.write_text(
            json.dumps({"host": platform.node(), "process": os.getpid(), "since": since})
        )
        yield
    finally:
        about.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def _ctrl_c_interrupts(supervisor: "Supervisor") -> Iterator[None]:
    """SIGINT and SIGTERM ask the supervisor to stop, which it does within a second or so.

    A second one changes nothing about that: what runs is being told, and will not be cut short.
    """

    def interrupt(*_: object) -> None:
        supervisor.interrupt()

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(each, interrupt) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.search",
        description="Searches until the study's budget is used; a rerun goes on.",
    )
    parser.add_argument(
        "study", nargs="?", default=DEFAULT_STUDY, help="name of a file in studies/, or a path"
    )
    parser.add_argument("--trials", type=_positive(int), help="budget instead of the study's")
    parser.add_argument("--minutes", type=_positive(float), help="budget instead of the study's")
    parser.add_argument(
        "--workers",
        type=_positive(int),
        default=os.cpu_count() or 1,
        help="trials at a time, one thread each (default: one for each core)",
    )
    parser.add_argument("--engine", choices=["local"], default="local", help="where trials run")
    parser.add_argument("--dry-run", action="store_true", help="show what would happen, and stop")
    return parser.parse_args(arguments)


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    """A converter for argparse that refuses what is no number above 0."""

    def convert(text: str) -> float:
        number: float = 0
        with contextlib.suppress(ValueError):
            number = kind(text)
        if not 0 < number < float("inf"):
            noun = "an integer" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"found {text!r}, allowed is {noun} above 0")
        return number

    return convert


if __name__ == "__main__":
    sys.exit(run_command(main))
