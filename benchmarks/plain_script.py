"""What one writes first: Optuna, `model.fit` and MLflow in one process.

The default study's space, TPE, Optuna's median pruner, early stopping, every epoch logged to
MLflow. Started by `time_to_quality` with a seed and the folder of studies; writes `curve.csv`.
"""

import sys
import time
from pathlib import Path

import keras
import mlflow
import optuna

from benchmarks import plain
from benchmarks.curves import append
from pipeline.data import datasets
from pipeline.paths import Project
from pipeline.study import space
from pipeline.study.load import load
from pipeline.training.model import build_optimizer

DATASET = datasets.load("fashion_mnist")
X, X_VAL = (plain.scaled(x) for x in (DATASET.train_inputs, DATASET.validation_inputs))
Y, Y_VAL = DATASET.train_targets, DATASET.validation_targets
SPEC = load(Project.here(), "fashion_mnist")


class Report(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells Optuna and MLflow of every epoch, and stops what Optuna prunes."""

    def __init__(self, trial: optuna.Trial) -> None:
        super().__init__()
        self.trial = trial

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Reports the metrics of an epoch."""
        metrics = dict(logs or {})
        mlflow.log_metrics(metrics, step=epoch)
        append(Path("curve.csv"), time.time(), str(self.trial.number), metrics["val_accuracy"])
        self.trial.report(metrics["val_accuracy"], epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def objective(trial: optuna.Trial) -> float:
    """Trains one network and returns its best validation accuracy."""
    hyperparameters = space.suggest(trial, SPEC.searched)
    with mlflow.start_run(run_name=f"trial {trial.number}"):
        mlflow.log_params(hyperparameters.flat())
        model = plain.network(
            hyperparameters.units,
            hyperparameters.activation,
            hyperparameters.dropout,
            build_optimizer(hyperparameters),
        )
        history = model.fit(
            X,
            Y,
            batch_size=hyperparameters.batch_size,
            epochs=hyperparameters.epochs,
            validation_data=(X_VAL, Y_VAL),
            callbacks=[
                Report(trial),
                keras.callbacks.EarlyStopping(
                    "val_accuracy", patience=SPEC.training.patience, restore_best_weights=True
                ),
            ],
            verbose=0,
        )
    return float(max(history.history["val_accuracy"]))


def main() -> None:
    """Searches until somebody stops it."""
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment("plain")
    search = optuna.create_study(
        direction="maximize",
        storage="sqlite:///optuna.db",
        sampler=optuna.samplers.TPESampler(seed=int(sys.argv[1])),
        pruner=optuna.pruners.MedianPruner(),
    )
    search.optimize(objective)


if __name__ == "__main__":
    main()
