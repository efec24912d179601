"""Whether a network was worth it, by the report: whoever wins, both ways of a metric."""

import dataclasses
from pathlib import Path

import pytest
import recorded

from pipeline.paths import Project
from pipeline.report import contents, document
from pipeline.report.sections import simple_models, verdict
from pipeline.report.sections.simple_models import said_of_simple_models
from pipeline.report.summary import StudySummary, summarize
from pipeline.study.spec import Reference, StudySpec
from pipeline.study.trainers import SIMPLE
from pipeline.study.trial import State, Trial
from pipeline.task.task import Kind, Target, Task

CHAMPION = 0.8950  # the recorded one's accuracy
REGRESSION = Task(Kind.REGRESSION, (3,), loss="squared", example="row").scored_by("val_rmse")


@pytest.fixture(scope="module")
def plain(recorded_folder: Path) -> StudySummary:
    return summarize(recorded.open_stored(Project(recorded_folder)))


def with_models(
    facts: StudySummary, metric: str = "val_accuracy", **values: float | tuple[float, ...] | None
) -> StudySummary:
    """The study with simple models by their trainers; None is one that failed, () not run yet."""
    references: list[Reference] = []
    runs: list[Trial] = []
    for trainer, value in values.items():
        name = f"my {trainer}"
        references.append(Reference(name=name).model_copy(update={"trainer": trainer}))
        for each in value if isinstance(value, tuple) else (value,):
            run = Trial(100 + len(runs), State.FAIL, None, 0, None, 0, reason="MemoryError")
            if each is not None:
                curves = {**recorded.history(each, 1, 1), "seconds": [2.5], metric: [each],
                          f"{metric}_se": [4.0 if metric == "val_rmse" else 0.001]}  # fmt: skip
                run = Trial(run.number, State.COMPLETE, each, 1, None, 0, curves)
            runs.append(dataclasses.replace(run, reference=name))
    spec = facts.spec.model_copy(update={"reference": (*facts.spec.reference, *references)})
    return dataclasses.replace(facts, spec=spec, ended=[*facts.ended, *runs])


def of_regression(
    facts: StudySummary, patch: pytest.MonkeyPatch, rmse: float, **values: float
) -> StudySummary:
    """The study as if it were of numbers, with a champion of that error."""
    patch.setattr(StudySpec, "task", property(lambda self: REGRESSION))
    champion = facts.champion
    curves = {"val_rmse": rmse, "val_rmse_se": 3.0}
    history = {name: [value] * champion.n_epochs for name, value in curves.items()}
    champion = dataclasses.replace(champion, history={**champion.history, **history})
    ranked = [champion, *(trial for trial in facts.ranked if trial is not facts.champion)]
    return with_models(dataclasses.replace(facts, ranked=ranked), "val_rmse", **values)


def test_what_simple_models_learn_as_networks_do_is_said(
    plain: StudySummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = of_regression(plain, monkeypatch, 50.0, linear=60.0)
    assert "logarithm" not in document.as_markdown("", simple_models.simple_models(facts))
    logarithms = dataclasses.replace(REGRESSION, target=Target("price", transform="log"))
    monkeypatch.setattr(StudySpec, "task", property(lambda self: logarithms))
    assert (
        "The linear model and the trees learn the logarithm of the target, as networks do."
        in document.as_markdown("", simple_models.simple_models(facts))
    )
    data = facts.spec.data.model_copy(update={"class_weights": "balanced"})
    spec = facts.spec.model_copy(update={"data": data})
    assert (
        "The linear model and the trees learn with the class weights of networks."
        in document.as_markdown(
            "", simple_models.simple_models(dataclasses.replace(facts, spec=spec))
        )
    )


def test_a_study_without_simple_models_says_nothing_of_them(plain: StudySummary) -> None:
    assert simple_models.simple_models(plain) == []
    assert said_of_simple_models(plain) == ""


def test_trees_that_won_are_said_to_have_won(plain: StudySummary) -> None:
    facts = with_models(plain, constant=0.1, linear=0.8960, gradient_boosting=(0.9100, 0.9140))
    said = said_of_simple_models(facts)
    assert said == (
        "Gradient-boosted trees at their defaults are better than the champion: accuracy 0.9120 "
        "against 0.8950 (0.0170 higher). That is more than chance in these 12,000 images would "
        "give. Better than the champion, too: the linear model with 0.8960."
    )
    assert f"- {said}" in document.as_markdown("", verdict.verdict(facts))
    section = document.as_markdown("", contents.blocks(facts)).partition("worth it?\n\n")[2]
    lines = section.partition("\n\n## ")[0].splitlines()
    assert lines[0] == said
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][2:]
    assert [row[0] for row in rows] == [
        "gradient-boosted trees at their defaults", "the linear model",
        "**the champion**, trial 9", "the majority class",
    ]  # fmt: skip
    assert rows[0][1:3] == ["0.9120", "-0.0170"]
    assert rows[0][4:] == ["2", "2.5"]
    assert (
        "The champion is the best of 16 networks by these images, which flatters it" in lines[-1]
    )


def test_a_champion_that_won_is_held_against_the_best_simple_model(plain: StudySummary) -> None:
    facts = with_models(plain, linear=0.8400, gradient_boosting=0.8940)
    assert said_of_simple_models(facts) == (
        "The champion is better than gradient-boosted trees at their defaults, the best of the "
        "simple models: accuracy 0.8950 against 0.8940 (0.0010 higher). By these 12,000 images "
        "alone that may be chance: the 95 % interval includes zero."
    )
    for same in (CHAMPION, CHAMPION - 1e-8):  # of which one is rounded to float32
        assert said_of_simple_models(with_models(plain, linear=same)) == (
            "The champion is as good as the linear model: accuracy 0.8950."
        )


@pytest.mark.parametrize(
    ("own", "trees", "said"),
    [
        (548.9, 529.1, "Gradient-boosted trees at their defaults are better than the champion: "
                       "RMSE 529.10 against 548.90 (3.6 % lower). That is more than chance in "
                       "these 12,000 rows would give."),
        (529.1, 548.9, "The champion is better than gradient-boosted trees at their defaults, "
                       "the best of the simple models: RMSE 529.10 against 548.90 (3.6 % lower)."),
        (529.1, 529.2, "The champion is better than gradient-boosted trees at their defaults, "
                       "the best of the simple models: RMSE 529.10 against 529.20 (less than "
                       "0.1 % lower). By these 12,000 rows alone that may be chance"),
    ],
)  # fmt: skip
def test_of_an_error_the_lower_is_the_better(
    own: float, trees: float, said: str, plain: StudySummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = of_regression(plain, monkeypatch, own, constant=2_000.0, gradient_boosting=trees)
    assert said_of_simple_models(facts).startswith(said)
    table = document.as_markdown("", simple_models.simple_models(facts))
    # the errors are 3 and 4, so that of the difference is 5
    ends = [f"{own - trees + sign * 1.959964 * 5:+.2f}" for sign in (-1, 1)]
    assert f"| {own - trees:+.2f} | {' to '.join(ends)} |" in table
    assert table.index("| the mean |") > table.index("trees at their defaults |")
    assert (table.index("| **the champion**") < table.index("| gradient-boosted")) == (own < trees)


def test_models_that_failed_or_are_to_come_are_not_passed_over(plain: StudySummary) -> None:
    facts = with_models(plain, constant=0.1, linear=(), gradient_boosting=None)
    said = said_of_simple_models(facts)
    assert said.endswith(
        " Without a result: the linear model (not run yet) and gradient-boosted trees at their "
        "defaults (MemoryError)."
    )
    table = document.as_markdown("", simple_models.simple_models(facts))
    assert "| gradient-boosted trees at their defaults |  |  |  | 0 |  |" in table
    none = with_models(plain, linear=())
    assert said_of_simple_models(none) == "Without a result: the linear model (not run yet)."
    assert simple_models.simple_models(none)


def test_a_study_whose_references_are_simple_lacks_no_network_to_compare_with(
    plain: StudySummary,
) -> None:
    spec = plain.spec.model_copy(update={"reference": ()})
    ranked = [trial for trial in plain.ranked if not trial.reference]
    bare = dataclasses.replace(plain, spec=spec, ranked=ranked)
    assert "nothing known to compare with" in document.as_markdown("", verdict.verdict(bare))
    text = document.as_markdown("", verdict.verdict(with_models(bare, linear=0.85)))
    assert "nothing known to compare with" not in text
    assert "better than the linear model" in text


def test_simple_models_alone_are_no_references_of_epochs_and_claims(plain: StudySummary) -> None:
    facts = with_models(plain, constant=0.1, linear=0.8960)
    assert "## References" in document.as_markdown("", contents.blocks(facts))
    simple = tuple(each for each in facts.spec.reference if each.trainer in SIMPLE)
    spec = facts.spec.model_copy(update={"reference": simple, "comparison": ()})
    text = document.as_markdown("", contents.blocks(dataclasses.replace(facts, spec=spec)))
    assert "## References" not in text
    assert "| the linear model | 0.8960 |" in text


def test_what_has_to_be_known_of_the_data_stands_in_the_verdict(plain: StudySummary) -> None:
    assert list(plain.warnings) == []
    facts = dataclasses.replace(plain, warnings=("`x` tells the target",))
    text = document.as_markdown("", verdict.verdict(facts))
    assert text.rstrip().endswith("- \\`x\\` tells the target.")
