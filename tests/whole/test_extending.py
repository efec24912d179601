"""The worked examples of docs/extending.md, each put into a copy of the package and run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import recorded
import small
from extending import apply, copy_package, files_of

from pipeline.paths import Project


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with a copy of the package."""
    return copy_package(tmp_path / "copy")


def run(package: Path, folder: Path, *arguments: str) -> str:
    """What a command of the copy says in a project's folder."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_project(folder: Path, study: str) -> None:
    (folder / "studies").mkdir(exist_ok=True)
    (folder / "studies" / "small.toml").write_text(study)


def test_a_hyperparameter_takes_three_files(package: Path, project_folder: Path) -> None:
    assert len(files_of("A hyperparameter")) == 3
    apply("A hyperparameter", package)
    make_project(
        project_folder,
        small.STUDY + 'input_noise = { type = "float", low = 0.25, high = 0.5 }\n',
    )
    said = run(package, project_folder, "-m", "pipeline.search", "small", "--dry-run")
    assert "input_noise    0.25 to 0.5" in said
    code = """
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.data.fashion_mnist import SOURCE
from pipeline.training.model import build_model
h = Hyperparameters(1, (4,), "adam", 0.001, 32, 1, input_noise=0.3)
assert Hyperparameters.from_mapping(h.as_dict()) == h
for known in (h, Hyperparameters(1, (4,), "adam", 0.001, 32, 1)):
    print([type(layer).__name__ for layer in build_model(known, SOURCE.task).layers])
"""
    with_noise, without = run(package, project_folder, "-c", code).splitlines()
    assert "GaussianNoise" in with_noise
    assert "GaussianNoise" not in without


def test_an_executor_takes_two_files(package: Path, project_with_mlflow: Path) -> None:
    project_folder = project_with_mlflow
    assert len(files_of("An executor")) == 2
    apply("An executor", package)
    make_project(project_folder, small.STUDY.replace("units = 50", "units = 2"))
    run(
        package,
        project_folder,
        "-m",
        "pipeline.search",
        "small",
        "--trials",
        "1",
        "--workers",
        "1",
    )
    assert "1 trials" in run(package, project_folder, "-c", N_TRIALS)
    assert not (project_folder / "mlruns" / "small.workers.log").exists()


N_TRIALS = """
from pathlib import Path
from pipeline.paths import Project
from pipeline.storage import studies, study_store
study = studies.stored_study(Project(Path.cwd()), "small").study
print(sum(trial.state == "COMPLETE" for trial in study_store.read_trials(study)), "trials")
"""


def test_a_report_section_takes_two_files(package: Path, recorded_study: Project) -> None:
    assert len(files_of("A report section")) == 2
    apply("A report section", package)
    run(package, recorded_study.root, "-m", "pipeline.report", recorded.NAME)
    report = (recorded_study.report_dir(recorded.NAME) / "report.md").read_text()
    assert re.search(r"## Where the time went\n\nTrial \d+ took the longest: \d+ s\.", report)


def test_a_measure_takes_one_row(package: Path, recorded_study: Project) -> None:
    assert files_of("A measure for claims") == {"pipeline/study/measures.py"}
    apply("A measure for claims", package)
    file = recorded_study.root / "studies" / f"{recorded.NAME}.toml"
    text = file.read_text()
    assert "claim = { val_accuracy = 0.8859," in text
    file.write_text(text.replace("{ val_accuracy = 0.8859,", "{ val_accuracy_gain = 0.05,"))
    run(package, recorded_study.root, "-m", "pipeline.report", recorded.NAME)
    report = (recorded_study.report_dir(recorded.NAME) / "report.md").read_text()
    assert "validation accuracy gained after the first epoch | 0.0500 |" in report
