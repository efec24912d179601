"""The whole path as a user walks it: real data, real processes, real stores, a real browser.

One small search is interrupted by Ctrl-C, resumed to its end and exported; the tests look at
what that left behind.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import unicodedata
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import browser
import empty_mlflow
import numpy as np
import optuna
import preloaded
import psutil
import pytest
from ports import free_port
from sqlalchemy.pool import NullPool

REPOSITORY = Path(__file__).parents[2]
STUDY = """
goal = "A search small enough for a test."
dataset = "fashion_mnist"

[budget]
trials = 5

[sampler]
type = "TPESampler"
n_startup_trials = 2
seed = 1

[pruner]
type = "SuccessiveHalvingPruner"
min_resource = 1
reduction_factor = 3

[fixed]
optimizer = "adam"
epochs = 3
batch_size = 128

[space]
hidden_layers = { type = "int", low = 1, high = 2 }
units = { type = "int", low = 32, high = 128, per = "hidden_layers" }
learning_rate = { type = "float", low = 1e-3, high = 1e-2, log = true }

[[reference]]
name = "one layer"
hyperparameters = { hidden_layers = 1, units = 100, optimizer = "adam", learning_rate = 0.001, batch_size = 64, epochs = 4 }
claim = { val_accuracy = 0.87, source = "this test" }
"""  # noqa: E501


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PIPELINE_"))}
    if "PIPELINE_DATA_DIR" in os.environ:
        kept["PIPELINE_DATA_DIR"] = os.environ["PIPELINE_DATA_DIR"]
    return {**kept, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "80"}


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_afresh(
    project: Path, *arguments: str, expect: int = 0
) -> subprocess.CompletedProcess[str]:
    """Runs a command as a user does."""
    process = start(project, *arguments)
    out, err = process.communicate(timeout=300)
    assert process.returncode == expect, f"{arguments}:\n{out}\n{err}"
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def run(project: Path, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs a command that others run afresh: only what it does is looked at."""
    done = preloaded.run(["-m", *arguments], project, environment())
    assert done.returncode == expect, f"{arguments}:\n{done.stdout}\n{done.stderr}"
    return done


def run_code(project: Path, code: str, *arguments: str) -> str:
    """Runs what somebody has written who uses what this project makes; returns what it prints."""
    done = preloaded.run(["-c", code, *arguments], project, environment())
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for_line(process: subprocess.Popen[str], pattern: str) -> str:
    """Reads stderr until a line matches."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if re.search(pattern, line):
            return line
    raise AssertionError(f"no line with {pattern!r} in:\n{''.join(seen)}")


@dataclass(frozen=True)
class Walk:
    """What the walk left: the folder, and what the commands said."""

    project: Path
    seconds_to_stop: float
    left_running: Sequence[str]
    states_when_stopped: Sequence[str]
    refused: subprocess.CompletedProcess[str]
    searched: subprocess.CompletedProcess[str]
    exported: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    project = tmp_path_factory.mktemp("project")
    (project / "studies").mkdir()
    (project / "studies" / "small.toml").write_text(STUDY)
    first = start(project, "pipeline.search", "small")
    wait_for_line(first, "^(complete|pruned)")
    refused = run_afresh(project, "pipeline.search", "small", expect=1)
    family = psutil.Process(first.pid).children(recursive=True)
    first.send_signal(signal.SIGINT)
    began = time.monotonic()
    first.communicate(timeout=60)
    seconds = time.monotonic() - began
    assert first.returncode == 130
    _, alive = psutil.wait_procs(family, timeout=5)
    frozen = stored_study(project).get_trials()
    searched = run_afresh(project, "pipeline.search", "small")
    exported = run_afresh(project, "pipeline.best", "small", "--export")
    return Walk(
        project,
        seconds,
        [" ".join(process.cmdline()) for process in alive],
        [trial.state.name for trial in frozen],
        refused,
        searched,
        exported,
    )


def stored_study(project: Path) -> optuna.Study:
    url = f"sqlite:///{project / 'mlruns' / 'optuna.db'}"
    # without a pool: a connection left open here would keep the database's log beside it
    storage = optuna.storages.RDBStorage(url, engine_kwargs={"poolclass": NullPool})
    return optuna.load_study(study_name="small", storage=storage)


@pytest.fixture(scope="module")
def runs(walk: Walk) -> dict[int, Any]:
    """Every trial's MLflow run, by the number of the trial, read by MLflow's own client."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{walk.project / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small")
    found = client.search_runs([experiment.experiment_id], "tags.trial != ''")
    assert len(found) == len({each.data.tags["trial"] for each in found})
    return {int(each.data.tags["trial"]): each for each in found}


def test_ctrl_c_ends_the_search_in_time(walk: Walk) -> None:
    assert walk.seconds_to_stop < 5  # the promise itself, not a measurement
    assert walk.left_running == []
    assert "RUNNING" not in walk.states_when_stopped
    assert "WAITING" in walk.states_when_stopped


def test_a_second_supervisor_is_refused_and_told_of_the_first(walk: Walk) -> None:
    lines = walk.refused.stderr.strip().splitlines()
    assert len(lines) == 1
    assert re.search(r"error: study small .* by process \d+ on .+ since 20\d\d-", lines[0])


def test_the_budget_counts_over_reruns(walk: Walk) -> None:
    done = stored_study(walk.project).get_trials()
    counted = [trial for trial in done if "interrupted" not in trial.user_attrs]
    assert len(counted) == 5
    assert {trial.state.name for trial in counted} <= {"COMPLETE", "PRUNED"}
    assert len({trial.user_attrs["seed"] for trial in counted}) == 5


def test_interrupted_trials_ran_again_with_their_seed(walk: Walk) -> None:
    done = stored_study(walk.project).get_trials()
    counted = {t.user_attrs["seed"]: t for t in done if "interrupted" not in t.user_attrs}
    interrupted = [trial for trial in done if "interrupted" in trial.user_attrs]
    assert interrupted
    for trial in interrupted:
        again = counted[trial.user_attrs["seed"]]
        assert again.user_attrs["hyperparameters"] == trial.user_attrs["hyperparameters"]


def test_optuna_and_mlflow_agree_on_every_trial(walk: Walk, runs: dict[int, Any]) -> None:
    status = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAIL": "KILLED"}
    done = stored_study(walk.project).get_trials()
    assert [trial.number for trial in done] == sorted(runs)
    for trial in done:
        run_of_it = runs[trial.number]
        assert trial.user_attrs["run_id"] == run_of_it.info.run_id
        assert run_of_it.data.tags["state"] == trial.state.name
        assert run_of_it.info.status == status[trial.state.name]
        for name, value in trial.params.items():
            assert run_of_it.data.params[name] == str(value)
        if trial.state.name == "COMPLETE":
            assert run_of_it.data.metrics["best_val_accuracy"] == pytest.approx(trial.value)


def test_curves_are_in_mlflow(walk: Walk, runs: dict[int, Any]) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{walk.project / 'mlruns' / 'mlflow.db'}")
    done = [t for t in stored_study(walk.project).get_trials() if "history" in t.user_attrs]
    assert len(done) == 5
    for trial in done:
        for name, values in trial.user_attrs["history"].items():
            points = client.get_metric_history(runs[trial.number].info.run_id, name)
            assert [point.step for point in points] == list(range(1, len(values) + 1))
            assert [point.value for point in points] == pytest.approx(values)


def test_a_run_says_where_it_comes_from(runs: dict[int, Any]) -> None:
    tags = runs[0].data.tags
    assert tags["version.tensorflow"]
    assert tags["git_commit"]
    assert len(tags["data_fingerprint"]) == 64
    assert tags["reference"] == "one layer"
    assert runs[0].data.params["seed"]
    assert runs[0].inputs.dataset_inputs[0].dataset.name == "fashion_mnist"


def test_search_ends_with_what_to_do_next(walk: Walk) -> None:
    out = walk.searched.stdout
    assert re.search(r"champion: trial \d+, val_accuracy 0\.8\d+ at epoch \d", out)
    for command in ("make ui STUDY=small", "make dashboard", "pipeline.best small --export"):
        assert command in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_champion_is_a_registered_model(walk: Walk) -> None:
    code = """
import mlflow.keras, mlflow.pyfunc, numpy as np
from pipeline.data import datasets
mlflow.set_tracking_uri("sqlite:///mlruns/mlflow.db")
images, labels, *_ = datasets.open_test_set("fashion_mnist")
model = mlflow.keras.load_model("models:/small@champion")
pyfunc = mlflow.pyfunc.load_model("models:/small@champion")
assert str(pyfunc.metadata.signature.inputs) == "[Tensor('float32', (-1, 28, 28))]"
assert "0 to 255" in pyfunc.metadata.metadata["input"]
a = model.predict(images[:500], verbose=0)
for scaled in (images[:500].astype("float32"), images[:500].astype("float32") / 255):
    b = np.asarray(pyfunc.predict(scaled))
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(a, model.predict(scaled, verbose=0), rtol=1e-3, atol=1e-5)
print((a.argmax(axis=1) == labels[:500]).mean())
"""
    assert float(run_code(walk.project, code).splitlines()[-1]) > 0.8
    (requirements,) = walk.project.glob("mlruns/artifacts/**/artifacts/requirements.txt")
    pinned = requirements.read_text().splitlines()
    assert all("==" in line for line in pinned)
    assert {line.split("==")[0] for line in pinned} == {"mlflow", "keras", "tensorflow", "numpy"}


def test_the_export_is_a_plain_keras_model(walk: Walk) -> None:
    folder = walk.project / "exports" / "small"
    quantized = {"model_quantized.tflite"}  # there if it answers every image alike
    assert sorted({path.name for path in folder.iterdir()} - quantized) == [
        "MODEL_CARD.md",
        "SHA256SUMS",
        "hyperparameters.json",
        "metrics.json",
        "mistakes.png",
        "model.keras",
        "model.npz",
        "model.onnx",
        "model.tflite",
        "predict_numpy.py",
        "reliability.svg",
        "saved_model",
    ]
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    (accuracy,) = accuracies_of(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert accuracy >= 0.82
    assert metrics["test"]["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert f"{accuracy:.4f}" in (folder / "MODEL_CARD.md").read_text()


def accuracies_of(*folders: Path) -> list[float]:
    """The accuracy of each exported model on the raw test images, by plain Keras."""
    code = f"""
import keras, sys
sys.path.insert(0, {str(REPOSITORY)!r})
from pipeline.data.datasets import open_test_set
images, labels, *_ = open_test_set("fashion_mnist")
assert images.dtype == "uint8" and images.shape == (10000, 28, 28)
for folder in sys.argv[1:]:
    model = keras.saving.load_model(folder + "/model.keras")
    answers = model.predict(images, verbose=0)
    assert abs(answers - model.predict(images / 255, verbose=0)).max() < 1e-4
    print((answers.argmax(axis=1) == labels).mean())
"""
    said = run_code(REPOSITORY, code, *map(str, folders))
    return [float(line) for line in said.splitlines()[-len(folders) :]]


def test_an_ensemble_is_one_plain_keras_model_too(walk: Walk, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(walk.project, copy)
    said = run(copy, "pipeline.best", "small", "--ensemble", "--export", "--only-keras").stdout
    assert max(map(len, said.splitlines())) <= 100
    found = json.loads((copy / "exports" / "small_ensemble" / "metrics.json").read_text())
    (accuracy,) = accuracies_of(copy / "exports" / "small_ensemble")
    assert found["test"]["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert found["validation"]["accuracy"] == pytest.approx(found["gain"]["ensemble"])
    assert found["gain"]["ensemble"] >= found["gain"]["champion"]
    look = stored_study(copy).user_attrs["test_looks"][-1]
    assert look["ensemble"] == {str(m["trial"]): m["picks"] for m in found["ensemble"]}
    run(copy, "pipeline.report", "small")
    report = (copy / "studies" / "small" / "report.md").read_text()
    assert "The test set was looked at 2 times" in report
    assert re.search(r"the mean of trials [\d, and]+ scored ", report)
    assert json.loads(run(copy, "pipeline.best", "small", "--json").stdout)["trial"] >= 0


def test_the_champion_is_scored_with_every_seed_that_finals_gave_it(
    walk: Walk, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(walk.project, copy)
    shutil.rmtree(copy / "exports")
    file = copy / "studies" / "small.toml"
    file.write_text(file.read_text() + "\n[finals]\nseeds = 2\n")
    assert "verdict\n" not in run(copy, "pipeline.search", "small").stdout, "of so few trials"
    said = run(copy, "pipeline.best", "small", "--finals", "2").stdout
    assert "\nverdict\n  The winner is the " in said
    assert max(map(len, said.splitlines())) <= 80
    again = run(copy, "pipeline.best", "small", "--finals", "2").stdout
    assert again == said, "nothing is lacking"
    answers = list((copy / "mlruns").rglob("validation_answers.npz"))
    finals = [t for t in stored_study(copy).trials if "final_of" in t.user_attrs]
    assert len(answers) == len(finals) >= 2
    with np.load(answers[0]) as kept:
        assert kept["answers"].shape == (12_000, 10)
    assert json.loads(run(copy, "pipeline.best", "small", "--json").stdout)["verdict"]["is_paired"]
    said = run(copy, "pipeline.best", "small", "--export", "--only-keras").stdout
    assert "  the same network with 2 seeds, means:\n  validation accuracy  0." in said
    assert max(map(len, said.splitlines()[:12])) <= 80
    folder = copy / "exports" / "small"
    found = json.loads((folder / "metrics.json").read_text())
    seeds, looks = found["seeds"], stored_study(copy).user_attrs["test_looks"]
    assert {look["trial"] for look in looks} >= set(seeds["trials"])
    assert len(seeds["test"]["values"]) == len(seeds["validation"]["values"]) == 2
    own = seeds["test"]["values"][seeds["trials"].index(found["trial"])]
    assert seeds["test"]["mean"] == pytest.approx(sum(seeds["test"]["values"]) / 2)
    card = " ".join((folder / "MODEL_CARD.md").read_text().split())
    assert "The same network was trained with 2 seeds; their mean test accuracy 0." in card
    assert "all in order" in run(copy, "pipeline.doctor", "small").stdout
    said = run(copy, "pipeline.best", "small", "--refit", "--export", "--only-keras").stdout
    assert "on 60,000 images, which are\n  all but the test set" in said
    refitted = copy / "exports" / "small_refit"
    again = json.loads((refitted / "metrics.json").read_text())
    accuracies = accuracies_of(folder, refitted)
    assert [own, again["test"]["accuracy"]] == pytest.approx(accuracies, abs=1e-6)
    assert again["test"]["accuracy"] != found["test"]["accuracy"]
    assert again["seeds"]["validation"] == seeds["validation"]
    assert len(again["seeds"]["test"]["values"]) == 2
    assert again["refit"]["n_examples"] == 60_000
    looks = stored_study(copy).user_attrs["test_looks"]
    assert [look.get("refit") for look in looks[-2:]] == [again["refit"]["epochs"]] * 2
    run(copy, "pipeline.report", "small")
    report = (copy / "studies" / "small" / "report.md").read_text()
    assert re.search(r"The mean of its runs on the test set \*\*0\.\d{4}\*\*", report)
    assert "- The winner is the " in report
    assert " of finals" in report
    assert re.search(
        r"; trained again on all other data, on the test set \*\*0\.\d{4}\*\*", report
    )
    refused = run(copy, "pipeline.best", "small", "--refit", expect=2)
    assert "--refit with --export" in refused.stderr


def test_a_second_export_needs_force_and_is_no_second_look(walk: Walk) -> None:
    refused = run(walk.project, "pipeline.best", "small", "--export", expect=1)
    assert "--force" in refused.stderr
    run(walk.project, "pipeline.best", "small", "--export", "--only-keras", "--force")
    assert len(stored_study(walk.project).user_attrs["test_looks"]) == 1


def test_a_trial_comes_out_the_same_again(walk: Walk) -> None:
    """Bit for bit, with its weights, a pruned one too; and nothing is written or left."""
    kept = ("mlflow.db", "optuna.db")
    before = [(walk.project / "mlruns" / name).read_bytes() for name in kept]
    names = sorted(walk.project.rglob("*"))
    last = {t.state.name: t.number for t in stored_study(walk.project).get_trials()}
    for number in [n for state, n in last.items() if state != "FAIL"]:  # which was interrupted
        said = run(walk.project, "pipeline.best", "small", "--replay", str(number)).stdout
        assert "came out the same, bit for bit" in said
        assert "  the weights of its best epoch are those of its stored model\n" in said
        assert "keras" not in said, "which is as it was"
    assert [(walk.project / "mlruns" / name).read_bytes() for name in kept] == before
    assert sorted(walk.project.rglob("*")) == names


def test_a_replay_tells_what_is_other(walk: Walk, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(walk.project, copy)
    with contextlib.closing(sqlite3.connect(copy / "mlruns" / "optuna.db")) as database, database:
        database.execute("UPDATE trial_user_attributes SET value_json = 1 WHERE key = 'seed'")
    number = str(json.loads((copy / "exports" / "small" / "metrics.json").read_text())["trial"])
    done = run(copy, "pipeline.best", "small", "--replay", number, "--json", expect=1)
    found = json.loads(done.stdout)
    assert (found["same"], found["same_weights"]) == (False, False)
    assert found["versions"].keys() <= {"git_commit"}
    assert found["first_difference"]["epoch"] == 1
    largest = found["largest_difference"]
    assert 0 < abs(largest["replayed"] - largest["recorded"]) < 1


def test_a_rollback_sticks_and_is_taken_back(walk: Walk, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(walk.project, copy)
    refused = run(copy, "pipeline.best", "small", "--rollback", expect=1).stderr
    assert "there is no such version to roll back to" in refused
    exported = run(copy, "pipeline.best", "small", "--ensemble", "--export", "--only-keras")
    assert "models:/small@champion is version 2 now\n" in exported.stderr
    load_champion(copy)
    said = run(copy, "pipeline.best", "small", "--rollback").stdout
    assert said.startswith("models:/small@champion is version 1 now: trial ")
    again = run(
        copy, "pipeline.best", "small", "--ensemble", "--export", "--only-keras", "--force"
    ).stderr
    assert "models:/small@champion stays as it was rolled back; " in again
    for command in ("search", "doctor"):
        run(copy, f"pipeline.{command}", "small")
    said = run(copy, "pipeline.best", "small", "--rollback").stdout
    assert said.startswith("models:/small@champion is version 2 now: an ensemble of ")
    assert "all in order" in run(copy, "pipeline.doctor", "small").stdout


def load_champion(project: Path) -> None:
    """As somebody who uses it does."""
    code = """
import mlflow.keras, mlflow.pyfunc
mlflow.set_tracking_uri("sqlite:///mlruns/mlflow.db")
assert mlflow.keras.load_model("models:/small@champion").count_params() > 0
assert mlflow.pyfunc.load_model("models:/small/1").metadata.signature
"""
    run_code(project, code)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_copy_whose_artifacts_or_mlflow_store_are_lost_is_mended(
    walk: Walk, tmp_path: Path
) -> None:
    copy = tmp_path / "another place" / "copy"
    shutil.copytree(walk.project, copy)
    before = contents(walk.project / "mlruns" / "artifacts")
    shutil.rmtree(copy / "mlruns" / "artifacts")
    mended = run(copy, "pipeline.doctor", "--fix").stdout
    assert f"moved or copied from {walk.project} to {copy}" in mended
    assert "written again from the model of its run" in mended
    assert run(copy, "pipeline.doctor").stdout.endswith("all in order\n")
    load_champion(copy)
    (copy / "mlruns" / "mlflow.db").unlink()
    refused = run(copy, "pipeline.search", "small", expect=1).stderr
    assert refused.rstrip().endswith("with: .venv/bin/python -m pipeline.doctor small --fix")
    run(copy, "pipeline.doctor", "small", "--fix")
    assert run(copy, "pipeline.doctor").stdout.endswith("all in order\n")
    load_champion(copy)
    assert contents(walk.project / "mlruns" / "artifacts") == before


def test_commands_print_nothing_of_tensorflow(walk: Walk) -> None:
    for said in (walk.searched.stderr, walk.exported.stderr):
        assert "WARNING" not in said
        assert "I0000" not in said


def test_a_rerun_with_the_budget_used_changes_nothing(walk: Walk) -> None:
    before = len(stored_study(walk.project).get_trials())
    again = run(walk.project, "pipeline.search", "small")
    assert "champion" in again.stdout
    assert len(stored_study(walk.project).get_trials()) == before


def test_nothing_is_left_lying_about(walk: Walk) -> None:
    left = sorted(path.name for path in (walk.project / "mlruns").iterdir())
    assert left == ["artifacts", "mlflow.db", "optuna.db", "small.lock", "small.workers.log"]


def test_report_is_written(walk: Walk) -> None:
    run(walk.project, "pipeline.report", "small")
    folder = walk.project / "studies" / "small"
    text = (folder / "report.md").read_text()
    assert "## Verdict" in text
    assert len((folder / "trials.csv").read_text().splitlines()) == 1 + 5
    assert "plotly" in (folder / "report.html").read_text()


def test_a_changed_question_is_refused(walk: Walk) -> None:
    other = walk.project / "other" / "small.toml"
    other.parent.mkdir()
    other.write_text(STUDY.replace("batch_size = 128", "batch_size = 256"))
    refused = run(walk.project, "pipeline.search", str(other), expect=2)
    assert "a changed question is a new study" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def served(walk: Walk, port: int, request: pytest.FixtureRequest) -> Iterator[int]:
    """A server started by a command line with {port}; ended afterwards with all its children."""
    command = [part.format(port=port) for part in request.param]
    server = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=walk.project,
        env={**environment(), **ACTIVATED},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                time.sleep(0.2)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=20)


TINY = """
goal = "이름이 한글인 연구."
dataset = "fashion_mnist"

[budget]
trials = 1

[sampler]
type = "RandomSampler"
seed = 1

[pruner]
type = "NopPruner"

[fixed]
hidden_layers = 1
units = 8
optimizer = "adam"
epochs = 1
batch_size = 512

[space]
learning_rate = { type = "float", low = 1e-3, high = 1e-2, log = true }
"""
LOAD = "import sys, mlflow; mlflow.keras.load_model(f'models:/{sys.argv[1]}@champion').summary()"


def test_a_study_whose_name_is_hangul_goes_all_the_way(
    tmp_path: Path, empty_database: Path
) -> None:
    name = "내연구"
    empty_mlflow.copy_into(tmp_path, empty_database)
    (tmp_path / "studies").mkdir()
    # as a disk may have it that writes syllables in parts
    (tmp_path / "studies" / f"{unicodedata.normalize('NFD', name)}.toml").write_text(TINY)
    searched = run(tmp_path, "pipeline.search", name, "--workers", "1")
    assert f"make ui STUDY={name}" in searched.stdout
    run(tmp_path, "pipeline.report", name)
    assert f"Study {name}" in (tmp_path / "studies" / name / "report.md").read_text()
    assert (
        f"models:/{name}@champion"
        in run(tmp_path, "pipeline.best", name, "--export", "--only-keras").stdout
    )
    assert (tmp_path / "exports" / name / "model.keras").is_file()
    assert [path.name for path in (tmp_path / "mlruns" / "artifacts").iterdir()] == [name]
    assert run(tmp_path, "pipeline.doctor").stdout.endswith("all in order\n")
    subprocess.run(
        [sys.executable, "-c", LOAD, name],
        cwd=tmp_path,
        env={**environment(), "MLFLOW_TRACKING_URI": "sqlite:///mlruns/mlflow.db"},
        check=True,
        capture_output=True,
        timeout=120,
    )


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_URI", "PIPELINE_STORAGE"])
def test_a_search_names_the_variable_of_a_store_that_is_none_before_it_starts(
    tmp_path: Path, variable: str
) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "small.toml").write_text(STUDY)
    ended = subprocess.run(
        [sys.executable, "-m", "pipeline.search", "small"],
        cwd=tmp_path,
        env={**environment(), variable: "./mlruns"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        f"error: {variable}: found './mlruns', allowed is a URL such as"
    )
    assert len(ended.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["studies"]


# As `. .venv/bin/activate` and docs/exporting.md have it.
ACTIVATED = {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "MLFLOW_TRACKING_URI": "sqlite:///mlruns/mlflow.db",
}
MODELS_SERVE = (
    "mlflow", "models", "serve", "--model-uri", "models:/small@champion",
    "--env-manager", "local", "--host", "127.0.0.1", "--port", "{port}",
)  # fmt: skip


@pytest.mark.parametrize("served", [MODELS_SERVE], indirect=True)
def test_mlflow_serves_the_champion(served: int) -> None:
    body = json.dumps({"inputs": [[[0] * 28] * 28] * 2}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{served}/invocations",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        predictions = json.load(answer)["predictions"]
    assert len(predictions) == 2
    assert sum(predictions[0]) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("served", [("pipeline.ui", "mlflow", "--port", "{port}")], indirect=True)
def test_mlflow_ui_shows_the_study_in_a_browser(served: int, tmp_path: Path) -> None:
    page = browser.dom(f"http://127.0.0.1:{served}/#/experiments/1/runs", tmp_path)
    assert "small" in page
    assert "fashion_mnist" in page


@pytest.mark.parametrize("served", [("pipeline.ui", "optuna", "--port", "{port}")], indirect=True)
def test_optuna_dashboard_answers(served: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{served}/api/studies", timeout=30) as answer:
        studies = json.load(answer)["study_summaries"]
    assert [study["study_name"] for study in studies] == ["small"]
