"""A small study as a search would have recorded it, without any training.

Two references, a space that covers conditions, layers, choices and log ranges, and trials that
ended in every way there is. All values are computed from the trial's number and its best value,
and rounded, so that a report of it is the same everywhere.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.paths import Project
from pipeline.storage import studies, study_store
from pipeline.study import assignment, space
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.load import load
from pipeline.study.spec import StudySpec

NAME = "recorded"
CHAMPION, SECOND, BEST_REFERENCE, INTERRUPTED = 9, 7, 1, 4
N_COUNTED, N_COMPLETE, N_PRUNED, N_FAILED, N_INTERRUPTED = 16, 10, 5, 1, 1

SPEC = """
goal = "See how a report < 1 MB looks when nothing was trained | and nothing will be."
dataset = "fashion_mnist"
metric = "val_accuracy"

[budget]
trials = 16
minutes = 5

[training]
patience = 3
trial_minutes = 1

[sampler]
type = "TPESampler"
n_startup_trials = 4
seed = 7

[pruner]
type = "SuccessiveHalvingPruner"
min_resource = 2
reduction_factor = 2

[fixed]
layer_kind = "dense"
epochs = 8

[space]
hidden_layers = { type = "int", low = 0, high = 3 }
units         = { type = "int", low = 32, high = 512, log = true, per = "hidden_layers" }
dropout       = { type = "float", low = 0.0, high = 0.5, when = { hidden_layers = [1, 2, 3] } }
optimizer     = { type = "categorical", choices = ["sgd", "rmsprop", "adam"] }
momentum      = { type = "float", low = 0.0, high = 0.99, when = { optimizer = ["sgd"] } }
learning_rate = { type = "float", low = 1e-4, high = 1e-1, log = true }
batch_size    = { type = "categorical", choices = [32, 64, 128, 256] }

[[reference]]
name = "book: adam"
hyperparameters = { hidden_layers = 1, units = [100], optimizer = "adam", learning_rate = 0.001, batch_size = 32, epochs = 8 }
claim = { val_accuracy = 0.8726, val_loss = 0.345, source = "notebook <7-2>" }

[[reference]]
name = "book: dropout | 0.3"
hyperparameters = { hidden_layers = 1, units = [100], dropout = 0.3, optimizer = "adam", learning_rate = 0.001, batch_size = 32, epochs = 8 }
claim = { val_accuracy = 0.8859, source = "notebook 7-3" }
"""  # noqa: E501

FACTS = {
    "version.tensorflow": "2.21.0",
    "version.keras": "3.15.1",
    "version.python": "3.11.7",
    "machine": "a machine of 2 cores",
    "git_commit": "0123456789abcdef0123456789abcdef01234567",
}
TEST_LOOK = {
    "when": "2026-03-02 10:30:00+00:00",
    "trial": CHAMPION,
    "accuracy": 0.8871,
    "loss": 0.3215,
    "n_examples": 10_000,
}

# State, best value, epochs trained, best epoch, and what differs from `_COMMON`.
_COMMON = {
    "hidden_layers": 1,
    "optimizer": "adam",
    "batch_size": 64,
    "epochs": 8,
}  # fmt: skip
_TRIALS: list[tuple[str, float, int, int, dict[str, Any]]] = [
    ("COMPLETE", 0.8790, 8, 6, {"units": [100], "learning_rate": 0.001, "batch_size": 32}),
    ("COMPLETE", 0.8830, 8, 8,
     {"units": [100], "learning_rate": 0.001, "batch_size": 32, "dropout": 0.3}),
    ("COMPLETE", 0.8441, 8, 8, {"hidden_layers": 0, "units": [], "learning_rate": 0.0023}),
    ("PRUNED", 0.7112, 2, 2,
     {"units": [33], "optimizer": "sgd", "learning_rate": 0.00017, "momentum": 0.12}),
    ("INTERRUPTED", 0.8600, 3, 3, {"units": [300], "learning_rate": 0.0031}),
    ("COMPLETE", 0.8712, 7, 4,
     {"hidden_layers": 2, "units": [64, 48], "optimizer": "rmsprop", "learning_rate": 0.0051,
      "dropout": 0.105, "batch_size": 128}),
    ("FAIL", 0.1000, 1, 1,
     {"units": [500], "optimizer": "sgd", "learning_rate": 0.0951, "momentum": 0.98}),
    ("COMPLETE", 0.8931, 8, 7,
     {"hidden_layers": 2, "units": [412, 187], "learning_rate": 0.00061, "dropout": 0.21}),
    ("COMPLETE", 0.8633, 8, 8,
     {"hidden_layers": 3, "units": [77, 60, 44], "optimizer": "sgd", "learning_rate": 0.0123,
      "momentum": 0.87, "dropout": 0.05}),
    ("COMPLETE", 0.8950, 8, 7,
     {"hidden_layers": 2, "units": [487, 243], "learning_rate": 0.00083, "dropout": 0.24}),
    ("PRUNED", 0.8215, 4, 3, {"units": [51], "learning_rate": 0.021, "batch_size": 256}),
    ("PRUNED", 0.7934, 2, 1,
     {"hidden_layers": 3, "units": [210, 33, 33], "optimizer": "rmsprop",
      "learning_rate": 0.034, "dropout": 0.44}),
    ("COMPLETE", 0.8846, 8, 8, {"units": [299], "learning_rate": 0.0009, "dropout": 0.11}),
    ("PRUNED", 0.8522, 4, 4, {"units": [130], "learning_rate": 0.00012, "batch_size": 128}),
    ("COMPLETE", 0.8806, 8, 8,
     {"units": [256], "optimizer": "sgd", "learning_rate": 0.041, "momentum": 0.93}),
    ("PRUNED", 0.8333, 2, 2, {"hidden_layers": 0, "units": [], "learning_rate": 0.0111}),
    ("COMPLETE", 0.8868, 8, 6,
     {"units": [300], "learning_rate": 0.0031}),
]  # fmt: skip
_REFERENCES = ("book: adam", "book: dropout | 0.3")
_RETRIED_AS = 16
REASON = "the loss became NaN in epoch 1 <lambda> | diverged"


def build(folder: Path) -> None:
    """Makes `folder` a project with one study file and its stored study."""
    (folder / "studies").mkdir()
    (folder / "studies" / f"{NAME}.toml").write_text(SPEC, encoding="utf-8")
    project = Project(folder)
    spec = load(project, str(folder / "studies" / f"{NAME}.toml"))
    stored = studies.open_study(project, spec)
    stored.set_user_attr(study_store.VERSIONS, FACTS)
    stored.set_user_attr(study_store.SECONDS, 168.0)
    for number in range(len(_TRIALS)):
        stored.add_trial(_frozen(spec, number))


def open_stored(project: Project) -> studies.StoredStudy:
    """The stored study, opened to be read."""
    return studies.stored_study(project, NAME)


def history(value: float, n_epochs: int, best_epoch: int) -> dict[str, list[float]]:
    """Curves with the best validation accuracy at the given epoch."""
    rises = [
        value - (0.011 * (best_epoch - e) if e < best_epoch else 0.0013 * (e - best_epoch))
        for e in range(1, n_epochs + 1)
    ]
    learned = [value - 0.04 + 0.008 * e for e in range(1, n_epochs + 1)]
    return {
        "loss": [round(2.6 * (1 - a), 6) for a in learned],
        "accuracy": [round(a, 6) for a in learned],
        "val_loss": [round(2.9 * (1 - a), 6) for a in rises],
        "val_accuracy": [round(a, 6) for a in rises],
        "learning_rate": [0.001] * n_epochs,
        "seconds": [round(1.5 + 0.25 * (e % 3), 3) for e in range(n_epochs)],
    }


def _frozen(spec: StudySpec, number: int) -> FrozenTrial:
    state, value, n_epochs, best_epoch, changes = _TRIALS[number]
    hyperparameters = Hyperparameters.from_mapping({**_COMMON, **changes})
    curves = history(value, n_epochs, best_epoch)
    attributes: dict[str, Any] = {
        assignment.HYPERPARAMETERS: hyperparameters.as_dict(),
        assignment.SEED: 1000 + number,
        study_store.RUN_ID: f"{number:032x}",
    }
    if number < len(_REFERENCES):
        attributes |= {assignment.REFERENCE: _REFERENCES[number], assignment.REPEAT: 0}
    if number == _RETRIED_AS:
        attributes |= {assignment.RETRY_OF: INTERRUPTED, assignment.SEED: 1000 + INTERRUPTED}
    if state == "INTERRUPTED":
        attributes[study_store.INTERRUPTED] = True
    else:
        attributes[assignment.HISTORY] = curves
    if state == "FAIL":
        attributes[assignment.REASON] = REASON
    if state == "COMPLETE":
        attributes[assignment.N_PARAMETERS] = 10_000 + 1_234 * number
    fixed = optuna.trial.FixedTrial(space.params_of(spec.searched, hyperparameters))
    space.register(fixed, spec.searched, hyperparameters)
    frozen = optuna.trial.create_trial(
        state=TrialState.FAIL if state == "INTERRUPTED" else TrialState[state],
        value={"COMPLETE": value, "PRUNED": curves["val_accuracy"][-1]}.get(state),
        params=fixed.params,
        distributions=fixed.distributions,
        user_attrs=attributes,
        intermediate_values=dict(enumerate(curves["val_accuracy"], start=1)),
    )
    frozen.datetime_start = datetime(2026, 3, 2, 10) + timedelta(seconds=10 * number)
    frozen.datetime_complete = frozen.datetime_start + timedelta(seconds=1 + 1.5 * n_epochs)
    return frozen
