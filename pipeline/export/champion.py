"""What is recorded of a champion, as plain values."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.data import datasets
from pipeline.evaluation import claims, intervals
from pipeline.evaluation.curves import best_common_epoch
from pipeline.evaluation.finals import judge_study
from pipeline.evaluation.sentences import as_values
from pipeline.evaluation.verdict import Verdict
from pipeline.storage import finals, study_store
from pipeline.storage.studies import StoredStudy
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial, with_seeds
from pipeline.task.task import Metric


def summary(stored: StoredStudy, champion: Trial, refit: int | None = None) -> dict[str, Any]:
    """Collects what is recorded of the champion, as plain values.

    Args:
        stored: the study.
        champion: its best trial.
        refit: for how many epochs its network was trained again on all but the test set, if it is
            that which is handed over.
    """
    spec = stored.spec
    at_best = {name: values[champion.best_epoch - 1] for name, values in champion.history.items()}
    measured: dict[str, float] = {}
    for metric in spec.task.objectives:
        if metric.name in at_best:  # a metric may be younger than the trial
            measured[metric.quantity] = at_best[metric.name]
            if (error := champion.kept(metric.error_name)) is not None:
                measured[metric.error_quantity] = error
    look = study_store.last_look(stored.study, champion.number, refit=refit)
    assert champion.hyperparameters is not None
    return {
        "study": spec.name,
        "trial": champion.number,
        "run_id": champion.run_id,
        "seed": champion.seed,
        "hyperparameters": champion.hyperparameters.as_dict(),
        "n_parameters": champion.n_parameters,
        "best_epoch": champion.best_epoch,
        "epochs_trained": champion.n_epochs,
        "ended": champion.ending,
        "validation": validation(spec, measured),
        "training": {name: at_best[name] for name in measured if name in at_best},
        "test": study_store.scores_of(look) if look else None,
        **({"refit": _of_refit(spec, refit)} if refit else {}),
        **_over_seeds(stored, champion, refit),
        **({"verdict": as_values(judged)} if (judged := judge(stored)) else {}),
    }


def judge(stored: StoredStudy) -> Verdict | None:
    """Judges the finals of a study; None if there were none."""
    held, trials = finals.read_held(stored.study), study_store.read_trials(stored.study)
    return judge_study(stored.spec, held, trials)


def runs_of(stored: StoredStudy, champion: Trial) -> list[Trial]:
    """Lists the runs of the champion's network with several seeds whose models are kept."""
    return with_seeds(study_store.with_models(stored.study), champion)


def epochs_of_refit(spec: StudySpec, runs: Sequence[Trial]) -> int:
    """Says for how many epochs a network is trained again: as many as were best on validation.

    That is where the mean of its runs' curves is best: best epochs of single runs come too early
    where a falling learning rate flattens the curves.
    """
    return best_common_epoch([run.history[spec.metric] for run in runs], spec.direction)


def _of_refit(spec: StudySpec, epochs: int) -> dict[str, int]:
    data = datasets.load(spec.data_spec)
    return {"epochs": epochs, "n_examples": len(data.train_targets) + len(data.validation_targets)}


def _over_seeds(stored: StoredStudy, champion: Trial, refit: int | None) -> dict[str, Any]:
    """Tells what the champion's network came to with several seeds; nothing of a single one.

    The test set only if all were scored on it.
    """
    runs, score = runs_of(stored, champion), stored.spec.task.score
    if len(runs) < 2:
        return {}
    found: dict[str, Any] = {"trials": [each.number for each in runs]}
    known = [each.kept(score.name) for each in runs]
    looks = [study_store.last_look(stored.study, each.number, refit=refit) for each in runs]
    if all(value is not None for value in known):
        found["validation"] = _estimate(score, [value for value in known if value is not None])
    if all(look and look.get(score.quantity) is not None for look in looks):
        found["test"] = _estimate(score, [look[score.quantity] for look in looks if look])
    return {"seeds": found}


def _estimate(score: Metric, values: Sequence[float]) -> dict[str, Any]:
    known = claims.estimate(values)
    assert known.interval is not None
    return {
        "metric": score.quantity,
        "values": list(values),
        "mean": known.mean,
        "mean_95": [known.interval.low, known.interval.high],
        "standard_deviation": known.deviation,
    }


def validation(spec: StudySpec, measured: Mapping[str, float]) -> dict[str, Any]:
    """Adds to what was measured on the validation set 95 % intervals, and on how many examples.

    Args:
        spec: of the study.
        measured: values by quantity, and standard errors where they are known.
    """
    n_examples = datasets.n_validation_examples(spec.data_spec)
    groups = spec.task.n_validation_groups
    found: dict[str, Any] = dict(measured)
    for metric in spec.task.objectives:
        if metric.quantity not in measured:
            continue
        value, error = measured[metric.quantity], measured.get(metric.error_quantity)
        if interval := intervals.interval_of(metric, value, groups or n_examples, error):
            digits = intervals.decimals(metric, value)
            both = [round(interval.low, digits), round(interval.high, digits)]
            found[f"{metric.quantity}_95"] = both
    return {**found, "n_examples": n_examples, **({"n_groups": groups} if groups else {})}
