"""How often finals train which number of networks, and what a budget affords."""

import pytest

from pipeline.study.halving import Round, affordable, rounds


def test_ten_networks_are_halved_twice() -> None:
    assert rounds(10, 5) == (Round(10, 1), Round(5, 2), Round(2, 4))


@pytest.mark.parametrize("n_networks", [1, 2, 3, 7, 10, 64])
@pytest.mark.parametrize("seeds", [2, 3, 5, 30])
def test_fewer_networks_are_trained_more_often(n_networks: int, seeds: int) -> None:
    found = rounds(n_networks, seeds)
    assert found[0].n_networks == n_networks
    assert found[-1].n_fresh == seeds - 1
    sizes, n_fresh = [r.n_networks for r in found], [r.n_fresh for r in found]
    assert sizes == sorted(sizes, reverse=True)
    assert n_fresh == sorted(set(n_fresh)), "each round adds something"


def cost(planned: tuple[Round, ...]) -> int:
    before, n_runs = 0, 0
    for each in planned:
        n_runs += each.n_networks * (each.n_fresh - before)
        before = each.n_fresh
    return n_runs


@pytest.mark.parametrize("n_runs", range(40))
def test_what_is_affordable_is_paid_for(n_runs: int) -> None:
    planned = affordable([0] * 10, 5, n_runs)
    assert cost(planned) <= n_runs
    assert bool(planned) == (n_runs >= 1)
    with_reference = affordable([0] * 10, 5, n_runs, beside=0)
    assert bool(with_reference) == (n_runs >= 2)
    if with_reference:
        assert cost(with_reference) + with_reference[-1].n_fresh <= n_runs


def test_more_runs_are_made_use_of() -> None:
    costs = [cost(affordable([0] * 10, 5, n)) for n in range(40)]
    assert costs == sorted(costs)
    assert costs[-1] == cost(rounds(10, 5))
    assert all(n - spent <= 3 for n, spent in enumerate(costs[:20]))


def test_without_a_limit_all_is_trained() -> None:
    assert affordable([0] * 10, 5, None) == rounds(10, 5)


def test_what_was_trained_before_is_not_paid_again() -> None:
    assert affordable([4, 4] + [1] * 8, 5, 3) == rounds(10, 5)
    assert affordable([0] * 10, 5, 3) != rounds(10, 5)
    assert affordable([4] * 10, 5, 0, beside=4) == rounds(10, 5)
    assert affordable([4] * 10, 5, 0, beside=3)[-1].n_fresh == 3, "which costs nothing"
    assert affordable([0] * 10, 5, 0, beside=0) == ()
