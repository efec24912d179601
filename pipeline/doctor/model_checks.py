"""The models that a study keeps: those of its best trials."""

import contextlib
import math
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.data import datasets
from pipeline.doctor.plan import Kind, Repair
from pipeline.doctor.subject import Subject
from pipeline.doctor.wording import name_trials, say
from pipeline.errors import PipelineError
from pipeline.storage import study_store
from pipeline.study.assignment import Assignment
from pipeline.study.trial import Trial, ranking, with_model
from pipeline.tracking import aliases, reader, registry
from pipeline.tracking.reader import Run
from pipeline.tracking.versions import Version, versions_of
from pipeline.training.job import Failed, Job
from pipeline.wording import inflect, join_names

if TYPE_CHECKING:
    from pipeline.execution.executor import Executor

_ALIAS = f" (@{aliases.CHAMPION})"


def check_models(subject: Subject) -> Iterator[Repair]:
    """Finds models that are missing or damaged, and a champion that is not registered."""
    if subject.is_behind:
        return
    own = subject.match.own
    direction = subject.spec.direction
    ranked = ranking(list(subject.ended.values()), direction)
    kept = with_model(ranked, direction, study_store.n_models(subject.study))
    present = [trial.number for trial in kept if trial.number in own]
    present = [number for number in present if not own[number].is_deleted]  # said before
    troubles = {number: reader.model_trouble(subject.project, own[number]) for number in present}
    runs = {own[number].id: own[number] for number in present}
    runs |= {run.id: run for run in subject.runs if run.is_apart and not run.is_deleted}
    versions = versions_of(subject.project, subject.spec.name, runs)
    for number in present:
        others = [v.number for v in versions if v.run == own[number].id and v.is_other]
        if others:  # one of them is not what was trained, and training again tells which
            where = f"{inflect('version', len(others))} {join_names(others)}"
            troubles[number] = f"it has other weights than the registered {where}"
    broken = [number for number, trouble in troubles.items() if trouble]
    subject.n_whole = len(present) - len(broken)
    if broken:
        yield Repair(
            Kind.TRAIN_AGAIN,
            f"the {inflect('model', len(broken))} of {name_trials(broken)}, which "
            f"{inflect('is', len(broken), 'are')} kept: "
            + "; ".join(troubles[number] for number in broken),
            "trained again with the same hyperparameters and seed, to the recorded accuracy",
            broken,
            [own[number] for number in broken],
        )
    lost = [version for version in versions if version.model_id and _is_wrong(version)]
    if lost:
        name = subject.spec.name
        yield Repair(
            Kind.RESTORE_VERSIONS,
            "; ".join(
                f"models:/{name}/{v.number}{_ALIAS if v.is_champion else ''} cannot be loaded as "
                f"it was registered: {v.trouble or 'it has other weights than its run'}"
                for v in lost
            ),
            "written again from the model of its run",
            runs=[runs[v.run] for v in lost],
        )
    gone = [v for v in versions if v.trouble and not v.model_id and v.is_champion]
    yield from _registration(subject, gone[0].trouble if gone else "")


def _is_wrong(version: Version) -> bool:
    return bool(version.trouble) or version.is_other


def train_again(
    subject: Subject, numbers: Sequence[int]
) -> Generator[tuple[int, bytes], None, None]:
    """Trains trials again, and yields the number of each and its model.

    Raises:
        PipelineError: one of them did not come out as it did before.
    """
    from pipeline.export.scores import is_as_recorded  # and so NumPy, which only this needs

    score = subject.spec.task.score
    with _workers(subject) as executor:
        for number in numbers:
            trial = subject.ended[number]
            say(f"training trial {number} again ...")
            value, model = _played(subject, executor, trial)
            recorded = trial.history[score.name][trial.best_epoch - 1]
            if model is None or not is_as_recorded(subject.spec.task, value, recorded):
                raise PipelineError(
                    f"trial {number} trained again has {score.words} {score.show(value)}, not its "
                    f"recorded {score.show(recorded)}, and is not stored: only the machine and "
                    "the versions that it was trained with give the same numbers"
                )
            yield number, model


def _played(subject: Subject, executor: "Executor", trial: Trial) -> tuple[float, bytes | None]:
    """Trains a trial again to its best epoch; returns the score there, and the model."""
    from pipeline.export.replay import play

    spec = subject.spec
    assignment = Assignment.read(subject.frozen[trial.number].user_attrs)
    assert assignment is not None
    for event in play(executor, Job.of(spec, trial.number, assignment), trial.best_epoch):
        if isinstance(event, Failed):
            raise PipelineError(f"trial {trial.number} cannot be trained again: {event.reason}")
        if event.epoch == trial.best_epoch:
            return event.metrics[spec.task.score.name], event.model
    return math.nan, None


def _registration(subject: Subject, trouble: str) -> Iterator[Repair]:
    """Finds whether the alias `champion` is on another model, once a search has ended.

    Args:
        subject: the study under examination.
        trouble: why the model with the alias cannot be loaded, and cannot be restored.
    """
    match = subject.match
    of_study = [run for run in match.of_study if not run.is_deleted]
    champion = study_store.champion_among(subject.study, list(subject.ended.values()))
    is_over = subject.is_complete or (of_study and of_study[0].status == "FINISHED")
    if champion is None or not (is_over or trouble):
        return  # the search will do it when it ends
    name, best = subject.spec.name, champion.number
    run = match.own.get(best)
    registered = reader.champion_run(subject.project, name)
    if run is None or (registered == run.id and not trouble):
        return
    if said := reader.rollback_of(subject.project, name, run.id):
        if not trouble:
            say(said)
            return
        for number, each in match.own.items():  # to whose model it was rolled back
            if each.id == registered:
                best, run = number, each
    alias = f"models:/{name}@{aliases.CHAMPION}"
    what = (
        f"{alias} cannot be loaded: {trouble}"
        if trouble
        else (
            f"{alias} is the model of run {registered}, not that of the best trial, {best}"
            if registered
            else f"the model of the best trial, {best}, is not registered as {alias}"
        )
    )
    yield Repair(Kind.REGISTER, what, "registered", [best], [run])


def register(subject: Subject, trial: Trial, run: Run) -> None:
    """Registers the model of a trial as the champion's.

    Args:
        subject: the study under examination.
        trial: whose model it is.
        run: in MLflow, where the model is stored.
    """
    uri, spec = subject.project.mlflow_uri, subject.spec
    dialect = datasets.dialect(spec.data_spec)
    arguments = (uri, spec.name, run.id, trial.best_epoch, spec.task, dialect)
    with _workers(subject) as executor:
        executor.call(registry.publish_champion, *arguments)


def restore_versions(subject: Subject, runs: Sequence[Run]) -> None:
    """Writes again the files of registered models that are lost, or are of another model.

    Args:
        subject: the study under examination.
        runs: those of the models.
    """
    project, by_id = subject.project, {run.id: run for run in runs}
    spec, dialect = subject.spec, datasets.dialect(subject.spec.data_spec)
    with _workers(subject) as executor:
        for version in versions_of(project, subject.spec.name, by_id):
            if version.model_id and _is_wrong(version):
                arguments = (project.mlflow_uri, version.run, version.model_id, spec.task, dialect)
                executor.call(registry.write_model_again, *arguments)


@contextlib.contextmanager
def _workers(subject: Subject) -> "Iterator[Executor]":
    """Starts what trains, and knows Keras, one trial at a time; ends it afterwards."""
    from pipeline.execution.opening import open_executor

    project, spec = subject.project, subject.spec
    if project.outside.executor is None:  # else the data are not trained on here
        datasets.fetch(spec.data_spec)
    with contextlib.closing(open_executor(project, spec, 1)) as executor:
        yield executor
