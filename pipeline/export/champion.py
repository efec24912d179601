"""What is recorded of a champion, as plain values."""

from typing import Any

from pipeline.data import datasets
from pipeline.evaluation import intervals
from pipeline.storage import study_store
from pipeline.storage.studies import StoredStudy
from pipeline.study.trial import Trial


def summary(stored: StoredStudy, champion: Trial) -> dict[str, Any]:
    """Collects what is recorded of the champion, as plain values."""
    spec = stored.spec
    n_examples = datasets.n_validation_examples(spec.data_spec)
    groups = spec.task.n_validation_groups
    at_best = {name: values[champion.best_epoch - 1] for name, values in champion.history.items()}
    validation: dict[str, Any] = {}
    for metric in spec.task.objectives:
        if metric.name in at_best:  # a metric may be younger than the trial
            value, error = at_best[metric.name], champion.kept(metric.error_name)
            validation[metric.quantity] = value
            if error is not None:
                validation[f"{metric.quantity}_se"] = error
            if interval := intervals.interval_of(metric, value, groups or n_examples, error):
                digits = intervals.decimals(metric, value)
                both = [round(interval.low, digits), round(interval.high, digits)]
                validation[f"{metric.quantity}_95"] = both
    look = study_store.last_look(stored.study, champion.number)
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
        "validation": {
            **validation,
            "n_examples": n_examples,
            **({"n_groups": groups} if groups else {}),
        },
        "training": {name: at_best[name] for name in validation if name in at_best},
        "test": study_store.scores_of(look) if look else None,
    }
