"""Which level a trial goes on from, as so many have come to each."""

from collections.abc import Mapping

from pipeline.search import promotion
from pipeline.search.policy import Seen, Stage
from pipeline.study.hyperparameters import Hyperparameters

RUNGS = promotion.rungs(50)
NETWORK = Hyperparameters(
    hidden_layers=0, units=(), batch_size=64, epochs=50, optimizer="adam", learning_rate=0.001
)


def trials(*stages: tuple[Stage, int]) -> Mapping[int, Seen]:
    return {i: Seen(NETWORK, [0.5] * n, [1.0] * n, stage) for i, (stage, n) in enumerate(stages)}


def test_rungs_lie_below_the_last_epoch() -> None:
    assert RUNGS == (1, 3, 9, 27)
    assert promotion.rungs(27) == (1, 3, 9)
    assert promotion.rungs(1) == ()
    assert [promotion.level(n, RUNGS) for n in (0, 1, 2, 3, 26, 27, 50)] == [0, 1, 1, 2, 3, 4, 4]


def test_one_of_three_goes_on_and_no_second_one_before_there_are_six() -> None:
    paused = [(Stage.PAUSED, 1)] * 3
    assert promotion.due(trials(*paused[:2]), None, RUNGS) is None
    assert promotion.due(trials(*paused), None, RUNGS) == 1
    for other in ((Stage.RUNNING, 1), (Stage.PAUSED, 3), (Stage.ENDED, 50), (Stage.ENDED, 12)):
        assert promotion.due(trials(*paused, other), None, RUNGS) is None, "one is further"
        assert promotion.due(trials(*paused * 2, other), None, RUNGS) == 1


def test_the_highest_comes_first() -> None:
    paused = [(Stage.PAUSED, 1)] * 12 + [(Stage.PAUSED, 3)] * 3
    assert promotion.due(trials(*paused), None, RUNGS) == 2


def test_a_running_trial_that_asks_is_one_of_those_that_wait() -> None:
    asks = trials((Stage.PAUSED, 1), (Stage.PAUSED, 1), (Stage.RUNNING, 1))
    assert promotion.due(asks, 2, RUNGS) == 1
    assert promotion.due(asks, None, RUNGS) is None


def test_what_is_audited_takes_nobodys_place() -> None:
    paused = [(Stage.PAUSED, 1)] * 3
    for stage in (Stage.RUNNING, Stage.ENDED):
        audited = Seen(NETWORK, [0.5] * 20, [1.0] * 20, stage, audited_after=1)
        assert promotion.due({**trials(*paused), 3: audited}, None, RUNGS) == 1
        assert promotion.due({**trials(*paused[:2]), 3: audited}, None, RUNGS) == 1, "it came to 1"
        assert promotion.due({**trials(*paused[:1]), 3: audited}, None, RUNGS) is None


def test_what_has_no_epoch_counts_for_nothing() -> None:
    assert promotion.due(trials(*[(Stage.ENDED, 0)] * 9), None, RUNGS) is None
