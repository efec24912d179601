"""What is recorded of a champion, as plain values."""

from typing import TYPE_CHECKING, Any

from pipeline.evaluation import intervals

if TYPE_CHECKING:
    import optuna

    from pipeline.study.spec import StudySpec
    from pipeline.study.trial import Trial


def summary(study: "optuna.Study", spec: "StudySpec", champion: "Trial") -> dict[str, Any]:
    """What is recorded of the champion, as plain values."""
    from pipeline.data import datasets
    from pipeline.storage import study_store

    n_images = datasets.n_validation_images(spec.dataset)
    at_best = {name: values[champion.best_epoch - 1] for name, values in champion.history.items()}
    accuracy = at_best["val_accuracy"]
    interval = intervals.wilson(accuracy, n_images)
    looks = [each for each in study_store.test_looks(study) if each["trial"] == champion.number]
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
        "validation": {
            "accuracy": accuracy,
            "accuracy_95": [round(interval.low, 4), round(interval.high, 4)],
            "loss": at_best["val_loss"],
            "n_images": n_images,
        },
        "training": {"accuracy": at_best["accuracy"], "loss": at_best["loss"]},
        "test": {k: looks[-1][k] for k in ("accuracy", "loss", "n_images")} if looks else None,
    }
