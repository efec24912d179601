"""What is in the traces of a report's figures, and that their axes can be read."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import pytest
import recorded

from pipeline.paths import Project
from pipeline.report import figures
from pipeline.storage.study_store import read_trials
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.ranges import Choices, Entry, FloatRange, IntRange
from pipeline.study.trial import State, Trial, ranking, select_counted
from pipeline.task.task import CLASSIFICATION, Metric

ACCURACY, LOSS = CLASSIFICATION
SPACE: Mapping[str, Entry] = {
    "hidden_layers": IntRange(type="int", low=0, high=3),
    "units": IntRange(type="int", low=32, high=512, log=True, per="hidden_layers"),
    "optimizer": Choices(type="categorical", choices=("sgd", "adam")),
    "momentum": FloatRange(type="float", low=0, high=0.9, when={"optimizer": ("sgd",)}),
    "learning_rate": FloatRange(type="float", low=1e-4, high=1e-1, log=True),
    "batch_size": Choices(type="categorical", choices=(32, 64, 256)),
}


def trial(number: int, value: float | None, state: str = "COMPLETE", **changes: Any) -> Trial:
    known: dict[str, Any] = {
        "hidden_layers": 1,
        "units": 100,
        "optimizer": "adam",
        "learning_rate": 0.01,
        "batch_size": 64,
        "epochs": 4,
    }
    return Trial(
        number=number,
        state=State(state),
        value=value,
        best_epoch=3,
        hyperparameters=Hyperparameters.from_mapping(known | changes),
        seed=1,
        history=recorded.history(value or 0.5, 4, 3),
    )


def test_history_has_every_trial_by_state_and_the_best_so_far() -> None:
    known = [
        trial(0, 0.80),
        trial(1, 0.70, "PRUNED"),
        trial(2, None, "FAIL"),
        trial(5, 0.85),
    ]
    pruned, complete, best = figures.history(known, [0.8, 0.8, 0.8, 0.85], ACCURACY).data
    assert (pruned.name, list(pruned.x), list(pruned.y)) == ("pruned", [1], [0.70])
    assert (complete.name, list(complete.x), list(complete.y)) == ("complete", [0, 5], [0.8, 0.85])
    assert (best.name, list(best.x), list(best.y)) == (
        "best so far",
        [0, 1, 2, 5],
        [0.8, 0.8, 0.8, 0.85],
    )
    assert list(complete.customdata) == [0, 5]
    assert pruned.marker.color != complete.marker.color


@pytest.mark.parametrize(
    ("metric", "hopeless", "good"),
    [(ACCURACY, 0.1, [0.87, 0.88, 0.9]), (LOSS, 9.0, [0.3, 0.31, 0.35])],
)
def test_hopeless_trials_do_not_flatten_the_others(
    metric: Metric, hopeless: float, good: list[float]
) -> None:
    known = [trial(i, value) for i, value in enumerate([hopeless, *good])]
    low, high = figures.history(known, good, metric).layout.yaxis.range
    assert low < min(good) < max(good) < high
    assert not low < hopeless < high


def test_history_of_a_single_trial_has_some_height() -> None:
    low, high = figures.history([trial(0, 0.9)], [0.9], ACCURACY).layout.yaxis.range
    assert low < 0.9 < high


@pytest.mark.parametrize("kind", ["loss", "accuracy"])
def test_curves_are_both_histories_over_epochs_and_the_epoch_kept(kind: str) -> None:
    one = trial(3, 0.9)
    figure = figures.curves(one, kind)
    training, validation = figure.data
    assert (training.name, validation.name) == ("training", "validation")
    assert list(training.x) == list(validation.x) == [1, 2, 3, 4]
    assert list(training.y) == one.history[kind]
    assert list(validation.y) == one.history[f"val_{kind}"]
    (line,) = figure.layout.shapes
    assert line.x0 == line.x1 == 3
    assert figure.layout.xaxis.dtick == 1
    assert figure.layout.yaxis.title.text == kind


def test_bands_are_of_the_runs_that_came_so_far() -> None:
    """Early stopping ends one run after two epochs, another goes on to the fourth."""
    short, long = (
        dataclasses.replace(trial(i, value), history=recorded.history(value, n_epochs, 1))
        for i, (value, n_epochs) in enumerate([(0.9, 2), (0.8, 4)])
    )
    found = figures.bands([short, long], ["loss", "accuracy"])
    assert list(found) == ["loss", "accuracy"]
    traces = [trace for figure in found.values() for trace in figure.data]
    assert len(traces) == 8
    for i, name in enumerate(["loss", "val_loss", "accuracy", "val_accuracy"]):
        band, mean = traces[2 * i : 2 * i + 2]
        a, b = short.history[name], long.history[name]
        assert list(mean.x) == [1, 2, 3, 4]
        assert list(mean.y) == pytest.approx([(a[0] + b[0]) / 2, (a[1] + b[1]) / 2, b[2], b[3]])
        assert list(band.x) == [1, 2, 3, 4, 4, 3, 2, 1]
        assert list(band.y) == [
            max(a[0], b[0]), max(a[1], b[1]), b[2], b[3],
            b[3], b[2], min(a[1], b[1]), min(a[0], b[0]),
        ]  # fmt: skip
        assert mean.name == ("validation" if name.startswith("val_") else "training")
        assert mean.line.color == band.fillcolor[:7] == figures.LINES[mean.name]
    for figure in found.values():
        assert sum(each.showlegend is not False for each in figure.data) == 2, "one a colour"
        assert figure.layout.xaxis.dtick == 1


def test_of_many_trials_the_best_and_a_sample_of_the_others_are_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = [trial(i, 0.5 + (i * 37 % 100) / 1000) for i in range(100)]
    ranked = ranking(known, "maximize")
    assert figures.thin_out(known, ranked) == known
    monkeypatch.setattr(figures, "N_SHOWN", 20)
    numbers = [each.number for each in figures.thin_out(known, ranked)]
    assert len(numbers) == 20
    assert numbers == sorted(numbers)
    assert {each.number for each in ranked[:10]} <= set(numbers)
    assert min(numbers) < 10, "of every part of the search"
    assert max(numbers) >= 90
    few_complete = figures.thin_out(known, ranked[:3])
    assert {each.number for each in ranked[:3]} <= {each.number for each in few_complete}
    assert 15 <= len(few_complete) <= 20


def test_importance_has_the_largest_on_top() -> None:
    (bars,) = figures.importance({"learning_rate": 0.7, "units_1": 0.2, "dropout": 0.1}).data
    assert list(bars.y) == ["dropout", "units_1", "learning_rate"]
    assert list(bars.x) == [0.1, 0.2, 0.7]


def panels(known: list[Trial], space: Mapping[str, Entry] = SPACE) -> dict[str, tuple[Any, Any]]:
    """Trace and x axis of each panel by its name."""
    found = figures.slices(known, space, ACCURACY)
    assert [figure.layout.xaxis.title.text for figure in found.values()] == list(found)
    return {name: (figure.data[0], figure.layout.xaxis) for name, figure in found.items()}


KNOWN = [
    trial(0, 0.80, hidden_layers=0, units=[], optimizer="sgd", momentum=0.3),
    trial(1, 0.85, "PRUNED", hidden_layers=2, units=[64, 300], learning_rate=0.0002),
    trial(2, None, "FAIL"),
    trial(3, 0.90, batch_size=256),
]


def test_slices_have_a_panel_for_each_searched_hyperparameter() -> None:
    found = panels(KNOWN)
    assert list(found) == list(SPACE)
    trace, _ = found["batch_size"]
    assert list(trace.x) == ["64", "64", "256"]
    assert list(trace.y) == [0.80, 0.85, 0.90]
    assert list(trace.customdata) == [0, 1, 3]
    assert trace.marker.color[0] == trace.marker.color[2] == figures.COLOURS[State.COMPLETE]
    assert trace.marker.color[1] == figures.COLOURS[State.PRUNED]


def test_a_slice_of_units_shows_the_widest_layer_of_networks_that_have_any() -> None:
    trace, _ = panels(KNOWN)["units"]
    assert list(trace.x) == [300, 100]
    assert list(trace.y) == [0.85, 0.90]


def test_a_slice_leaves_out_trials_for_which_the_hyperparameter_was_not_drawn() -> None:
    trace, _ = panels(KNOWN)["momentum"]
    assert list(trace.x) == [0.3]


def test_axes_of_slices_are_those_of_the_space() -> None:
    found = {name: axis for name, (_, axis) in panels(KNOWN).items()}
    assert {name for name, axis in found.items() if axis.type == "log"} == {
        "units",
        "learning_rate",
    }
    assert {name for name, axis in found.items() if axis.type == "category"} == {
        "optimizer",
        "batch_size",
    }
    assert found["hidden_layers"].dtick == 1
    assert list(found["batch_size"].categoryarray) == ["32", "64", "256"]


@pytest.mark.parametrize("name", ["learning_rate", "momentum", "hidden_layers"])
def test_a_reference_beyond_the_space_is_in_sight(name: str) -> None:
    beyond = trial(
        4, 0.9, hidden_layers=5, units=[700] * 5, learning_rate=0.5, optimizer="sgd",
        momentum=0.95, batch_size=512,
    )  # fmt: skip
    trace, axis = panels([*KNOWN, beyond])[name]
    low, high = (10**end if axis.type == "log" else end for end in axis.range)
    assert all(low < x < high for x in trace.x)
    assert low < min(SPACE[name].low, *trace.x)  # type: ignore[union-attr]


def test_a_logarithmic_panel_leaves_out_what_has_no_logarithm() -> None:
    space: dict[str, Entry] = {
        "hidden_layers": IntRange(type="int", low=1, high=4, log=True),
        "dropout": FloatRange(type="float", low=0.05, high=0.5, log=True),
        "momentum": FloatRange(type="float", low=0.1, high=0.9, log=True),
        "units": SPACE["units"],
    }
    without = trial(4, 0.9, hidden_layers=0, units=[], momentum=0.5)
    known = [trial(3, 0.8, dropout=0.2, momentum=0.2), without, trial(5, None), trial(6, 0.7)]
    found = panels(known, space)
    assert {name: list(trace.x) for name, (trace, _) in found.items()} == {
        "hidden_layers": [1, 1], "dropout": [0.2], "momentum": [0.2, 0.5], "units": [100, 100],
    }  # fmt: skip
    assert all(math.isfinite(end) for _, axis in found.values() for end in axis.range)
    counts = {"hidden_layers": 1, "dropout": 2, "momentum": 1}
    assert figures.off_scale(known, space) == counts
    assert figures.off_scale(known, SPACE) == {}


def test_a_reference_with_another_choice_has_its_place() -> None:
    trace, axis = panels([*KNOWN, trial(4, 0.9, batch_size=512)])["batch_size"]
    assert list(axis.categoryarray) == ["32", "64", "256", "512"]
    assert list(axis.range) == [-0.5, 3.5]
    assert set(trace.x) <= set(axis.categoryarray)


@pytest.mark.parametrize(
    ("low", "high"), [(1e-4, 1e-1), (3e-4, 1e-2), (32, 512), (32, 256), (1e-9, 1), (1, 2)]
)
def test_log_ticks_are_few_round_and_within_the_range(low: float, high: float) -> None:
    ticks = figures.log_ticks(low, high)
    assert 2 <= len(ticks) <= 4
    assert all(low * 0.999 <= tick <= high * 1.001 for tick in ticks)
    assert {f"{tick:e}"[0] for tick in ticks} <= {"1", "2", "3", "5"}
    assert ticks == sorted(ticks)


def test_a_range_without_a_round_number_is_marked_at_its_ends() -> None:
    assert figures.log_ticks(33, 45) == [33, 45]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 11])
def test_slices_of_any_number_of_hyperparameters_can_be_drawn(n: int) -> None:
    names = ["dropout", *SPACE, "epochs", "activation", "nesterov", "layer_kind"]
    space = {
        name: SPACE.get(name, Choices(type="categorical", choices=(0.0, 4, "relu", True, "dense")))
        for name in names[:n]
    }
    found = figures.slices(KNOWN, space, ACCURACY)
    assert list(found) == list(space)
    for figure in found.values():
        assert all(math.isfinite(end) for end in figure.layout.yaxis.range)


def test_the_recorded_study_is_drawn_whole(recorded_study: Project) -> None:
    stored = recorded.open_stored(recorded_study)
    study, spec = stored.study, stored.spec
    known = select_counted(read_trials(study))
    line = [0.9] * len(known)
    failed, pruned, complete, best = figures.history(known, line, spec.objective).data
    assert len(failed.x) == recorded.N_FAILED, "which had an epoch, in a store of an older version"
    assert len(pruned.x) == recorded.N_PRUNED
    assert len(complete.x) == recorded.N_COMPLETE
    assert len(best.x) == recorded.N_COUNTED
    found = panels(known, spec.space)
    assert list(found) == list(spec.space)
    assert len(found["learning_rate"][0].x) == recorded.N_COUNTED
