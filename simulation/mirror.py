"""Whether MLflow shows what Optuna holds, found by looking at both."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from optuna.trial import TrialState

from pipeline.names import state_file
from pipeline.storage import study_store
from pipeline.storage.paused import PAUSED
from pipeline.study.assignment import Assignment
from pipeline.study.trial import Trial, ranking, select_counted, with_model
from pipeline.tracking.delivery import MODEL_ARTIFACT
from pipeline.tracking.orphans import ORPHAN
from pipeline.tracking.writes import HYPERPARAMETERS_ARTIFACT
from simulation.drive import Drive
from simulation.scenario import NAME
from simulation.workers import model_of

if TYPE_CHECKING:
    from simulation.mlflow_store import MlflowStore, Run
    from simulation.run import Simulation


def may_have_no_champion(study: optuna.Study | None) -> bool:
    """Tells whether no trial has a value, and so a search ends with an error."""
    return study is not None and all(t.value is None for t in study_store.read_trials(study))


def left_running(store: "MlflowStore", trials: list[Trial]) -> str:
    """Says which runs are still RUNNING when more than one trial has ended since; "" if none is.

    A life may end between the moment when Optuna hears of a trial's end and when MLflow does.
    """
    ended = {trial.run_id: trial.number for trial in select_counted(trials)}
    left = [ended[run.id] for run in store.runs.values() if run.id in ended and run.is_open]
    return f"trials {left} have ended, and their runs have not" if len(left) > 1 else ""


def after_stop(store: "MlflowStore", study: optuna.Study, drive: Drive) -> str:
    """Says what a search has left undone that was stopped, and had all at hand; "" if nothing."""
    waits = {}
    for each in study.get_trials(deepcopy=False):
        if each.state == TrialState.RUNNING:
            waits[study_store.run_of(study, each.number)] = each
            if not each.user_attrs.get(PAUSED):
                return f"trial {each.number} is left RUNNING"
    for run in store.runs.values():
        if run.is_deleted:
            continue
        is_paused = run.status == "SCHEDULED" and run.tags.get("state") == "PAUSED"
        if run.id in waits and not is_paused:
            return f"{run.id} is {run.status}, and its trial is paused"
        if run.id not in waits and run.is_open:
            return f"{run.id} is left {run.status}"
    folder = f"/here/mlruns/{NAME}.paused"
    lie = {path.name for path in drive.files if path.is_relative_to(folder)}
    epochs = {each.number: each.user_attrs[PAUSED] for each in waits.values()}
    wanted = {state_file(*each) for each in epochs.items()}
    models = {f"{number}.{epoch}.keras" for number, epoch in epochs.items()}
    if lie - models != wanted:
        return f"states are kept in {sorted(lie)}, not in {sorted(wanted)}"
    return ""


def kept_of_trials(drive: Drive) -> str:
    """Says which trials a search has not told MLflow all of that says it is complete."""
    list_ = drive.files.get(Path(f"/here/mlruns/{NAME}.outbox/writes.jsonl"))
    lines = list_.content.decode().splitlines() if list_ else []
    kept = [each for each in map(json.loads, lines) if each["trial"] is not None]
    return f"a search is complete, and MLflow has not got: {kept}" if kept else ""


def in_mlflow(simulation: "Simulation", study: optuna.Study, trials: list[Trial]) -> str:
    """Says what is wrong with MLflow's runs when all is over; "" if nothing is."""
    store, scenario = simulation.runs, simulation.schedule.scenario
    # one that is tagged is set aside, even if a kill came before it was deleted
    known = (run for run in store.runs.values() if not (run.is_deleted or ORPHAN in run.tags))
    alive = {run.id: run for run in known}
    of_study = [run for run in alive.values() if run.tags.get("role") == "study"]
    if len(of_study) != 1 or (
        of_study[0].status != "FINISHED" and not may_have_no_champion(study)
    ):
        return f"MLflow's runs of the study: {[(run.id, run.status) for run in of_study]}"
    about = {key: of_study[0].tags.get(key) for key in ("study", "dataset", "fingerprint")}
    if about != {
        "study": NAME,
        "dataset": "fashion_mnist",
        "fingerprint": scenario.spec.fingerprint,
    }:
        return f"the study's run says {about}"
    lacking = {study_store.SPEC, study_store.FINGERPRINT, study_store.VERSIONS} - {
        *study.user_attrs
    }
    if lacking:
        return f"of the study is not noted: {lacking}"
    left = [run.id for run in alive.values() if run.is_open]
    if left and not may_have_no_champion(study):
        return f"MLflow has runs that have not ended: {left}"
    own: dict[str, int] = {}
    ranked = ranking(trials, scenario.spec.direction)
    kept = {
        t.number for t in with_model(ranked, scenario.spec.direction, study_store.n_models(study))
    }
    frozen = {each.number: each for each in study.get_trials(deepcopy=False)}
    for trial in select_counted(trials):
        run = alive.get(trial.run_id)
        if run is None:
            return f"trial {trial.number} has no run in MLflow ({trial.run_id!r})"
        if run.id in own:
            return f"{run.id} is the run of trials {own[run.id]} and {trial.number}"
        own[run.id] = trial.number
        assignment = Assignment.read(frozen[trial.number].user_attrs)
        assert assignment is not None
        if said := _run_of(run, trial, assignment, of_study[0].id, trial.number in kept):
            return f"trial {trial.number}, {run.id}: {said}"
    for run in alive.values():
        if run.id in own or run is of_study[0]:
            continue
        number = int(run.tags["trial"])
        of_it = next((t for t in trials if t.number == number), None)
        if of_it is None:
            return f"{run.id} belongs to trial {number}, which is not there"
        if run.tags.get("retried") and of_it.reason != run.tags["reason"]:
            return f"{run.id} failed for {run.tags['reason']!r}, its trial for {of_it.reason!r}"
        if not of_it.interrupted:
            return f"{run.id} is another run of trial {number}, whose own is {of_it.run_id}"
    champion = study_store.champion_among(study, trials)
    version = store.aliases.get((NAME, "champion"))
    if champion:
        if version is None:
            return "no version is the champion"
        registered = store.versions[NAME][version - 1]
        if registered.run != champion.run_id:
            return f"{registered.run} is the champion, not {champion.run_id}"
        about = {"study": NAME, "run_id": champion.run_id, "trial": str(champion.number)}
        if about.items() - registered.tags.items():
            return f"the champion's version says {registered.tags}, not {about}"
    return ""


def _run_of(run: "Run", trial: Trial, given: Assignment, parent: str, is_kept: bool) -> str:
    status = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAIL": "FAILED"}[trial.state]
    if run.status != status:
        return f"is {run.status}, not {status}"
    tags = {
        "trial": str(trial.number),
        "state": str(trial.state),
        "mlflow.parentRunId": parent,
        **given.tags,
    }
    for key, value in tags.items():
        if run.tags.get(key) != value:
            return f"tag {key} is {run.tags.get(key)!r}, not {value!r}"
    flat = given.hyperparameters.flat() if given.hyperparameters else {}
    params = {key: str(each) for key, each in flat.items()}
    params |= {"seed": str(given.seed), "dataset": "fashion_mnist"}
    if run.params != params:
        return f"params are {run.params}, not {params}"
    expected: object = given.hyperparameters.as_dict() if given.hyperparameters else None
    found: object = run.artifacts.get(HYPERPARAMETERS_ARTIFACT)
    if found != expected:
        return f"{HYPERPARAMETERS_ARTIFACT} is {found!r}"
    if len(run.inputs) != 1:
        return f"inputs are {run.inputs}"
    for key, values in trial.history.items():
        steps: dict[int, set[float]] = {}
        for step, _, each in run.metrics.get(key, ()):
            steps.setdefault(step, set()).add(each)
        if trial.pauses:  # one that was put back has been trained for longer
            steps = {step: each for step, each in steps.items() if step <= len(values)}
        if {step: {value} for step, value in enumerate(values, 1)} != steps:
            return f"{key} is {steps}, not {[*values]}"
    if trial.value is not None:
        best = {value for _, _, value in run.metrics.get("best_val_accuracy", ())}
        if best != {trial.value}:
            return f"best_val_accuracy is {best}, not {trial.value}"
    model = run.artifacts.get(MODEL_ARTIFACT)
    assert trial.seed is not None
    if is_kept and model != model_of(trial.seed, trial.best_epoch):
        return f"its model is {model!r}, not that of seed {trial.seed} at epoch {trial.best_epoch}"
    if not is_kept and model is not None:
        return "has a model, and is none of the best"
    return ""
