"""Reports of studies by metrics that are scored from predictions: in their units, by their errors.

The recorded study as if it were of rows: a regression by its RMSE, and two classes by ROC AUC.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import recorded

from pipeline.data import datasets
from pipeline.export import champion, model_card, texts
from pipeline.paths import Project
from pipeline.report import contents, document, figures, html_page
from pipeline.report.sections import verdict
from pipeline.report.summary import StudySummary, summarize
from pipeline.storage import study_store
from pipeline.study.spec import Reference, StudySpec
from pipeline.study.trial import Trial, ranking
from pipeline.task.task import Kind, Metric, Target, Task

RMSE = Task(
    Kind.REGRESSION, (9,), (), "float32", target=Target("price"), loss="squared", example="row"
).scored_by("val_rmse")
AUC = Task(Kind.BINARY, (9,), ("benign", "malignant"), "float32", example="row").scored_by(
    "val_roc_auc"
)
N_ROWS = 1_234


@pytest.fixture(scope="module")
def plain(recorded_folder: Path) -> StudySummary:
    return summarize(recorded.open_stored(Project(recorded_folder)))


def as_if(
    facts: StudySummary,
    patch: pytest.MonkeyPatch,
    task: Task,
    of: Callable[[Metric, float], float],
    error: float | None,
) -> StudySummary:
    """The study as if it were of that task.

    Args:
        of: computes a metric from the accuracy that was recorded.
        error: standard error of every scored metric, relative to its value; None if unknown.
    """
    patch.setattr(StudySpec, "task", property(lambda _: task))
    metric = task.score

    def changed(trial: Trial) -> Trial:
        history: dict[str, list[float]] = {
            name: list(values)
            for name, values in trial.history.items()
            if name in ("loss", "val_loss", "seconds", "learning_rate", *task.in_graph)
            or name.removeprefix("val_") in task.in_graph
        }
        for each in task.scored:
            values = [of(each, value) for value in trial.history["val_accuracy"]]
            history[each.name] = values
            if error is not None:
                history[each.error_name] = [abs(value) * error for value in values]
        value = None if trial.value is None else history[metric.name][trial.best_epoch - 1]
        return dataclasses.replace(trial, history=history, value=value)

    reference = tuple(
        each.model_copy(update={"claim": {metric.name: of(metric, 0.8726), "source": "a paper"}})
        for each in facts.spec.reference
    )
    update: dict[str, Any] = {
        "metric": metric.name, "dataset": "data/houses.csv", "reference": reference,
    }  # fmt: skip
    ended = [changed(trial) for trial in facts.ended]
    return dataclasses.replace(
        facts,
        spec=facts.spec.model_copy(update=update),
        ended=ended,
        ranked=ranking(ended, metric.direction),
        n_validation_examples=N_ROWS,
    )


def of_houses(metric: Metric, accuracy: float) -> float:
    """An RMSE of some thousands, and what belongs to it."""
    off = 1 - accuracy
    return {"rmse": 37_260 * off, "mae": 21_000 * off, "r2": 1 - 4 * off**2}[metric.quantity]


@pytest.fixture
def houses(plain: StudySummary, monkeypatch: pytest.MonkeyPatch) -> StudySummary:
    return as_if(plain, monkeypatch, RMSE, of_houses, 0.02)


@pytest.fixture
def tumours(plain: StudySummary, monkeypatch: pytest.MonkeyPatch) -> StudySummary:
    return as_if(plain, monkeypatch, AUC, lambda _, accuracy: accuracy + 0.1, 0.004)


def whole(facts: StudySummary) -> str:
    return document.as_markdown("Study houses", contents.blocks(facts))


def verdict_of(facts: StudySummary) -> list[str]:
    return document.as_markdown("", verdict.verdict(facts)).splitlines()


def tables(facts: StudySummary, heading: str) -> list[list[str]]:
    text = whole(facts).partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]


def test_a_regression_is_told_in_units_of_its_own(houses: StudySummary) -> None:
    best, score, reference, second, sealed = verdict_of(houses)[2:7]
    assert "**trial 9: 487-243 relu" in best
    assert score == (
        "- Its validation RMSE of price is **3,912.3** (95 % interval 3,761.9 to 4,068.7 from "
        "1,234 rows). It is optimistically biased: selected as the best of 16 trials."
    )
    assert reference == (
        r"- Against the best reference, 'book: dropout | 0.3' with 4,359.4, that is -447.1 (lower "
        "is better, 95 % interval -676.7 to -217.5), more than chance in these rows would give. "
        "Each was trained with one seed; another seed gives other values."
    )
    assert second == (
        "- By these rows alone the champion cannot be told from the second, trial 7."
    )
    assert "sealed" in sealed
    text = whole(houses)
    assert "image" not in text
    assert "ccura" not in text
    assert "| data | data/houses.csv, validation on 1,234 rows |" in text
    columns, _, *rows = tables(houses, "What searching bought")
    assert columns[:2] == ["val_rmse", "95 % interval"]
    assert [row[1:3] for row in rows] == [
        ["4,359.4", "4,191.8 to 4,533.7"], ["3,912.3", "3,761.9 to 4,068.7"],
    ]  # fmt: skip
    assert ["validation R²", "0.9559"] in tables(houses, "Champion")
    assert ["validation loss (squared, of the standardised target)", "0.3045"] in tables(
        houses, "Champion"
    )
    assert tables(houses, "References")[0] == [
        "reference", "runs", "parameters", "validation RMSE", "lowest validation loss", "at epoch",
    ]  # fmt: skip
    assert tables(houses, "Claims")[2][1:3] == ["4,746.9", "4,508.5"]


def test_two_classes_are_told_by_their_auc(tumours: StudySummary) -> None:
    score, reference = verdict_of(tumours)[3:5]
    assert score.startswith(
        "- Its validation ROC AUC is **0.9950** (95 % interval 0.9765 to 0.9990 from 1,234 rows)."
    )
    assert "that is +0.0120 (95 % interval +0.0010 to +0.0230), more than chance" in reference
    assert "The validation ROC AUC is that of the last epoch" in whole(tumours)
    champion = tables(tumours, "Champion")
    assert ["validation ROC AUC", "0.9950"] in champion
    assert ["validation accuracy", "0.8950"] in champion


def test_where_an_error_was_not_noted_nothing_is_said_of_chance(
    plain: StudySummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = as_if(plain, monkeypatch, RMSE, of_houses, None)
    text = "\n".join(verdict_of(facts))
    assert "is **3,912.3** (1,234 rows)." in text
    assert "that is -447.1 (lower is better). Each was trained" in text
    assert "By these rows" not in text
    columns, _, *rows = tables(facts, "What searching bought")
    assert columns == ["val_rmse", "parameters", "hyperparameters"]
    assert [row[1] for row in rows] == ["4,359.4", "3,912.3"]
    assert "a value tells nothing of seeds, nor of having been picked" in whole(facts)


def test_a_champion_by_its_loss_that_is_worse_in_the_score(
    houses: StudySummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_loss = houses.spec.model_copy(update={"metric": "val_loss"})
    third = houses.ranked[8]
    others = [trial for trial in houses.ranked if trial is not third]
    text = "\n".join(
        verdict_of(dataclasses.replace(houses, spec=by_loss, ranked=[third, *others]))
    )
    assert "that is +734.0 (lower is better, 95 % interval" in text
    assert ", worse in RMSE: it is the best by its val_loss." in text
    assert "alone the champion is worse in RMSE than the second" in text


def test_a_study_with_folds_says_what_its_values_are(
    plain: StudySummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = dataclasses.replace(RMSE, n_folds=5)
    text = "\n".join(verdict_of(as_if(plain, monkeypatch, task, of_houses, 0.02)))
    assert (
        "from 1,234 rows). It is cross-validated: of 5 networks, each trained without one fold, "
        "every row is answered by the one that has not seen it. It is optimistically" in text
    )
    task = dataclasses.replace(AUC, n_folds=5)
    facts = as_if(plain, monkeypatch, task, lambda _, accuracy: accuracy + 0.1, 0.004)
    text = "\n".join(verdict_of(facts))
    assert "that has not seen it; the ROC AUC is the mean of their folds'. It is" in text


def test_of_groups_their_number_tells(
    plain: StudySummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With as few as twenty Student's t is wider."""
    houses = as_if(plain, monkeypatch, RMSE, of_houses, 0.02)
    alone = "\n".join(verdict_of(houses))
    task = dataclasses.replace(RMSE, n_validation_groups=20)
    grouped = as_if(plain, monkeypatch, task, of_houses, 0.02)
    text = "\n".join(verdict_of(grouped))
    assert "from 1,234 rows in 20 groups)." in text
    assert alone.replace("1,234 rows)", "1,234 rows in 20 groups)") != text
    look = {"when": "2026-03-02 10:30", "trial": 9, "rmse": 4012.6, "n_examples": 1_200}
    look |= {"rmse_se": 90.0, "n_groups": 9}
    text = "\n".join(verdict_of(dataclasses.replace(houses, test_looks=[look])))
    assert "(95 % interval 3,810.3 to 4,225.6) on 1,200 rows in 9 groups (2026" in text


def test_a_look_at_the_test_set_has_its_interval(houses: StudySummary) -> None:
    look = {"when": "2026-03-02 10:30", "trial": 9, "rmse": 4012.6, "n_examples": 1_200}
    (line,) = [each for each in verdict_of(dataclasses.replace(houses, test_looks=[look]))
               if "test set" in each]  # fmt: skip
    assert "trial 9 scored RMSE 4,012.6 on 1,200 rows (2026-03-02 10:30)." in line
    with_error = {**look, "rmse_se": 90.0}
    text = "\n".join(verdict_of(dataclasses.replace(houses, test_looks=[with_error])))
    assert "scored RMSE 4,012.6 (95 % interval 3,840.0 to 4,192.9) on 1,200 rows (2026" in text


def test_simple_models_are_held_against_it_with_their_errors(houses: StudySummary) -> None:
    run = dataclasses.replace(
        houses.ended[0], number=50, reference="trees", hyperparameters=None, best_epoch=1,
        history={"val_rmse": [3_700.0], "val_rmse_se": [60.0], "val_loss": [0.2], "loss": [0.1],
                 "seconds": [1.0]},
    )  # fmt: skip
    trees = Reference(name="trees", trainer="gradient_boosting")
    spec = houses.spec.model_copy(update={"reference": (*houses.spec.reference, trees)})
    facts = dataclasses.replace(houses, spec=spec, ended=[*houses.ended, run])
    # 1.96 sqrt(78.245^2 + 60^2) = 193.3 is less than the difference of 212.25
    assert (
        "- Gradient-boosted trees at their defaults are better than the champion: RMSE 3,700.0 "
        "against 3,912.3 (5.4 % lower). That is more than chance in these 1,234 rows would give."
        in verdict_of(facts)
    )
    row, *_ = tables(facts, "Is a network worth it?")[2:]
    assert row[1:4] == ["3,700.0", "+212.3", "+19.0 to +405.6"]


def test_curves_are_drawn_of_what_was_measured(houses: StudySummary) -> None:
    assert [each.name for each in figures.curves(houses.champion, "rmse").data] == ["validation"]
    assert len(figures.curves(houses.champion, "loss").data) == 2
    runs = [trial for trial in houses.ended if trial.reference]
    bands = figures.bands(runs, ["loss", "rmse"])
    assert {name: len(each.data) for name, each in bands.items()} == {"loss": 4, "rmse": 2}
    html = html_page.as_html("", contents.blocks(houses))
    assert "R² of the champion." in html


# The champion


@pytest.fixture
def exported(
    houses: StudySummary, recorded_study: Project, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The study in its store, a look at the test set, what is recorded of its champion."""
    monkeypatch.setattr(datasets, "n_validation_examples", lambda _: N_ROWS)
    stored = recorded.open_stored(recorded_study)
    look = {
        "when": "2026-03-02 10:30", "trial": 9, "n_examples": 1_200, "loss": 0.3333,
        "rmse": 4012.6, "rmse_se": 90.0, "mae": 2300.1, "mae_se": 40.0, "r2": 0.95, "r2_se": 0.004,
    }  # fmt: skip
    stored.study.set_user_attr(study_store.TEST_LOOKS, [look])
    stored.study.set_user_attr(study_store.DATA_FINGERPRINT, "ab" * 32)
    return stored, champion.summary(stored, houses.champion)


def test_what_is_recorded_of_the_champion_has_errors_and_intervals(exported: Any) -> None:
    _, found = exported
    assert found["validation"]["rmse"] == pytest.approx(3912.3)
    assert found["validation"]["rmse_se"] == pytest.approx(78.246)
    assert found["validation"]["rmse_95"] == [3761.9, 4068.7]
    assert found["validation"]["r2_95"] == [0.8969, 0.9811]
    assert "loss_95" not in found["validation"]
    assert found["training"] == {"loss": pytest.approx(0.2314)}
    assert found["test"]["rmse_se"] == 90.0
    assert "when" not in found["test"]


def test_the_champion_is_shown_in_units_of_its_own(exported: Any, houses: StudySummary) -> None:
    _, found = exported
    text = texts.champion_text(houses.spec, houses.champion, found)
    assert (
        "  validation RMSE  3,912.3 (95 % interval 3,761.9 to 4,068.7), MAE 2,205.0, R² 0.9559, "
        "loss 0.3045\n"
        "  test RMSE        4,012.6 (standard error 90.0), MAE 2,300.1, R² 0.9500, loss 0.3333\n"
    ) in text


def test_the_model_card_tells_how_far_to_trust_it(exported: Any) -> None:
    stored, found = exported
    text = model_card.text(stored, found)
    assert "numbers = model.predict(rows)  # rows: (n, 9)\n" in text
    assert "scales them itself, and gives price in units of its own.\n\n## How good" in text
    assert "| rows | RMSE | MAE | R² | loss | number |" in text
    assert "| test | 4,012.6 | 2,300.1 | 0.9500 | 0.3333 | 1,200 |" in text
    assert (
        "- The test score has a standard error of 90.0. With 95 % confidence the RMSE on such\n"
        "  rows is 3,840.0 to 4,192.9.\n"
    ) in text
