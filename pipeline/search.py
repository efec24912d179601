"""Searches: runs a study until its budget is used. A rerun goes on where the last one stopped.

python -m pipeline.search [STUDY] [--trials N] [--minutes M] [--workers N] [--dry-run]
"""

import argparse
import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pipeline.errors import DONE, INTERRUPTED, PipelineError, run_command
from pipeline.paths import DEFAULT_STUDY, Project, shown

if TYPE_CHECKING:
    import optuna

    from pipeline.executors import Executor
    from pipeline.ownership import Claim
    from pipeline.study import StudySpec
    from pipeline.supervisor import Supervisor
    from pipeline.tracking import Tracker
    from pipeline.trials import Trial


_N_CORES = os.cpu_count() or 1


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
    from pipeline import data, executors, ownership

    project.runs_dir.mkdir(parents=True, exist_ok=True)
    with ownership.lock(project, spec.name) as claim, _Interruption() as interruption:
        executor = executors.LocalExecutor(
            spec.dataset,
            n_workers,
            log=project.runs_dir / f"{spec.name}.workers.log",
            scratch=project.runs_dir / f".{spec.name}.scratch",
        )
        try:
            data.fetch(spec.dataset)  # they need it when they have imported TensorFlow
            from pipeline import trials

            with trials.store_errors(project):
                return _supervise(project, spec, executor, claim, interruption)
        finally:
            executor.close()


def _supervise(
    project: Project,
    spec: "StudySpec",
    executor: "Executor",
    claim: "Claim",
    interruption: "_Interruption",
) -> int:
    # imported while the workers import TensorFlow
    from pipeline import components, data, ownership, progress, trials
    from pipeline.environment import facts
    from pipeline.supervisor import Outcome, Supervisor
    from pipeline.tracking import Tracker

    components.rehearse(spec)
    study = trials.open_study(project, spec)
    ownership.take(study, claim)
    print(f"study {spec.name}: workers are importing TensorFlow ...", file=sys.stderr, flush=True)
    study.set_user_attr(trials.DATA_FINGERPRINT, data.fingerprint(spec.dataset))
    study.set_user_attr(trials.VERSIONS, facts())
    status, display = "FAILED", progress.for_terminal()
    try:
        tracker = Tracker(
            project, spec.name, display.say, functools.partial(trials.note_run, study)
        )
        tracker.open_study(
            spec.goal,
            {"dataset": spec.dataset, "metric": spec.metric, "fingerprint": spec.fingerprint},
            data.fingerprint(spec.dataset),
        )
    except BaseException:
        display.close()
        raise
    try:
        supervisor = Supervisor(spec, study, executor, tracker, display)
        with interruption.asks(supervisor):
            outcome = supervisor.run()
        display.close()
        if outcome is Outcome.INTERRUPTED or interruption.is_asked:
            _close(study, tracker, "KILLED")
            print(f"interrupted; go on with: make search STUDY={spec.name}", file=sys.stderr)
            return INTERRUPTED
        n_kept = tracker.settle()  # before the champion's run is looked up
        best = trials.ranking(trials.finished(study), spec.direction)[:1]
        if not best:
            raise PipelineError(_why_no_champion(spec, trials.finished(study)))
        if n_kept:
            raise PipelineError(
                f"the search is complete, but MLflow does not answer: {n_kept} writes are kept in "
                f"{shown(project.outbox(spec.name))}; when it does, the same command sends them "
                "and registers the champion"
            )
        _publish(project, spec, executor, tracker, best[0])
        _close(study, tracker, "FINISHED")
        _say_what_next(spec, best[0], trials.counted(trials.finished(study)))
        return DONE
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            status = "KILLED"
        with contextlib.suppress(Exception):  # what came first is to be seen
            _close(study, tracker, status)
        raise
    finally:
        display.close()


def _close(study: "optuna.Study", tracker: "Tracker", status: str) -> None:
    """Ends the study's own run, and gives the study back."""
    from pipeline import ownership

    try:
        tracker.close_study(status)
    finally:
        ownership.give_back(study)


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
        arguments = (project.mlflow_uri, spec.name, champion.run_id, champion.best_epoch)
        try:
            executor.call(publish_champion, *arguments)
        except PipelineError as error:
            raise PipelineError(
                f"the search is complete, but its champion is not registered ({error}); the same "
                "command tries that again"
            ) from None


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


class _Interruption:
    """Ctrl-C and SIGTERM, from its `with` on.

    They raise KeyboardInterrupt, but for a supervisor, which is asked to stop: what runs is being
    told, and will not be cut short. And they are remembered, for libraries may swallow exceptions.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._supervisor: Supervisor | None = None

    def __enter__(self) -> "_Interruption":
        signals = (signal.SIGINT, signal.SIGTERM)
        self._before = {each: signal.signal(each, self._hear) for each in signals}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _hear(self, *_: object) -> None:
        self.is_asked = True
        if self._supervisor is None:
            raise KeyboardInterrupt
        self._supervisor.interrupt()

    @contextlib.contextmanager
    def asks(self, supervisor: "Supervisor") -> "Iterator[None]":
        """Meanwhile nothing is raised."""
        self._supervisor = supervisor
        if self.is_asked:
            supervisor.interrupt()
        try:
            yield
        finally:
            self._supervisor = None


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
        type=_n_workers,
        default=_N_CORES,
        help="trials at a time, one thread each (default: one for each core)",
    )
    parser.add_argument("--engine", choices=["local"], default="local", help="where trials run")
    parser.add_argument("--dry-run", action="store_true", help="show what would happen, and stop")
    return parser.parse_args(arguments)


def _n_workers(text: str) -> int:
    """A converter for argparse that refuses what would bring the machine down."""
    number = int(_positive(int)(text))
    if number > 4 * _N_CORES:
        raise argparse.ArgumentTypeError(
            f"found {number}, allowed are at most {4 * _N_CORES}, four for each core"
        )
    return number


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
