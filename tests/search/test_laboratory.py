"""A search in virtual time is a search: the same supervisor, and only the clock is another."""

import math
import time
from collections import Counter
from typing import Any

import pytest
from scripted import REFERENCE, make_spec

from pipeline.errors import PipelineError, UsageError
from pipeline.execution.replay import Curves
from pipeline.search.laboratory import VirtualSearch, search_in_virtual_time
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.load import parse
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Cause, select_counted

EPOCHS, SECONDS = 9, 20.0
SHA = {"type": "SuccessiveHalvingPruner", "min_resource": 1, "reduction_factor": 3}


def curves(given: Hyperparameters, seed: int) -> dict[str, Any]:
    """Rising to a level that depends on the learning rate, with the noise of a seed."""
    level = 0.9 - 0.1 * abs(math.log10(given.learning_rate) + 2) + 0.001 * math.sin(seed)
    values = [level - 0.3 * 0.5**epoch for epoch in range(1, EPOCHS + 1)]
    return {"val_accuracy": values, "seconds": [SECONDS] * EPOCHS}


def spec_of(**changes: Any) -> StudySpec:
    fixed = {"batch_size": 32, "epochs": EPOCHS, "optimizer": "adam"}
    settings = {"budget": {"trials": 20}, "finals": False, "fixed": fixed}
    sampler = {"type": "RandomSampler", "seed": 5}
    return make_spec(**{"sampler": sampler, **settings, **changes})


def table(found: VirtualSearch) -> list[tuple[Any, ...]]:
    """All that is known of the trials."""
    return [
        (t.number, t.state, t.value, t.hyperparameters, t.seed, t.history, found.moments[t.number])
        for t in found.trials
    ]


@pytest.mark.parametrize("n_workers", [1, 2, 5])
@pytest.mark.parametrize("kind", ["RandomSampler", "TPESampler"])
def test_the_same_seed_gives_the_same_trials_twice(kind: str, n_workers: int) -> None:
    spec = spec_of(sampler={"type": kind, "seed": 3}, pruner=SHA)
    first, second = (search_in_virtual_time(spec, curves, n_workers) for _ in range(2))
    assert table(first) == table(second)
    assert first.seconds == second.seconds
    other = search_in_virtual_time(
        spec_of(sampler={"type": kind, "seed": 4}, pruner=SHA), curves, n_workers
    )
    assert table(first) != table(other)


def test_epochs_end_one_after_the_other_and_workers_overlap() -> None:
    alone = search_in_virtual_time(spec_of(budget={"trials": 4}), curves, 1)
    assert alone.seconds == 4 * EPOCHS * SECONDS
    assert alone.moments[0] == tuple(SECONDS * epoch for epoch in range(1, EPOCHS + 1))
    assert alone.moments[1][0] == alone.moments[0][-1] + SECONDS
    together = search_in_virtual_time(spec_of(budget={"trials": 4}), curves, 2)
    assert together.seconds == alone.seconds / 2
    assert together.moments[0] == together.moments[1]


def test_a_week_is_searched_in_seconds() -> None:
    before = time.process_time()
    spec = spec_of(budget={"minutes": 7 * 24 * 60.0}, training={"trial_minutes": 1e4})
    found = search_in_virtual_time(spec, lambda *_: {"val_accuracy": [0.5], "seconds": [9999]})
    assert 7 * 24 * 3600 <= found.seconds < 7 * 24 * 3600 + 9999
    assert len(found.trials) == 2 * math.ceil(7 * 24 * 3600 / 9999)
    assert time.process_time() - before < 60


def test_a_budget_of_minutes_ends_at_that_minute_and_what_runs_ends() -> None:
    found = search_in_virtual_time(spec_of(budget={"minutes": 10}), curves, 2)
    a_trial = EPOCHS * SECONDS
    started = [moments[0] - SECONDS for moments in found.moments.values()]
    assert max(started) < 600 <= max(started) + a_trial
    assert found.seconds == max(started) + a_trial
    assert [len(moments) for moments in found.moments.values()] == [EPOCHS] * len(found.trials)


def test_the_pruner_ends_trials_and_sooner_begin_others() -> None:
    pruned = search_in_virtual_time(spec_of(pruner=SHA), curves)
    whole = search_in_virtual_time(spec_of(), curves)
    states = Counter(str(trial.state) for trial in pruned.trials)
    assert states["PRUNED"] > states["COMPLETE"] > 0
    assert pruned.seconds < whole.seconds
    lengths = {trial.n_epochs for trial in pruned.trials if trial.state == "PRUNED"}
    assert lengths <= {1, 3, 9}


def test_early_stopping_is_the_studys() -> None:
    falling = {"val_accuracy": [0.5, 0.6, *[0.4] * 7], "seconds": [1.0] * EPOCHS}
    spec = spec_of(training={"patience": 2}, budget={"trials": 1})
    (trial,) = search_in_virtual_time(spec, lambda *_: falling).trials
    assert (trial.n_epochs, trial.value, trial.best_epoch) == (4, 0.6, 2)


def test_what_diverges_has_failed_and_does_not_end_the_search() -> None:
    spec = spec_of(budget={"trials": 10})
    nan = {"val_accuracy": [0.5], "loss": [math.nan], "seconds": [1.0]}
    found = search_in_virtual_time(spec, lambda *_: nan)
    assert [(trial.how, trial.value) for trial in found.trials] == [("diverged", None)] * 10
    assert found.seconds == 5.0


def test_failures_in_a_row_end_the_search() -> None:
    with pytest.raises(PipelineError, match=r"5 trials failed in a row.* because: no disk"):
        search_in_virtual_time(spec_of(), lambda *_: Curves({}, [1.0], "no disk"))


def test_what_fails_for_a_passing_cause_is_tried_again_and_its_time_is_gone() -> None:
    asked: Counter[int] = Counter()

    def flaky(given: Hyperparameters, seed: int) -> Any:
        asked[seed] += 1
        if len(asked) == 2 and asked[seed] == 1:
            return Curves({"val_accuracy": [0.5]}, [20.0, 5.0], "killed", is_transient=True)
        return curves(given, seed)

    found = search_in_virtual_time(spec_of(budget={"trials": 3}), flaky, 1)
    counted = select_counted(found.trials)
    assert [trial.state for trial in counted] == ["COMPLETE"] * 3
    (lost,) = (trial for trial in found.trials if trial.interrupted)
    (again,) = (trial for trial in counted if trial.seed == lost.seed)
    assert (lost.reason, again.hyperparameters) == ("killed", lost.hyperparameters)
    assert found.seconds == 3 * EPOCHS * SECONDS + 25.0
    hopeless = Curves({}, [1.0], "killed", is_transient=True)
    last = search_in_virtual_time(
        spec_of(training={"retries": 1}, budget={"trials": 1}), lambda *_: hopeless
    )
    assert len(last.trials) == 2


def test_a_trial_beyond_its_minutes_is_stopped_and_keeps_its_best_epoch() -> None:
    spec = spec_of(training={"trial_minutes": 1}, budget={"trials": 1})
    found = search_in_virtual_time(spec, curves)
    (trial,) = found.trials
    assert trial.how == "stopped"
    assert trial.reason == "stopped after 1 minute"
    assert found.moments[0] == (20.0, 40.0, 60.0)
    assert 60 < found.seconds <= 60 * 1.01 + 0.25
    slow = {"val_accuracy": [0.5], "seconds": [3600.0]}
    (none,) = search_in_virtual_time(spec, lambda *_: slow).trials
    assert (none.how, none.cause) == ("too slow", Cause.TOO_SLOW)


def test_references_come_first_and_simple_models_are_worth_nothing() -> None:
    references = [
        {"name": "network", "hyperparameters": {**REFERENCE, "learning_rate": 0.01}},
        {"name": "simple", "trainer": "sgd_classifier"},
    ]
    spec = spec_of(reference=references, budget={"trials": 4})
    found = search_in_virtual_time(spec, curves, 1)
    assert [trial.reference for trial in found.trials] == ["network", "simple", "", ""]
    assert found.trials[1].value == 0.0
    assert found.improvements(spec.metric, spec.direction)[0][1] == found.trials[0].history[
        "val_accuracy"][0]  # fmt: skip


def test_finals_are_held_in_virtual_time_too() -> None:
    spec = spec_of(finals={"share": 0.5, "networks": 2, "seeds": 2}, budget={"trials": 12})
    found = search_in_virtual_time(spec, curves)
    finals = [trial for trial in found.trials if trial.is_final]
    assert len(finals) == 2
    searched = [trial for trial in found.trials if not trial.is_final]
    assert len(searched) == 6
    best = sorted(searched, key=lambda trial: -(trial.value or 0))[:2]
    assert {trial.final_of for trial in finals} == {trial.number for trial in best}


@pytest.mark.parametrize(("metric", "sign"), [("val_accuracy", 1), ("val_loss", -1)])
def test_improvements_are_each_new_best_at_its_moment(metric: str, sign: int) -> None:
    spec = spec_of(metric=metric, pruner=SHA)

    def either(given: Hyperparameters, seed: int) -> dict[str, Any]:
        found = curves(given, seed)
        values = found.pop("val_accuracy")
        return {**found, metric: [sign * value for value in values]}

    found = search_in_virtual_time(spec, either)
    steps = found.improvements(spec.metric, spec.direction)
    values = [sign * value for _, value in steps]
    assert values == sorted(set(values))
    assert values[-1] == max(sign * (trial.value or 0) for trial in found.trials)
    moments = [moment for moment, _ in steps]
    assert moments == sorted(moments)
    assert moments[0] == SECONDS


def test_curves_that_are_none_are_refused_in_a_sentence() -> None:
    with pytest.raises(UsageError, match=r"^curves: found a list, allowed is Curves"):
        search_in_virtual_time(spec_of(), lambda *_: [0.5])  # type: ignore[arg-type]


def test_a_study_file_is_searched_without_its_data() -> None:
    content = {
        "goal": "test", "dataset": "there/is/none.csv", "target": "class", "metric": "roc_auc",
        "budget": {"trials": 3}, "finals": False,
        "fixed": {"units": 8, "epochs": 2, "optimizer": "adam", "batch_size": 8,
                  "hidden_layers": 1},
        "space": {"learning_rate": {"type": "float", "low": 0.1, "high": 1.0},
                  "numeric_bins": {"type": "int", "low": 2, "high": 8}},
    }  # fmt: skip
    spec = parse("elsewhere", content, needs_data=False)
    assert (spec.metric, spec.direction) == ("val_roc_auc", "maximize")
    found = search_in_virtual_time(spec, lambda *_: {"val_roc_auc": [0.5], "seconds": [1]})
    assert len(found.trials) == 3
    with pytest.raises(UsageError, match=r"^dataset: found"):
        parse("elsewhere", content)
    del content["metric"]
    with pytest.raises(UsageError, match=r"^metric: missing, and without its data"):
        parse("elsewhere", content, needs_data=False)
    with pytest.raises(UsageError, match=r"^metric: found 'rocket', allowed is 'val_accuracy' or"):
        parse("elsewhere", {**content, "metric": "rocket"}, needs_data=False)
    with pytest.raises(UsageError, match=r"numeric_bins: found .*, which is for tables alone"):
        parse("known", {**content, "dataset": "fashion_mnist", "target": ""}, needs_data=False)
