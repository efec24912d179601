"""How a sentence counts and lists things."""

import pytest

from pipeline.wording import N_NAMED, count_noun, inflect, join_names


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 minutes"),
        (1, "1 minute"),
        (1.0, "1 minute"),
        (0.5, "0.5 minutes"),
        (1_000, "1,000 minutes"),
        (1_440.25, "1,440.25 minutes"),
        (12_345_678_901, "12,345,678,901 minutes"),
    ],
)
def test_things_are_counted(count: float, text: str) -> None:
    assert count_noun(count, "minute") == text


def test_a_word_may_have_a_plural_of_its_own() -> None:
    assert [inflect("is", n, "are") for n in (0, 1, 2)] == ["are", "is", "are"]
    assert inflect("run", 2) == "runs"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (list("abcdefgh"), "a, b, c, d, e, f, g and h"),
        (list("abcdefghi"), "a, b, c, d, e, f, g and 2 more"),
    ],
)
def test_names_are_joined_and_the_rest_is_counted(names: list[str], text: str) -> None:
    assert join_names(names) == text


def test_of_very_many_names_the_rest_is_a_count() -> None:
    assert join_names(["a"] * (N_NAMED + 1_000)).endswith(" and 1,001 more")
