"""What the one supervisor of a study need not ask its store, and what it need not tell at once.

With a thousand trials under way, to read them all before each decision, and to commit each value,
would take longer than the trials. Who alone writes a study knows what it has written; what others
may do to it, such as to enqueue a trial, is looked for now and then.
"""

import contextlib
import copy
import json
import time
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sql
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.storage.optuna_internals import models
from pipeline.storage.row_storage import CacheOfRows, RowStorage, local

LOOK_SHARE = 0.05  # of the time, at most, is spent with looking for what others have done
_INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_FIELDS = ("params", "distributions", "user_attrs", "system_attrs", "intermediate_values")


class CacheOfSoleWriter(CacheOfRows):
    """Is as `CacheOfRows`; between `begin_alone` and `end_alone` it knows all trials of a study.

    Values of epochs are kept until something else is written of a trial, or it looks: who is
    killed before loses them with the trial, which begins again.
    """

    _backend: "StorageOfSoleWriter"

    def __init__(self, backend: "StorageOfSoleWriter") -> None:
        super().__init__(backend)
        self._alone: int | None = None  # id of the study
        self._unfinished: set[int] = set()  # ids of its trials
        self._newest = -1  # id, up to which all trials are known
        self._reports: dict[tuple[int, int], float] = {}  # by the ids of trials, and steps
        self._look_at = 0.0

    def begin_alone(self, study_id: int) -> None:
        """Reads a study, which nobody else writes from now on but to enqueue or to end trials."""
        self._read_trials_from_remote_storage(study_id)
        found = self._studies[study_id].trials.values()
        self._unfinished = {each._trial_id for each in found if not each.state.is_finished()}
        self._newest = max((each._trial_id for each in found), default=-1)
        self._alone = study_id

    def end_alone(self) -> None:
        """Writes what was kept, and asks the store again from now on."""
        try:
            self._write_reports()
        finally:
            self._forget()

    def look(self) -> None:
        """Writes what was kept, and takes up what others have done, unless it has just done so."""
        if self._alone is None or time.monotonic() < self._look_at:
            return
        started = time.monotonic()
        self._write_reports()
        known = self._backend.open_trials(self._alone, self._newest)
        changed = self._unfinished - known.keys()
        changed |= {key for key, state in known.items() if self._state(key) is not state}
        for key in sorted(changed):
            self._reread(key)
        self._newest = max(self._newest, *known, *changed, -1)
        self._look_at = time.monotonic() + (time.monotonic() - started) / LOOK_SHARE

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Makes one transaction of all that is written in a `with`, whatever ends that."""
        try:
            with self._backend.together():
                yield
        except BaseException:
            if not self._backend.scoped_session.is_kept:
                self._forget()
            raise

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Makes a trial, and waits for the disk."""
        made = super().create_new_trial(study_id, template_trial)
        if study_id == self._alone:
            self._unfinished.add(made)
            if template_trial:
                self._reread(made)  # as it is stored
        return made

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:  # fmt: skip
        """Stores a hyperparameter."""
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        value = distribution.to_external_repr(param_value_internal)
        self._add(trial_id, "params", param_name, value)
        self._add(trial_id, "distributions", param_name, distribution)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Stores the value of an epoch, or keeps it for a moment."""
        if self._is_of_alone(trial_id):
            self._backend.check_trial_is_updatable(trial_id, self._known(trial_id).state)
            self._reports[trial_id, step] = intermediate_value
            self._add(trial_id, "intermediate_values", step, intermediate_value)
        else:
            super().set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Stores an attribute."""
        self._write_reports()
        super().set_trial_user_attr(trial_id, key, value)
        self._add(trial_id, "user_attrs", key, json.loads(json.dumps(value)))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Stores an attribute of Optuna's."""
        super().set_trial_system_attr(trial_id, key, value)
        self._add(trial_id, "system_attrs", key, json.loads(json.dumps(value)))

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Sets the state of a trial, and waits for the disk."""
        self._write_reports()
        done = super().set_trial_state_values(trial_id, state, values)
        if not self._is_of_alone(trial_id):
            return done
        if done and state.is_finished():
            trial = copy.copy(self._known(trial_id))
            trial.state, trial.values = state, values
            trial.datetime_start, trial.datetime_complete = self._backend.moments(trial_id)
            self._add_trials_to_cache(self._alone, [trial])  # type: ignore[arg-type]
            self._unfinished.discard(trial_id)
        else:
            self._reread(trial_id)
        return done

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Gives a trial that is known, or reads it."""
        if not self._is_of_alone(trial_id):
            return super().get_trial(trial_id)
        found = copy.copy(self._known(trial_id))
        for each in _FIELDS:  # Optuna's trials change what they get
            setattr(found, each, dict(getattr(found, each)))
        return found

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """Gives what Optuna noted of a trial."""
        if self._is_of_alone(trial_id):
            return self._known(trial_id).system_attrs
        return super().get_trial_system_attrs(trial_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Gives all trials, or those in certain states, by number."""
        if study_id != self._alone or deepcopy:
            return super().get_all_trials(study_id, deepcopy, states)
        if states is None:
            return list(self._studies[study_id].trials.values())
        if not any(each.is_finished() and each in states for each in TrialState):
            found = [self._known(key) for key in sorted(self._unfinished)]
        else:
            found = [*self._studies[study_id].trials.values()]
        return [each for each in found if each.state in states]

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        if study_id != self._alone:
            super()._read_trials_from_remote_storage(study_id)

    def _is_of_alone(self, trial_id: int) -> bool:
        known = self._trial_id_to_study_id_and_number.get(trial_id)
        return self._alone is not None and known is not None and known[0] == self._alone

    def _known(self, trial_id: int) -> FrozenTrial:
        study_id, number = self._trial_id_to_study_id_and_number[trial_id]
        return self._studies[study_id].trials[number]

    def _state(self, trial_id: int) -> TrialState | None:
        return self._known(trial_id).state if self._is_of_alone(trial_id) else None

    def _add(self, trial_id: int, field: str, key: Any, value: Any) -> None:
        """Adds a value to what is known of a trial: to a copy, for others may look at it."""
        if self._is_of_alone(trial_id):
            trial = copy.copy(self._known(trial_id))
            setattr(trial, field, {**getattr(trial, field), key: value})
            self._studies[self._alone].trials[trial.number] = trial  # type: ignore[index]

    def _reread(self, trial_id: int) -> None:
        """Reads a trial anew, whoever has changed or deleted it."""
        assert self._alone is not None
        try:
            trial = self._backend.get_trial(trial_id)
        except KeyError:
            self._unfinished.discard(trial_id)
            return
        self._add_trials_to_cache(self._alone, [trial])
        if trial.state.is_finished():
            self._unfinished.discard(trial_id)
        else:
            self._unfinished.add(trial_id)

    def _write_reports(self) -> None:
        if self._reports:
            reports, self._reports = self._reports, {}
            self._backend.report_all(reports)

    def _forget(self) -> None:
        """Knows nothing any more of a study, which is read anew."""
        if self._alone is not None:
            self._studies.pop(self._alone, None)
        self._alone = None


class StorageOfSoleWriter(RowStorage):
    """Is as `RowStorage`, and writes and reads many trials at once."""

    def report_all(self, reports: Mapping[tuple[int, int], float]) -> None:
        """Stores values of epochs.

        Args:
            reports: by the ids of trials, and steps.

        Raises:
            UpdateFinishedTrialError: a trial is not under way any more.
            KeyError: a trial was deleted.
        """
        table = models.TrialIntermediateValueModel
        insert = _INSERTS.get(self.engine.name)
        with self.together():
            if insert is None:
                for (trial, step), value in reports.items():
                    self.set_trial_intermediate_value(trial, step, value)
                return
            session = self.scoped_session()
            self._refuse_ended(session, {trial for trial, _ in reports})
            new = insert(table)
            found = {
                "intermediate_value": new.excluded.intermediate_value,
                "intermediate_value_type": new.excluded.intermediate_value_type,
            }
            rows = []
            for (trial, step), value in reports.items():
                stored, kind = table.intermediate_value_to_stored_repr(value)
                row = {"trial_id": trial, "step": step, "intermediate_value": stored}
                rows.append({**row, "intermediate_value_type": kind})
            upsert = new.on_conflict_do_update(index_elements=["trial_id", "step"], set_=found)
            session.connection().execute(upsert, rows)

    def _refuse_ended(self, session: Any, trials: Collection[int]) -> None:
        trial = models.TrialModel
        query = sql.select(trial.trial_id, trial.state).where(trial.trial_id.in_(sorted(trials)))
        states = {key: state for key, state in session.connection().execute(query)}
        if states.keys() != trials:
            raise KeyError(models.NOT_FOUND_MSG)
        for key, state in states.items():
            self.check_trial_is_updatable(key, state)

    def open_trials(self, study_id: int, newest: int) -> dict[int, TrialState]:
        """Reads the states of trials that run or wait, and of all later ones, by id.

        Args:
            study_id: Optuna's.
            newest: id of the trial after which trials are later ones.
        """
        trial = models.TrialModel
        is_open = trial.state.in_((TrialState.RUNNING, TrialState.WAITING))
        query = sql.select(trial.trial_id, trial.state).where(
            trial.study_id == study_id, sql.or_(is_open, trial.trial_id > newest)
        )
        with self.scoped_session.reading(self.engine) as connection:
            return {key: state for key, state in connection.execute(query)}

    def moments(self, trial_id: int) -> tuple[datetime | None, datetime | None]:
        """Reads when a trial began, and when it ended."""
        trial = models.TrialModel.__table__.c
        query = sql.select(trial.datetime_start, trial.datetime_complete)
        with self.scoped_session.reading(self.engine) as connection:
            began, ended = connection.execute(query.where(trial.trial_id == trial_id)).one()
        return local(began), local(ended)
