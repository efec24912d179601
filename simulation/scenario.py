"""What is simulated: a small study, whose learning curves follow from network and seed alone."""

import functools
import math
import random
from dataclasses import dataclass
from typing import Any

from pipeline.execution.replay import Curves
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.load import parse
from pipeline.study.spec import StudySpec

NAME = "simulated"
EPOCHS, EPOCH_SECONDS = 4, 2.0
N_MODELS = 2  # of how many trials models are kept, as in studies of other versions
BY_HAND = "by_hand"  # user attribute of a trial that somebody enqueues: whether it can be trained
GIVEN = {"units": 9, "learning_rate": 0.0123}  # with which it is
ONE_FAILS_OF = 12  # networks: of them every other one diverges at once, the rest break off later


@dataclass(frozen=True)
class Scenario:
    """A study, and what it is searched with.

    Attributes:
        seed: of the study.
        n_trials: that the budget suffices for, but for the time where that is less.
        n_workers: trained at a time.
        pauses: whether trials are paused and promoted.
        prunes: whether a pruner ends trials.
        has_reference: whether there is one, twice.
        audits: whether half of what would be paused or pruned is trained to its end.
        has_finals: whether a third of the trials are finals.
        is_timed: whether there is a budget of time.
    """

    seed: int
    n_trials: int = 5
    n_workers: int = 1
    pauses: bool = False
    audits: bool = False
    prunes: bool = False
    has_reference: bool = False
    has_finals: bool = False
    is_timed: bool = False

    @functools.cached_property
    def spec(self) -> StudySpec:
        """The study file."""
        return _spec(self)


@functools.lru_cache(4096)
def _spec(scenario: Scenario) -> StudySpec:
    budget: dict[str, Any] = {"trials": scenario.n_trials}
    if scenario.is_timed:
        budget["minutes"] = scenario.n_trials * EPOCHS * EPOCH_SECONDS / 60 / scenario.n_workers
    content: dict[str, Any] = {
        "goal": "Survive.",
        "dataset": "fashion_mnist",
        "budget": budget,
        "training": {"patience": 3, "trial_minutes": 5, "retries": 1000},
        "sampler": {"type": "RandomSampler", "seed": scenario.seed},
        "pruner": {"type": "NopPruner"},
        "audit": 0.5 if scenario.audits else 0.0,
        "fixed": {"batch_size": 32, "epochs": EPOCHS, "optimizer": "adam", "hidden_layers": 1},
        "space": {
            "units": {"type": "int", "low": 8, "high": 64},
            "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
        },
    }
    if scenario.pauses:
        content["sampler"] = {"type": "FreezeThawSampler", "seed": scenario.seed}
        content["sampler"]["n_startup_trials"] = 3
    elif scenario.prunes:
        content["pruner"] = {
            "type": "SuccessiveHalvingPruner", "min_resource": 1, "reduction_factor": 2
        }  # fmt: skip
    if scenario.has_finals:
        content["finals"] = {"share": 0.4, "networks": 2, "seeds": 2}
    if scenario.has_reference:
        hyperparameters = {
            "hidden_layers": 1, "units": 100, "optimizer": "adam", "learning_rate": 0.001,
            "batch_size": 32, "epochs": 3,
        }  # fmt: skip
        content["reference"] = [
            {"name": "known", "repeats": 2, "hyperparameters": hyperparameters}
        ]
    return parse(NAME, content)


def curves(given: Hyperparameters, seed: int) -> Curves:
    """Invents how a training goes, always the same for a network and a seed."""
    drawn = random.Random(f"{given} {seed}")
    values, value = [], drawn.uniform(0.3, 0.8)
    for _ in range(EPOCHS):
        values.append(value)
        value = min(value + drawn.uniform(-0.05, 0.1), 0.99)
    fate = drawn.randrange(2 * ONE_FAILS_OF)
    seconds = [EPOCH_SECONDS] * EPOCHS
    if fate == 0:
        return Curves({"val_accuracy": [math.nan]}, seconds[:1])
    if fate == 1:
        failed = "it broke off"
        return Curves({"val_accuracy": values[:2]}, seconds[:2], failed=failed, n_parameters=7)
    return Curves({"val_accuracy": values}, seconds, n_parameters=7)
