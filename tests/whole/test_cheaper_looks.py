from collections.abc import Callable

import numpy as np
import pytest

from benchmarks import cheaper_looks, first_looks
from benchmarks.cheaper_looks import SHAPES, in_turns, speed_ups
from benchmarks.epochs import CONVOLUTIONAL
from benchmarks.first_looks import RUNG, Looked, correlation, kept_and_saved
from pipeline.report.document import Items, Paragraph, Table, as_markdown

N = 24


def _looked(early: Callable[[int], float]) -> list[Looked]:
    """Networks of which the later ones come to more, as the rung tells; `early` is a look's."""
    return [
        Looked(
            values={0.125: early(i), 2.0: i / N},
            seconds={0.125: 0.5, 2.0: 2.0},
            best=0.5 + i / N / 2,
        )
        for i in range(N)
    ]


def test_networks_side_by_side_are_held_against_as_many_one_by_one() -> None:
    found = speed_ups({1: [1.0, 2.0], 2: [2.0, 2.0], 4: [8.0, 4.0]})
    assert found == {2: [1.0, 2.0], 4: [0.5, 2.0]}


def test_turns_leave_out_the_first_round_and_run_all_in_each() -> None:
    ran: list[bool] = []
    times = in_turns({True: lambda: ran.append(True), False: lambda: ran.append(False)}, 3)
    assert ran == [True, False] * 4
    assert {name: len(seconds) for name, seconds in times.items()} == {True: 3, False: 3}


def test_a_look_that_ranks_networks_as_their_ends_do_loses_none_and_saves() -> None:
    found = _looked(lambda i: i / 100)
    assert correlation(found, 0.125) == pytest.approx(1)
    # half of the networks save 1.5 of 2 seconds
    assert kept_and_saved(found, 0.125) == (N // first_looks.BEST, 0.375)


def test_a_look_that_misleads_loses_the_best_though_the_rung_would_keep_them() -> None:
    found = _looked(lambda i: -i / 100)
    assert correlation(found, 0.125) == pytest.approx(-1)
    assert kept_and_saved(found, 0.125) == (0, 0.375)
    assert kept_and_saved(found, RUNG) == (N // first_looks.BEST, 0)


def test_what_looks_tell_is_also_said_of_the_better_half() -> None:
    *_, table = first_looks.about(_looked(lambda i: i if i < N // 2 else N - i / 2))
    assert isinstance(table, Table)
    look, rung = table.rows
    assert look == ["0.125", "0.25", "0.75", "-1.00", "3", "0", "38%"]
    assert rung == ["2", "1.00", "1.00", "1.00", "3", "1", "0%"]


def test_a_section_says_what_each_would_bring_to_a_search() -> None:
    together = {network: {1: [1.0], 2: [1.0], 4: [2.0], 8: [8.0]} for network in SHAPES}
    validated = {network: {True: [1.0], False: [0.9]} for network in (*SHAPES, *CONVOLUTIONAL)}
    found = cheaper_looks.section(together, validated, _looked(lambda i: i / 100))
    about, reasons, *_ = found.blocks
    assert isinstance(about, Paragraph)
    assert isinstance(reasons, Items)
    side_by_side, validation, look = reasons.texts
    assert "1.0 to 2.0 (two layers of 32)" in side_by_side
    # a tenth of an epoch, and three eighths of 2 * 155 of 1,041 epochs
    assert "saves 1.5% of it" in validation
    assert "11% of such a search" in look
    assert "1.25 times as fast" in about.text
    assert as_markdown(found.title, found.blocks).count("| 784-32-32-10 at 32 |") == 2


@pytest.mark.slow
def test_networks_side_by_side_learn_what_each_learns_alone() -> None:
    import keras
    import tensorflow as tf
    from few_images import few_images

    from benchmarks.side_by_side import SideBySide
    from pipeline.study.hyperparameters import Hyperparameters
    from pipeline.training import fitting
    from pipeline.training.model import build_model

    data, seed = few_images(n_train=256, n_validation=0), 3
    given = Hyperparameters(
        hidden_layers=2, units=(16, 8), optimizer="adam", learning_rate=0.01, batch_size=32,
        epochs=1,
    )  # fmt: skip
    keras.utils.set_random_seed(seed)
    models = [build_model(given, data.task) for _ in range(3)]
    together = SideBySide(models, data, batch_size=32, learning_rate=given.learning_rate)
    order = np.random.default_rng(seed).permutation(256).astype(np.int32)
    metrics = together.run_epoch(tf.constant(order)).numpy()
    for i, model in enumerate(models):
        (alone,) = fitting.fit(model, data, given, seed=seed)
        assert metrics[i] == pytest.approx([alone["loss"], alone["accuracy"]], rel=1e-4)
        for ours, theirs in zip(together.weights(i), model.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert len({tuple(each) for each in metrics.tolist()}) == 3
