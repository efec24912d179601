"""The prior: which networks are tried first, before anything is known of a data set."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scripted import make_spec

from pipeline.search.neighbours import at_random
from pipeline.search.prior import draw_likely, log_prior
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.rules import RULES

GOOD = Hyperparameters(
    hidden_layers=2, units=(128, 128), optimizer="adam", learning_rate=0.001, batch_size=64,
    epochs=20,
)  # fmt: skip


@pytest.mark.parametrize(
    "worse",
    [
        {"learning_rate": 0.1},
        {"learning_rate": 1e-5},
        {"optimizer": "sgd"},
        {"dropout": 0.7},
        {"weight_decay": 0.1},
        {"units": (8, 8)},
        {"hidden_layers": 0, "units": ()},
        {"activation": "sigmoid"},
    ],
    ids=str,
)
def test_what_speaks_against_a_network_makes_it_less_likely(worse: dict[str, Any]) -> None:
    assert log_prior(replace(GOOD, **worse), 128) < log_prior(GOOD, 128) - 0.4


def test_the_rate_of_sgd_is_that_which_its_momentum_makes_of_it() -> None:
    plain = replace(GOOD, optimizer="sgd", learning_rate=0.1)
    heavy = replace(plain, learning_rate=0.01, momentum=0.9)
    assert log_prior(plain, 128) == pytest.approx(log_prior(heavy, 128))
    assert log_prior(replace(plain, momentum=0.9), 128) < log_prior(plain, 128) - 1


def test_every_optimizer_has_a_usual_rate() -> None:
    for name in RULES["optimizer"].choices:
        assert np.isfinite(log_prior(replace(GOOD, optimizer=name), 128))


def test_likely_networks_are_drawn_of_the_space_and_are_mostly_likelier_than_others() -> None:
    space = {"learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True}}
    fixed = {"hidden_layers": 0, "units": 8, "optimizer": "adam", "batch_size": 64, "epochs": 3}
    searched, rng = make_spec(fixed=fixed, space=space).searched, np.random.default_rng(0)
    likely = [draw_likely(searched, 8, rng) for _ in range(60)]
    drawn = [at_random(searched, rng) for _ in range(60)]
    rates = np.log10([each.learning_rate for each in likely])
    assert all(1e-5 <= each.learning_rate <= 1.0 for each in likely)
    assert np.std(rates) < 0.6 * np.std(np.log10([each.learning_rate for each in drawn]))
    assert len(set(rates)) > 50, "they differ"
