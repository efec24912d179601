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
    assert RUNGS == (2, 6, 18)
    assert promotion.rungs(18) == (2, 6)
    assert promotion.rungs(2) == ()
    assert [promotion.level(n, RUNGS) for n in (0, 1, 2, 5, 6, 18, 50)] == [0, 0, 1, 1, 2, 3, 3]


def test_the_first_one_goes_on_at_once_and_no_second_one_before_there_are_four() -> None:
    paused = [(Stage.PAUSED, 2)] * 3
    assert promotion.due(trials(*paused[:1]), None, RUNGS, 0.0) == 1
    for other in ((Stage.RUNNING, 2), (Stage.ENDED, 50), (Stage.ENDED, 7)):
        assert promotion.due(trials(*paused[:2], other), None, RUNGS, 0.0) is None, (
            "one is further"
        )
        assert promotion.due(trials(*paused, other), None, RUNGS, 0.0) == 1


def test_the_highest_comes_first() -> None:
    paused = [(Stage.PAUSED, 2)] * 12 + [(Stage.PAUSED, 6)]
    assert promotion.due(trials(*paused), None, RUNGS, 0.0) == 2


def test_a_running_trial_that_asks_is_one_of_those_that_wait() -> None:
    asks = trials((Stage.PAUSED, 2), (Stage.ENDED, 50), (Stage.ENDED, 2), (Stage.RUNNING, 2))
    assert promotion.due(asks, 3, RUNGS, 0.0) == 1
    assert promotion.due(asks, None, RUNGS, 0.0) is None, "it is on its way"


def test_a_trial_that_stopped_itself_takes_nobodys_place_further_up() -> None:
    stopped = [(Stage.ENDED, 3)] * 9
    assert promotion.due(trials(*stopped, (Stage.PAUSED, 6)), None, RUNGS, 0.0) == 2
    assert promotion.due(trials(*[(Stage.ENDED, 50)], (Stage.PAUSED, 6)), None, RUNGS, 0.0) is None


def test_what_is_audited_takes_nobodys_place() -> None:
    paused = [(Stage.PAUSED, 2)]
    for stage in (Stage.RUNNING, Stage.ENDED):
        audited = Seen(NETWORK, [0.5] * 20, [1.0] * 20, stage, audited_after=2)
        assert promotion.due({**trials(*paused), 3: audited}, None, RUNGS, 0.0) == 1
        assert promotion.due({3: audited}, None, RUNGS, 0.0) is None, "it goes on anyway"


def test_what_has_no_epoch_counts_for_nothing() -> None:
    assert promotion.due(trials(*[(Stage.ENDED, 0)] * 9), None, RUNGS, 0.0) is None


def test_the_more_of_the_budget_is_used_the_more_go_on() -> None:
    six = trials(*[(Stage.PAUSED, 2)] * 3, *[(Stage.ENDED, 50)] * 3)
    found = [promotion.due(six, None, RUNGS, share) for share in (0.0, 0.5, 1.0)]
    assert found == [None, None, 1], "three of six went on"
