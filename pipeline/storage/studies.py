"""Opens the studies in Optuna's store: to search one, or to read one that has been searched."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import optuna

from pipeline.clock import now
from pipeline.data import datasets
from pipeline.errors import PipelineError, UsageError, first_line, one_line
from pipeline.paths import Project, display_path
from pipeline.storage import finals, optuna_internals, study_store
from pipeline.storage.rdb import open_storage
from pipeline.study.changes import changes_since, summarize
from pipeline.study.load import load
from pipeline.study.spec import StudySpec
from pipeline.study.trial import select_counted

# What Optuna raises where a URL, a driver, a file or a version of its tables is wrong.
_AT_OPENING = (RuntimeError, OSError, ImportError, ValueError)


def open_study(project: Project, spec: StudySpec) -> optuna.Study:
    """Opens a study to search it; creates the study if there is none.

    Raises:
        UsageError: the stored study asked something else than this study file; the text names
            each key that changed, with both values.
        PipelineError: the store cannot be used.
    """
    project.outside.disk.make_folder(project.runs_dir)
    with store_errors(project, *_AT_OPENING):
        study = optuna.create_study(
            study_name=spec.name,
            storage=_storage(project, to_write=True),
            direction=spec.direction,
            load_if_exists=True,
        )
        _take_over(project, study, spec)
        is_new = study_store.FINGERPRINT not in study.user_attrs
        if is_new:
            study.set_user_attr(study_store.N_MODELS, study_store.N_MODELS_OF_NEW)
        finals.note_due(study, spec, is_new=is_new)
        study.set_user_attr(study_store.SPEC, spec.model_dump_json())
        study.set_user_attr(study_store.FINGERPRINT, spec.fingerprint)
        study.set_user_attr(study_store.DATA_FINGERPRINT, datasets.fingerprint(spec.data_spec))
    return study


def _storage(project: Project, *, to_write: bool = False) -> optuna.storages.BaseStorage:
    if open_it := project.outside.optuna:
        found: optuna.storages.BaseStorage = open_it()
        return found
    return open_storage(project.optuna_url, to_write=to_write)


def _take_over(project: Project, study: optuna.Study, spec: StudySpec) -> None:
    """Notes what may have changed in the file of a begun study, and refuses what may not."""
    where, attributes = f"{project.optuna_url.display}: the study {spec.name!r}", study.user_attrs
    if study_store.FINGERPRINT not in attributes:
        if not _is_new(study, spec.direction):
            raise UsageError(
                f"{_foreign(project, spec.name)}; give the study file another name, or rename "
                "that study"
            )
        return
    data = datasets.fingerprint(spec.data_spec)
    known = attributes.get(study_store.DATA_FINGERPRINT)
    changed = changes_since(attributes[study_store.SPEC], spec)
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
    known_changes = attributes.get(study_store.CHANGES, [])
    noted = [str(change) for change in changed if change.is_noted]
    if noted and noted != [each for note in known_changes[-1:] for each in note["what"]]:
        n_ended = len(select_counted(study_store.read_trials(study)))
        note = {"when": now(project.outside.clock), "n_trials": n_ended, "what": noted}
        study.set_user_attr(study_store.CHANGES, [*known_changes, note])


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
        PipelineError: there is none of that name, and the text says how to start it; or its data
            have changed.
        UsageError: its data are gone.
    """
    stored = without_data(project, name)
    spec, attributes = stored.spec, stored.study.user_attrs
    with contextlib.suppress(UsageError):  # the file of today, if it still asks the same
        today = load(project, name)
        if today.fingerprint == attributes[study_store.FINGERPRINT]:
            spec = today
    data = datasets.fingerprint(spec.data_spec)
    known = attributes.get(study_store.DATA_FINGERPRINT)
    if known not in (None, data):
        raise PipelineError(
            f"{spec.dataset} has changed since the study {name!r} was begun: its fingerprint was "
            f"{known[:12]} and is {data[:12]}; bring back the data, or search the new ones by a "
            "copy of the study file under another name"
        )
    return StoredStudy(project, stored.study, spec)


def without_data(project: Project, name: str) -> StoredStudy:
    """Opens a study that has been searched, to read its trials; its data need not be there.

    Raises:
        PipelineError: there is none of that name, and the text says how to start it.
    """
    if file := project.optuna_url.missing_file:
        where = display_path(file)
        raise PipelineError(f"{where}: nothing there yet; {_how_to_begin(project, name)}")
    with store_errors(project, *_AT_OPENING):
        try:
            study = optuna.load_study(study_name=name, storage=_storage(project))
        except KeyError:
            raise PipelineError(
                f"{project.optuna_url.display}: no study {name!r} yet; "
                f"{_how_to_begin(project, name)}"
            ) from None
        attributes = study.user_attrs
        if study_store.SPEC not in attributes:
            raise ForeignStudyError(_foreign(project, name))
        try:
            spec = StudySpec.model_validate_json(attributes[study_store.SPEC], strict=False)
            str(attributes[study_store.FINGERPRINT])
            study.direction  # noqa: B018, of which there has to be one
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            raise PipelineError(
                f"{project.optuna_url.display}: what is stored of the study {name!r} itself is "
                f"damaged ({type(error).__name__}: {one_line(first_line(error))})"
            ) from None
    return StoredStudy(project, study, spec)


def has_trials(project: Project, name: str) -> bool:
    """Tells whether Optuna's store holds trials of a study; asks for the first of them alone.

    Raises:
        PipelineError: the store cannot be used.
    """
    if project.optuna_url.missing_file:
        return False
    with store_errors(project, *_AT_OPENING):
        storage = _storage(project)
        try:
            study_id = storage.get_study_id_from_name(name)
            storage.get_trial_id_from_study_id_trial_number(study_id, 0)
        except KeyError:
            return False
    return True


def _how_to_begin(project: Project, name: str) -> str:
    is_lost = project.optuna_url.missing_file is not None
    try:
        project.study_file(name)
        begin, is_lost = f"start it with: make search STUDY={name}", True
    except UsageError as no_file:
        begin = str(no_file)
    if is_lost and project.mlflow_uri.file and not project.mlflow_uri.missing_file:
        return f"if it was lost, what is left of it is found with: make doctor; if not: {begin}"
    return begin


class ForeignStudyError(PipelineError):
    """A study in Optuna's store that another program has made."""


def _foreign(project: Project, name: str) -> str:
    return (
        f"{project.optuna_url.display}: the study {name!r} was not made by this program, which "
        "leaves it alone"
    )


def _is_new(study: optuna.Study, direction: str) -> bool:
    """Tells whether a study holds nothing, as one that was just created; or was about to be."""
    directions = [each.name.lower() for each in study.directions]
    is_begun = study.user_attrs.keys() - {
        study_store.N_MODELS,
        study_store.FINALS,
        study_store.SPEC,
    }
    return directions == [direction] and not (is_begun or study.get_trials(deepcopy=False))


def stored_names(project: Project) -> list[str]:
    """Lists the names of all studies that have been searched.

    Raises:
        PipelineError: the store cannot be used.
    """
    if project.optuna_url.missing_file:
        return []
    with store_errors(project, *_AT_OPENING):
        return sorted(optuna.get_all_study_names(_storage(project)))


class TrialTakenAway(PipelineError):
    """Another program has ended, changed or deleted a trial under way."""


@contextlib.contextmanager
def interference_told(study: optuna.Study) -> Iterator[None]:
    """Turns what comes of another program's deleting a study, or ending a trial, into a sentence.

    Raises:
        TrialTakenAway: a trial under way is so no more.
        PipelineError: the study was deleted.
    """
    name = study.study_name
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        try:
            study.user_attrs  # noqa: B018, asks the store
        except KeyError:
            raise PipelineError(
                f"the study {name!r} was deleted in Optuna while it was searched, and its trials "
                "with it; start anew under another name, or delete its experiment in MLflow first"
            ) from None
        if isinstance(error, optuna.exceptions.UpdateFinishedTrialError) or (
            isinstance(error, KeyError) and error.args == (optuna_internals.models.NOT_FOUND_MSG,)
        ):
            raise TrialTakenAway(
                f"a trial of the study {name!r} was ended, changed or deleted in Optuna by "
                "another program while it was trained, so the search has stopped; the same "
                "command goes on"
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
