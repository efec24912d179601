"""What --dry-run shows: rungs as Optuna's pruners have them, sizes as Keras counts them."""

import contextlib
import math
import shutil
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest

from pipeline.data import fashion_mnist
from pipeline.errors import UsageError
from pipeline.paths import Project
from pipeline.search import dry_run, samplers
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.load import load, parse
from pipeline.study.network_input import layer_parameters
from pipeline.study.spec import StudySpec

ROOT = Path(__file__).parents[2]
STUDIES = sorted(file.stem for file in (ROOT / "studies").glob("*.toml"))
OF_A_FILE = ("diamonds",)  # that no repository has: it is written into data/


def spec(**changes: Any) -> StudySpec:
    known: dict[str, Any] = {
        "goal": "Look at a preview.",
        "dataset": "fashion_mnist",
        "budget": {"trials": 10},
        "fixed": {"units": 32, "optimizer": "adam", "learning_rate": 0.01, "batch_size": 32},
        "space": {
            "hidden_layers": {"type": "int", "low": 0, "high": 2},
            "epochs": {"type": "int", "low": 5, "high": 20},
        },
    }
    return parse("small", {**known, **changes})


def rungs(**pruner: Any) -> str:
    return dry_run.rungs(spec(pruner=pruner))


def looks_of_optuna(pruner: optuna.pruners.BasePruner, n_epochs: int, before: float) -> list[int]:
    """Epochs in which the pruner stops a bad trial that had `before` until then."""
    own = optuna.create_study(direction="maximize", pruner=pruner)
    for _ in range(8):
        good = own.ask()
        for epoch in range(1, n_epochs + 1):
            good.report(0.9, epoch)
            good.should_prune()
        own.tell(good, 0.9)
    found = []
    for last in range(1, n_epochs + 1):
        trial = own.ask()
        for epoch in range(1, last):
            trial.report(before, epoch)
            trial.should_prune()
        trial.report(0.1, last)
        if trial.should_prune():
            found.append(last)
    return found


# Rungs


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"min_resource": 2, "reduction_factor": 3}, "2, 6, 18: the best 1/3 go on"),
        ({"min_resource": 1}, "1, 4, 16: the best 1/4 go on"),
        (
            {"min_resource": 1, "reduction_factor": 2, "min_early_stopping_rate": 2},
            "4, 8, 16: the best 1/2 go on",
        ),
        ({"min_resource": 20, "reduction_factor": 2}, "20: the best 1/2 go on"),
    ],
)
def test_rungs_of_successive_halving(arguments: dict[str, Any], text: str) -> None:
    assert rungs(type="SuccessiveHalvingPruner", **arguments) == f"rungs after epoch {text}"


def test_successive_halving_prunes_at_the_rungs_that_are_shown() -> None:
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=3)
    assert looks_of_optuna(pruner, 20, before=0.9) == [2, 6, 18]


def test_a_first_rung_beyond_the_last_epoch() -> None:
    assert rungs(type="SuccessiveHalvingPruner", min_resource=21) == "no rung in reach"


@pytest.mark.parametrize("given", [{}, {"min_resource": "auto"}], ids=str)
def test_rungs_of_successive_halving_follow_from_the_space(given: dict[str, Any]) -> None:
    expected = "rungs after epoch 1, 4, 16: the best 1/4 go on"
    assert rungs(type="SuccessiveHalvingPruner", **given) == expected


def test_rungs_of_hyperband() -> None:
    text = rungs(type="HyperbandPruner", min_resource=1, max_resource=20, reduction_factor=3)
    assert text == "3 brackets, rungs from epoch 1, 3 or 9, each 3 times the last"
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=20, reduction_factor=3)
    pruner.prune(own := optuna.create_study(), own.ask()._get_latest_trial())
    assert pruner._n_brackets == 3


@pytest.mark.parametrize("given", [{}, {"max_resource": "auto"}], ids=str)
def test_brackets_of_hyperband_follow_from_the_space(given: dict[str, Any]) -> None:
    text = "3 brackets, rungs from epoch 1, 3 or 9, each 3 times the last"
    assert rungs(type="HyperbandPruner", **given) == text


def test_rungs_of_a_pruner_inside_another() -> None:
    inner = {"type": "HyperbandPruner"}
    assert rungs(type="PatientPruner", patience=2, wrapped_pruner=inner) == (
        "3 brackets, rungs from epoch 1, 3 or 9, each 3 times the last; "
        "after 2 epochs without a gain at the earliest"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"min_resource": 30, "max_resource": 20},
        {"min_resource": 1, "max_resource": 20, "reduction_factor": 0.5},
        {"min_resource": -2, "max_resource": -1},
    ],
    ids=str,
)
def test_hyperband_without_a_bracket_in_reach(arguments: dict[str, Any]) -> None:
    assert rungs(type="HyperbandPruner", **arguments) == "no bracket in reach"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "may prune after epoch 1 and every epoch from then on, once 5 trials are complete"),
        (
            {"n_warmup_steps": 3, "interval_steps": 2, "n_startup_trials": 1},
            "may prune after epoch 3 and every 2 epochs from then on, once 1 trial is complete",
        ),
    ],
)
def test_looks_of_the_median_pruner(arguments: dict[str, Any], text: str) -> None:
    assert rungs(type="MedianPruner", **arguments) == text


def test_the_median_pruner_looks_when_it_is_shown_to() -> None:
    pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=3, interval_steps=2)
    assert looks_of_optuna(pruner, 9, before=0.1) == [3, 5, 7, 9]


def test_the_threshold_pruner_waits_for_no_trials() -> None:
    text = rungs(type="ThresholdPruner", lower=0.5, n_warmup_steps=4)
    assert text == "may prune after epoch 4 and every epoch from then on"


def test_the_nop_pruner_never_prunes() -> None:
    assert rungs(type="NopPruner") == "never prunes"


def test_without_a_space_nothing_is_pruned() -> None:
    values = {"hidden_layers": 0, "units": [], "optimizer": "adam", "learning_rate": 0.01,
              "batch_size": 32, "epochs": 5}  # fmt: skip
    only = spec(fixed={}, space={}, reference=[{"name": "one", "hyperparameters": values}])
    assert dry_run.rungs(only) == "never prunes: references are trained to their end"
    assert "sample draws" not in dry_run.preview(only)


# Sizes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer_kind", "units", "others"),
    [
        ("dense", [], {}),
        ("dense", [100], {}),
        ("dense", [512, 33, 7], {}),
        ("dense", [20, 10], {"batch_normalization": True, "kernel_size": 5, "dense_units": 9}),
        ("convolutional", [], {"dense_units": 9}),
        ("convolutional", [5], {}),
        ("convolutional", [16, 32, 8], {"kernel_size": 5, "batch_normalization": True}),
        ("convolutional", [4, 4, 4, 4, 4, 4], {}),  # pooled down to one pixel
        ("convolutional", [4, 5, 6, 7, 8], {"pool_every": 2, "dense_units": 9}),
        ("convolutional", [4, 5], {"pooling": "none", "pool_every": 2}),
        ("convolutional", [4, 5], {"global_pooling": True, "dense_units": 9}),
    ],
)
def test_parameters_are_counted_as_keras_counts_them(
    layer_kind: str, units: list[int], others: dict[str, Any]
) -> None:
    from pipeline.training import model

    hyperparameters = Hyperparameters.from_mapping(
        {
            "hidden_layers": len(units),
            "units": units,
            "layer_kind": layer_kind,
            "optimizer": "adam",
            "learning_rate": 0.001,
            "batch_size": 32,
            "epochs": 1,
            "dropout": 0.2,
            **others,
        }
    )
    network = model.build_model(hyperparameters, fashion_mnist.SOURCE.task)
    counts: list[int] = []
    for layer in network.layers:
        n_trained = sum(math.prod(each.shape) for each in layer.trainable_variables)
        if type(layer).__name__ == "BatchNormalization":
            counts[-1] += n_trained
        elif n_trained:
            counts.append(n_trained)
    n_outputs = fashion_mnist.SOURCE.task.n_outputs
    assert layer_parameters(hyperparameters, fashion_mnist.INPUT_SHAPE, n_outputs) == counts


# The whole text


@pytest.mark.parametrize("name", STUDIES)
def test_a_preview_of_each_study_here(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = ROOT
    if name in OF_A_FILE:
        root = tmp_path
        shutil.copytree(ROOT / "studies", root / "studies")
        monkeypatch.chdir(root)
        with pytest.raises(UsageError, match=rf'^studies/{name}.toml: dataset: found "data/'):
            load(Project(root), name)
        (root / "data").mkdir()
        table = pd.DataFrame({"carat": range(300), "cut": ["Good", "Fair", "Ideal"] * 100})
        table.assign(price=table.carat * 7.5).to_csv(root / "data" / f"{name}.csv", index=False)
    loaded = load(Project(root), name)
    text = dry_run.preview(loaded)
    assert text.startswith(f"study {name}: {loaded.goal}\n")
    for entry in [*loaded.space, *loaded.fixed]:
        assert f"\n  {entry:<14} " in text
    for reference in loaded.reference:
        assert f"\n  {reference.name}" in text
    listed = text.partition("\nsample draws\n")[2].splitlines()
    draws = [line for line in listed if not line.startswith("    ")]
    assert len(draws) == (dry_run.N_SAMPLES if loaded.space else 0)
    assert len(set(draws)) > 1 or not loaded.space
    assert len(max(text.splitlines(), key=len)) < 110


def test_references_are_shown_with_their_repeats_and_what_they_are() -> None:
    values = {"hidden_layers": 0, "units": [], "optimizer": "adam", "learning_rate": 0.01,
              "batch_size": 32, "epochs": 5}  # fmt: skip
    references = [
        {"name": "one", "hyperparameters": values, "repeats": 10},
        {"name": "two", "trainer": "sgd_classifier"},
    ]
    text = dry_run.preview(spec(reference=references))
    hyperparameters = Hyperparameters.from_mapping(values)
    assert (
        "\nreferences, tried first\n"
        f"  one (10 times)\n    {hyperparameters}\n"
        "  two\n    sgd_classifier\n"
    ) in text


def test_the_draws_are_the_same_on_each_call() -> None:
    loaded = load(Project(ROOT), "fashion_mnist")
    assert dry_run.preview(loaded) == dry_run.preview(loaded)


def test_another_seed_draws_others() -> None:
    lines = [
        dry_run._draws(spec(sampler={"type": "RandomSampler", "seed": seed})) for seed in (1, 2)
    ]
    assert lines[0] != lines[1]


@pytest.mark.parametrize(
    ("pruner", "said"),
    [
        (
            {"type": "SuccessiveHalvingPruner", "min_resource": 1, "reduction_factor": 2.5,
             "min_early_stopping_rate": 100_000},
            "SuccessiveHalvingPruner: ",
        ),
        (
            {"type": "HyperbandPruner", "max_resource": 20, "reduction_factor": 1},
            "HyperbandPruner: ",
        ),
    ],
)  # fmt: skip
def test_arguments_are_refused_before_they_are_computed_with(
    pruner: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        dry_run.preview(spec(pruner=pruner, sampler={"type": "RandomSampler"}))
    assert str(caught.value).startswith(f"study small: [pruner] {said}")


def test_a_sampler_is_tried_even_if_nothing_is_searched() -> None:
    values = {"hidden_layers": 0, "units": [], "optimizer": "adam", "learning_rate": 0.01,
              "batch_size": 32, "epochs": 5}  # fmt: skip
    only = spec(
        fixed={},
        space={},
        reference=[{"name": "one", "hyperparameters": values}],
        sampler={"type": "TPESampler", "n_startup": 3},
    )
    with pytest.raises(UsageError, match=r"^study small: \[sampler\] TPESampler: "):
        dry_run.preview(only)


def test_a_preview_leaves_nothing_behind(project_folder: Path) -> None:
    with contextlib.chdir(project_folder):
        dry_run.preview(spec())
    assert list(project_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        ({"trials": 10}, "budget    10 trials\n"),
        ({"minutes": 1.5}, "budget    1.5 minutes\n"),
        ({"trials": 10**300}, f"budget    {10**300:,} trials\n"),
        ({"trials": 1, "minutes": 1}, "budget    1 trial or 1 minute, whichever comes first\n"),
    ],
)
def test_the_budget(budget: dict[str, float], text: str) -> None:
    assert text in dry_run.preview(spec(budget=budget))


def test_sizes_are_those_of_the_corners_of_the_space() -> None:
    text = dry_run.preview(spec())
    assert "  smallest        7,850 parameters: no hidden layer\n" in text
    assert "  largest        26,506 parameters: 32-32\n" in text  # 785 * 32 + 33 * 32 + 33 * 10


def test_entries_say_their_range_and_condition() -> None:
    space = {
        "hidden_layers": {"type": "int", "low": 0, "high": 4, "step": 2},
        "units": {"type": "int", "low": 8, "high": 64, "log": True, "per": "hidden_layers"},
        "dropout": {"type": "float", "low": 0.0, "high": 0.5, "when": {"hidden_layers": [2, 4]}},
        "batch_size": {"type": "categorical", "choices": [32, 64]},
    }
    fixed = {"optimizer": "adam", "learning_rate": 0.01, "epochs": 5}
    lines = dry_run.preview(spec(space=space, fixed=fixed)).splitlines()
    assert "  hidden_layers  0 to 4 by 2" in lines
    assert "  units          8 to 64, log, one for each of hidden_layers" in lines
    assert "  dropout        0 to 0.5, if hidden_layers is 2 or 4" in lines
    assert "  batch_size     one of 32, 64" in lines
    assert "  optimizer      adam (fixed)" in lines


def test_the_sampler_of_the_preview_is_that_of_the_search() -> None:
    loaded = spec(sampler={"type": "RandomSampler", "seed": 5})
    own = optuna.create_study(sampler=samplers.build_sampler(loaded.sampler, 5, 0))
    first = own.ask()
    n_layers = first.suggest_int("hidden_layers", 0, 2)
    epochs = first.suggest_int("epochs", 5, 20)
    drawn = Hyperparameters.from_mapping(
        {**loaded.fixed, "hidden_layers": n_layers, "epochs": epochs}
    )
    assert dry_run._draws(loaded)[2] == f"  {drawn}"


def test_an_audit_is_told() -> None:
    told = "audit: 12.5 % of what it would drop is trained to its end all the same"
    assert told in dry_run.preview(spec(audit=0.125))
    assert "audit" not in dry_run.preview(spec())


def test_what_each_trial_has_of_the_machine_is_told_if_the_file_says_so() -> None:
    assert "CPU" not in dry_run.preview(spec())
    told = dry_run.preview(spec(resources={"cpus": 2, "gpus": 0.5})).splitlines()
    assert "          2 CPUs, 0.5 GPUs a trial" in told
