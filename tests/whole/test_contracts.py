"""What `docs/contracts.md` promises is what the code does, and nothing of it is left out."""

import csv
import dataclasses
import io
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recorded
from pydantic import BaseModel

from pipeline import environment, errors
from pipeline.__main__ import COMMANDS
from pipeline.export import champion, comparison, folder
from pipeline.formats import writing
from pipeline.formats.parity import Format
from pipeline.paths import Project
from pipeline.predict import answers
from pipeline.predict.given import Place
from pipeline.provenance import collect_provenance
from pipeline.report.summary import as_csv, summarize
from pipeline.report.writing import write
from pipeline.storage import lease, study_store
from pipeline.study import assignment, budget, ranges, resources, spec
from pipeline.study.rules import RULES
from pipeline.study.trial import run_end
from pipeline.task.settings import DataSettings
from pipeline.task.task import Kind, Task
from pipeline.tracking import aliases, delivery, orphans

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "contracts.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?): schema version \d+\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S))
CODE = "".join(path.read_text() for path in sorted((ROOT / "pipeline").rglob("*.py")))


def quoted(text: str) -> set[str]:
    """All that stands in backticks."""
    return set(re.findall(r"`([^`]+)`", text))


def rows(section: str, heading: str) -> dict[str, list[str]]:
    """Cells of a table's rows, by the first cell without its backticks."""
    table = re.search(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", section, re.M)
    assert table, heading
    lines = [line.strip("|").split("|") for line in table[1].splitlines()]
    return {first.strip().strip("`"): [cell.strip() for cell in rest] for first, *rest in lines}


def test_every_section_has_a_version() -> None:
    assert len(SECTIONS) == TEXT.count("\n## ") == 7


def test_every_command_is_there() -> None:
    assert rows(SECTIONS["Commands"], "command").keys() == COMMANDS.keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_flags_of_a_command(command: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", f"pipeline.{command}", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    _, flags = rows(SECTIONS["Commands"], "command")[command]
    assert quoted(flags) == set(re.findall(r"--[a-z-]+", shown)) - {"--help"}


def test_the_exit_codes() -> None:
    codes = (errors.DONE, errors.FAILED, errors.BAD_USAGE, errors.INTERRUPTED)
    assert list(rows(SECTIONS["Commands"], "exit code")) == list(map(str, codes))


def test_the_fields_of_a_prediction() -> None:
    said = re.search(r"`predict --json` prints (.*?)Nothing is printed", TEXT, re.S)
    assert said
    promised = quoted(said[1]) - {"stdin"}
    classes = Task(Kind.MULTICLASS, (2, 2), ("a", "b", "c"))
    number = Task(Kind.REGRESSION, (2,), loss="squared")
    found: set[str] = set()
    for task in (classes, number):
        (line,) = answers.as_json(task, [Place("x", 1)], np.ones((1, task.n_outputs)), 1.0)
        found |= json.loads(line).keys()
    assert promised == found


@pytest.mark.parametrize(
    ("table", "model"),
    [
        ("(top)", spec.StudySpec),
        ("[budget]", budget.Budget),
        ("[training]", spec.Training),
        ("[resources]", resources.Resources),
        ("[data]", DataSettings),
        ("[[reference]]", spec.Reference),
        ("[[comparison]]", spec.Comparison),
        ('an entry of `[space]`: "int"', ranges.IntRange),
        ('an entry of `[space]`: "float"', ranges.FloatRange),
        ('an entry of `[space]`: "categorical"', ranges.Choices),
    ],
)
def test_the_keys_of_a_study_file(table: str, model: type[BaseModel]) -> None:
    (keys,) = rows(SECTIONS["Study file"], "table")[table]
    promised = quoted(keys) - ({"study"} if model is spec.Reference else set())
    assert promised == model.model_fields.keys() - (
        {"name", "folder"} if model is spec.StudySpec else set()
    )


def test_the_hyperparameters() -> None:
    said = re.search(r"The hyperparameters are (.*?)\. They", SECTIONS["Study file"], re.S)
    assert said
    assert quoted(said[1]) == RULES.keys()


def test_the_attributes_in_optuna() -> None:
    of_trial = rows(SECTIONS["Optuna"], "attribute of a trial").keys()
    of_study = rows(SECTIONS["Optuna"], "attribute of a study").keys()
    constants = {
        value
        for name, value in (vars(study_store) | vars(assignment)).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    }
    assert constants >= {
        "run_id",
        "interrupted",
        "spec",
        "fingerprint",
        "seconds",
        "seed",
        "history",
    }
    assert constants | {lease.LEASE, lease.N_LEASES, lease.HEARTBEAT} <= of_trial | of_study
    for key in of_trial | of_study:
        assert re.search(rf'"{key}"|^    {key}: ', CODE, re.M), key


def test_what_stands_in_mlflow() -> None:
    table = rows(SECTIONS["MLflow"], "kind")
    of_both = quoted(table["tag of both"][0])
    own = {key for key in collect_provenance() if not key.startswith("mlflow.")}
    assert of_both >= own
    tags = quoted(" ".join(table["tag"]))
    assert orphans.ORPHAN in tags
    ends = quoted(table["metric, at the end"][0])
    for metric in ("val_accuracy", "val_loss"):
        _, metrics, end_tags = run_end(
            "COMPLETE", metric, 0.9, 3, {"train_loss": 0.1, "train_accuracy": 0.9}, "why"
        )
        assert metrics.keys() <= ends
        assert end_tags.keys() <= tags
    artifacts = quoted(table["artifact"][0])
    assert artifacts == {delivery.MODEL_ARTIFACT, "hyperparameters.json"}
    assert aliases.CHAMPION in quoted(SECTIONS["MLflow"])
    for key in tags | of_both - own | artifacts | quoted(table["metric, by epoch"][0]):
        assert f'"{key}"' in CODE, key


def test_the_tags_of_a_registered_version() -> None:
    cells = " ".join(rows(SECTIONS["MLflow"], "tag of a version"))
    public = {name for name in vars(aliases) if name.isupper() and not name.startswith("_")}
    constants = {vars(aliases)[name] for name in public}
    tags = {value for value in constants if isinstance(value, str)}
    assert tags - {aliases.CHAMPION, aliases.PREVIOUS} <= set(re.findall(r"\w+", cells))
    assert aliases.PREVIOUS in quoted(SECTIONS["MLflow"])


def test_the_fields_of_a_replay() -> None:
    cells = " ".join(rows(SECTIONS["Commands"], "field of `best --replay TRIAL --json`"))
    found = comparison.Replay(0, [], [], 1, 1, "", [], None, {}).as_dict()
    assert set(re.findall(r"\w+", cells)) == found.keys()


def test_the_files_and_fields_of_an_export(recorded_study: Project) -> None:
    assert set(rows(SECTIONS["Export"], "file")) == {*folder.FILES, *writing.FILES}
    stored = recorded.open_stored(recorded_study)
    study = stored.study
    study.set_user_attr(
        study_store.TEST_LOOKS,
        [{**recorded.TEST_LOOK, "trial": study_store.champion(study).number}],
    )
    fields = champion.summary(stored, study_store.champion(study))
    assert set(rows(SECTIONS["Export"], "field of `metrics.json`")) == set(flat(fields))
    json.dumps(fields)
    of_a_format = {each.name for each in dataclasses.fields(Format)}
    assert set(rows(SECTIONS["Export"], "field of a format")) == of_a_format


def flat(fields: Mapping[str, Any]) -> list[str]:
    """Names of fields, `validation.loss` for those of a table; hyperparameters are one field."""
    names = []
    for name, value in fields.items():
        is_table = isinstance(value, dict) and name != "hyperparameters"
        names += [f"{name}.{each}" for each in value] if is_table else [name]
    return names


def test_the_files_of_a_report(recorded_study: Project) -> None:
    files = rows(SECTIONS["Report"], "file")
    written = write(recorded_study, summarize(recorded.open_stored(recorded_study)))
    assert {file.name for file in written} == files.keys()


def test_the_columns_of_trials_csv(recorded_study: Project) -> None:
    facts = summarize(recorded.open_stored(recorded_study))
    header = next(csv.reader(io.StringIO(as_csv(facts))))
    said = re.search(
        r"The columns of `trials.csv` are (.*?), and as a scalar", SECTIONS["Report"], re.S
    )
    assert said
    promised = quoted(said[1])
    searched = {name for name in header if name.rstrip("_0123456789") in RULES}
    assert set(header) - searched <= promised
    # of the recorded study nobody has measured the training set with the kept weights
    assert promised - set(header) <= {"train_loss", "train_accuracy"}


def test_the_environment_variables() -> None:
    named = quoted(SECTIONS["Environment variables"])
    read = set(re.findall(r'(?:_from_environment|environ\.get)\("([A-Z_]+)"', CODE))
    assert read == rows(SECTIONS["Environment variables"], "variable").keys()
    assert environment._DEFAULTS.keys() <= named
    assert environment._FIXED.keys() <= named
    assert set(environment._REMOVED) <= named
    for name in named:
        assert name.endswith("_") or not name.isupper() or f'"{name}"' in CODE, name
