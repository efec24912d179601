"""What is used of Optuna that Optuna does not promise, with the reason for each.

No other files name it, but `row_storage.py`, `one_transaction.py` and `sole_writer.py`, which
override methods of the classes that are imported here. `is_as_known` looks at all of it; where
something is not as it was in Optuna 5.0, Optuna's own storage and TPE take the place of ours.
"""

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Container, Iterator
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.errors import first_line

if TYPE_CHECKING:
    # The cache of finished trials, which Optuna lays over its own SQL storage and nothing else.
    from optuna.storages._cached_storage import _CachedStorage

    # Its tables: rows are read without an object for each.
    from optuna.storages._rdb import models as models

    CachedStorage = _CachedStorage

optuna.logging.set_verbosity(optuna.logging.ERROR)  # what it tells is told elsewhere

KNOWN = "5.0"  # with every release a table may mean something else under the same name
_COLUMNS = {
    "TrialModel": {"trial_id", "study_id", "number", "state", "datetime_start",
                   "datetime_complete"},
    "TrialValueModel": {"trial_id", "objective", "value", "value_type"},
    "TrialIntermediateValueModel": {"trial_id", "step", "intermediate_value",
                                    "intermediate_value_type"},
    "TrialParamModel": {"param_id", "trial_id", "param_name", "param_value", "distribution_json"},
    "TrialUserAttributeModel": {"trial_id", "key", "value_json"},
    "TrialSystemAttributeModel": {"trial_id", "key", "value_json"},
    "StudyUserAttributeModel": {"study_id", "key", "value_json"},
}  # fmt: skip
_TABLES_VERSION = 12


def __getattr__(name: str) -> Any:
    """Imports tables and cache when they are asked for: a sampler needs no SQLAlchemy."""
    if name == "models":
        from optuna.storages._rdb import models

        return models
    if name == "CachedStorage":
        from optuna.storages import _cached_storage

        return _cached_storage._CachedStorage
    raise AttributeError(name)


class StudyOfSomeTrials(optuna.Study):
    """Shows a sampler or a pruner some trials of a study, by replacing its private storage.

    Args:
        study: the whole one, whose store it shares.
        trials: what is seen, by number; or what gives them when they are first asked for.
    """

    def __init__(
        self, study: optuna.Study, trials: list[FrozenTrial] | Callable[[], list[FrozenTrial]]
    ) -> None:
        self.__setstate__(study.__getstate__())  # as a copy for another process is made
        self._storage: Any = _StorageOfSomeTrials(study._storage, trials)


class _StorageOfSomeTrials:
    """Is a storage but for what it says of all trials; Hyperband's brackets ask the storage."""

    def __init__(self, storage: Any, trials: Any) -> None:
        self._whole, self._trials = storage, trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if callable(self._trials):
            self._trials = self._trials()
        return [trial for trial in self._trials if states is None or trial.state in states]


def whole_study(study: optuna.Study) -> optuna.Study:
    """Finds the study of which Hyperband shows a sampler one bracket, or returns the study."""
    whole: optuna.Study = getattr(study, "_study", study)
    return whole


def writable(study: optuna.Study, frozen: FrozenTrial) -> optuna.Trial:
    """Makes a trial that can be written of one that was read: its id has no public name.

    Without it nothing that a killed supervisor left can be queued again: there is no other way.
    """
    return optuna.Trial(study, frozen._trial_id)


def latest(trial: optuna.Trial) -> FrozenTrial:
    """Returns a running trial as `should_prune` shows it to a pruner, without asking the store."""
    try:
        found: FrozenTrial = trial._get_latest_trial()
        return found
    except AttributeError:  # of another Optuna
        return trial.study.get_trials(deepcopy=False)[trial.number]


def read_trial(study: optuna.Study, number: int) -> FrozenTrial:
    """Reads one trial by its number, for which Optuna offers all of them or none."""
    try:
        storage = study._storage
        return storage.get_trial(
            storage.get_trial_id_from_study_id_trial_number(study._study_id, number)
        )
    except AttributeError:  # of another Optuna
        return study.get_trials(deepcopy=False)[number]


def enqueued_params(trial: optuna.Trial) -> dict[str, Any]:
    """Reads with which params a trial waited that was just asked for; none if it was drawn.

    Those of `enqueue_trial` are left out where Optuna is another.
    """
    # what it was added with goes before what it was enqueued with
    return fixed_params(trial) | trial.params


def fixed_params(trial: optuna.Trial) -> dict[str, Any]:
    """Reads with which params a trial was enqueued; none where Optuna is another."""
    return dict(getattr(trial, "_fixed_params", {}))


def storage_of(study: optuna.Study) -> tuple[Any, int]:
    """Finds the storage below a study's cache, and the study's id in that storage."""
    storage = study._storage
    return getattr(storage, "_backend", storage), study._study_id


@contextlib.contextmanager
def alone(study: optuna.Study) -> Iterator[Callable[[], None]]:
    """Lets whoever alone writes a study know all of it, where the storage is ours.

    Gives what is called now and then, to write what was kept and to see what others have done.
    """
    storage: Any = study._storage
    if not hasattr(storage, "begin_alone"):
        yield lambda: None
        return
    storage.begin_alone(study._study_id)
    try:
        yield storage.look
    finally:
        storage.end_alone()


def together(study: optuna.Study, **how: bool) -> contextlib.AbstractContextManager[None]:
    """Makes one transaction of what a `with` writes of trials, where the storage can do that."""
    storage: Any = study._storage
    return storage.together(**how) if hasattr(storage, "together") else contextlib.nullcontext()


def let_sampler_stop(study: optuna.Study) -> None:
    """Lets samplers call `study.stop`, which Optuna allows in `optimize` alone."""
    with contextlib.suppress(AttributeError):  # of another Optuna
        study._thread_local.in_optimize_loop = True


def has_sampler_stopped(study: optuna.Study) -> bool:
    """Tells whether a sampler has called `study.stop`, having drawn all there is."""
    return bool(getattr(study, "_stop_flag", False))


@functools.cache
def knows_studies() -> bool:
    """Looks once at what samplers use, and says on stderr if it is not as known."""
    return _holds(check_studies)


@functools.cache
def is_as_known() -> bool:
    """Looks once at all of Optuna's inside, and says on stderr if it is not as known."""
    return knows_studies() and _holds(check_storage)


def _holds(check: Callable[[], None]) -> bool:
    try:
        check()
    except Exception as error:  # whatever an unknown inside raises
        print(
            f"the inside of Optuna {optuna.__version__} is not what is known here "
            f"({first_line(error)}), so its own storage and TPE are used: a long search is slower",
            file=sys.stderr,
        )
        return False
    return True


def check_studies() -> None:
    """Holds what this package uses of studies and trials against what it was in `KNOWN`.

    Raises:
        LookupError: something is not as known; the text says what.
        Exception: a name is missing, or what it names does something else.
    """
    if optuna.__version__.split(".")[:2] != KNOWN.split("."):
        raise LookupError(f"known is {KNOWN}")
    _check_arguments(optuna.Study._get_trials, "self deepcopy states use_cache")
    _check_arguments(optuna.Trial.__init__, "self study trial_id")
    _check_arguments(
        FrozenTrial.__init__,
        "self number state value datetime_start datetime_complete params distributions "
        "user_attrs system_attrs intermediate_values trial_id values",
    )
    _check_study()


def check_storage() -> None:
    """Holds what this package uses of Optuna's SQL storage against what it was in `KNOWN`.

    Raises:
        LookupError: something is not as known; the text says what.
        Exception: a name is missing, or what it names does something else.
    """
    try:
        from optuna.storages._cached_storage import _CachedStorage
        from optuna.storages._rdb import models
    except ImportError:
        raise LookupError("its tables or its cache are not where they were") from None
    _check_tables(models)
    rdb = optuna.storages.RDBStorage
    _check_arguments(
        rdb._get_trials, "self study_id states included_trial_ids trial_id_greater_than"
    )
    _check_arguments(rdb._create_new_trial, "self study_id template_trial")
    _check_arguments(
        rdb._set_trial_param,
        "self trial_id param_name param_value_internal distribution previous_distribution",
    )
    _check_arguments(rdb._get_best_trial_id, "self study_id direction")
    _check_arguments(rdb.get_trial, "self trial_id")
    _check_arguments(rdb.get_trial_system_attrs, "self trial_id")
    _check_arguments(rdb.set_trial_state_values, "self trial_id state values")
    _check_arguments(_CachedStorage.__init__, "self backend")
    _check_arguments(_CachedStorage._get_cached_trial, "self trial_id")
    _check_arguments(_CachedStorage._add_trials_to_cache, "self study_id trials")
    _check_arguments(_CachedStorage._read_trials_from_remote_storage, "self study_id")


def _check_tables(models: Any) -> None:
    if models.SCHEMA_VERSION != _TABLES_VERSION:
        raise LookupError(f"its tables are of version {models.SCHEMA_VERSION}")
    for name, columns in _COLUMNS.items():
        missing = columns - set(getattr(models, name).__table__.c.keys())
        if missing:
            raise LookupError(f"{name} has no {', '.join(sorted(missing))}")
    for kind in ("INF_POS", "INF_NEG"):
        getattr(models.TrialValueModel.TrialValueType, kind)
    for function in (
        models.TrialValueModel.stored_repr_to_value,
        models.TrialIntermediateValueModel.stored_repr_to_intermediate_value,
    ):
        if len(inspect.signature(function).parameters) != 2:
            raise LookupError(f"{function.__qualname__} takes something else")
    if not isinstance(models.NOT_FOUND_MSG, str):
        raise LookupError("it says otherwise that a trial is not there")


def _check_arguments(function: Callable[..., Any], names: str) -> None:
    found = list(inspect.signature(function).parameters)
    if found != names.split():
        raise LookupError(f"{function.__qualname__} takes {', '.join(found)}")


def _check_study() -> None:
    """Tries the private ways on a study in memory, as a search uses them."""
    study = optuna.create_study()
    (asked, _), known = (study.ask(), study.ask()), study.get_trials(deepcopy=False)
    if writable(study, known[0]).number != asked.number:
        raise LookupError("the id of a trial is another")
    storage, study_id = storage_of(study)
    if storage.get_study_name_from_id(study_id) != study.study_name:
        raise LookupError("a study's storage is not where it was")
    asked.report(0.5, 1)
    if latest(asked).intermediate_values != {1: 0.5}:
        raise LookupError("a running trial is shown otherwise")
    some = StudyOfSomeTrials(study, known[1:])
    if some._get_trials(states=(TrialState.RUNNING,)) != known[1:] or some._get_trials(
        states=(TrialState.FAIL,)
    ):
        raise LookupError("a study cannot be shown in part")
    let_sampler_stop(study)
    study.stop()
    if not has_sampler_stopped(study):
        raise LookupError("that a sampler has stopped does not show")
