"""A first study file for data of any kind and name: written once, accepted as it stands."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.data import datasets
from pipeline.errors import BAD_USAGE, UsageError
from pipeline.new.__main__ import main
from pipeline.new.command import Asked, create, ensure
from pipeline.new.given import read_settings, say_how
from pipeline.new.plan import plan
from pipeline.new.study_file import text_of
from pipeline.new.survey import Survey
from pipeline.paths import Project
from pipeline.search.dry_run import preview
from pipeline.study.load import load, parse
from pipeline.study.spec import StudySpec
from pipeline.study.toml import quote
from pipeline.task.settings import DataSettings
from pipeline.task.task import Kind

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def project(project_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("PIPELINE_DATA_DIR", str(project_folder.parent / "cache"))
    return Project(project_folder)


def new(project: Project, data: str, target: str = "", name: str | None = None) -> StudySpec:
    """Writes a study file and reads it as a search does, which shows what it would do."""
    asked = Asked.of(project, name, data, target)
    said = create(project, asked)
    assert max(map(len, said.splitlines())) <= 80 + len(asked.name)
    spec = load(project, asked.name)
    assert asked.name in preview(spec)
    return spec


def table(path: str, n: int, **columns: Any) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=n), "kind": rng.choice(["a", "b"], n), **columns})
    frame.to_csv(path, index=False)


def numbers(n: int, seed: int = 1) -> "np.ndarray[Any, Any]":
    return np.random.default_rng(seed).normal(size=n)


def test_a_messy_table_of_a_skewed_target(project: Project) -> None:
    n, rng = 6_400, np.random.default_rng(0)
    days = pd.to_datetime("2021-03-01") + pd.to_timedelta(rng.integers(0, 700, n), "D")
    frame = pd.DataFrame(
        {
            "Nr": np.arange(n),
            "Wohnfläche": rng.normal(90, 20, n).round(1),
            "Ort": rng.choice([f"Ort {i}" for i in range(30)], n),
            "Kunde": "K" + pd.Series(rng.integers(0, 300, n)).astype(str),
            "patient_id": rng.integers(1000, 1200, n),
            "Datum": days.strftime("%d.%m.%Y"),
            "leer": np.nan,
            "Notiz": [f"ganz anderes Wort {i} und {i * 7919}" for i in range(n)],
        }
    )
    frame.loc[rng.random(n) < 0.1, "Wohnfläche"] = np.nan
    frame["Preis in €"] = np.exp(rng.normal(12, 0.8, n)).round(2)
    Path("data").mkdir()
    frame.to_csv("data/häuser.csv", sep=";", decimal=",", index=False)

    spec = new(project, "data/häuser.csv", "Preis in €")
    assert (spec.name, spec.dataset, spec.target) == (
        "häuser", "../data/häuser.csv", "Preis in €",
    )  # fmt: skip
    assert spec.metric == "val_rmse"
    assert spec.data.target_transform == "log"
    assert spec.data.folds is None
    assert {"numeric_encoding", "numeric_bins", "embedding_size"} <= spec.space.keys()
    assert [each.trainer for each in spec.reference] == ["constant", "linear", "gradient_boosting"]
    text = (project.root / "studies" / "häuser.toml").read_text(encoding="utf-8")
    for suggested in (
        '# group = "patient_id"',
        '# time = "Datum"',
        'delimiter ";"; enc',
        "'Notiz' is",
    ):
        assert suggested in text, text


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: table("d.csv", 7_000, y=numbers(7_000)), ("val_rmse", None, "none", None)),
        (lambda: table("d.csv", 30, y=numbers(30)), ("val_rmse", 5, "none", None)),
        (lambda: table("d.csv", 400, y=numbers(400) > 0), ("val_accuracy", 5, "none", None)),
        (lambda: table("d.csv", 400, y=numbers(400) > 1.3), ("val_roc_auc", 5, "none", None)),
        (
            lambda: table("d.csv", 7_000, y=np.digitize(numbers(7_000), [-1, 0, 1])),
            ("val_accuracy", None, "none", None),
        ),
        (
            lambda: table("d.csv", 7_000, y=np.digitize(numbers(7_000), [0, 1.9])),
            ("val_balanced_accuracy", None, "none", "balanced"),
        ),
        # of the rarest class there are three rows: one in the test set, two to cross-validate
        (
            lambda: table("d.csv", 60, y=["rare"] * 3 + ["one", "two", "three"] * 19),
            ("val_balanced_accuracy", 2, "none", "balanced"),
        ),
    ],
    ids=["regression", "tiny", "two classes", "a rare class", "many", "imbalanced", "three rows"],
)
def test_what_is_chosen_for_a_table(
    project: Project, make: Callable[[], None], expected: tuple[str, int | None, str, str | None]
) -> None:
    make()
    spec = new(project, "d.csv")
    data = spec.data
    assert (spec.metric, data.folds, data.target_transform, data.class_weights) == expected


@pytest.mark.parametrize("name", ["store", "Kunden-Nr", "machine_id", "고객"])
def test_whose_rows_they_are_may_be_meant_to_stay_together(project: Project, name: str) -> None:
    table("d.csv", 300, y=numbers(300), **{name: np.arange(300) % 60})
    new(project, "d.csv")
    text = (project.root / "studies" / "d.toml").read_text(encoding="utf-8")
    assert f'# group = "{name}"  # would keep all rows of one value in one part' in text


def test_of_absolute_errors_the_constant_is_a_median(project: Project) -> None:
    table("d.csv", 300, y=numbers(300))
    create(project, Asked.of(project, "d", "d.csv", "y", read_settings(["loss=absolute"])))
    assert load(project, "d").reference[0].name == "median"


def test_a_study_file_says_what_folds_cost_and_what_a_value_is(project: Project) -> None:
    table("d.csv", 3_000, y=numbers(3_000))
    new(project, "d.csv")
    text = (project.root / "studies" / "d.toml").read_text(encoding="utf-8")
    assert (
        "# fewer than 6,000 rows, so a trial trains 5 networks, which takes 5 times as long; its "
        "value\n# is of all rows but the test's, each answered by the network that has not seen "
        "it\n"
        "folds = 5  # or instead validation = 0.2, one network\n" in text
    )


def test_batches_leave_an_epoch_some_steps_and_grow_with_the_rows(project: Project) -> None:
    largest = []
    for n in (200, 3_000, 40_000):
        table(f"of{n}.csv", n, y=numbers(n))
        spec = new(project, f"of{n}.csv")
        sizes = spec.space["batch_size"].values
        assert sizes is not None
        largest.append(max(map(int, sizes)))
        n_training = 0.6 * n if spec.data.folds is None else 0.64 * n
        assert largest[-1] * 10 <= n_training
        assert spec.budget.minutes is not None
        assert 5 <= spec.budget.minutes <= 60
    assert largest == sorted(set(largest))


def save_pictures(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (Path("pets") / name).mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(0, 256, shape, np.uint8)
            Image.fromarray(pixels).save(Path("pets") / name / f"{i}.png")


def save_arrays(shape: tuple[int, ...], dtype: str, is_regression: bool, n_test: int = 0) -> None:
    rng = np.random.default_rng(0)
    parts = {"": 90, "_test": n_test}
    arrays: dict[str, Any] = {}
    for part, n in parts.items():
        if n:
            arrays[f"x{part}"] = rng.integers(0, 256, (n, *shape)).astype(dtype)
            arrays[f"y{part}"] = rng.normal(size=n) if is_regression else np.arange(n) % 3
    np.savez("d.npz", **arrays)


@pytest.mark.parametrize(
    ("data", "make", "metric", "has_convolutions"),
    [
        ("pets", lambda: save_pictures((9, 12, 3)), "val_accuracy", True),
        ("d.npz", lambda: save_arrays((8, 8), "uint8", False, 12), "val_accuracy", True),
        ("d.npz", lambda: save_arrays((8, 8, 3), "uint8", True), "val_rmse", True),
        ("d.npz", lambda: save_arrays((7,), "float64", False), "val_accuracy", False),
        ("d.npz", lambda: save_arrays((7,), "float64", True, 12), "val_rmse", False),
        ("d.npz", lambda: save_arrays((4, 3, 6), "float64", True), "val_rmse", False),
        ("digits", lambda: None, "val_accuracy", True),
        ("wine", lambda: None, "val_accuracy", False),
        ("diabetes", lambda: None, "val_rmse", False),
        ("fashion_mnist", lambda: None, "val_accuracy", True),
    ],
)
def test_pictures_arrays_and_data_by_name(
    project: Project, data: str, make: Callable[[], None], metric: str, has_convolutions: bool
) -> None:
    make()
    spec = new(project, data)
    assert spec.metric == metric
    assert ("layer_kind" in spec.space) == has_convolutions
    has_encodings = "numeric_encoding" in spec.space
    assert has_encodings == (len(spec.task.input_shape) == 1)
    assert (spec.dataset == data) == (data in datasets.names())


def surveyed(n: int, *shape: int, n_classes: int = 10, **known: Any) -> Survey:
    counts = (n // n_classes,) * n_classes
    return Survey(Kind.MULTICLASS, n, shape, class_counts=counts, has_test=True, **known)


@pytest.mark.parametrize(
    ("data", "has_trees"),
    [
        (surveyed(1_000, 8, 8), True),
        (surveyed(50_000, 12, is_guess=True), True),
        (surveyed(50_000, 64, 64, 3), False),  # over an hour
        (surveyed(1_500, 128, 128, 3), False),
        (surveyed(20_000, 64, 64, 3, n_classes=100), False),
    ],
)
def test_trees_that_would_outlast_a_trial_are_no_reference_and_the_file_says_so(
    data: Survey, has_trees: bool
) -> None:
    chosen = plan(data, DataSettings())
    text = text_of(data, chosen, "d.npz", "d.npz", "", DataSettings())
    names = [each["trainer"] for each in tomllib.loads(text)["reference"]]
    assert ("gradient_boosting" in names) == has_trees
    assert ("# gradient_boosting is left out: it would take about " in text) != has_trees


def test_one_hot_is_not_tried_where_it_is_slow() -> None:
    def sizes(n: int, *categories: int) -> object:
        data = surveyed(n, len(categories), categories=categories)
        text = text_of(data, plan(data, DataSettings()), "d.csv", "d.csv", "", DataSettings())
        return tomllib.loads(text)["space"].get("embedding_size", {}).get("choices")

    assert sizes(200_000, 1_000, 435) == [4, 16]
    assert sizes(200_000, 100) == sizes(5_000, 1_000, 435) == [0, 4, 16]
    assert sizes(200_000, 8) is None


ODD = [
    "it's", 'a "quoted" one', "back\\slash", "hash # mark", "a = b", "$HOME", "{x}", "[y]",
    "내 파일", "\u00e9", "e\u0301", "tab\there", "new\nline", "del\x7f", "'''", '"""', " blank",
    "~home", "100%", "-rf",
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_any_name_of_a_file_and_a_column_stands_in_a_study_file(
    project: Project, odd: str
) -> None:
    assert tomllib.loads(f"a = {quote(odd)}") == {"a": odd}
    path = Path(f"{odd}.csv")
    column = " ".join(odd.split())  # as the reader of tables has names, without line breaks
    columns: dict[str, Any] = {column: numbers(50)}
    table(str(path), 50, **columns)
    spec = new(project, f"./{path}", column, name="odd")
    assert spec.target == column
    assert Path(spec.data_spec.dataset) == project.root / path
    assert ensure(project, Asked.of(project, "odd", f"./{path}", column)) == "odd"


def test_a_path_beside_the_study_files_is_no_name(project: Project) -> None:
    save_pictures((4, 4))
    (project.root / "studies").mkdir()
    Path("pets").rename("studies/digits")
    spec = new(project, "studies/digits", name="own")
    assert spec.data_spec.dataset == str(project.root / "studies" / "digits")


def test_paths_outside_the_project_stay_as_they_were_given(project: Project) -> None:
    table("../near.csv", 50, y=numbers(50))
    assert new(project, "../near.csv").dataset == "../../near.csv"
    far = str(project.root.parent / "near.csv")
    assert new(project, far, name="far").dataset == far


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("houses.CSV", "houses"), ("my data (1).csv", "my_data_1"), (".hidden.csv", "hidden"),
        ("집값 2024.csv", "집값_2024"), ("v1.2.csv.gz", "v1.2"), ("x" * 150 + ".csv", "x" * 100),
    ],
)  # fmt: skip
def test_a_study_is_named_after_its_file(project: Project, file: str, name: str) -> None:
    Path(file).touch()
    assert Asked.of(project, None, file, "").name == name


def refused(project: Project, data: str, target: str = "", name: str | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        create(project, Asked.of(project, name, data, target))
    assert not list(project.root.glob("studies/*"))
    return str(caught.value)


def test_what_cannot_be_learned_from_is_refused_and_nothing_is_written(project: Project) -> None:
    table("houses.csv", 40, price=numbers(40), one="same", few=["rare"] + ["a", "b", "c"] * 13)
    assert refused(project, "nowhere.csv").startswith("data: found 'nowhere.csv', allowed is a")
    assert refused(project, "").startswith("data: found ''")
    assert refused(project, "houses.csv", "rent") == (
        "target: found 'rent', allowed is a column of houses.csv: 'x', 'kind', 'price', 'one', "
        "'few'"
    )
    assert refused(project, "houses.csv") == (
        "target: missing, allowed is a column of houses.csv: 'x', 'kind', 'price', 'one', 'few'"
    )
    assert "houses.csv, target 'one': " in refused(project, "houses.csv", "one")
    assert "houses.csv: target: class 'rare' has 1 row" in refused(project, "houses.csv", "few")
    assert "allowed is none" in refused(project, "digits", "y")
    assert "allowed is none" in refused(project, "fashion_mnist", "y")
    assert "found 'a/b'" in refused(project, "houses.csv", "price", "a/b")
    Path("empty.csv").touch()
    assert "empty.csv" in refused(project, "empty.csv", "y")
    Path("(.csv").touch()
    assert "name: missing" in refused(project, "(.csv", "y")
    table(os.fsdecode(b"\xff.csv"), 40)
    assert "allowed is a path in UTF-8" in refused(project, os.fsdecode(b"\xff.csv"), "x")


GIVEN = (
    "encoding=cp949", "decimal=,", "delimiter=;", 'drop=["메모", "a\\"b"]',
    'types={zip="category"}', "class_weights={ja=2.5, nein=1}", "folds=3", "test = 0.25",
    "weight='가중치'",
)  # fmt: skip


def test_what_is_given_reads_the_data_and_stands_in_the_study_file(project: Project) -> None:
    rng, n = np.random.default_rng(0), 90
    columns = {
        "zip": rng.integers(10, 20, n), "메모": rng.choice(["서울", "부산"], n), 'a"b': numbers(n),
        "가중치": rng.uniform(1, 2, n), "y": rng.choice(["ja", "nein"], n), "값": numbers(n),
    }  # fmt: skip
    pd.DataFrame(columns).to_csv("d.csv", sep=";", decimal=",", encoding="cp949", index=False)
    settings = read_settings(GIVEN)
    create(project, Asked.of(project, None, "d.csv", "y", settings))
    spec = load(project, "d")
    assert spec.data == settings
    assert spec.task.features is not None
    assert [each.name for each in spec.task.features.inputs] == ["zip", "값"]
    text = (project.root / "studies" / "d.toml").read_text(encoding="utf-8")
    assert "validation" not in text
    same = Asked.of(project, None, "d.csv", "y", read_settings(["folds=3"]))
    assert ensure(project, same) == "d"
    other = Asked.of(project, None, "d.csv", "y", read_settings(["folds=4"]))
    with pytest.raises(UsageError, match=r"found \[data\] folds 3, asked for is 4"):
        ensure(project, other)


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        (["time=when"], {"time", "validation", "test"}),
        (["validation=0.3"], {"validation", "test"}),
        (["group=kind"], {"group", "folds", "test"}),  # of four values, one is for the test
    ],
)
def test_what_is_chosen_fits_what_is_given(
    project: Project, given: list[str], keys: set[str]
) -> None:
    n = 60
    when = pd.date_range("2020-01-01", periods=n).strftime("%Y-%m-%d")
    kind = np.resize([*"abcd"], n)
    table("d.csv", n, y=numbers(n), when=when, kind=kind)
    create(project, Asked.of(project, None, "d.csv", "y", read_settings(given)))
    assert load(project, "d").data.model_fields_set == {*keys, "task"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["drop"], "--set: found 'drop', allowed is SETTING=VALUE: "),
        (["=3"], "--set: found '=3', allowed is SETTING=VALUE: "),
        (["drop=[a]"], "--set drop: found '[a]', allowed is a value of TOML, such as "),
        (["drop=" + "[" * 5_000], "--set drop: found '[[["),
        (["seed=" + "9" * 5_000], "[data] seed: found '999"),
        (["drop=a"], "[data] drop: found 'a', allowed is a list"),
        (["folds=3", "folds=4"], "--set folds: found twice"),
        (["folds=3\ntest=0.1"], "[data] folds: found '3\\ntest=0.1', allowed is an integer"),
        (["fold=3"], "[data] fold: no such key, allowed are class_weights, colour, "),
        (["decimal=;"], "[data] decimal: found ';', allowed is '.' or ','"),
    ],
)
def test_what_may_not_be_given_is_refused(given: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings(given)
    assert str(caught.value).startswith(said)


def test_an_error_says_how_to_give_what_it_advises(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table("d.csv", 60, y=np.arange(60))

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["new", "--data=d.csv", "--target=y", *arguments])
        with pytest.raises(UsageError) as caught:
            main()
        assert not list(project.root.glob("studies/*"))
        return str(caught.value)

    asked = "--set", "task=classification"
    ending = """[data] task = "regression"; with pipeline.new: --set 'task="regression"'"""
    assert run(*asked).endswith('[data] task = "regression"')  # who gave one, knows
    table("d.csv", 60, y=["a"] * 60)
    assert "--set" not in run()
    table("d.csv", 60, y=[f"{i}.5" if i % 5 else "unknown" for i in range(60)])
    advice = """; with pipeline.new: --set 'missing=["unknown"]'"""
    for given, found in (
        ((), "text, 49 different"),
        (("--set", "task=regression"), "text, allow"),
    ):
        said = run(*given)
        assert f"target 'y': found {found}" in said
        assert said.endswith(f'[data] missing = ["unknown"] makes it one of numbers{advice}')
    assert say_how("set its type in [data]", read_settings([]), is_new=True) == (
        "set its type in [data]; with pipeline.new: --set 'SETTING=VALUE'"
    )
    table("d.csv", 60, y=["a", "b"] * 30, **{"it's": [*range(59), "oops"]})
    assert run().endswith("""; with pipeline.new: --set 'missing=["oops"]'""")
    types = """[data] types = { "it's" = "category" }"""
    assert say_how(types, read_settings([]), is_new=True).endswith(
        """; with pipeline.new: --set 'types={ "it'\\''s" = "category" }'"""
    )
    Path("d.csv").write_bytes("이름;y\n".encode("utf-16-le") * 20)
    advice = """encoding = "utf-16-le"; with pipeline.new: --set 'encoding="utf-16-le"'"""
    assert run().endswith(advice)
    assert say_how("set [data] encoding", read_settings([]), is_new=True).endswith(
        "; with pipeline.new: --set 'encoding=VALUE'"
    )
    assert run("--if-missing").endswith(
        "; write the study file first, by .venv/bin/python -m pipeline.new with --set "
        """'encoding="utf-16-le"'"""
    )
    assert say_how(ending.partition(";")[0], read_settings([]), is_new=True) == ending
    table("d.csv", 60, y=np.arange(60) * 1.5)
    assert main_with(monkeypatch, "--set", "test=0.3") == 0
    capsys.readouterr()


def main_with(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["new", "--data=d.csv", "--target=y", *arguments])
    return main()


def test_a_target_of_texts_that_hardly_come_again_is_no_quantity(project: Project) -> None:
    table("d.csv", 60, name=[f"person {chr(65 + i % 26)}{i}" for i in range(60)])
    assert refused(project, "d.csv", "name") == (
        "d.csv, target 'name': found text, 60 different in 60 rows, such as 'person A0'; allowed "
        "are classes that come again, or numbers"
    )


@pytest.mark.parametrize(
    ("numbers_of", "texts_of"),
    [([0, 1], ["no", "yes"]), ([1, 2, 3], ["low", "mid", "high"]), ([1.5, 2.5], ["a", "b"])],
)
def test_a_column_of_texts_gives_away_a_target_that_is_written_in_numbers(
    project: Project, numbers_of: list[float], texts_of: list[str]
) -> None:
    drawn = np.random.default_rng(0).integers(0, len(texts_of), 300)
    table("d.csv", 300, y=np.array(numbers_of)[drawn], alive=np.array(texts_of)[drawn])
    _, warnings = datasets.about(new(project, "d.csv").data_spec)
    assert [each for each in warnings if "column 'alive' gives the target away" in each]
    assert "'kind'" not in " ".join(warnings)


def test_values_that_differ_in_case_alone_are_warned_of(project: Project) -> None:
    towns, answers = ["Ulm", "ulm", "Köln"] * 20, ["Yes", "no", "yes", "No"] * 15
    table("d.csv", 60, town=towns, y=answers)
    _, warnings = datasets.about(new(project, "d.csv").data_spec)
    said = " ".join(warnings)
    assert "column 'town': 'Ulm' and 'ulm' differ in case alone" in said
    assert "column 'y': 'Yes' and 'yes' differ in case alone" in said


def test_a_study_file_has_all_of_an_advice(project: Project) -> None:
    table("d.csv", 60, y=[0, 1] * 30, a_code_of_a_place=[f"{i % 7:04}" for i in range(60)])
    new(project, "d.csv")
    text = (project.root / "studies/d.toml").read_text()
    assert max(len(line) for line in text.splitlines() if line[0:1] == "#") < 100
    said = " ".join(text.replace("\n#", " ").split())
    assert 'if it is a code, set [data] types = { "a_code_of_a_place" = "category" }' in said


def test_classes_of_pictures_that_differ_in_case_alone_are_warned_of(project: Project) -> None:
    y = np.array(["Cat", "cat", "dog"] * 20)
    np.savez("d.npz", x=numbers(180).reshape(60, 3), y=y)
    _, warnings = datasets.about(new(project, "d.npz").data_spec)
    assert "'Cat' and 'cat' differ in case alone" in " ".join(warnings)


def test_many_columns_that_are_left_out_are_said_together(project: Project) -> None:
    table("d.csv", 60, y=[0, 1] * 30, **{f"c{i}": 1 for i in range(40)}, id=range(60))
    pd.DataFrame({"id": range(60), "y": [0, 1] * 30}).to_csv("e.csv", index=False)
    assert refused(project, "e.csv", "y") == (
        "e.csv: found no column to learn from beside the target (column 'id' is dropped: an id: "
        "all values differ)"
    )
    remarks, _ = datasets.about(new(project, "d.csv").data_spec)
    assert len([each for each in remarks if "dropped" in each]) == 2
    assert "columns 'c0', 'c1', 'c2', 'c3'" in " ".join(remarks)


def test_what_gives_a_target_away_in_other_ways(project: Project) -> None:
    price = np.random.default_rng(5).lognormal(10, 1, 300).round(2)
    y, is_sold = np.arange(300) % 3, np.arange(300) % 2 == 1
    table("d.csv", 300, price=price, log_price=np.log(price), root=np.sqrt(price).round(3))
    _, warnings = datasets.about(new(project, "d.csv", target="price").data_spec)
    assert "columns 'log_price' and 'root' give the target away" in " ".join(warnings)
    table("e.csv", 300, paid=np.where(is_sold, price.astype(str), ""), sold=is_sold, y=y)
    _, warnings = datasets.about(new(project, "e.csv", target="sold").data_spec)
    assert "column 'paid' gives the target away" in " ".join(warnings)
    table("f.csv", 16, y=np.arange(16) % 2, u=price[:16])  # of so few rows all differ
    _, warnings = datasets.about(new(project, "f.csv").data_spec)
    assert "away" not in " ".join(warnings)


def test_a_share_of_a_test_set_is_refused_where_the_data_bring_one(project: Project) -> None:
    x, y = numbers(200).reshape(50, 4), np.arange(50) % 2
    np.savez("d.npz", x=x, y=y, x_test=x, y_test=y)
    asked = Asked.of(project, None, "d.npz", "", DataSettings(test=0.2))
    with pytest.raises(
        UsageError, match=r"\[data\] test: found 0.2, allowed is none: the data br"
    ):
        create(project, asked)
    new(project, "d.npz")
    assert "\ntest = " not in (project.root / "studies/d.toml").read_text()


@pytest.mark.parametrize("n_classes", [0, 2])
def test_of_few_rows_no_number_gives_the_target_away(project: Project, n_classes: int) -> None:
    y = np.arange(14) % n_classes if n_classes else numbers(14, seed=3)
    table("d.csv", 14, y=y, x=numbers(14))
    _, warnings = datasets.about(new(project, "d.csv", "y").data_spec)
    assert not warnings


@pytest.mark.parametrize(
    ("target", "setting", "said"),
    [
        ("kind", 'loss = "huber"', "[data] loss: found 'huber', allowed is none in a classif"),
        ("kind", 'target_transform = "log"', "[data] target_transform: found 'log', allowed is"),
        ("kind", 'drop = ["kind"]', "[data] drop: found the target 'kind', allowed are other"),
        ("x", 'class_weights = "balanced"', "[data] class_weights: found some, allowed are none"),
        ("x", "folds = 3\nvalidation = 0.2", "[data] folds, validation: found both, allowed is"),
    ],
)
def test_settings_that_would_have_no_effect_are_refused(
    project: Project, target: str, setting: str, said: str
) -> None:
    table("d.csv", 60)
    text = f"""
        goal = "x"
        dataset = "../d.csv"
        target = "{target}"
        reference = [{{ name = "a", trainer = "constant" }}]
        [data]
        {setting}
        [budget]
        trials = 1"""
    with pytest.raises(UsageError) as caught:
        parse("d", tomllib.loads(text), str(project.root / "studies"))
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("name", ["y", "Target", "LABEL", "Class"])
def test_a_target_is_known_by_its_name(project: Project, name: str) -> None:
    columns: dict[str, Any] = {name: numbers(50)}
    table("d.csv", 50, **columns)
    assert new(project, "d.csv").target == name


def test_a_study_file_is_never_written_over(project: Project) -> None:
    table("d.csv", 50, y=numbers(50))
    file = project.root / "studies" / "d.toml"
    file.parent.mkdir()
    file.write_text("mine")
    with pytest.raises(UsageError, match=r"^studies/d.toml: is there already"):
        create(project, Asked.of(project, None, "d.csv", "y"))
    assert file.read_text() == "mine"


def test_one_that_is_there_is_taken_if_it_asks_the_same(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table("d.csv", 50, y=numbers(50))
    table("other.csv", 50, y=numbers(50))
    file = project.root / "studies" / "d.toml"

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["new", "--if-missing", *arguments])
        assert main() == 0
        said = capsys.readouterr()
        assert ("written: studies/d.toml" in said.err) == is_new
        return said.out

    is_new = True
    assert run("--data=d.csv", "--target=y") == "d\n"
    changed = file.read_text().replace("patience = ", "patience = 1")
    file.write_text(changed)
    is_new = False
    assert run("--data=d.csv", "--target=y") == "d\n"
    assert run("--data", str(project.root / "d.csv"), "--", "d") == "d\n"
    assert file.read_text() == changed
    with pytest.raises(UsageError, match=r"^studies/d.toml: found the target 'y', asked .* 'x'"):
        run("--data=d.csv", "--target=x")
    with pytest.raises(UsageError, match=r"^studies/d.toml: found the data '../d.csv', asked "):
        run("--data=other.csv", "--target=y", "--", "d")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder of which `make` calls a Python that only tells its arguments, one a line."""
    for name in ("Makefile", "requirements.lock"):
        (tmp_path / name).write_bytes((REPOSITORY / name).read_bytes())
    os.utime(tmp_path / "requirements.lock", (0, 0))
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        f"#!{sys.executable}\nimport os, sys, time\nprint(sys.argv[1:], file=sys.stderr)\n"
        "if sys.argv[2] == 'pipeline.new':\n"
        "    if code := int(os.environ.get('CODE', 0)):\n"
        "        sys.exit(code)\n"
        "    try:\n"
        "        time.sleep(float(os.environ.get('SECONDS_LONG', 0)))\n"
        "    except KeyboardInterrupt:\n"
        "        sys.exit(130)\n"
        "    print('found')\n"
    )
    python.chmod(0o755)
    (python.parents[1] / ".installed").touch()
    return tmp_path


def make(folder: Path, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    base = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.Popen(
        ["make", *arguments], cwd=folder, env=base | variables, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


@pytest.mark.parametrize("odd", [*ODD, "$(x", "a;b & c|d", "`id`", "a$$b", "*"], ids=ascii)
def test_make_takes_any_path_and_column(made: Path, odd: str) -> None:
    called = make(made, "search", f"DATA=./{odd}", f"TARGET={odd.lstrip()}", "STUDY=a b")
    assert called.communicate()[1].splitlines() == [
        repr([
            "-m", "pipeline.new", "--if-missing", f"--data=./{odd}", f"--target={odd.lstrip()}",
            "--", "a b",
        ]),
        repr(["-m", "pipeline.search", "found"]),
    ]  # fmt: skip


def test_make_takes_data_from_the_command_line_alone(made: Path) -> None:
    elsewhere = {"DATA": "/data", "TARGET": "x86", "NEW_TARGET": "z"}
    assert make(made, "search", **elsewhere).communicate()[1].splitlines() == [
        repr(["-m", "pipeline.search", "fashion_mnist"])
    ]
    first, _ = make(made, "search", "DATA=d.csv", **elsewhere).communicate()[1].splitlines()
    assert first == repr(["-m", "pipeline.new", "--if-missing", "--data=d.csv", "--target=", "--"])


def test_make_searches_nothing_if_no_study_file_could_be_made(made: Path) -> None:
    called = make(made, "search", "DATA=d.csv", CODE=str(BAD_USAGE))
    assert "pipeline.search" not in called.communicate()[1]
    assert called.returncode == 2


def test_ctrl_c_ends_make_while_a_study_file_is_made(made: Path) -> None:
    with make(made, "search", "DATA=d.csv", SECONDS_LONG="60") as called:
        assert called.stderr
        assert "pipeline.new" in called.stderr.readline()
        time.sleep(0.3)  # until it sleeps
        os.killpg(called.pid, signal.SIGINT)
        assert called.stderr.read() == ""
    assert called.returncode == -signal.SIGINT
