"""What finals have shown: intervals that allow for seeds, examples and selection."""

import math
from typing import Any

import numpy as np
import pytest

from benchmarks import coverage
from pipeline.data import datasets
from pipeline.evaluation.covariances import covariances
from pipeline.evaluation.sentences import as_values, describe_verdict
from pipeline.evaluation.verdict import Examples, Finalist, Verdict, judge
from pipeline.task.task import Task

NONE = Examples(0.0, 0.0, {})


def finalists(values: dict[int, list[float]], **more: Any) -> list[Finalist]:
    return [Finalist(number, tuple(runs), **more) for number, runs in values.items()]


def judged(*args: Any, **kwargs: Any) -> Verdict:
    found = judge(*args, **kwargs)
    assert found
    return found


def test_many_runs_of_one_network_are_worth_their_mean() -> None:
    runs = list(np.random.default_rng(0).normal(0.9, 0.002, 400))
    found = judged(finalists({3: runs}), 3, "maximize", NONE).winner.value
    assert found.mean == pytest.approx(np.mean(runs), abs=2e-5)
    half = 1.96 * np.std(runs) / math.sqrt(400)
    assert found.interval.low == pytest.approx(np.mean(runs) - half, abs=4e-5)
    assert found.interval.high == pytest.approx(np.mean(runs) + half, abs=4e-5)


def test_a_lead_by_luck_is_drawn_back_and_one_by_far_is_not() -> None:
    level = {i: [0.9 + 0.001 * (-1) ** i, 0.9 - 0.001 * (-1) ** i] for i in range(6)}
    lucky = judged(finalists({**level, 9: [0.9015, 0.9005]}), 9, "maximize", NONE)
    assert 0.9 < lucky.winner.value.mean < 0.9009
    far = judged(finalists({**level, 9: [0.9415, 0.9405]}), 9, "maximize", NONE)
    assert far.winner.value.mean == pytest.approx(0.941, abs=0.0005)
    assert all(each.is_apart for each in far.standings[1:])
    assert len(lucky.alike) == 6


def test_who_measures_an_error_gets_the_same_verdict_upside_down() -> None:
    values = {1: [0.30, 0.32, 0.31], 2: [0.35, 0.36], 3: [0.31, 0.33]}
    down = judged(finalists(values), 1, "minimize", Examples(1e-5, 1e-6, {}))
    flipped = {number: [-v for v in runs] for number, runs in values.items()}
    up = judged(finalists(flipped), 1, "maximize", Examples(1e-5, 1e-6, {}))
    assert down.winner.value.mean == pytest.approx(-up.winner.value.mean)
    assert down.winner.value.interval.low == pytest.approx(-up.winner.value.interval.high)
    for one, other in zip(down.standings, up.standings, strict=True):
        assert one.finalist.number == other.finalist.number
        assert one.behind.mean == pytest.approx(other.behind.mean)


@pytest.mark.parametrize("own", [0.0, 1e-6, 4e-6])
def test_the_error_of_examples_widens_every_interval(own: float) -> None:
    values = {1: [0.901, 0.903, 0.902], 2: [0.899, 0.9, 0.898], 3: [0.9, 0.901, 0.9]}
    without = judged(finalists(values), 1, "maximize", NONE)
    found = judged(finalists(values), 1, "maximize", Examples(4e-6, own, {}))

    def width(of: Any) -> float:
        return float(of.interval.high - of.interval.low)

    assert width(found.winner.value) > width(without.winner.value) + 0.004
    gaps = width(found.standings[1].behind), width(without.standings[1].behind)
    assert gaps[0] > gaps[1] if own else gaps[0] == pytest.approx(gaps[1])
    assert found.smallest_of_examples == pytest.approx(2.801585 * math.sqrt(2 * own))


def test_first_runs_that_were_lucky_take_what_they_owe_to_the_examples() -> None:
    """Selected for luck with seeds and examples alike, and fresh seeds undo one of them."""

    def of(first: float) -> Verdict:
        found = [Finalist(i, (0.899 + 0.0005 * i, 0.901), first) for i in range(8)]
        return judged(found, 7, "maximize", Examples(0.0, 1e-6, {}))

    plain, lucky = of(0.9), of(0.904)
    assert plain.excess < 1e-3 < lucky.excess
    assert lucky.winner.value.mean < plain.winner.value.mean - 0.0002


def test_better_is_said_only_where_it_is_99_percent_sure() -> None:
    def against(reference: float) -> Verdict:
        runs = (reference, reference + 0.001, reference - 0.001)
        found = [
            *finalists({1: [0.9, 0.901, 0.902], 2: [0.9, 0.899, 0.9005]}),
            Finalist(5, runs, reference="book"),
        ]
        return judged(found, 1, "maximize", Examples(1e-6, 1e-7, {}))

    assert against(0.88).is_better is True
    assert against(0.9).is_better is None
    assert against(0.92).is_better is False
    assert against(0.88).reference is not None


def test_a_winner_that_is_a_reference_is_held_against_none() -> None:
    found = judged(
        [*finalists({1: [0.9, 0.901]}), Finalist(5, (0.95, 0.951), reference="book")],
        5, "maximize", NONE,
    )  # fmt: skip
    assert (found.reference, found.probability, found.is_better) == (None, None, None)


def test_the_smallest_network_within_one_standard_error() -> None:
    def of(size: int, value: float) -> Finalist:
        return Finalist(size, (value, value + 0.001, value - 0.001), n_parameters=size)

    networks = [of(1000, 0.9), of(300, 0.8999), of(200, 0.8998), of(20, 0.8)]
    found = judged(networks, 1000, "maximize", NONE)
    assert found.smallest
    assert found.smallest.finalist.number == 200
    assert judged(networks, 20, "maximize", NONE).smallest is None


def test_without_a_fresh_run_of_the_winner_there_is_no_verdict() -> None:
    assert judge(finalists({1: [], 2: [0.9]}), 1, "maximize", NONE) is None
    assert judge([], 1, "maximize", NONE) is None


@pytest.mark.parametrize(
    "values",
    [
        {1: [0.9]},
        {1: [0.9], 2: [0.8]},
        {1: [0.9, 0.9], 2: [0.9, 0.9]},
        {1: [0.0, 0.0], 2: [0.0]},
        {1: [1e9, 2e9], 2: [3e-9]},
    ],
)
def test_a_few_equal_or_far_values_are_judged_without_warning(
    values: dict[int, list[float]],
) -> None:
    found = judged(finalists(values), 1, "maximize", Examples.of_error(None))
    assert math.isfinite(found.winner.value.mean)
    assert found.winner.value.interval.low <= found.winner.value.interval.high
    assert math.isnan(found.smallest_of_examples)


def test_what_seeds_do_to_single_examples_is_no_error_of_examples() -> None:
    """Two networks that are right with the same probability everywhere differ by seeds alone."""
    random = np.random.default_rng(3)
    n = 4_000
    right = random.beta(4, 1, n)
    moved = {
        number: [((random.random(n) < right) - right.mean()) / n for _ in range(6)]
        for number in (1, 2)
    }
    found = covariances(moved)
    variance = np.var(right) / n
    assert found[1, 1] == pytest.approx(variance, rel=0.25)
    assert found[1, 2] == pytest.approx(variance, rel=0.25)
    single = covariances({number: runs[:1] for number, runs in moved.items()})
    assert single[1, 1] > 2 * variance, "of one run there is nothing better"


def test_covariances_are_split_into_what_is_shared_and_what_is_not() -> None:
    known = {(1, 1): 5.0, (1, 2): 3.0, (2, 2): 5.0, (1, 9): 2.0, (2, 9): 2.0, (9, 9): 6.0}
    found = Examples.of_covariances(known, [9])
    assert (found.common, found.own) == (3.0, 2.0)
    assert found.of_reference == {9: 5.0}  # 5 + 6 - 2 * 2 is the variance of the difference
    assert Examples.of_covariances({(1, 1): 5.0}, []).own == 5.0
    assert Examples.of_covariances({(1, 1): 1.0, (1, 2): 3.0, (2, 2): 1.0}, []).own == 0.0


@pytest.mark.parametrize("world", coverage.WORLDS, ids=lambda world: world.name)
def test_intervals_keep_their_word_in_simulated_studies(world: coverage.World) -> None:
    """Fewer studies than the benchmark, and wider bounds: what is wrong altogether is seen."""
    found = coverage.simulate(world, 25)
    assert found.value_covered >= 0.8
    assert found.lead_covered >= 0.75 or found.n_leads < 15
    assert abs(found.bias) < 0.002
    assert found.falsely_better <= 0.08


def sentences(verdict: Verdict, task: Task) -> str:
    return " ".join(describe_verdict(verdict, task, "val_accuracy"))


def test_the_verdict_is_said_in_sentences_and_as_values() -> None:
    task = datasets.task_of("fashion_mnist")
    found = judged(
        [
            Finalist(4, (0.9, 0.901, 0.902), 0.905, 9_000),
            Finalist(7, (0.9, 0.9005), 0.904, 500),
            Finalist(1, (0.88, 0.8805, 0.881), None, 700, "the book's"),
        ],
        4, "maximize", Examples(6e-6, 1e-7, {}),
    )  # fmt: skip
    said = sentences(found, task)
    assert "The winner is the network of trial 4" in said
    assert 'It is better than the best reference, "the book\'s": by +0.0' in said
    assert "Of the 2 other finalists 1 cannot be told from it: trial 7." in said
    assert "trial 7, with 500 parameters instead of 9,000" in said
    assert "no number of seeds could have shown one below 0.0013" in said
    values = as_values(found)
    assert values["cannot_be_told_apart"] == [7]
    assert values["reference"]["is_better"] is True
    assert values["smallest_within_one_standard_error"] == 7


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (0.9, "It cannot be told from the other finalist, trial 2."),
        (0.5, "It can be told from the other finalist, trial 2, at 95 % confidence."),
    ],
)
def test_of_two_finalists_there_is_one_other(other: float, said: str) -> None:
    task = datasets.task_of("fashion_mnist")
    runs = {1: [0.901, 0.903, 0.902], 2: [other, other + 0.001, other - 0.001]}
    found = judged(finalists(runs), 1, "maximize", Examples(1e-6, 1e-6, {}))
    assert said in sentences(found, task)
