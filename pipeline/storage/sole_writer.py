"""What the one supervisor of a study need not ask its store, and what it need not tell at once.

With a thousand trials under way, to read them all before each decision, and to commit each value,
would take longer than the trials. Who alone writes a study knows what it has written; what others
may do to it, such as to enqueue a trial, is looked for now and then.
"""

import contextlib
import copy
import json
import time
from collections.abc import Container, Iterator, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.trial import FrozenTrial, TrialState

from pipeline.storage.one_transaction import StorageOfSoleWriter, Write
from pipeline.storage.row_storage import CacheOfRows

LOOK_SHARE = 0.02  # of the time, at most, is spent with looking for what others have done
_FIELDS = ("params", "distributions", "user_attrs", "system_attrs", "intermediate_values")


class CacheOfSoleWriter(CacheOfRows):
    """Is as `CacheOfRows`; between `begin_alone` and `end_alone` it knows all trials of a study.

    Values of epochs are kept until something else is written of a trial, or it looks: who is
    killed before loses them with the trial, which begins again.
    """

    _backend: StorageOfSoleWriter

    def __init__(self, backend: StorageOfSoleWriter) -> None:
        super().__init__(backend)
        self._alone: int | None = None  # id of the study
        self._unfinished: set[int] = set()  # ids of its trials, and of those of them that wait
        self._waiting: set[int] = set()
        self._newest = -1  # id, up to which all trials are known
        self._reports: dict[tuple[int, int], float] = {}  # by the ids of trials, and steps
        self._running: set[int] = set()  # ids of trials of which something is kept that run
        self._writes: list[Write] = []
        self._is_together = False
        self._look_at = 0.0

    def begin_alone(self, study_id: int) -> None:
        """Reads a study, which nobody else writes from now on but to enqueue or to end trials."""
        self._read_trials_from_remote_storage(study_id)
        found = self._studies[study_id].trials.values()
        self._unfinished, self._waiting = set(), set()
        for each in found:
            self._note_state(each._trial_id, each.state)
        self._newest = max((each._trial_id for each in found), default=-1)
        self._alone = study_id

    def end_alone(self) -> None:
        """Writes what was kept, and asks the store again from now on."""
        try:
            self._write_kept()
        finally:
            self._forget()

    def look(self) -> None:
        """Writes what was kept, and takes up what others have done, unless it has just done so."""
        if self._alone is None or time.monotonic() < self._look_at:
            return
        started = time.monotonic()
        self._write_kept()
        known = self._backend.open_trials(self._alone, self._newest)
        changed = self._unfinished - known.keys()
        changed |= {key for key, state in known.items() if self._state(key) is not state}
        for key in sorted(changed):
            self._reread(key)
        self._newest = max(self._newest, *known, *changed, -1)
        self._look_at = time.monotonic() + (time.monotonic() - started) / LOOK_SHARE

    @contextlib.contextmanager
    def together(self, *, is_urgent: bool = True) -> Iterator[None]:
        """Makes one transaction of what a `with` writes of trials, whatever error ends that.

        Others see it then, and that a trial was taken away shows then.

        Args:
            is_urgent: whether at the end; else with what is written next, or at the next look.
        """
        if self._is_together or self._alone is None:
            yield
            return
        self._is_together = True
        try:
            yield
        except Exception:
            self._is_together = False
            self._write_kept()
            raise
        finally:
            self._is_together = False
        if is_urgent:
            self._write_kept()

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Makes a trial, and waits for the disk."""
        self._write_kept()
        made = super().create_new_trial(study_id, template_trial)
        if study_id == self._alone:
            self._note_state(made, TrialState.RUNNING)
            if template_trial:
                self._reread(made)  # as it is stored
        return made

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:  # fmt: skip
        """Stores a hyperparameter."""
        given = (trial_id, param_name, param_value_internal, distribution)
        if not self._is_of_alone(trial_id):
            super().set_trial_param(*given)
            return
        known = self._studies[self._alone].param_distribution  # type: ignore[index]
        if param_name not in known:
            self._write_kept()
            super().set_trial_param(*given)
        else:
            self._refuse_ended(trial_id)
            check_distribution_compatibility(known[param_name], distribution)
            self._write("_set_trial_param", *given, known[param_name])
        value = distribution.to_external_repr(param_value_internal)
        self._add(trial_id, "params", param_name, value)
        self._add(trial_id, "distributions", param_name, distribution)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Stores the value of an epoch, or keeps it for a moment."""
        if self._is_of_alone(trial_id):
            self._refuse_ended(trial_id)
            self._reports[trial_id, step] = intermediate_value
            self._add(trial_id, "intermediate_values", step, intermediate_value)
        else:
            super().set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Stores an attribute."""
        self._set_attribute("user_attrs", trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Stores an attribute of Optuna's."""
        self._set_attribute("system_attrs", trial_id, key, value)

    def _set_attribute(self, field: str, trial_id: int, key: str, value: Any) -> None:
        method = f"set_trial_{field.removesuffix('s')}"
        if self._is_of_alone(trial_id):
            self._refuse_ended(trial_id)
            stored = json.loads(json.dumps(value))
            self._write(method, trial_id, key, stored)
            self._add(trial_id, field, key, stored)
        else:
            getattr(super(), method)(trial_id, key, value)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Sets the state of a trial, and waits for the disk."""
        if not (self._is_of_alone(trial_id) and state.is_finished()):
            self._write_kept()
            done = super().set_trial_state_values(trial_id, state, values)
            if self._is_of_alone(trial_id):
                self._reread(trial_id)
            return done
        self._refuse_ended(trial_id)
        trial = copy.copy(self._known(trial_id))
        trial.state, trial.values = state, values
        self._add_trials_to_cache(self._alone, [trial])  # type: ignore[arg-type]
        self._note_state(trial_id, state)
        self._write("set_trial_state_values", trial_id, state, values)
        return True

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
        wanted = {each for each in TrialState if each in states}
        if not any(each.is_finished() for each in wanted):
            some = self._waiting if wanted == {TrialState.WAITING} else self._unfinished
            found = [self._known(key) for key in sorted(some)]
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
            self._note_state(trial_id, TrialState.FAIL)
            return
        self._add_trials_to_cache(self._alone, [trial])
        self._note_state(trial_id, trial.state)

    def _note_state(self, trial_id: int, state: TrialState) -> None:
        for ids, is_one in (
            (self._unfinished, not state.is_finished()),
            (self._waiting, state == TrialState.WAITING),
        ):
            ids.add(trial_id) if is_one else ids.discard(trial_id)

    def _refuse_ended(self, trial_id: int) -> None:
        state = self._known(trial_id).state
        self._backend.check_trial_is_updatable(trial_id, state)
        if state == TrialState.RUNNING:
            self._running.add(trial_id)

    def _write(self, method: str, *arguments: Any) -> None:
        self._writes.append((method, arguments))
        if not self._is_together:
            self._write_kept()

    def _write_kept(self) -> None:
        """Writes what was kept; of a study that has changed meanwhile, nothing is known then."""
        if not (self._reports or self._writes):
            return
        reports, self._reports = self._reports, {}
        writes, self._writes = self._writes, []
        running, self._running = self._running, set()
        try:
            self._backend.write_all(reports, writes, running)
        except BaseException:
            self._forget()
            raise
        for method, arguments in writes:
            if method == "set_trial_state_values":
                self._note_moments(arguments[0])

    def _note_moments(self, trial_id: int) -> None:
        """Reads when a trial has begun and ended, as Optuna has noted it."""
        trial = copy.copy(self._known(trial_id))
        trial.datetime_start, trial.datetime_complete = self._backend.moments(trial_id)
        self._add_trials_to_cache(self._alone, [trial])  # type: ignore[arg-type]

    def _forget(self) -> None:
        """Knows nothing any more of a study, which is read anew."""
        known = self._trial_id_to_study_id_and_number
        for key in [key for key, (study_id, _) in known.items() if study_id == self._alone]:
            self._study_id_and_number_to_trial_id.pop(known.pop(key), None)
        if self._alone is not None:
            self._studies.pop(self._alone, None)
        self._alone = None
