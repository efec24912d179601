"""What Optuna's store holds of a study, and how a finished trial is read from it.

Optuna's store is the truth about trials; MLflow shows it. Everything a report needs is in the user
attributes of a trial: its assignment and its outcome (`study/assignment.py`), and the names below.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.data import datasets
from pipeline.errors import PipelineError, UsageError, first_line
from pipeline.paths import Project, display_path
from pipeline.storage import optuna_internals
from pipeline.storage.rdb import open_storage
from pipeline.study.assignment import Assignment, Outcome
from pipeline.study.changes import changes_since, summarize
from pipeline.study.load import load
from pipeline.study.spec import StudySpec
from pipeline.study.trial import State, Trial, best_epoch, champion_of, ranking, select_counted

# User attributes of a trial, beside its assignment and its outcome.
RUN_ID, INTERRUPTED = "run_id", "interrupted"
# User attributes of a study.
SPEC, FINGERPRINT, SECONDS, TEST_LOOKS = "spec", "fingerprint", "seconds", "test_looks"
VERSIONS, DATA_FINGERPRINT, LATE_RUNS = "versions", "data_fingerprint", "late_runs"
CHANGES = "changes"  # of the study file, since the study was begun
EXHAUSTED = "exhausted"  # the sampler has drawn all there is
PRUNED_RECORDS = "pruned_records"  # numbers of pruned trials whose weights were kept

# What Optuna raises where a URL, a driver, a file or a version of its tables is wrong.
_AT_OPENING = (RuntimeError, OSError, ImportError, ValueError)


def open_study(project: Project, spec: StudySpec) -> optuna.Study:
    """Opens a study to search it; creates the study if there is none.

    Raises:
        UsageError: the stored study asked something else than this study file; the text names
            each key that changed, with both values.
        PipelineError: the store cannot be used.
    """
    project.runs_dir.mkdir(parents=True, exist_ok=True)
    with store_errors(project, *_AT_OPENING):
        study = optuna.create_study(
            study_name=spec.name,
            storage=open_storage(project.optuna_url, to_write=True),
            direction=spec.direction,
            load_if_exists=True,
        )
        _take_over(project, study, spec)
        study.set_user_attr(SPEC, spec.model_dump_json())
        study.set_user_attr(FINGERPRINT, spec.fingerprint)
        study.set_user_attr(DATA_FINGERPRINT, datasets.fingerprint(spec.dataset))
    return study


def _take_over(project: Project, study: optuna.Study, spec: StudySpec) -> None:
    """Notes what may have changed in the file of a begun study, and refuses what may not."""
    where, attributes = f"{project.optuna_url.display}: the study {spec.name!r}", study.user_attrs
    if FINGERPRINT not in attributes:
        if study.get_trials(deepcopy=False) or study.direction.name.lower() != spec.direction:
            raise UsageError(
                f"{where} was begun by another program; copy the study file to a new name"
            )
        return
    data, known = datasets.fingerprint(spec.dataset), attributes.get(DATA_FINGERPRINT)
    changed = changes_since(attributes[SPEC], spec)
    if refused := [change for change in changed if not change.is_allowed]:
        raise UsageError(
            f"{where} was begun with another study file: {summarize(refused)}; that decides how "
            "trials turn out, and a changed question is a new study: copy the file to a new "
            "name, or undo the change"
        )
    if known not in (None, data):
        raise UsageError(
            f"{where} was begun with other data: the fingerprint of {spec.dataset} was "
            f"{known[:12]} and is {data[:12]}; copy the study file to a new name, or bring back "
            "the data"
        )
    if noted := [str(change) for change in changed if change.is_noted]:
        n_ended = len(select_counted(read_trials(study)))
        when = datetime.now().astimezone().isoformat(" ", "seconds")
        note = {"when": when, "n_trials": n_ended, "what": noted}
        study.set_user_attr(CHANGES, [*attributes.get(CHANGES, []), note])


@dataclass(frozen=True)
class StoredStudy:
    """A study that has been searched.

    Attributes:
        project: in whose store it is.
        study: as Optuna holds it.
        spec: what it asked.
    """

    project: Project
    study: optuna.Study
    spec: StudySpec


def stored_study(project: Project, name: str) -> StoredStudy:
    """Opens a study that has been searched, together with its study file, to read them.

    Raises:
        PipelineError: there is none of that name; the text says how to start it.
    """
    if file := project.optuna_url.missing_file:
        is_lost = project.mlflow_uri.file and not project.mlflow_uri.missing_file
        raise PipelineError(
            f"{display_path(file)}: nothing there yet; start with: make search STUDY={name}"
            + (
                "; if it was lost, what is left of it is found with: make doctor"
                if is_lost
                else ""
            )
        )
    with store_errors(project, *_AT_OPENING):
        try:
            study = optuna.load_study(study_name=name, storage=open_storage(project.optuna_url))
            spec = StudySpec.model_validate_json(study.user_attrs[SPEC], strict=False)
        except KeyError:
            raise PipelineError(
                f"{project.optuna_url.display}: no study {name!r} yet; start it with: "
                f"make search STUDY={name}"
            ) from None
    with contextlib.suppress(UsageError):  # the file of today, if it still asks the same
        today = load(project, name)
        if today.fingerprint == study.user_attrs[FINGERPRINT]:
            return StoredStudy(project, study, today)
    return StoredStudy(project, study, spec)


def stored_names(project: Project) -> list[str]:
    """Lists the names of all studies that have been searched.

    Raises:
        PipelineError: the store cannot be used.
    """
    url = project.optuna_url
    if url.missing_file:
        return []
    with store_errors(project, *_AT_OPENING):
        return sorted(optuna.get_all_study_names(open_storage(url)))


def read_trials(study: optuna.Study) -> list[Trial]:
    """Reads all trials that came to an end, by number; interrupted ones too."""
    direction, noted = study.direction.name.lower(), study.user_attrs
    return [
        _trial(frozen, direction, noted)
        for frozen in study.get_trials(deepcopy=False)
        if frozen.state.is_finished()
    ]


def champion(study: optuna.Study) -> Trial:
    """Returns the best network whose weights were kept, whatever ended its training.

    Raises:
        PipelineError: there is none yet.
    """
    direction, noted = study.direction.name.lower(), study.user_attrs
    # found without reading all trials: the best complete one and pruned records
    candidates = [optuna_internals.read_trial(study, n) for n in noted.get(PRUNED_RECORDS, [])]
    with contextlib.suppress(ValueError):  # nothing is complete
        candidates.append(study.best_trial)
    found = [_trial(each, direction, noted) for each in candidates if each.state.is_finished()]
    if not all(trial.hyperparameters for trial in found):  # the best one is no network
        found = read_trials(study)
    best = champion_of(ranking(found, direction))
    if best is None:
        raise PipelineError(f"study {study.study_name!r} has no trial yet whose weights were kept")
    return best


def is_exhausted(study: optuna.Study) -> bool:
    """Tells whether the sampler has ever said that all is drawn, which is then noted."""
    if optuna_internals.has_sampler_stopped(study) and not study.user_attrs.get(EXHAUSTED):
        study.set_user_attr(EXHAUSTED, True)
    return bool(study.user_attrs.get(EXHAUSTED))


def write(trial: optuna.Trial, part: Assignment | Outcome) -> None:
    """Notes in a trial what it was given, or what came of it; finished trials are frozen."""
    for key, value in part.write().items():
        trial.set_user_attr(key, value)


def note_pruned_record(study: optuna.Study, trial: int) -> None:
    """Notes that the weights of a trial were kept that Optuna is about to be told is pruned.

    Before it is told: the note of one that is interrupted between says nothing.
    """
    study.set_user_attr(PRUNED_RECORDS, [*study.user_attrs.get(PRUNED_RECORDS, []), trial])


def note_run(study: optuna.Study, trial: int, run: str) -> None:
    """Notes the MLflow run of a trial whose own attributes may be frozen: a late or a new run.

    Args:
        study: whose trial it is.
        trial: its number.
        run: id of the run.
    """
    known = study.user_attrs.get(LATE_RUNS, {})
    study.set_user_attr(LATE_RUNS, {**known, str(trial): run})


def test_looks(study: optuna.Study) -> list[dict[str, Any]]:
    """Lists every look at the test set, oldest first: when, trial, accuracy, loss, n_images.

    Of a look that was broken off, accuracy, loss and n_images are None.
    """
    return list(study.user_attrs.get(TEST_LOOKS, []))


def test_look(study: optuna.Study, trial: int) -> dict[str, Any] | None:
    """Finds the last look that scored a trial; None if there is none."""
    scored = [each for each in test_looks(study) if each["n_images"] is not None]
    return next((each for each in reversed(scored) if each["trial"] == trial), None)


def _trial(frozen: FrozenTrial, direction: str, noted: Mapping[str, Any]) -> Trial:
    attributes, number = frozen.user_attrs, frozen.number
    steps = sorted(frozen.intermediate_values)
    values = [frozen.intermediate_values[step] for step in steps]
    epoch = best_epoch(values, direction)
    interrupted = bool(attributes.get(INTERRUPTED))
    is_complete = frozen.state == TrialState.COMPLETE
    value = values[epoch - 1] if epoch and not interrupted else None
    if is_complete:
        value = frozen.value if frozen.value is not None and math.isfinite(frozen.value) else None
    started, ended = frozen.datetime_start, frozen.datetime_complete
    assignment, outcome = Assignment.read(attributes), Outcome.read(attributes)
    return Trial(
        number=number,
        # one that taught the sampler the worst value has failed all the same
        state=State.FAIL if is_complete and value is None else State(frozen.state.name),
        value=value,
        best_epoch=epoch,
        hyperparameters=assignment.hyperparameters if assignment else None,
        seed=assignment.seed if assignment else None,
        history=outcome.history or {},
        reason=outcome.reason,
        reference=assignment.reference if assignment else "",
        run_id=noted.get(LATE_RUNS, {}).get(str(number)) or attributes.get(RUN_ID, ""),
        n_parameters=outcome.n_parameters or 0,
        scores=outcome.scores or {},
        # of the clock on the wall, which may have been set back meanwhile
        seconds=max(0.0, (ended - started).total_seconds()) if started and ended else 0.0,
        interrupted=interrupted,
        cause=outcome.cause,
        keeps_weights=is_complete or number in noted.get(PRUNED_RECORDS, ()),
    )


@contextlib.contextmanager
def store_errors(project: Project, *more: type[Exception]) -> Iterator[None]:
    """Turns errors of a store that cannot be used into a `PipelineError`.

    Args:
        project: whose store it is.
        more: what else can only come from the store, where this is used.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    kinds: tuple[type[Exception], ...] = (StorageInternalError, SQLAlchemyError, *more)
    try:
        yield
    except kinds as error:
        cause: BaseException = error
        while cause.__cause__:  # what the database itself says
            cause = cause.__cause__
        where = project.optuna_url.display
        raise PipelineError(
            f"Optuna's store {where} cannot be used: {first_line(cause)}"
        ) from None
