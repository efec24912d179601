"""The champion as text and as JSON, what is refused, and the model card; without TensorFlow.

An export of a real model is tested end to end elsewhere.
"""

import contextlib
import errno
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import recorded

from pipeline import best
from pipeline.data import fashion_mnist
from pipeline.errors import run_command
from pipeline.export import bundle, champion, model_card, texts
from pipeline.paths import Project
from pipeline.storage import study_store
from pipeline.study.hyperparameters import DEFAULTS


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command and returns its exit code, stdout and stderr."""

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["best", *arguments])
        code = run_command(best.main)
        said, complaints = capsys.readouterr()
        return code, said, complaints

    return command


def look(project: Project, *looks: dict[str, Any]) -> None:
    study = recorded.open_stored(project).study
    study.set_user_attr(study_store.TEST_LOOKS, list(looks))


def card(project: Project) -> str:
    stored = recorded.open_stored(project)
    found = champion.summary(stored, study_store.champion(stored.study))
    return model_card.text(stored, found)


# Shown


def test_the_champion_as_text(recorded_study: Project, run: Any) -> None:
    code, said, complaints = run(recorded.NAME)
    assert (code, complaints) == (0, "")
    assert said.splitlines()[:7] == [
        "study recorded: champion is trial 9",
        "  487-243 relu, dropout 0.24, adam 0.00083, batch 64, at most 8 epochs",
        "  21,106 parameters, weights of epoch 7 of 8, seed 1009",
        "",
        "  validation accuracy  0.8950 (95 % interval 0.8894 to 0.9004), loss 0.3045",
        "  test accuracy        sealed; --export opens the test set, once",
        "",
    ]
    assert "  learning_rate 0.00083\n" in said
    assert "the model: .venv/bin/python -m pipeline.best recorded --export\n" in said
    assert "mlflow.keras.load_model('models:/recorded@champion')" in said.splitlines()[-1]
    assert said.splitlines()[-1].startswith(
        "KERAS_BACKEND=tensorflow MLFLOW_TRACKING_URI=sqlite:///mlruns/mlflow.db .venv/"
    )


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("sqlite:///mlruns/my store.db", "'sqlite:///mlruns/my store.db'"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_the_store_that_is_asked_is_named_for_another_shell(
    recorded_study: Project, run: Any, monkeypatch: pytest.MonkeyPatch, uri: str, shown: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    _, said, _ = run(recorded.NAME)
    assert said.splitlines()[-1].startswith(
        f"KERAS_BACKEND=tensorflow MLFLOW_TRACKING_URI={shown} .venv/bin/python -c "
    )
    assert "as now" not in said


@pytest.mark.parametrize(
    "uri", ["http://bob:secret@somewhere", "postgresql://h/db?user=u&password=secret"]
)
def test_a_store_with_a_secret_is_not_printed(
    recorded_study: Project, run: Any, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    _, said, _ = run(recorded.NAME)
    *_, introduced, command = said.splitlines()
    assert introduced.endswith(", with MLFLOW_TRACKING_URI as now:")
    assert command.startswith("KERAS_BACKEND=tensorflow .venv/bin/python -c ")
    assert "secret" not in said


def test_the_test_score_is_shown_once_it_is_known(recorded_study: Project, run: Any) -> None:
    look(recorded_study, recorded.TEST_LOOK)
    _, said, _ = run(recorded.NAME)
    # sqrt(.8871 * .1129 / 10,000) = .0032
    assert "  test accuracy        0.8871 (standard error 0.0032), loss 0.3215\n" in said
    assert "sealed" not in said


def test_a_look_of_an_older_store_is_read(recorded_study: Project, run: Any) -> None:
    older = {**recorded.TEST_LOOK}
    older["n_images"] = older.pop("n_examples")
    look(recorded_study, older)
    assert json.loads(run(recorded.NAME, "--json")[1])["test"]["n_examples"] == 10_000


def test_a_look_at_another_trial_is_not_the_champions(recorded_study: Project, run: Any) -> None:
    look(recorded_study, {**recorded.TEST_LOOK, "trial": recorded.SECOND})
    assert "sealed" in run(recorded.NAME)[1]
    assert json.loads(run(recorded.NAME, "--json")[1])["test"] is None


def test_the_champion_as_json(recorded_study: Project, run: Any) -> None:
    look(recorded_study, recorded.TEST_LOOK)
    code, said, complaints = run(recorded.NAME, "--json")
    assert (code, complaints) == (0, "")
    curves = recorded.history(0.8950, 8, 7)
    assert json.loads(said) == {
        "study": "recorded",
        "trial": 9,
        "run_id": f"{9:032x}",
        "seed": 1009,
        "hyperparameters": {
            **{name: value for name, value in DEFAULTS.items() if name != "precision"},
            "hidden_layers": 2,
            "units": [487, 243],
            "optimizer": "adam",
            "learning_rate": 0.00083,
            "batch_size": 64,
            "epochs": 8,
            "dropout": 0.24,
        },
        "n_parameters": 21_106,
        "best_epoch": 7,
        "epochs_trained": 8,
        "ended": "",
        "validation": {
            "accuracy": 0.8950,
            "accuracy_95": [0.8894, 0.9004],
            "loss": curves["val_loss"][6],
            "n_examples": 12_000,
        },
        "training": {"accuracy": curves["accuracy"][6], "loss": curves["loss"][6]},
        "test": {"accuracy": 0.8871, "loss": 0.3215, "n_examples": 10_000},
    }


def test_showing_needs_no_tensorflow(recorded_study: Project, run: Any) -> None:
    before = set(sys.modules)
    assert run(recorded.NAME)[0] == 0
    heavy = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert not heavy & {"tensorflow", "keras", "mlflow"}


# Refused


def test_an_unknown_study_is_one_line(recorded_study: Project, run: Any) -> None:
    code, said, complaints = run("absent")
    assert (code, said) == (1, "")
    assert len(complaints.splitlines()) == 1
    assert "no study 'absent' yet; studies/absent.toml: no such study file" in complaints


@pytest.mark.parametrize("lost", ["file", "study"])
def test_of_a_lost_study_the_doctor_is_advised_before_a_search(
    recorded_study: Project, run: Any, lost: str
) -> None:
    (recorded_study.root / "studies" / f"{recorded.NAME}.toml").touch()
    if lost == "file":
        (recorded_study.runs_dir / "optuna.db").unlink()
    else:
        optuna.delete_study(study_name=recorded.NAME, storage=recorded_study.optuna_url)
    (recorded_study.runs_dir / "mlflow.db").touch()
    complaint = run(recorded.NAME)[2]
    advice = "if it was lost, what is left of it is found with: make doctor; if not: start it with"
    assert advice in complaint
    (recorded_study.runs_dir / "mlflow.db").unlink()
    assert "; start it with: make search" in run(recorded.NAME)[2]


@pytest.mark.parametrize("has_folder", [False, True])
def test_without_a_database_nothing_is_created(
    project_folder: Path, run: Any, has_folder: bool
) -> None:
    if has_folder:
        (project_folder / "mlruns").mkdir()
    assert "no such study file; the studies here are: none" in run(recorded.NAME)[2]
    (project_folder / "studies").mkdir()
    (project_folder / "studies" / f"{recorded.NAME}.toml").touch()
    code, said, complaints = run(recorded.NAME)
    assert (code, said) == (1, "")
    assert len(complaints.splitlines()) == 1
    assert f"make search STUDY={recorded.NAME}" in complaints
    assert not (project_folder / "mlruns" / "optuna.db").exists()
    assert (project_folder / "mlruns").exists() == has_folder


def test_a_study_without_a_complete_trial_is_one_line(recorded_study: Project, run: Any) -> None:
    with (
        contextlib.closing(sqlite3.connect(recorded_study.runs_dir / "optuna.db")) as database,
        database,
    ):
        database.execute("UPDATE trials SET state = 'FAIL'")
    code, said, complaints = run(recorded.NAME)
    assert (code, said) == (1, "")
    assert complaints == "error: study 'recorded' has no trial yet whose weights were kept\n"


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("arguments", [[], ["elsewhere"]])
def test_an_export_does_not_overwrite_an_earlier_one(
    recorded_study: Project, run: Any, arguments: list[str]
) -> None:
    folder = recorded_study.root / (arguments or ["exports/recorded"])[0]
    folder.mkdir(parents=True)
    (folder / "model.keras").write_bytes(b"precious")
    code, said, complaints = run(recorded.NAME, "--export", *arguments)
    shown = arguments[0] if arguments else "exports/recorded"
    assert (code, said) == (1, "")
    assert complaints == f"error: {shown} exists; overwrite it with --force\n"
    assert contents(folder) == {"model.keras": b"precious"}


@pytest.mark.parametrize("is_file", [False, True])
def test_force_overwrites_an_earlier_export_and_nothing_else(
    recorded_study: Project, run: Any, is_file: bool
) -> None:
    """`--export ~ --force` must not cost somebody's home folder."""
    precious = recorded_study.root / "precious"
    note = precious if is_file else precious / "note.txt"
    note.parent.mkdir(exist_ok=True)
    note.write_text("keep me")
    code, said, complaints = run(recorded.NAME, "--export", "precious", "--force")
    assert (code, said) == (1, "")
    assert complaints == "error: precious is not an earlier export: choose another folder\n"
    assert note.read_text() == "keep me"


@pytest.mark.parametrize(("is_export", "force"), [(True, True), (False, False), (False, True)])
def test_an_earlier_export_with_force_and_an_empty_folder_will_do(
    recorded_study: Project,
    run: Any,
    monkeypatch: pytest.MonkeyPatch,
    is_export: bool,
    force: bool,
) -> None:
    folder = recorded_study.root / "exports" / "mine"
    folder.mkdir(parents=True)
    if is_export:
        (folder / "model.keras").write_bytes(b"old")
    exported: list[Path] = []
    monkeypatch.setattr(bundle, "export", lambda *given, **_: exported.append(given[2]))
    code, _, complaints = run(recorded.NAME, "--export", str(folder), *["--force"] * force)
    assert (code, complaints) == (0, "exported to exports/mine\n")
    assert exported == [folder]


def test_a_look_is_recorded_with_the_flags_that_were_given_and_no_path(
    recorded_study: Project, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name in ("export", "export_refit", "export_ensemble"):
        monkeypatch.setattr(bundle, name, lambda *given, **_: asked.append(given[-1]))
    monkeypatch.setattr(texts, "ensemble_text", lambda *_: "")
    for flags in ([], ["--force", "--json"], ["--refit"], ["--ensemble"]):
        assert run(recorded.NAME, "--export", "secret", *flags)[0] == 0
    assert asked == [
        "best --export",
        "best --export --force --json",
        "best --export --refit",
        "best --ensemble --export",
    ]


def test_what_no_export_wrote_is_never_lost(recorded_study: Project, run: Any) -> None:
    """`--export . --force` beside a model of that name must not cost the project."""
    (recorded_study.root / "model.keras").write_bytes(b"old")
    code, said, complaints = run(recorded.NAME, "--export", ".", "--force")
    assert (code, said) == (1, "")
    assert complaints == "error: . is not an earlier export: choose another folder\n"
    assert (recorded_study.root / "model.keras").read_bytes() == b"old"
    assert (recorded_study.root / "studies" / "recorded.toml").read_text() == recorded.SPEC


def test_an_export_behind_a_link_is_an_earlier_export(
    recorded_study: Project, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recorded_study.root / "elsewhere"
    folder.mkdir()
    (folder / "model.keras").write_bytes(b"old")
    (recorded_study.root / "link").symlink_to(folder)
    assert run(recorded.NAME, "--export", "link")[2] == (
        "error: elsewhere exists; overwrite it with --force\n"
    )
    exported: list[Path] = []
    monkeypatch.setattr(bundle, "export", lambda *given, **_: exported.append(given[2]))
    assert run(recorded.NAME, "--export", "link", "--force")[0] == 0
    assert exported == [folder]


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("studies/recorded.toml/x", "is no folder"),
        ("studies/recorded.toml/x/y", "is no folder"),
        ("mlruns", "mlruns is not an earlier export"),
        ("..", "is not an earlier export"),
        ("/", "/ is not an earlier export"),
        ("/proc", "/proc is not an earlier export"),
        ("circle", ""),
        ("x" * 300, "File name too long"),
        ("a\0b", "null"),
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_a_folder_that_cannot_be_exported_to_is_one_line(
    folder: str, said: str, recorded_study: Project, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    circle = recorded_study.root / "circle"
    circle.symlink_to(circle)

    def fail(*_: object) -> None:
        raise OSError(errno.ENAMETOOLONG, "File name too long")  # newer Pythons notice it here

    monkeypatch.setattr(bundle, "export", fail)
    code, shown, complaints = run(recorded.NAME, "--export", folder, "--force")
    assert (code, shown) == (1, "")
    (line,) = complaints.splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_a_model_that_is_not_stored_is_one_line_and_exports_nothing(
    recorded_study: Project, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.errors import PipelineError
    from pipeline.tracking import registry

    def missing(project: Project, run: str) -> bytes:
        raise PipelineError(f"the model of run {run} is not to be had")

    monkeypatch.setattr(registry, "load_model_bytes", missing)
    code, said, complaints = run(recorded.NAME, "--export")
    assert (code, said) == (1, "")
    assert complaints.splitlines() == [f"error: the model of run {9:032x} is not to be had"]
    assert not recorded_study.export_dir(recorded.NAME).exists()
    study = recorded.open_stored(recorded_study).study
    assert study_store.test_looks(study) == []


@pytest.mark.slow
def test_a_model_without_its_recorded_metric_is_not_exported_and_not_tested(
    recorded_study: Project, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.study.hyperparameters import Hyperparameters
    from pipeline.tracking import registry
    from pipeline.training import loop
    from pipeline.training.model import build_model

    network = Hyperparameters(0, (), "adam", 0.001, 32, 1)
    model = build_model(network, fashion_mnist.SOURCE.task)
    model.optimizer.build(model.trainable_variables)
    untrained = loop.to_bytes(model)
    monkeypatch.setattr(registry, "load_model_bytes", lambda *_: untrained)
    code, said, complaints = run(recorded.NAME, "--export")
    assert (code, said) == (1, "")
    (line,) = complaints.splitlines()
    assert line.startswith("error: the stored model of trial 9 has validation accuracy 0.")
    assert "not its recorded 0.8950" in line
    assert not recorded_study.export_dir(recorded.NAME).exists()
    study = recorded.open_stored(recorded_study).study
    assert study_store.test_looks(study) == []


# The model card


def test_the_model_card_tells_the_test_score_and_how_far_to_trust_it(
    recorded_study: Project,
) -> None:
    look(recorded_study, recorded.TEST_LOOK)
    text = card(recorded_study)
    assert "| test | 0.8871 | 0.3215 | 10,000 |" in text
    assert "| validation | 0.8950 | 0.3045 | 12,000 |" in text
    assert "standard error of 0.0032" in text
    assert "images is 0.8807 to 0.8932." in text
    assert f"optimistically biased: selected as the best of {recorded.N_COUNTED} trials" in text
    assert "with seed 1009" in text


def test_the_model_card_counts_the_looks_at_the_test_set(recorded_study: Project) -> None:
    look(recorded_study, recorded.TEST_LOOK)
    assert "it has been looked at once." in card(recorded_study)
    look(recorded_study, {**recorded.TEST_LOOK, "trial": recorded.SECOND}, recorded.TEST_LOOK)
    assert "it has been looked at 2 times." in card(recorded_study)


def test_the_model_card_names_classes_hyperparameters_and_origin(
    recorded_study: Project,
) -> None:
    look(recorded_study, recorded.TEST_LOOK)
    text = card(recorded_study)
    for label, name in enumerate(fashion_mnist.CLASS_NAMES):
        assert f"\n{label}. {name}\n" in text
    assert "| units | [487, 243] |" in text
    assert "| learning_rate | 0.00083 |" in text
    assert "Trained for 8 epochs; the weights are\nthose of epoch 7." in text
    assert f"| MLflow run | {9:032x} |" in text
    assert "| machine | a machine of 2 cores |" in text
    assert "| versions | tensorflow 2.21.0, keras 3.15.1, python 3.11.7 |" in text
    assert f"| commit | {recorded.FACTS['git_commit']} |" in text
    assert "| data | fashion_mnist, fingerprint d1fd84a877f3 |" in text


def test_the_model_card_is_whole(recorded_study: Project) -> None:
    look(recorded_study, recorded.TEST_LOOK)
    lines = card(recorded_study).splitlines()
    assert lines[0] == "# recorded: the champion, trial 9"
    assert lines[-1].startswith("| commit |")
    assert not [line for line in lines if "None" in line or "nan" in line]
