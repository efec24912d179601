"""Study files: what is read from them, and the one sentence that refuses a bad one."""

import copy
import json
import shutil
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import optuna
import pytest

from benchmarks import real_tables
from pipeline.errors import UsageError
from pipeline.paths import Project
from pipeline.search import samplers
from pipeline.study import space
from pipeline.study.load import load, parse
from pipeline.study.measures import MEASURES
from pipeline.study.spec import StudySpec

ROOT = Path(__file__).parents[2]
QUICK = (ROOT / "studies" / "quick.toml").read_text()
CONTENT: Mapping[str, Any] = tomllib.loads(QUICK)
STUDIES = sorted((ROOT / "studies").glob("*.toml"))
# Of the others the data have to be written first, as the file says, and lie where nobody commits.
NAMES = [path.stem for path in STUDIES if '"../data/' not in path.read_text()]

Key = str | int
MOMENTUM = {"type": "float", "low": 0.0, "high": 0.9}
INF, NAN = float("inf"), float("nan")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    (tmp_path / "studies").mkdir()
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def changed(*path: Key, to: Any) -> dict[str, Any]:
    """The content of quick.toml with one value set; with `to=...` it is taken out."""
    content: dict[str, Any] = copy.deepcopy(dict(CONTENT))
    place: Any = content
    for key in path[:-1]:
        place = place[key]
    if to is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return content


def parsed(content: Mapping[str, Any]) -> StudySpec:
    return parse("quick", content)


def refusal(attempt: Callable[[], object]) -> str:
    """The one line that refuses it."""
    with pytest.raises(UsageError) as caught:
        attempt()
    assert caught.value.exit_code == 2
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def toml(content: Mapping[str, Any]) -> str:
    """A study file with that content."""
    return "\n".join(f"{json.dumps(key)} = {inline(each)}" for key, each in content.items())


def inline(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(key)} = {inline(each)}" for key, each in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(inline, value))}]"
    return str(value) if isinstance(value, float | date) else json.dumps(value)


COMPARISON = {"claim": "A beats B", "first": "a", "second": "b", "measure": "val_loss",
              "difference": "negative"}  # fmt: skip


def compared(n: int = 1, **changes: Any) -> dict[str, Any]:
    """The quick study with references a and b, and a comparison of them."""
    values = CONTENT["reference"][0]["hyperparameters"]
    references = [{"name": name, "hyperparameters": values} for name in ("a", "b")]
    return {**CONTENT, "reference": references, "comparison": [{**COMPARISON, **changes}] * n}


# Good files


@pytest.mark.parametrize("name", NAMES)
def test_every_study_here_can_be_searched(name: str) -> None:
    assert_can_be_searched(load(Project(ROOT), name), name)


def test_a_study_of_a_table_can_be_searched_when_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And refused in a sentence before."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    shutil.copy(ROOT / "studies" / "diamonds.toml", tmp_path / "studies")
    text = refusal(lambda: load(Project(tmp_path), "diamonds"))
    assert text.startswith("studies/diamonds.toml: dataset: found ")
    assert "data/diamonds.csv" in text
    real_tables.write("diamonds", tmp_path / "data")
    assert_can_be_searched(load(Project(tmp_path), "diamonds"), "diamonds")


def assert_can_be_searched(spec: StudySpec, name: str) -> None:
    assert spec.name == name
    if not spec.space:
        assert spec.reference
        return
    assert spec.searched.missing == []
    sampler = samplers.build_sampler(spec.sampler, spec.seed, 0)
    pruner = samplers.build_pruner(spec.pruner, samplers.most_epochs(spec))
    source = optuna.create_study(sampler=sampler, pruner=pruner, direction=spec.direction)
    for _ in range(20):
        space.suggest(source.ask(), spec.searched)


def test_the_quick_study_is_read_as_it_stands() -> None:
    spec = load(Project(ROOT), "quick")
    assert (spec.budget.trials, spec.budget.minutes) == (12, 1.5)
    assert (spec.training.patience, spec.training.trial_minutes) == (2, 1.0)
    assert (spec.metric, spec.direction, spec.seed) == ("val_accuracy", "maximize", 42)
    assert spec.sampler.type == "TPESampler"
    assert spec.pruner.arguments == {"min_resource": 2, "reduction_factor": 2}
    assert list(spec.space) == list(CONTENT["space"])
    (reference,) = spec.reference
    hyperparameters = reference.network
    assert hyperparameters
    assert (reference.repeats, hyperparameters.units) == (1, (100,))
    assert reference.claim["val_accuracy"] == 0.8726


def test_a_study_by_path(project: Project, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(QUICK)
    assert load(project, str(tmp_path / "mine.toml")).name == "mine"
    assert load(project, "./mine.toml").name == "mine"


def test_a_loss_is_minimized() -> None:
    assert parsed(changed("metric", to="val_loss")).direction == "minimize"


def test_the_seed_is_0_unless_given() -> None:
    assert parsed(changed("sampler", "seed", to=...)).seed == 0


def test_what_may_be_left_out() -> None:
    content = dict(CONTENT)
    for key in ("metric", "training", "sampler", "pruner", "reference"):
        content = {name: value for name, value in content.items() if name != key}
    spec = parsed(content)
    assert (spec.metric, spec.training.patience, spec.reference) == ("val_accuracy", 3, ())


@pytest.mark.parametrize("key", ["trials", "minutes"])
def test_half_a_budget_will_do(key: str) -> None:
    parsed(changed("budget", key, to=...))


def test_references_alone_are_a_study() -> None:
    spec = parsed(changed("space", to=...))
    assert spec.space == {}
    assert len(spec.reference) == 1


def test_a_reference_may_lie_outside_the_space() -> None:
    spec = parsed(changed("reference", 0, "hyperparameters", "optimizer", to="nadam"))
    hyperparameters = spec.reference[0].network
    assert hyperparameters
    assert hyperparameters.optimizer == "nadam"


def test_a_claim_may_be_a_whole_number() -> None:
    spec = parsed(changed("reference", 0, "claim", to={"val_accuracy": 1}))
    assert spec.reference[0].claim == {"val_accuracy": 1.0}


def test_logistic_regression_has_no_hyperparameters() -> None:
    spec = parsed({**CONTENT, "reference": [{"name": "lr", "trainer": "sgd_classifier"}]})
    (reference,) = spec.reference
    hyperparameters = reference.network
    assert hyperparameters is None
    assert (reference.trainer, reference.patience) == ("sgd_classifier", None)


def test_a_comparison_is_read_as_it_stands() -> None:
    [comparison] = parsed(compared(margin=0.1, published=-1, source="p. 3")).comparison
    assert (comparison.first, comparison.second) == ("a", "b")
    assert (comparison.measure, comparison.difference) == ("val_loss", "negative")
    assert (comparison.margin, comparison.published, comparison.source) == (0.1, -1.0, "p. 3")
    [comparison] = parsed(compared()).comparison
    assert (comparison.margin, comparison.published, comparison.source) == (0.0, None, "")


# The studies that are here


def test_references_of_the_default_study_are_those_of_chapter_7() -> None:
    own = load(Project(ROOT), "fashion_mnist").reference
    chapter = {each.name: each for each in load(Project(ROOT), "chapter7").reference}
    own = own[1:]  # the first is what one would try by hand
    assert len(own) == 2
    for reference in own:
        assert reference == chapter[reference.name].model_copy(update={"repeats": 1})
    written = tomllib.loads((ROOT / "studies" / "fashion_mnist.toml").read_text())["reference"]
    assert all(set(each) == {"study", "name"} for each in written[1:]), "taken, not copied"


def test_every_reference_of_chapter_7_has_ten_seeds() -> None:
    spec = load(Project(ROOT), "chapter7")
    assert spec.space == {}
    assert {each.repeats for each in spec.reference} == {10}
    assert spec.budget.trials is not None
    assert spec.budget.trials >= 10 * len(spec.reference)
    assert spec.budget.minutes is None


def test_the_random_study_differs_from_the_default_one_in_how_it_searches() -> None:
    default, random = (load(Project(ROOT), each) for each in ("fashion_mnist", "random"))
    assert default.baseline == random.name
    for key in ("dataset", "metric", "space", "fixed", "training", "budget"):
        assert getattr(random, key) == getattr(default, key), key
    assert list(random.space) == list(default.space), "the order decides what is drawn"
    assert (random.sampler.type, random.seed) == ("RandomSampler", default.seed)
    assert (default.sampler.type, default.own_pruner.type) == ("FreezeThawSampler", "NopPruner")
    assert random.reference == ()


@pytest.mark.parametrize(
    ("changes", "sampler", "pruner"),
    [
        ({}, "FreezeThawSampler", "NopPruner"),
        ({"pruner": {"type": "HyperbandPruner"}}, "TPESampler", "HyperbandPruner"),
        ({"sampler": {"type": "RandomSampler"}}, "RandomSampler", "MedianPruner"),
    ],
)
def test_what_searches_unless_a_file_says_it(
    changes: dict[str, Any], sampler: str, pruner: str
) -> None:
    content = {key: value for key, value in CONTENT.items() if key not in ("sampler", "pruner")}
    spec = parse("small", {**content, **changes})
    assert (spec.sampler.type, spec.own_pruner.type) == (sampler, pruner)


# References that are borrowed

LENDER = {
    "name": "known",
    "hyperparameters": CONTENT["reference"][0]["hyperparameters"],
    "repeats": 10,
    "patience": 7,
    "claim": {"val_loss": 0.3, "source": "p. 1"},
}


def lend(project: Project, references: Any, name: str = "lender") -> None:
    file = project.root / "studies" / f"{name}.toml"
    file.write_text(toml({**CONTENT, "reference": references}), encoding="utf-8")


def borrow(project: Project, *references: Mapping[str, Any]) -> StudySpec:
    lend(project, list(references), "borrower")
    return load(project, "borrower")


def test_a_reference_is_taken_whole_but_for_its_repeats(project: Project) -> None:
    lend(project, [LENDER, {"name": "lr", "trainer": "sgd_classifier", "repeats": 3}])
    network, other = borrow(
        project, {"study": "lender", "name": "known"}, {"study": "lender", "name": "lr"}
    ).reference
    assert network.model_dump() == {**LENDER, "repeats": 1, "trainer": "keras"}
    assert (other.trainer, other.repeats, other.hyperparameters) == ("sgd_classifier", 1, {})


def test_what_stands_in_the_file_itself_wins(project: Project) -> None:
    lend(project, [LENDER])
    own = {"study": "lender", "name": "known", "repeats": 2, "patience": 1, "claim": {}}
    [reference] = borrow(project, own).reference
    assert (reference.repeats, reference.patience, reference.claim) == (2, 1, {})
    assert reference.hyperparameters == LENDER["hyperparameters"]


def test_a_borrowed_reference_is_part_of_the_fingerprint(project: Project) -> None:
    prints = []
    for patience in (7, 8):
        lend(project, [{**LENDER, "patience": patience}])
        prints.append(borrow(project, {"study": "lender", "name": "known"}).fingerprint)
    assert prints[0] != prints[1]


def test_a_study_by_path_borrows_from_its_own_folder(project: Project) -> None:
    (project.root / "elsewhere").mkdir()
    lend(project, [LENDER], "../elsewhere/lender")
    lend(project, [{"study": "lender", "name": "known"}], "../elsewhere/mine")
    spec = load(project, "elsewhere/mine.toml")
    assert spec.reference[0].patience == 7


@pytest.mark.parametrize(
    "name",
    ["absent", "../outside", "sub/../lender", "/etc/passwd", "", ".", "x" * 300, "a\nb", 5, ["x"],
     {"x": 1}, True],
    ids=str,
)  # fmt: skip
def test_borrowing_from_what_is_no_study_here_is_refused(project: Project, name: Any) -> None:
    (project.root / "studies" / "sub").mkdir()
    lend(project, [LENDER])
    lend(project, [LENDER], "../outside")
    text = refusal(lambda: borrow(project, {"study": name, "name": "known"}))
    found = " ".join(repr(name).splitlines())
    assert text == (
        f"studies/borrower.toml: [[reference]] number 1 study: found {found}, "
        "which is no study here"
    )


@pytest.mark.parametrize(
    ("own", "found"),
    [
        ({"name": "unknown"}, "found 'unknown'"),
        ({"name": 5}, "found 5"),
        ({"name": ["known"]}, "found ['known']"),
        ({}, "missing"),
    ],
    ids=str,
)
def test_borrowing_a_reference_that_is_not_there_is_refused(
    project: Project, own: dict[str, Any], found: str
) -> None:
    lend(project, [LENDER, {**LENDER, "name": "second"}])
    text = refusal(lambda: borrow(project, LENDER | {"name": "x"}, {"study": "lender", **own}))
    assert text == (
        f"studies/borrower.toml: [[reference]] number 2 name: {found}, allowed is the name of a "
        "reference that lender has itself: 'known', 'second'"
    )


@pytest.mark.parametrize(
    "lent", [5, {}, [], [5], [{}], [{"name": ["known"]}], [{"study": "quick", "name": "known"}]],
    ids=str,
)  # fmt: skip
def test_a_study_that_has_none_itself_lends_none(project: Project, lent: Any) -> None:
    lend(project, lent)
    text = refusal(lambda: borrow(project, {"study": "lender", "name": "known"}))
    assert text.endswith("allowed is the name of a reference that lender has itself: none")


def test_a_study_cannot_borrow_from_itself(project: Project) -> None:
    text = refusal(lambda: borrow(project, {"study": "borrower", "name": "known"}))
    assert text.endswith("a reference that borrower has itself: none")


def test_a_lender_that_cannot_be_read_is_named(project: Project) -> None:
    (project.root / "studies" / "lender.toml").write_text("hello")
    text = refusal(lambda: borrow(project, {"study": "lender", "name": "known"}))
    assert text.startswith("studies/borrower.toml: studies/lender.toml: not a TOML file: ")


def test_what_is_wrong_with_a_borrowed_reference_is_said(project: Project) -> None:
    lend(project, [{**LENDER, "patience": 0}])
    text = refusal(lambda: borrow(project, {"study": "lender", "name": "known"}))
    assert text == (
        "studies/borrower.toml: [[reference]] number 1 patience: found 0, "
        "allowed is greater than 0"
    )


# The study that a report sets beside


@pytest.mark.parametrize("name", ["absent", "borrower", "../outside", "x" * 300, "."])
def test_a_baseline_that_is_no_other_study_here_is_refused(project: Project, name: str) -> None:
    lend(project, [], "../outside")
    file = project.root / "studies" / "borrower.toml"
    file.write_text(toml({**CONTENT, "baseline": name}))
    text = refusal(lambda: load(project, "borrower"))
    assert text == (
        f"studies/borrower.toml: baseline: found {name!r}, "
        "allowed is another study in the same folder"
    )


def test_a_baseline_is_found_however_its_name_is_composed(project: Project) -> None:
    name, apart = "내연구", unicodedata.normalize("NFD", "내연구")
    studies = project.root / "studies"
    (studies / f"{apart}.toml").write_text(QUICK)
    for written in (name, apart):
        (studies / "borrower.toml").write_text(toml({**CONTENT, "baseline": written}))
        assert load(project, "borrower").baseline == name


def test_a_baseline_that_is_a_study_here(project: Project) -> None:
    lend(project, [])
    file = project.root / "studies" / "borrower.toml"
    file.write_text(toml({**CONTENT, "baseline": "lender"}))
    assert load(project, "borrower").baseline == "lender"


# The studies that a study starts from


@pytest.mark.parametrize("name", ["absent", "borrower", "../outside", "."])
def test_what_is_no_other_study_here_is_nothing_to_start_from(project: Project, name: str) -> None:
    lend(project, [])
    lend(project, [], "../outside")
    file = project.root / "studies" / "borrower.toml"
    file.write_text(toml({**CONTENT, "start_from": ["lender", name]}))
    text = refusal(lambda: load(project, "borrower"))
    assert text == (
        f"studies/borrower.toml: start_from: found {name!r}, "
        "allowed is another study in the same folder"
    )


def test_studies_to_start_from_are_found_however_their_names_are_composed(
    project: Project,
) -> None:
    name, apart = "내연구", unicodedata.normalize("NFD", "내연구")
    (project.root / "studies" / f"{apart}.toml").write_text(QUICK)
    lend(project, [])
    file = project.root / "studies" / "borrower.toml"
    file.write_text(toml({**CONTENT, "start_from": ["lender", apart]}))
    assert load(project, "borrower").start_from == ("lender", name)
    changed_question = parsed({**CONTENT, "start_from": ["lender"]})
    assert changed_question.fingerprint != parsed(CONTENT).fingerprint


# The fingerprint


def leaves(value: Any, path: tuple[Key, ...] = ()) -> Iterator[tuple[Key, ...]]:
    """Paths of all scalars in a study file."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in items:
            yield from leaves(each, (*path, key))
    else:
        yield path


def other(value: Any) -> Any:
    """Something else of the same type, close enough to be allowed too."""
    if value in OTHER_TEXTS:
        return OTHER_TEXTS[value]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1 if value >= 32 else value * 2
    return value + 0.1 if value >= 0.3 else value * 2 or 0.2


OTHER_TEXTS = {
    "fashion_mnist": "fashion_mnist", "val_accuracy": "val_loss", "dense": "convolutional",
    "TPESampler": "RandomSampler", "SuccessiveHalvingPruner": "MedianPruner",
    "relu": "gelu", "tanh": "selu", "adam": "sgd", "rmsprop": "nadam",
}  # fmt: skip
# What only a report reads, or has no other value.
UNASKED = ("goal", "budget", "dataset", "baseline", "comparison")
ASKED = [path for path in leaves(CONTENT) if path[0] not in UNASKED and "claim" not in path]
# A range's type, and the name of a range, have no other value that could stand alone.
VARIED = [path for path in ASKED if path[-1] not in ("type", "per") or path[0] != "space"]


@pytest.mark.parametrize("path", VARIED, ids=lambda path: ".".join(map(str, path)))
def test_the_fingerprint_covers_what_is_asked(path: tuple[Key, ...]) -> None:
    value: Any = CONTENT
    for key in path:
        value = value[key]
    free_text = path[0] == "reference" and path[-1] == "name"
    content = changed(*path, to="another" if free_text else other(value))
    if path[-2:] == ("hyperparameters", "hidden_layers"):
        content["reference"][0]["hyperparameters"]["units"] = 100
    assert parsed(content).fingerprint != parsed(CONTENT).fingerprint


@pytest.mark.parametrize(
    "path",
    [("training",), ("pruner",), ("reference",), ("space", "dropout"),
     ("space", "dropout", "step"), ("space", "units", "per"), ("space", "units", "log")],
    ids=".".join,
)  # fmt: skip
def test_the_fingerprint_covers_what_is_left_out(path: tuple[Key, ...]) -> None:
    assert parsed(changed(*path, to=...)).fingerprint != parsed(CONTENT).fingerprint


@pytest.mark.parametrize(
    "content",
    [
        changed("goal", to="Another goal."),
        changed("budget", to={"minutes": 600}),
        changed("budget", "trials", to=1000),
        changed("reference", 0, "claim", to=...),
        changed("reference", 0, "claim", "val_accuracy", to=0.5),
        changed("reference", 0, "claim", "source", to="another"),
        changed("baseline", to="random"),
        {key: CONTENT[key] for key in reversed(list(CONTENT))},
    ],
)
def test_the_fingerprint_leaves_out_what_changes_no_trial(content: dict[str, Any]) -> None:
    assert parsed(content).fingerprint == parsed(CONTENT).fingerprint


@pytest.mark.parametrize(
    ("path", "default"),
    [
        (("metric",), "val_accuracy"),
        (("training",), {"patience": 3, "trial_minutes": 10.0}),
        (("training", "trial_minutes"), 10),
        (("sampler",), {"type": "TPESampler"}),
        (("pruner",), {"type": "MedianPruner"}),
        (("reference", 0, "repeats"), 1),
        (("reference", 0, "trainer"), "keras"),
        (("space", "dropout", "log"), False),
    ],
    ids=str,
)
def test_a_default_that_is_written_out_changes_no_fingerprint(
    path: tuple[Key, ...], default: Any
) -> None:
    without = changed(*path, to=default)
    place: Any = without
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    assert parsed(without).fingerprint == parsed(changed(*path, to=default)).fingerprint


def test_the_fingerprint_covers_how_a_reference_is_trained() -> None:
    classifier = {"name": "logistic", "trainer": "sgd_classifier"}
    prints = [
        parsed({**CONTENT, "reference": [*CONTENT["reference"], each]}).fingerprint
        for each in (
            classifier,
            {**classifier, "repeats": 2},
            {**classifier, "patience": 5},
            {**CONTENT["reference"][0], "name": "logistic"},
        )
    ]
    assert len({*prints, parsed(CONTENT).fingerprint}) == 5


def test_the_fingerprint_leaves_out_comparisons() -> None:
    assert parsed(compared()).fingerprint == parsed(compared(n=0)).fingerprint


def test_the_fingerprint_leaves_out_the_name() -> None:
    assert parse("other", CONTENT).fingerprint == parsed(CONTENT).fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_study_is_the_one_that_was_stored(name: str) -> None:
    spec = load(Project(ROOT), name)
    stored = StudySpec.model_validate_json(spec.model_dump_json(), strict=False)
    assert stored == spec
    assert stored.fingerprint == spec.fingerprint


# Bad files


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (["start_from"], "random", "start_from: found 'random', allowed is a list"),
        # keys and tables
        (["speed"], 1, "speed: no such key, allowed are audit, baseline, budget, comparison, "),
        (["speed"], {}, "speed: no such key, allowed are audit, baseline, budget, comparison, "),
        (["a\nb"], 1, "a b: no such key, allowed are audit, baseline, budget"),
        (["name"], "x", "name: no such key, the study is named by its file"),
        (["budget", "hours"], 1, "[budget] hours: no such key, allowed are minutes, trials"),
        (["training", "epochs"], 1, "[training] epochs: no such key, allowed are patience, retr"),
        (["resources"], {"cores": 2}, "[resources] cores: no such key, allowed are cpus, gpus"),
        (["finals"], {"runs": 3}, "[finals] runs: no such key, allowed are networks, seeds"),
        (["finals"], True, "finals: found True, allowed is a table, or false"),
        (["audit"], 1, "audit: found 1, allowed is less than 1"),
        (["audit"], -0.1, "audit: found -0.1, allowed is greater than or equal to 0"),
        (["audit"], True, "audit: found True, allowed is a number"),
        (["audit"], "some", "audit: found 'some', allowed is a number"),
        (["finals"], {"share": 1.0}, "[finals] share: found 1.0, allowed is less than 1"),
        (["finals"], {"seeds": 1}, "[finals] seeds: found 1, allowed is greater than or equal"),
        (["fixed", "lr"], 1, "[fixed] lr: no such hyperparameter, allowed are layer_kind, hidden"),
        (["fixed", "a\nb"], 1, "[fixed] a b: no such hyperparameter, allowed are layer_kind"),
        (["space", "lr"], MOMENTUM, "[space] lr: no such hyperparameter, allowed are layer_kind"),
        (["space", "a\u2028b"], MOMENTUM, "[space] a b: no such hyperparameter, allowed are"),
        (["space", "a.b"], MOMENTUM, "[space] a.b: no such hyperparameter, allowed are"),
        (["space", "dropout", "lo"], 1, "[space] dropout.lo: no such key, allowed are high, log,"),
        (["space", "dropout", "choices"], [1], "[space] dropout.choices: no such key, allowed"),
        (["reference", 0, "note"], "", "[[reference]] number 1 note: no such key, allowed are cl"),
        # what is missing
        (["budget"], ..., "[budget]: missing"),
        (["budget"], {}, "[budget]: found neither trials nor minutes, allowed is either or both"),
        (["goal"], ..., "goal: missing"),
        (["dataset"], ..., "dataset: missing"),
        (["fixed"], ..., "[space]: without epochs, which must stand in [fixed] or [space]"),
        (["space", "units"], ..., "[space]: without units, which must stand in [fixed] or [space"),
        (["space", "units", "low"], ..., "[space] units.low: missing"),
        (["space", "units", "type"], ..., '[space] units.type: missing, allowed are "int", "flo'),
        (["space", "optimizer", "choices"], ..., "[space] optimizer.choices: missing"),
        (["sampler", "type"], ..., "[sampler] type: missing"),
        (["reference", 0, "name"], ..., "[[reference]] number 1 name: missing"),
        (
            ["reference", 0, "hyperparameters"],
            ...,
            "[[reference]] 'chapter 7: one hidden layer, adam' hyperparameters: missing: "
            "batch_size, epochs, hidden_layers, learning_rate, optimizer, units",
        ),
        (
            ["reference", 0, "hyperparameters", "units"],
            ...,
            "[[reference]] 'chapter 7: one hidden layer, adam' hyperparameters: missing: units",
        ),
        # empty
        (["goal"], "", "goal: found nothing, allowed is one or more"),
        (["space", "optimizer", "choices"], [], "[space] optimizer.choices: found nothing, allow"),
        (
            ["space", "learning_rate", "when"],
            {"optimizer": []},
            "[space] learning_rate.when.optimizer: found nothing, allowed is one or more",
        ),
        (["reference", 0, "name"], "", "[[reference]] number 1 name: found nothing, allowed is"),
        # another type than wanted
        (["goal"], 3, "goal: found 3, allowed is a string"),
        (["dataset"], "mnist", 'dataset: found "mnist", allowed is "fashion_mnist"'),
        (["metric"], "error", "metric: found 'error', allowed is 'val_accuracy' or 'val_loss'"),
        (["metric"], "rmse", "metric: found 'rmse', allowed is 'val_accuracy' or 'val_loss'"),
        (["metric"], ["val_loss"], "metric: found ['val_loss'], allowed is a string"),
        (["budget"], 60, "[budget]: found 60, allowed is a table"),
        (["resources"], 2, "[resources]: found 2, allowed is a table"),
        (["resources"], {"cpus": 2.0}, "[resources] cpus: found 2.0, allowed is an integer"),
        (["resources"], {"gpus": "all"}, "[resources] gpus: found 'all', allowed is a number"),
        (["training"], [], "[training]: found [], allowed is a table"),
        (["sampler"], "TPESampler", "[sampler]: found 'TPESampler', allowed is a table"),
        (["pruner"], date(2026, 1, 2), "[pruner]: found datetime.date(2026, 1, 2), allowed is a "),
        (["fixed"], 5, "[fixed]: found 5, allowed is a table"),
        (["space"], [5], "[space]: found [5], allowed is a table"),
        (["reference"], {}, "[[reference]]: found {}, allowed is a list"),
        (["reference"], [5], "[[reference]] number 1: found 5, allowed is a table"),
        (["budget", "trials"], "12", "[budget] trials: found '12', allowed is an integer"),
        (["budget", "trials"], 12.0, "[budget] trials: found 12.0, allowed is an integer"),
        (["budget", "trials"], True, "[budget] trials: found True, allowed is an integer"),
        (["budget", "minutes"], False, "[budget] minutes: found False, allowed is a number"),
        (["training", "patience"], 1.5, "[training] patience: found 1.5, allowed is an integer"),
        (["training", "patience"], True, "[training] patience: found True, allowed is an integer"),
        (["sampler", "type"], 3, "[sampler] type: found 3, allowed is a string"),
        (["sampler", "seed"], "4", "[sampler] seed: found '4', allowed is an integer from 0"),
        (["sampler", "seed"], True, "[sampler] seed: found True, allowed is an integer from 0"),
        (["space", "units"], 5, "[space] units: found 5, allowed is a table"),
        (["space", "units", "type"], "float", '[space] units.type: found "float", allowed is "in'),
        (["space", "units", "type"], "log", "[space] units.type: found 'log', allowed are \"int"),
        (["space", "units", "type"], [], "[space] units.type: found [], allowed are \"int\""),
        (["space", "units", "low"], 32.0, "[space] units.low: found 32.0, allowed is an integer"),
        (["space", "units", "low"], True, "[space] units.low: found True, allowed is an integer"),
        (["space", "units", "per"], "x", "[space] units.per: found 'x', allowed is 'hidden_layer"),
        (["space", "units", "log"], 1, "[space] units.log: found 1, allowed is true or false"),
        (["space", "dropout", "low"], "0", "[space] dropout.low: found '0', allowed is a number"),
        (["space", "dropout", "low"], True, "[space] dropout.low: found True, allowed is a numbe"),
        (["space", "dropout", "type"], "int", "[space] dropout.low: found 0.0, allowed is an int"),
        (["space", "dropout", "when"], 3, "[space] dropout.when: found 3, allowed is a table"),
        (["space", "optimizer", "choices"], "adam", "[space] optimizer.choices: found 'adam', al"),
        (
            ["space", "batch_size", "choices"],
            [[32]],
            "[space] batch_size.choices.0: found [32], allowed is true or false or an integer or ",
        ),
        (
            ["space", "batch_size", "choices"],
            [32, True],
            "[space] batch_size.choices: found True, allowed is an integer from 1 to 1000000",
        ),
        (
            ["space", "learning_rate", "when"],
            {"optimizer": "adam"},
            "[space] learning_rate.when.optimizer: found 'adam', allowed is a list",
        ),
        (["fixed", "epochs"], "6", "[fixed] epochs: found '6', allowed is an integer from 1 to 1"),
        (["fixed", "epochs"], True, "[fixed] epochs: found True, allowed is an integer from 1 to"),
        (["reference", 0, "repeats"], True, "[[reference]] number 1 repeats: found True, allowed"),
        (["reference", 0, "hyperparameters"], [], "[[reference]] number 1 hyperparameters: found"),
        (["reference", 0, "claim"], 0.9, "[[reference]] number 1 claim: found 0.9, allowed is a"),
        (
            ["reference", 0, "claim", "val_accuracy"],
            "high",
            "[[reference]] 'chapter 7: one hidden layer, adam' claim.val_accuracy: found 'high', "
            "allowed is a finite number",
        ),
        (
            ["reference", 0, "claim", "val_accuracy"],
            True,
            "[[reference]] number 1 claim.val_accuracy: found True, allowed is a number or a str",
        ),
        (
            ["reference", 0, "claim", "source"],
            0.9,
            "[[reference]] 'chapter 7: one hidden layer, adam' claim.source: found 0.9, allowed "
            "is a string",
        ),
        # out of range
        (["budget", "trials"], 0, "[budget] trials: found 0, allowed is greater than 0"),
        (["budget", "minutes"], -1.5, "[budget] minutes: found -1.5, allowed is greater than 0"),
        (["budget", "minutes"], INF, "[budget] minutes: found inf, allowed is a finite number"),
        (["budget", "minutes"], NAN, "[budget] minutes: found nan, allowed is a finite number"),
        (["resources"], {"cpus": 0}, "[resources] cpus: found 0, allowed is greater than or equ"),
        (["resources"], {"cpus": 9999}, "[resources] cpus: found 9999, allowed is less than or"),
        (["resources"], {"gpus": -1}, "[resources] gpus: found -1, allowed is greater than or eq"),
        (["resources"], {"gpus": NAN}, "[resources] gpus: found nan, allowed is"),
        (["resources"], {"gpus": 1.5}, "[resources] gpus: found 1.5, allowed is a whole number, "),
        (["training", "trial_minutes"], INF, "[training] trial_minutes: found inf, allowed is a "),
        (["sampler", "seed"], -1, "[sampler] seed: found -1, allowed is an integer from 0"),
        (["space", "units", "low"], 0, "[space] units.low: found 0, allowed is an integer from 1"),
        (["space", "units", "high"], 10**9, "[space] units.high: found 1000000000, allowed is an"),
        (["space", "units", "step"], 0, "[space] units.step: found 0, allowed is greater than 0"),
        (["space", "dropout", "low"], -INF, "[space] dropout.low: found -inf, allowed is a numbe"),
        (["space", "dropout", "low"], NAN, "[space] dropout.low: found nan, allowed is a number"),
        (["space", "dropout", "high"], 1.0, "[space] dropout.high: found 1.0, allowed is a numbe"),
        (["budget", "trials"], 2**63, "[budget] trials: found 9223372036854775808..., allowed is"),
        (["sampler", "n_ei_candidates"], 10**9, "[sampler] n_ei_candidates: found 1000000000, al"),
        (["sampler", "gamma"], date(2026, 1, 2), "[sampler] gamma: found 2026-01-02, allowed are"),
        (
            ["sampler", "base_sampler"],
            {"type": "RandomSampler", "seed": -1},
            "[sampler] base_sampler.seed: found -1, allowed is an integer from 0",
        ),
        (["pruner", "seed"], 1, "[pruner] seed: no such key, for a pruner draws nothing"),
        (["pruner", "lower"], NAN, "[pruner] lower: found nan, allowed is a number from -100000 "),
        (["pruner", "x"], [1, INF], "[pruner] x.1: found inf, allowed is a number from -100000 t"),
        (["pruner", "x"], {"type": 5}, "[pruner] x.type: found 5, allowed is a string"),
        (["space", "dropout", "step"], 1e-9, "[space] dropout.step: found 1e-09, allowed are ste"),
        (["space", "dropout", "step"], INF, "[space] dropout.step: found inf, allowed is a finit"),
        (["space", "dropout", "step"], NAN, "[space] dropout.step: found nan, allowed is"),
        (["space", "learning_rate", "high"], INF, "[space] learning_rate.high: found inf, allowe"),
        (["space", "learning_rate", "low"], 10**400, "[space] learning_rate.low: found 1000"),
        (["reference", 0, "repeats"], 0, "[[reference]] number 1 repeats: found 0, allowed is gr"),
        (["reference", 0, "repeats"], 10**5, "[[reference]] number 1 repeats: found 100000, allo"),
        (
            ["reference", 0, "claim", "val_accuracy"],
            NAN,
            "[[reference]] 'chapter 7: one hidden layer, adam' claim.val_accuracy: found nan, "
            "allowed is a finite number",
        ),
        (
            ["reference", 0, "hyperparameters", "dropout"],
            1,
            "[[reference]] 'chapter 7: one hidden layer, adam' hyperparameters: dropout: found 1, "
            "allowed is a number from 0 below 1",
        ),
        # what does not fit together
        (
            ["space", "units", "low"],
            1000,
            "[space] units: found low = 1000 and high = 256, allowed is low at most high",
        ),
        (
            ["space", "dropout", "log"],
            True,
            "[space] dropout: found low = 0.0 and high = 0.4 with log, allowed is a low above 0",
        ),
        (
            ["space", "units", "step"],
            32,
            "[space] units: found both step and log, allowed is one of them",
        ),
        (
            ["space", "dropout", "step"],
            0.15,
            "[space] dropout: found low = 0.0 and high = 0.4, allowed is a difference"
            " of a multiple of 0.15",
        ),
        (
            ["space", "batch_size", "choices"],
            [32, 32],
            "[space] batch_size.choices: found 32 twice, allowed is once",
        ),
        (["fixed", "dropout"], 0.1, "[space] dropout: given in [fixed] too, allowed is one of th"),
        (
            ["fixed", "units"],
            [32, 32],
            "[space] units: given in [fixed] too, allowed is one of them",
        ),
        (
            ["space", "momentum"],
            {**MOMENTUM, "when": {"lr": [1]}},
            "[space] momentum.when.lr: found 'lr', which stands nowhere; allowed are names in",
        ),
        (
            ["space", "dropout", "when"],
            {"optimizer": ["adam"]},
            "[space] dropout.when.optimizer: found 'optimizer', which stands below; allowed are n",
        ),
        (
            ["space", "momentum"],
            {**MOMENTUM, "when": {"optimizer": ["sgd"]}},
            "[space] momentum.when.optimizer: found 'sgd', which optimizer never is in this study",
        ),
        (
            ["space", "momentum"],
            {**MOMENTUM, "when": {"epochs": [7]}},
            "[space] momentum.when.epochs: found 7, which epochs never is in this study",
        ),
        (
            ["space", "learning_rate", "when"],
            {"optimizer": ["adam"]},
            "[space] learning_rate.when: learning_rate must have a value in every trial; allowed",
        ),
        (
            ["reference"],
            [*CONTENT["reference"], *CONTENT["reference"]],
            "[[reference]] 'chapter 7: one hidden layer, adam': found twice, allowed is once (see",
        ),
        (
            ["reference", 0, "hyperparameters", "units"],
            [100, 100],
            "[[reference]] 'chapter 7: one hidden layer, adam' hyperparameters: units: found 2 va",
        ),
    ],
)  # fmt: skip
def test_a_bad_study_is_refused_in_a_sentence(
    project: Project, path: list[Key], value: Any, sentence: str
) -> None:
    file = project.root / "studies" / "bad.toml"
    file.write_text(toml(changed(*path, to=value)), encoding="utf-8")
    assert refusal(lambda: load(project, "bad")).startswith(f"studies/bad.toml: {sentence}")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"first": "c"},
            "'A beats B' first: found 'c', allowed is the name of a reference: 'a', 'b",
        ),
        (
            {"second": "c"},
            "'A beats B' second: found 'c', allowed is the name of a reference: 'a'",
        ),
        ({"second": "a"}, "'A beats B' second: found 'a', allowed is another than the first"),
        (
            {"measure": "lr"},
            "'A beats B' measure: found 'lr', allowed are val_accuracy, val_loss,",
        ),
        ({"measure": 3}, "number 1 measure: found 3, allowed is a string"),
        (
            {"difference": "up"},
            "number 1 difference: found 'up', allowed is 'positive', 'negative'",
        ),
        ({"difference": 1}, "number 1 difference: found 1, allowed is 'positive', 'negative'"),
        ({"margin": -0.1}, "number 1 margin: found -0.1, allowed is greater than or equal to 0"),
        ({"margin": NAN}, "number 1 margin: found nan, allowed is"),
        ({"published": INF}, "number 1 published: found inf, allowed is a finite number"),
        ({"claim": ""}, "number 1 claim: found nothing, allowed is one or more"),
        (
            {"sign": 1},
            "number 1 sign: no such key, allowed are claim, difference, first, margin, ",
        ),
    ],
    ids=str,
)
def test_a_bad_comparison_is_refused_in_a_sentence(
    project: Project, changes: dict[str, Any], sentence: str
) -> None:
    (project.root / "studies" / "bad.toml").write_text(toml(compared(**changes)))
    text = refusal(lambda: load(project, "bad"))
    assert text.startswith(f"studies/bad.toml: [[comparison]] {sentence}")


def test_a_comparison_without_references_says_that_there_are_none() -> None:
    text = refusal(lambda: parsed({**compared(), "reference": []}))
    assert text.endswith("first: found 'a', allowed is the name of a reference: none")


def test_a_claim_about_an_unknown_measure_is_refused_with_those_there_are() -> None:
    text = refusal(lambda: parsed(changed("reference", 0, "claim", to={"test_accuracy": 0.9})))
    assert text == (
        "[[reference]] 'chapter 7: one hidden layer, adam' claim.test_accuracy: found "
        f"'test_accuracy', allowed are {', '.join(MEASURES)}"
    )


def test_logistic_regression_with_hyperparameters_is_refused() -> None:
    text = refusal(lambda: parsed(changed("reference", 0, "trainer", to="sgd_classifier")))
    assert text == (
        "[[reference]] 'chapter 7: one hidden layer, adam' hyperparameters: "
        "found some, allowed are none with this trainer"
    )


def test_an_unknown_trainer_is_refused() -> None:
    text = refusal(lambda: parsed(changed("reference", 0, "trainer", to="torch")))
    assert text == (
        "[[reference]] number 1 trainer: found 'torch', allowed is 'keras', "
        "'sgd_classifier', 'constant', 'linear' or 'gradient_boosting'"
    )


def test_a_step_that_changes_nothing_is_refused() -> None:
    entry = {"type": "float", "low": 0.3, "high": 0.3, "step": 1e-300}
    text = refusal(lambda: parsed(changed("space", "dropout", to=entry)))
    assert text.startswith("[space] dropout.step: found 1e-300, allowed are steps that lead")


def test_a_study_without_anything_to_train_is_refused() -> None:
    fixed = CONTENT["reference"][0]["hyperparameters"]
    text = refusal(lambda: parsed({**CONTENT, "fixed": fixed, "space": {}, "reference": []}))
    assert text == "[space]: missing, as is [[reference]]; allowed is one of them or both"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (f"goal = 0x{'f' * 5000}", "goal: found 0xffffffffffffffffff..., allowed is an integer"),
        (f"goal{'.a' * 1000} = 1", "[goal] a.a: found more than 20 levels, allowed are fewer"),
        (f"goal = {'[' * 30}{']' * 30}", "[goal] 0.0: found more than 20 levels, allowed are few"),
    ],
    ids=["5,000 digits", "dotted", "nested"],
)
def test_what_could_not_even_be_shown_is_refused(
    project: Project, content: str, sentence: str
) -> None:
    (project.root / "studies" / "bad.toml").write_text(content)
    assert refusal(lambda: load(project, "bad")).startswith(f"studies/bad.toml: {sentence}")


def test_a_good_study_is_not(project: Project) -> None:
    (project.root / "studies" / "good.toml").write_text(toml(CONTENT), encoding="utf-8")
    assert load(project, "good").fingerprint == parsed(CONTENT).fingerprint


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"goal = ", "Invalid value"),
        (b"goal = 1\ngoal = 2", "Cannot overwrite a value"),
        (b"hello", "Expected '=' after a key"),
        (b"goal = 'caf\xe9'", "line 1: found the byte 0xe9, which is no UTF-8"),
        (b"\xff\xfe\x00", "found text in UTF-16, allowed is UTF-8"),
        (b"goal = '\x00'", "found NUL bytes"),
        (b"goal = " + b"1" * 5000, "Exceeds the limit"),
        (b"goal = " + b"[" * 100_000, ""),  # the reason depends on Python's version
    ],
    ids=["no value", "twice", "no key", "Latin-1", "UTF-16", "NUL", "5,000 digits", "nested"],
)
def test_what_is_not_toml_is_refused(project: Project, content: bytes, reason: str) -> None:
    (project.root / "studies" / "bad.toml").write_bytes(content)
    text = refusal(lambda: load(project, "bad"))
    assert text.startswith(f"studies/bad.toml: not a TOML file: {reason}")


def test_a_file_that_is_not_there_is_refused_with_those_that_are(project: Project) -> None:
    (project.root / "studies" / "quick.toml").write_text(QUICK)
    text = refusal(lambda: load(project, "quik"))
    assert text == "studies/quik.toml: no such study file; the studies here are: quick"


def test_a_folder_is_refused(project: Project) -> None:
    (project.root / "studies" / "folder.toml").mkdir()
    assert "folder.toml: no such study file" in refusal(lambda: load(project, "folder"))


@pytest.mark.parametrize("name", ["../outside", "../../etc/passwd", "..", "/"])
def test_a_name_that_leaves_the_folder_is_refused(project: Project, name: str) -> None:
    (project.root / "outside.toml").write_text(QUICK)
    assert "no such study file" in refusal(lambda: load(project, name))


@pytest.mark.parametrize("file", [".hidden.toml", "-x.toml", "two words.toml", "_.toml"])
def test_a_file_whose_name_will_not_do_is_refused(project: Project, file: str) -> None:
    (project.root / file).write_text(QUICK)
    text = refusal(lambda: load(project, f"./{file}"))
    assert text.startswith(f"{file}: the file's name is the study's name, found ")


def test_a_file_that_cannot_be_read_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.root / "studies" / "quick.toml").write_text(QUICK)

    def fail(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", fail)  # tests run as root, who may read everything
    text = refusal(lambda: load(project, "quick"))
    assert text == "studies/quick.toml: cannot be read: Permission denied"


@pytest.mark.parametrize(
    ("place", "entry"),
    [
        ("fixed", "cutout = 8"),
        ("fixed", 'layer_kind = "convolutional"'),
        ("space", 'random_flip = { type = "categorical", choices = [false, true] }'),
        ("space", 'mixup = { type = "float", low = 0.0, high = 0.4 }'),
        ("space", 'kernel_size = { type = "int", low = 3, high = 5, step = 2 }'),
    ],
)
def test_what_is_for_pictures_is_refused_with_a_table(place: str, entry: str) -> None:
    content = tomllib.loads(OF_A_TABLE + f"[{place}_]\n{entry}\n")
    ((name, value),) = content.pop(f"{place}_").items()
    content[place] = {**content[place], name: value}
    text = refusal(lambda: parsed(content))
    assert text.startswith(f"[{place}] {name}: found ")
    assert "which is for pictures alone, allowed with diabetes is " in text


def test_what_is_for_classes_is_refused_with_a_regression() -> None:
    content = tomllib.loads(OF_A_TABLE)
    reference = {
        "name": "known",
        "hyperparameters": {**content["fixed"], "hidden_layers": 0, "units": 1,
                            "label_smoothing": 0.1},
    }  # fmt: skip
    text = refusal(lambda: parsed({**content, "reference": [reference]}))
    assert text == (
        "[[reference]] 'known' hyperparameters label_smoothing: found 0.1, which is for classes "
        "alone, allowed with diabetes is 0.0"
    )


def test_what_is_for_tables_is_refused_with_pictures() -> None:
    text = refusal(lambda: parsed(changed("fixed", "embedding_size", to=4)))
    assert text.startswith("[fixed] embedding_size: found 4, which is for tables alone, ")


def test_what_is_off_may_be_said_of_any_data() -> None:
    content = tomllib.loads(OF_A_TABLE)
    off = {"cutout": 0, "layer_kind": "dense", "label_smoothing": 0, "random_flip": False}
    assert parsed({**content, "fixed": {**content["fixed"], **off}}).fixed["cutout"] == 0
    assert parsed(changed("fixed", "numeric_encoding", to="standard"))


OF_A_TABLE = """
goal = "Look at what is allowed."
dataset = "diabetes"
budget = { trials = 1 }

[fixed]
optimizer = "adam"
batch_size = 32
epochs = 2
learning_rate = 0.001

[space]
hidden_layers = { type = "int", low = 1, high = 2 }
units = { type = "int", low = 4, high = 8 }
"""
