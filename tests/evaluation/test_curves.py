"""At which epoch a network is best, by several of its runs."""

from dataclasses import replace

import pytest

from benchmarks.coverage import NETWORK
from pipeline.evaluation.curves import best_common_epoch, value_without_luck
from pipeline.study.trial import State, Trial


def run(*curve: float) -> Trial:
    value = max(curve) if curve else 0.5
    return Trial(1, State.COMPLETE, value, 1, NETWORK, 1, history={"val_accuracy": curve})


def test_the_mean_decides_and_a_short_run_counts_on() -> None:
    assert best_common_epoch([[1, 3, 2], [3, 2, 2]], "maximize") == 2
    assert best_common_epoch([[1, 3, 2], [3, 2, 2]], "minimize") == 1
    assert best_common_epoch([[1, 2, 3, 4], [9]], "maximize") == 4
    assert best_common_epoch([[], [1, 2]], "maximize") == 2


@pytest.mark.parametrize(
    ("own", "others", "value"),
    [
        (run(0.1, 0.9, 0.2), [run(0.1, 0.2, 0.3)], 0.2),
        (run(0.1, 0.9), [run(0.1, 0.2, 0.3)], 0.9),
        (run(0.1, 0.9, 0.2), [], 0.9),
        (run(), [run(0.1, 0.2)], 0.5),
        (run(0.1, 0.9), [replace(run(), history={})], 0.9),
    ],
)
def test_others_choose_the_epoch_of_a_run(own: Trial, others: list[Trial], value: float) -> None:
    assert value_without_luck(own, others, "val_accuracy", "maximize") == value


def test_what_is_chosen_so_is_not_lucky() -> None:
    """Of curves of pure noise the best epoch is too good, the one that others chose is not."""
    import numpy as np

    random = np.random.default_rng(0)
    own, without = [], []
    for _ in range(200):
        runs = [run(*map(float, random.normal(0.5, 0.01, 8))) for _ in range(4)]
        own.append(runs[0].value)
        without.append(value_without_luck(runs[0], runs[1:], "val_accuracy", "maximize"))
    assert np.mean([each for each in own if each]) > 0.512
    assert np.mean(without) == pytest.approx(0.5, abs=0.003)
