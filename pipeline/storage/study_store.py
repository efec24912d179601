"""What Optuna's store holds of a study, and how a finished trial is read from it.

Optuna's store is the truth about trials; MLflow shows it. Everything a report needs is in the user
attributes of a trial: its assignment and its outcome (`study/assignment.py`), and the names below.
"""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.errors import PipelineError, UsageError, first_line, one_line
from pipeline.paths import Project, display_path
from pipeline.storage import optuna_internals
from pipeline.storage.rdb import open_storage
from pipeline.study.assignment import Assignment, Outcome
from pipeline.study.load import load
from pipeline.study.spec import StudySpec
from pipeline.study.trial import State, Trial, best_epoch, ranking

# User attributes of a trial, beside its assignment and its outcome.
RUN_ID, INTERRUPTED = "run_id", "interrupted"
# User attributes of a study.
SPEC, FINGERPRINT, SECONDS, TEST_LOOKS = "spec", "fingerprint", "seconds", "test_looks"
VERSIONS, DATA_FINGERPRINT, LATE_RUNS = "versions", "data_fingerprint", "late_runs"
EXHAUSTED = "exhausted"  # the sampler has drawn all there is

# What Optuna raises where a URL, a driver, a file or a version of its tables is wrong.
_AT_OPENING = (RuntimeError, OSError, ImportError, ValueError)


def open_study(project: Project, spec: StudySpec) -> optuna.Study:
    """Opens a study to search it; creates the study if there is none.

    Raises:
        UsageError: the stored study asked something else than this study file.
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
        if SPEC not in study.user_attrs and not _is_new(study, spec.direction):
            raise UsageError(
                f"{_foreign(project, spec.name)}; give the study file another name, or rename "
                "that study"
            )
        stored = study.user_attrs.get(FINGERPRINT)
        if stored not in (None, spec.fingerprint):
            raise UsageError(
                f"{project.optuna_url.display}: the study {spec.name!r} was begun with "
                "another study file, and what changed decides how trials turn out; a changed "
                "question is a new study: copy the file to a new name, or undo the change"
            )
        study.set_user_attr(SPEC, spec.model_dump_json())
        study.set_user_attr(FINGERPRINT, spec.fingerprint)
    return study


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
        raise PipelineError(
            f"{display_path(file)}: nothing there yet; start with: make search STUDY={name}"
        )
    with store_errors(project, *_AT_OPENING):
        try:
            study = optuna.load_study(study_name=name, storage=open_storage(project.optuna_url))
        except KeyError:
            raise PipelineError(
                f"{project.optuna_url.display}: no study {name!r} yet; start it with: "
                f"make search STUDY={name}"
            ) from None
        attributes = study.user_attrs
        if SPEC not in attributes:
            raise ForeignStudyError(_foreign(project, name))
        try:
            spec = StudySpec.model_validate_json(attributes[SPEC], strict=False)
            fingerprint = str(attributes[FINGERPRINT])
            study.direction  # noqa: B018, of which there has to be one
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            raise PipelineError(
                f"{project.optuna_url.display}: what is stored of the study {name!r} itself is "
                f"damaged ({type(error).__name__}: {one_line(first_line(error))})"
            ) from None
    with contextlib.suppress(UsageError):  # the file of today, if it still asks the same
        today = load(project, name)
        if today.fingerprint == fingerprint:
            return StoredStudy(project, study, today)
    return StoredStudy(project, study, spec)


class ForeignStudyError(PipelineError):
    """A study in Optuna's store that another program has made."""


def _foreign(project: Project, name: str) -> str:
    return (
        f"{project.optuna_url.display}: the study {name!r} was not made by this program, which "
        "leaves it alone"
    )


def _is_new(study: optuna.Study, direction: str) -> bool:
    """Tells whether a study holds nothing, as one that was just created."""
    directions = [each.name.lower() for each in study.directions]
    return directions == [direction] and not (study.user_attrs or study.get_trials(deepcopy=False))


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
    direction, late_runs = study.direction.name.lower(), study.user_attrs.get(LATE_RUNS, {})
    return [
        _trial(frozen, direction, late_runs)
        for frozen in study.get_trials(deepcopy=False)
        if frozen.state.is_finished()
    ]


def champion(study: optuna.Study) -> Trial:
    """Returns the best complete trial.

    Raises:
        PipelineError: there is none yet.
    """
    direction = study.direction.name.lower()
    networks: list[Trial] = []
    with contextlib.suppress(ValueError):  # nothing is complete
        # found without reading all trials
        best = _trial(study.best_trial, direction, study.user_attrs.get(LATE_RUNS, {}))
        networks = [best] if best.hyperparameters else ranking(read_trials(study), direction)
    if not networks:
        raise PipelineError(f"study {study.study_name!r} has no complete trial yet")
    return networks[0]


def is_exhausted(study: optuna.Study) -> bool:
    """Tells whether the sampler has ever said that all is drawn, which is then noted."""
    if optuna_internals.has_sampler_stopped(study) and not study.user_attrs.get(EXHAUSTED):
        study.set_user_attr(EXHAUSTED, True)
    return bool(study.user_attrs.get(EXHAUSTED))


def write(trial: optuna.Trial, part: Assignment | Outcome) -> None:
    """Notes in a trial what it was given, or what came of it; finished trials are frozen."""
    for key, value in part.write().items():
        trial.set_user_attr(key, value)


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


def importance(study: optuna.Study) -> dict[str, float]:
    """Computes each hyperparameter's importance over complete trials, largest first; sums to one.

    PED-ANOVA (Watanabe, Bansal and Hutter 2023, arXiv:2304.10255): how much each decides whether
    a trial is among the best quarter. Optuna's default, the best tenth, would be a trial or two.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hyperparameters that few trials have
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def _trial(frozen: FrozenTrial, direction: str, late_runs: Mapping[str, str]) -> Trial:
    attributes = frozen.user_attrs
    steps = sorted(frozen.intermediate_values)
    values = [frozen.intermediate_values[step] for step in steps]
    started, ended = frozen.datetime_start, frozen.datetime_complete
    assignment, outcome = Assignment.read(attributes), Outcome.read(attributes)
    failed = frozen.state == TrialState.FAIL
    return Trial(
        number=frozen.number,
        state=State(frozen.state.name),
        value=None if failed else frozen.value,
        best_epoch=best_epoch(values, direction),
        hyperparameters=assignment.hyperparameters if assignment else None,
        seed=assignment.seed if assignment else None,
        history=outcome.history or {},
        reason=outcome.reason,
        reference=assignment.reference if assignment else "",
        run_id=late_runs.get(str(frozen.number)) or attributes.get(RUN_ID, ""),
        n_parameters=outcome.n_parameters or 0,
        scores=outcome.scores or {},
        seconds=(ended - started).total_seconds() if started and ended else 0.0,
        interrupted=bool(attributes.get(INTERRUPTED)),
    )


@contextlib.contextmanager
def deletion_told(study: optuna.Study) -> Iterator[None]:
    """Turns whatever comes of a study that somebody deletes meanwhile into a `PipelineError`."""
    name = study.study_name
    try:
        yield
    except PipelineError:
        raise
    except Exception:
        try:
            study.user_attrs  # noqa: B018, asks the store
        except KeyError:
            raise PipelineError(
                f"the study {name!r} was deleted in Optuna while it was searched, and its trials "
                f"with it; start anew with: make search STUDY={name}"
            ) from None
        raise


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
