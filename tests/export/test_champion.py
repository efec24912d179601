"""For how many epochs a champion's network is trained again."""

from typing import Any

import pytest
import recorded

from pipeline.export.champion import epochs_of_refit
from pipeline.paths import Project
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.spec import StudySpec
from pipeline.study.trial import State, Trial, best_epoch

NETWORK = Hyperparameters(1, (4,), "adam", 0.001, 32, 4)


@pytest.fixture
def spec(recorded_study: Project) -> StudySpec:
    return recorded.open_stored(recorded_study).spec


def trial(values: list[float], metric: str = "val_accuracy", direction: str = "maximize") -> Trial:
    epoch = best_epoch(values, direction)
    history: dict[str, Any] = {metric: values}
    return Trial(0, State.COMPLETE, values[epoch - 1], epoch, NETWORK, 1, history)


def test_a_single_run_for_its_best_epoch(spec: StudySpec) -> None:
    assert epochs_of_refit(spec, [trial([0.1, 0.3, 0.3, 0.2])]) == 2


def test_several_runs_where_their_mean_is_best_and_not_where_most_of_them_are(
    spec: StudySpec,
) -> None:
    runs = [
        trial([0.5, 0.80, 0.79, 0.79]),
        trial([0.5, 0.80, 0.79, 0.79]),
        trial([0.5, 0.70, 0.79, 0.79]),
    ]
    assert [run.best_epoch for run in runs] == [2, 2, 3]
    assert epochs_of_refit(spec, runs) == 3


def test_a_run_that_ended_earlier_counts_on_with_its_last_value(spec: StudySpec) -> None:
    assert epochs_of_refit(spec, [trial([0.6, 0.7]), trial([0.5, 0.6, 0.7, 0.65])]) == 3
    assert epochs_of_refit(spec, [trial([0.9, 0.1]), trial([0.5, 0.6, 0.7, 0.65])]) == 1


def test_a_loss_where_its_mean_is_least(spec: StudySpec) -> None:
    of_loss = spec.model_copy(update={"metric": "val_loss"})
    runs = [trial([0.5, 0.4, 0.3, 0.6], "val_loss", "minimize"), trial([0.4], "val_loss")]
    assert epochs_of_refit(of_loss, runs) == 3
