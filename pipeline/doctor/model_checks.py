"""The models that a study keeps: those of trials that were the best so far when they ended."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.doctor.subject import Finding, Subject, name_trials, plural, say
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.execution.executor import Executor
    from pipeline.study.trial import Trial


def models(subject: Subject) -> Iterator[Finding]:
    """Models that are not there, or not whole; and the champion's registration."""
    if subject.is_behind:
        return
    from pipeline.tracking import reader

    broken: list[int] = []
    troubles: list[str] = []
    subject.whole = 0
    for trial in _records(subject):
        run = subject.match.own.get(trial.number)
        if run is None or run.is_deleted:  # said before
            continue
        if trouble := reader.model_trouble(subject.project, run):
            broken.append(trial.number)
            troubles.append(trouble)
        else:
            subject.whole += 1
    if broken:
        yield Finding(
            f"the {plural('model', broken)} of {name_trials('trial', broken)}, the best when "
            f"{'it' if len(broken) == 1 else 'they'} ended: {'; '.join(troubles)}",
            "trained again with the same hyperparameters and seed, to the recorded accuracy",
            lambda: _train_again(subject, broken),
        )
    yield from _registration(subject)


def _records(subject: Subject) -> "list[Trial]":
    """Networks that were the best so far when they ended: those whose model was kept."""
    from pipeline.study.trial import is_better, ranking

    def end(trial: "Trial") -> tuple[float, int]:
        ended = subject.frozen[trial.number].datetime_complete
        return (ended.timestamp() if ended else 0.0, trial.number)

    direction = subject.spec.direction
    best: float | None = None
    found: list[Trial] = []
    for trial in sorted(ranking(list(subject.ended.values()), direction), key=end):
        if trial.value is not None and is_better(trial.value, best, direction):
            best = trial.value
            found.append(trial)
    return found


def _train_again(subject: Subject, numbers: Sequence[int]) -> None:
    """Trains trials again and stores their models.

    Raises:
        PipelineError: one of them did not come out as it did before.
    """
    from pipeline.export.bundle import TOLERANCE
    from pipeline.study.trial import best_epoch

    with _workers(subject) as executor:
        for number in numbers:
            trial = subject.ended[number]
            say(f"training trial {number} again ...")
            values, accuracies, model = _played(subject, executor, trial)
            epoch = best_epoch(values, subject.spec.direction)
            accuracy = accuracies[epoch - 1] if epoch else 0.0
            recorded = trial.history["val_accuracy"][trial.best_epoch - 1]
            if model is None or abs(accuracy - recorded) > TOLERANCE:
                raise PipelineError(
                    f"trial {number} trained again has validation accuracy {accuracy:.4f}, not "
                    f"its recorded {recorded:.4f}, and is not stored: only the machine and the "
                    "versions that it was trained with give the same numbers"
                )
            subject.mender.add_model(number, subject.match.own[number].id, model)


def _played(
    subject: Subject, executor: "Executor", trial: "Trial"
) -> tuple[list[float], list[float], bytes | None]:
    """The metric and the validation accuracy of each epoch, and the model."""
    from pipeline.storage import study_store
    from pipeline.training.job import EpochEnd, Failed, Finished, Job

    spec = subject.spec
    assert trial.seed is not None
    executor.submit(
        Job.of(
            spec,
            trial.number,
            trial.hyperparameters,
            trial.seed,
            patience=subject.frozen[trial.number].user_attrs.get(study_store.PATIENCE),
        )
    )
    values: list[float] = []
    accuracies: list[float] = []
    while True:
        for event in executor.events(1.0):
            match event:
                case EpochEnd():
                    values.append(event.metrics[spec.metric])
                    accuracies.append(event.metrics["val_accuracy"])
                case Failed():
                    raise PipelineError(
                        f"trial {trial.number} cannot be trained again: {event.reason}"
                    )
                case Finished():
                    return values, accuracies, event.model


def _registration(subject: Subject) -> Iterator[Finding]:
    """The model that bears the alias `champion`, once a search has come to its end."""
    from pipeline.study.trial import ranking
    from pipeline.tracking import reader, registry

    of_study = [run for run in subject.match.of_study if not run.is_deleted]
    ranked = ranking(list(subject.ended.values()), subject.spec.direction)
    if not of_study or of_study[0].status != "FINISHED" or not ranked:
        return  # the search will do it when it ends
    name, best = subject.spec.name, ranked[0]
    run = subject.match.own.get(best.number)
    registered = reader.champion_run(subject.project, name)
    if run is None or registered == run.id:
        return

    def register() -> None:
        with _workers(subject) as executor:
            executor.call(
                registry.publish_champion,
                subject.project.mlflow_uri,
                name,
                run.id,
                best.best_epoch,
            )

    alias = f"models:/{name}@{registry.CHAMPION_ALIAS}"
    yield Finding(
        f"{alias} is the model of run {registered}, not that of the best trial, {best.number}"
        if registered
        else f"the model of the best trial, {best.number}, is not registered as {alias}",
        "registered",
        register,
    )


@contextlib.contextmanager
def _workers(subject: Subject) -> "Iterator[Executor]":
    """What trains, and knows Keras, one trial at a time."""
    from pipeline.data import datasets
    from pipeline.execution.local import LocalExecutor

    datasets.fetch(subject.spec.dataset)
    log = subject.project.workers_log(subject.spec.name)
    executor = LocalExecutor(subject.spec.dataset, 1, log=log, scratch=subject.scratch)
    try:
        yield executor
    finally:
        executor.close()
