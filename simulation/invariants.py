"""What must be true after each life, and in the end; found by looking at the stores alone."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.names import state_file
from pipeline.search.used import SAVE_SECONDS
from pipeline.storage import finals, lease, study_store
from pipeline.storage.paused import PAUSED
from pipeline.study.assignment import Assignment
from pipeline.study.trial import State, Trial, select_counted
from pipeline.tracking.orphans import ORPHAN
from simulation.drive import Drive
from simulation.faults import What
from simulation.mirror import in_mlflow
from simulation.scenario import BY_HAND, EPOCH_SECONDS, GIVEN, NAME, Scenario, curves

if TYPE_CHECKING:
    from simulation.run import Simulation

LEFT = {f"{NAME}.lock"}
HARMLESS = {What.JUMP, What.LATE, What.TWICE, What.SECOND}  # whoever lives to the end of them


class Known:
    """What was finished after some life, and must stay as it was."""

    def __init__(self) -> None:
        self._trials: dict[int, Any] = {}
        self._paused: set[int] = set()

    def lost(self, study: optuna.Study, drive: Drive) -> str:
        """Says which trial was paused, could have gone on, and was begun anew all the same."""
        found = study.get_trials(deepcopy=False)
        for each in found:
            if each.number in self._paused and each.user_attrs.get(study_store.INTERRUPTED):
                return f"trial {each.number} was paused, and is begun anew"
        self._paused = {
            each.number
            for each in found
            if (epoch := each.user_attrs.get(PAUSED))
            and each.state == TrialState.RUNNING
            and Path(f"/here/mlruns/{NAME}.paused/{state_file(each.number, epoch)}") in drive.files
        }
        return ""

    def differences(self, trials: list[Trial]) -> str:
        """Says what is not as it was; "" if all is. What is finished by now is known from here."""
        now = {trial.number: _result(trial) for trial in trials if not trial.interrupted}
        for number, before in self._trials.items():
            if now.get(number) != before:
                return f"trial {number} was finished as {before}, and is {now.get(number)}"
        self._trials = now
        return ""


def _result(trial: Trial) -> tuple[object, ...]:
    return (
        trial.state, trial.value, trial.best_epoch, str(trial.hyperparameters), trial.seed,
        {key: [*values] for key, values in trial.history.items()}, trial.reason,
        [*trial.pauses], trial.audited_after,
    )  # fmt: skip


def table_of(trials: list[Trial]) -> list[tuple[object, ...]]:
    """Lists what counts of a study: references, what was drawn in its order, finals.

    Numbers and moments are left out: what was interrupted is run again under another number, and
    behind what waits.
    """
    counted = sorted(
        select_counted(trials),
        key=lambda trial: (
            trial.is_final, not trial.reference, trial.reference, trial.repeat or 0,
            str(trial.hyperparameters) if trial.is_final else trial.number,
        ),
    )  # fmt: skip
    return [
        (*_result(trial), trial.reference, trial.repeat, trial.is_final, dict(trial.scores))
        for trial in counted
    ]


def at_the_end(simulation: "Simulation") -> str:
    """Says what is wrong when all is over; "" if nothing is."""
    study = simulation.study()
    assert study is not None
    scenario = simulation.schedule.scenario
    trials = study_store.read_trials(study)
    happened = simulation.world.befell
    for look in (
        _time_used(simulation, study, trials),
        _in_optuna(study, scenario),
        _finalists_compared(study, happened),
        _as_trained(trials, scenario, has_hung=What.HANGS in happened),
        in_mlflow(simulation, study, trials),
        _as_counted(simulation, study, trials),
        _tried_again(simulation, study),
        _on_disk(simulation),
    ):
        if look:
            return look
    return ""


def _in_optuna(study: optuna.Study, scenario: Scenario) -> str:
    found = study.get_trials(deepcopy=False)
    open_ = (each for each in found if not each.state.is_finished())
    # one that somebody enqueues when the budget is used waits for the next
    left = [n.number for n in open_ if n.state != TrialState.WAITING or not _is_by_hand(n)]
    waiting = [each.number for each in found if each.state == TrialState.WAITING]
    may_wait = scenario.is_timed or any(map(_is_by_hand, found))
    if left and (left != waiting or not may_wait):
        return f"Optuna has trials that have not ended: {left}"
    trials = study_store.read_trials(study)
    if said := _by_hand(found, trials):
        return said
    counted = select_counted(trials)
    n_searched = finals.count_searched(trials)
    budget, of_finals = finals.split_budget(study, scenario.spec)
    if not scenario.is_timed and n_searched != budget.trials:
        return f"{n_searched} trials count, the budget is {budget.trials}"
    if n_searched > (budget.trials or 0):
        return f"{n_searched} trials count, the budget is {budget.trials}"
    if scenario.has_finals and not scenario.is_timed:
        n_drawn = sum(t.value is not None and not (t.reference or t.is_final) for t in counted)
        most = of_finals.trials if of_finals else 0
        if not (finals.read_plan(study) or may_wait) and n_drawn > 1 and (most or 0) > 1:
            return "no finals were held"
        if finals.read_plan(study) and not finals.are_over(study):
            return "finals were not held to their end"
    repeats = sorted(t.repeat or 0 for t in counted if t.reference)
    if repeats != [0, 1] and scenario.has_reference and not may_wait:
        return f"of the reference, repeats {repeats} were trained"
    if study.user_attrs.get(lease.LEASE):
        return f"the study is held still: {study.user_attrs[lease.LEASE]}"
    twice = [key for key, n in Counter(map(_identity, counted)).items() if n > 1]
    if twice:
        return f"finished twice: {twice}"
    done = {_identity(trial) for trial in counted}
    lost = [
        trial.number
        for trial in trials
        if trial.interrupted and trial.hyperparameters and _identity(trial) not in done
    ]
    dropped = {t.number for t in trials if t.interrupted and t.reason.startswith("put off")}
    if set(lost) - dropped and not may_wait:
        return f"interrupted, and not run again: {lost}"
    return ""


def _finalists_compared(study: optuna.Study, happened: set[What]) -> str:
    if happened & {What.DIES, What.GONE, What.FULL, What.BROKEN}:  # then the next search does it
        return ""
    is_missing = finals.read_held(study) and not finals.has_examples(study)
    return "what finalists answer was not compared" if is_missing else ""


def _is_by_hand(frozen: FrozenTrial) -> bool:
    return BY_HAND in frozen.user_attrs


def _by_hand(found: list[FrozenTrial], trials: list[Trial]) -> str:
    """Says what somebody enqueued that was neither trained nor refused; "" if nothing was."""
    given = [t.hyperparameters.as_dict() for t in select_counted(trials) if t.hyperparameters]
    is_trained = any(
        flat["units"] == [GIVEN["units"]] and flat["learning_rate"] == GIVEN["learning_rate"]
        for flat in given
    )
    reasons = (str(each.user_attrs.get("reason", "")) for each in found)
    is_refused = any(reason.startswith("enqueued by hand") for reason in reasons)
    if any(each.state == TrialState.WAITING for each in found):
        return ""
    for each in found:
        if _is_by_hand(each) and not (is_trained if each.user_attrs[BY_HAND] else is_refused):
            return f"trial {each.number} was enqueued by hand, and neither trained nor refused"
    return ""


def _identity(trial: Trial) -> tuple[str, int | None]:
    return str(trial.hyperparameters), trial.seed


def _as_trained(trials: list[Trial], scenario: Scenario, *, has_hung: bool) -> str:
    """Holds what Optuna has of each trial against what its curves say."""
    for trial in select_counted(trials):
        if trial.hyperparameters is None or trial.seed is None:
            return f"trial {trial.number} counts, and was given nothing"
        known = curves(trial.hyperparameters, trial.seed)
        values = [*known.metrics["val_accuracy"]]
        found = [*trial.history.get("val_accuracy", ())]
        what = f"trial {trial.number}"
        too_slow = has_hung and trial.reason.startswith("stopped after")
        if values[0] != values[0] and not too_slow:
            if trial.state != State.FAIL or found or "nan" not in trial.reason:
                return f"{what} diverged, and is {trial.state} with {found} ({trial.reason})"
            continue
        is_whole = not (trial.state == State.PRUNED or too_slow)
        n = min(len(values), trial.hyperparameters.epochs)
        if found != values[: len(found)] or (is_whole and len(found) != n):
            patient = _with_patience(values[:n], scenario.spec.training.patience)
            if found != patient:
                return f"{what} has {found} of {values[:n]} ({trial.state}, {trial.reason})"
        if not found:
            if not too_slow:
                return f"{what} has no epoch ({trial.state}, {trial.reason})"
            continue
        if trial.value != max(found):
            return f"{what} has the value {trial.value}, not {max(found)}"
        if known.failed and is_whole and trial.reason != known.failed:
            return f"{what} gives as its reason {trial.reason!r}, not {known.failed!r}"
        if trial.reason and not (known.failed or too_slow):
            return f"{what} gives a reason: {trial.reason!r}"
        if trial.n_parameters != 7:
            return f"{what} has {trial.n_parameters} parameters"
        for key, each in trial.history.items():
            if len(each) != len(found):
                return f"{what} has {len(each)} values of {key}"
    return ""


def _with_patience(values: list[float], patience: int) -> list[float]:
    best, at = values[0], 0
    for i, value in enumerate(values):
        if value > best:
            best, at = value, i
        if i - at >= patience:
            return values[: i + 1]
    return values


def _time_used(simulation: "Simulation", study: optuna.Study, trials: list[Trial]) -> str:
    """Holds the time used against the trials: of each life a little may be lost."""
    scenario, noted, lives = (
        simulation.schedule.scenario,
        study.user_attrs,
        simulation.world.processes,
    )
    used = noted.get(study_store.SECONDS, 0.0) + noted.get(study_store.FINALS_SECONDS, 0.0)
    trained = sum(trial.seconds for trial in select_counted(trials)) / scenario.n_workers
    if used < trained - len(lives) * (SAVE_SECONDS + EPOCH_SECONDS):
        return f"{used} seconds are noted, {trained} were trained for"
    return ""


def _as_counted(simulation: "Simulation", study: optuna.Study, trials: list[Trial]) -> str:
    """Holds the time used, and the curve of records, against the trials, if nobody was killed."""
    if any(fault.what not in HARMLESS for fault in simulation.world.happened):
        return ""
    scenario, noted = simulation.schedule.scenario, study.user_attrs
    used = noted.get(study_store.SECONDS, 0.0) + noted.get(study_store.FINALS_SECONDS, 0.0)
    trained = sum(trial.seconds for trial in trials) / scenario.n_workers
    if not trained <= used <= simulation.world.seconds:
        return f"{used} seconds are noted, {trained} were trained for"
    best = max((t.value for t in select_counted(trials) if t.value is not None), default=None)
    runs = (run for run in simulation.runs.runs.values() if ORPHAN not in run.tags)
    (run,) = (run for run in runs if run.tags.get("role") == "study")
    if not run.inputs:
        return "the study's run has no inputs"
    left = [run.id for run in simulation.runs.runs.values() if ORPHAN in run.tags and run.is_open]
    if left:
        return f"{left} were set aside, and are open"
    shown = {value for _, _, value in run.metrics.get("best_val_accuracy", ())}
    if best is not None and max(shown, default=None) != best:
        return f"the curve of records is {sorted(shown)}, the best value {best}"
    return ""


def _tried_again(simulation: "Simulation", study: optuna.Study) -> str:
    """Holds how often each was tried again against how often its worker died."""
    world = simulation.world
    known = HARMLESS | {What.DIES, What.DIES_LAST, What.NODE}
    is_exact = all(fault.what in known for fault in world.happened)
    for each in study.get_trials(deepcopy=False):
        given = Assignment.read(each.user_attrs)
        if given is None or each.user_attrs.get(study_store.INTERRUPTED):
            continue
        n, died = given.n_retries, world.deaths[str(given.hyperparameters), given.seed]
        if n > died or (is_exact and n != died):
            return f"trial {each.number} was tried again {n} times, its worker died {died} times"
    return ""


def _on_disk(simulation: "Simulation") -> str:
    drive = simulation.drives["here"]
    left = {
        str(path.relative_to("/here/mlruns"))
        for path in (*drive.files, *drive.folders)
        if path.is_relative_to("/here/mlruns") and str(path) != "/here/mlruns"
    }
    artifacts = simulation.here.artifacts_dir.name  # lost with its run, and so nobody's
    left = {path for path in left - LEFT if not path.startswith(artifacts)}
    return f"left on disk: {sorted(left)}" if left else ""
