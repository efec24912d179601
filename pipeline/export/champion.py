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
    n_images = datasets.n_validation_examples(spec.data_spec)
    at_best = {name: values[champion.best_epoch - 1] for name, values in champion.history.items()}
    validation: dict[str, Any] = {}
    for metric in spec.task.objectives:
        if metric.name in at_best:  # a metric may be younger than the trial
            value = at_best[metric.name]
            validation[metric.quantity] = value
            if interval := intervals.interval_of(metric, value, n_images):
                both = [round(interval.low, 4), round(interval.high, 4)]
                validation[f"{metric.quantity}_95"] = both
    quantities = [name for name in validation if name in at_best]
    look = study_store.test_look(stored.study, champion.number)
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
        "validation": {**validation, "n_images": n_images},
        "training": {name: at_best[name] for name in quantities},
        "test": {k: look[k] for k in (*quantities, "n_images")} if look else None,
    }
