"""What Optuna's store holds of a study, and how a finished trial is read from it.

Optuna's store is the truth about trials; MLflow shows it. Everything a report needs is in the user
attributes of a trial: its assignment and its outcome (`study/assignment.py`), and the names below.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.errors import PipelineError
from pipeline.storage import optuna_internals
from pipeline.study.assignment import Assignment, Earlier, Outcome
from pipeline.study.finals import best_run, networks_of
from pipeline.study.trial import State, Trial, best_epoch, champion_of, ranking, with_model

# User attributes of a trial, beside its assignment and its outcome.
RUN_ID, INTERRUPTED = "run_id", "interrupted"
# User attributes of a study.
SPEC, FINGERPRINT, SECONDS, TEST_LOOKS = "spec", "fingerprint", "seconds", "test_looks"
VERSIONS, DATA_FINGERPRINT, LATE_RUNS = "versions", "data_fingerprint", "late_runs"
CHANGES = "changes"  # of the study file, since the study was begun
FINALS_SECONDS = "finals_seconds"  # beside those of the search
FINALS = "finals"  # plan and champion; without it, a study of an older version that has none
LEFT_ELSEWHERE = "left_elsewhere"  # by whom, until what is missing of it is mended
FINALS_EXAMPLES = "finals_examples"  # how the finalists' answers to validation examples vary
START_FROM = "start_from"  # networks of earlier studies, which are tried first
POLICY = "policy"  # what a policy knows that does not follow from the trials
EXHAUSTED = "exhausted"  # the sampler has drawn all there is
_N_EXAMPLES = {"n_images": "n_examples"}  # as a look called it before schema version 3
PRUNED_RECORDS = "pruned_records"  # numbers of pruned trials whose weights were kept
N_MODELS = "n_models"  # of how many of the best trials models are kept
N_MODELS_OF_NEW = 10  # enough for an ensemble


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

    Where finals were held, the best run of their winner.

    Raises:
        PipelineError: there is none yet.
    """
    direction, noted = study.direction.name.lower(), study.user_attrs
    # found without reading all trials: the best complete one and pruned records
    candidates = [optuna_internals.read_trial(study, n) for n in noted.get(PRUNED_RECORDS, [])]
    with contextlib.suppress(ValueError):  # nothing is complete
        candidates.append(study.best_trial)
    found = [_trial(each, direction, noted) for each in candidates if each.state.is_finished()]
    is_network = all(trial.hyperparameters for trial in found)
    had_finals = noted.get(FINALS, {}).get("champion") is not None
    if had_finals or not (is_network and optuna_internals.is_as_known()):
        found = read_trials(study)  # also as of equal ones Optuna has any
    best = champion_among(study, found)
    if best is None:
        raise PipelineError(f"study {study.study_name!r} has no trial yet whose weights were kept")
    return best


def champion_among(study: optuna.Study, trials: Sequence[Trial]) -> Trial | None:
    """Finds the best network whose weights were kept, as `champion` does; None if there is none.

    Args:
        study: of the trials.
        trials: all of it that ended.
    """
    direction = study.direction.name.lower()
    if (number := study.user_attrs.get(FINALS, {}).get("champion")) is not None:
        for network in networks_of(trials):
            if network.number == number and (best := best_run(network, direction)):
                return best
    return champion_of(ranking(trials, direction))


def n_models(study: optuna.Study) -> int:
    """Says of how many of the best trials models are kept; 0 in an older study (`with_model`)."""
    return int(study.user_attrs.get(N_MODELS, 0))


def with_models(study: optuna.Study) -> list[Trial]:
    """Lists the trials whose models are kept, the best first."""
    direction = study.direction.name.lower()
    ranked = ranking(read_trials(study), direction)
    return ranking(with_model(ranked, direction, n_models(study)), direction)


def minutes_searched(study: optuna.Study) -> float:
    """Says for how many minutes supervisors have searched, without finals."""
    return float(study.user_attrs.get(SECONDS, 0.0)) / 60


def is_exhausted(study: optuna.Study) -> bool:
    """Tells whether the sampler has ever said that all is drawn, which is then noted."""
    if optuna_internals.has_sampler_stopped(study) and not study.user_attrs.get(EXHAUSTED):
        study.set_user_attr(EXHAUSTED, True)
    return bool(study.user_attrs.get(EXHAUSTED))


def write(trial: optuna.Trial, part: Assignment | Outcome) -> None:
    """Notes in a trial what it was given, or what came of it; finished trials are frozen."""
    for key, value in part.write().items():
        trial.set_user_attr(key, value)


def note_earlier(study: optuna.Study, networks: Sequence[Earlier]) -> None:
    """Notes once which networks of earlier studies are tried first: those may go on meanwhile."""
    if networks and START_FROM not in study.user_attrs:
        study.set_user_attr(START_FROM, [each.write() for each in networks])


def read_earlier(study: optuna.Study) -> list[Earlier]:
    """Reads which networks of earlier studies are tried first."""
    return [Earlier.read(each) for each in study.user_attrs.get(START_FROM, [])]


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


def run_of(study: optuna.Study, trial: int) -> str:
    """Finds the MLflow run of a trial by its number; "" if it has none."""
    known = study.user_attrs.get(LATE_RUNS, {}).get(str(trial))
    attributes = optuna_internals.read_trial(study, trial).user_attrs
    return str(known or attributes.get(RUN_ID, ""))


def test_looks(study: optuna.Study) -> list[dict[str, Any]]:
    """Lists every look at the test set, oldest first: when, trial, metrics, n_examples.

    Of a look that was broken off, metrics and n_examples are None.
    """
    return [
        {_N_EXAMPLES.get(key, key): value for key, value in look.items()}
        for look in study.user_attrs.get(TEST_LOOKS, [])
    ]


def last_look(
    study: optuna.Study,
    trial: int,
    ensemble: Mapping[str, int] | None = None,
    refit: int | None = None,
) -> dict[str, Any] | None:
    """Finds the last look that scored a model; None if there is none.

    Args:
        study: whose test set it is.
        trial: number of the trial, of an ensemble of the best in it.
        ensemble: how often each trial is in it, by number; None of one that is none.
        refit: for how many epochs it was trained again on all but the test set; None of one that
            was not.
    """
    for look in reversed(test_looks(study)):
        asked = look["trial"], look.get("ensemble"), look.get("refit")
        if look["n_examples"] is not None and asked == (trial, ensemble, refit):
            return dict(look)
    return None


def scores_of(look: Mapping[str, Any]) -> dict[str, Any]:
    """Says what a look at the test set has found."""
    about = ("when", "trial", "ensemble", "refit", "weights", "command")
    return {key: value for key, value in look.items() if key not in about}


def _trial(frozen: FrozenTrial, direction: str, noted: Mapping[str, Any]) -> Trial:
    attributes, number = frozen.user_attrs, frozen.number
    assignment, outcome = Assignment.read(attributes), Outcome.read(attributes)
    steps = sorted(frozen.intermediate_values)
    if outcome.history:  # what is left of a trial that went back to an earlier epoch
        steps = steps[: max(map(len, outcome.history.values()))]
    values = [frozen.intermediate_values[step] for step in steps]
    epoch = best_epoch(values, direction)
    interrupted = bool(attributes.get(INTERRUPTED))
    is_complete = frozen.state == TrialState.COMPLETE
    value = values[epoch - 1] if epoch and not interrupted else None
    if is_complete:
        value = frozen.value if frozen.value is not None and math.isfinite(frozen.value) else None
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
        ended=frozen.datetime_complete.timestamp() if frozen.datetime_complete else 0.0,
        interrupted=interrupted,
        cause=outcome.cause,
        keeps_weights=is_complete or number in noted.get(PRUNED_RECORDS, ()),
        final_of=assignment.final_of if assignment else None,
        repeat=assignment.repeat if assignment else None,
        pauses=outcome.pauses,
        audited_after=outcome.audited_after,
        started_from=assignment.started_from if assignment else "",
    )
