"""A replayed trial is held against the recorded one bit for bit."""

import json
import math
from dataclasses import replace

from pipeline.export.comparison import Difference, Replay, compare, text

RECORDED = {
    "loss": [0.5, 0.25],
    "val_loss": [0.75, 0.5],
    "learning_rate": [0.1, 0.1],
    "seconds": [1.0, 1.5],
}
SAME = Replay(
    trial=3,
    metrics=["loss", "val_loss", "learning_rate"],
    missing=[],
    n_epochs=2,
    n_replayed=2,
    ended="",
    differences=[],
    weights=None,
    versions={},
)


def test_what_is_the_same_has_no_difference_but_seconds() -> None:
    assert compare(RECORDED, {**RECORDED, "seconds": [7.0, 7.0], "val_new": [1.0, 1.0]}) == []


def test_the_last_bit_is_a_difference() -> None:
    last = math.nextafter(0.5, 1.0)
    found = compare(RECORDED, {**RECORDED, "val_loss": [0.75, last]})
    assert found == [Difference(2, "val_loss", 0.5, last)]
    assert found[0].size == last - 0.5 > 0.0
    assert compare({"a": [0.0]}, {"a": [-0.0]}) == [Difference(1, "a", 0.0, -0.0)]


def test_numbers_that_are_none_are_the_same_as_themselves_alone() -> None:
    assert compare({"a": [math.nan, math.inf]}, {"a": [math.nan, math.inf]}) == []
    (difference,) = compare({"a": [1.0]}, {"a": [math.nan]})
    assert difference.size == math.inf


def test_differences_come_by_epoch_and_the_largest_is_found() -> None:
    now = {"val_loss": [0.75, 2.5], "loss": [0.501, 0.24], "learning_rate": [0.1, 0.1]}
    found = compare(RECORDED, now)
    assert [(each.epoch, each.metric) for each in found] == [
        (1, "loss"), (2, "loss"), (2, "val_loss"),
    ]  # fmt: skip
    replayed = replace(SAME, differences=found)
    assert not replayed.is_same
    assert replayed.largest == found[2]
    assert replayed.as_dict()["first_difference"]["metric"] == "loss"
    assert replayed.as_dict()["largest_difference"]["replayed"] == 2.5


def test_only_epochs_that_both_have_are_compared() -> None:
    assert compare(RECORDED, {"loss": [0.5], "val_loss": [0.75, 0.5, 0.4]}) == []


def test_what_is_wanting_is_not_the_same() -> None:
    assert SAME.is_same
    assert replace(SAME, weights=True).is_same
    assert not replace(SAME, weights=False).is_same
    assert not replace(SAME, n_replayed=1).is_same
    assert not replace(SAME, missing=["val_mae"]).is_same
    assert replace(SAME, versions={"machine": ("a", "b")}).is_same, "a commit, say, is no matter"
    json.dumps(SAME.as_dict())


def test_it_is_said_in_lines_that_fit_a_terminal() -> None:
    assert text("quick", replace(SAME, weights=True)).splitlines() == [
        "study quick: trial 3 came out the same, bit for bit, in all of 2 epochs",
        "  compared: loss, val_loss and learning_rate",
        "  the weights of its best epoch are those of its stored model",
        "  machine, versions, commit and data are those of then",
    ]
    one = replace(SAME, n_epochs=1, n_replayed=1)
    assert "same, bit for bit, in its one epoch\n" in text("quick", one)


def test_a_difference_is_said_with_what_may_have_made_it() -> None:
    found = replace(
        SAME,
        n_replayed=1,
        ended="loss became nan in epoch 2",
        missing=["val_mae"],
        differences=[Difference(1, "loss", 0.5, 0.25)],
        weights=False,
        versions={"machine": ("a" * 40, "b" * 40), "version.numpy": ("1.0", "2.0")},
    )
    assert text("quick", found).splitlines() == [
        "study quick: trial 3 did not come out the same",
        "  compared: loss, val_loss and learning_rate",
        "  it ended after epoch 1 of 2 epochs: loss became nan in epoch 2",
        "  not measured any more: val_mae",
        "  it differs from epoch 1 of 2 on, first in loss",
        "  the largest difference is that of loss in epoch 1:",
        "    recorded 0.5, now 0.25 (-0.25)",
        "  the weights of its best epoch are other than those of its stored model",
        "  what is other than it was then:",
        f"    machine: {'a' * 40}, now",
        f"      {'b' * 40}",
        "    numpy: 1.0, now 2.0",
    ]
