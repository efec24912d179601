"""What is read back of runs, from a real store."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipeline.outside import Outside
from pipeline.paths import Project
from pipeline.tracking.delivery import open_client
from pipeline.tracking.mlflow_internals import last_step
from pipeline.tracking.reader import Run, has_hyperparameters, model_trouble, runs_of
from pipeline.tracking.run_writer import RunWriter


def test_epochs_are_counted_by_the_metric_of_the_study(project_folder: Path) -> None:
    project = Project(project_folder)
    writer = RunWriter.open(project, "small")
    run = writer.start_trial(0, None, {"seed": 7}, {})
    for epoch in (1, 2, 3):
        writer.log_epoch(0, epoch, {"val_loss": 1 / epoch} | ({} if epoch == 3 else {"loss": 0.5}))
    writer.flush()
    writer.finish_trial(0, "COMPLETE", {"best_val_loss": 1 / 3}, {})
    for metric, n_epochs, has_best in (("val_loss", 3, True), ("loss", 2, False)):
        (found,) = runs_of(project, "small", metric)
        assert (found.id, found.trial, found.seed) == (run, 0, "7")
        assert (found.n_epochs, found.has_best) == (n_epochs, has_best)


def test_the_last_step_is_found_without_what_mlflow_does_not_promise(project_folder: Path) -> None:
    writer = RunWriter.open(Project(project_folder), "small")
    run = writer.start_trial(0, None, {"seed": 7}, {})
    for epoch in (1, 2, 3):
        writer.log_epoch(0, epoch, {"val_loss": 1 / epoch})
    writer.flush()
    client = open_client(Project(project_folder).mlflow_uri)
    known = client.get_run(run)
    other: Any = SimpleNamespace(info=known.info, data=SimpleNamespace(metrics=known.data.metrics))
    for metric, step in (("val_loss", 3), ("loss", 0)):
        assert last_step(client, known, metric) == last_step(client, other, metric) == step


def test_a_server_is_asked_once_for_the_artifacts_of_a_run(project_folder: Path) -> None:
    asked: list[str] = []
    files = [SimpleNamespace(path=name, file_size=9) for name in ("model.keras", "other")]

    def list_artifacts(run: str) -> list[SimpleNamespace]:
        asked.append(run)
        return files

    client = SimpleNamespace(list_artifacts=list_artifacts)
    project = Project(project_folder, outside=Outside(mlflow=lambda: client))
    run = Run(
        id="a1",
        trial=0,
        is_of_study=False,
        status="FINISHED",
        state="COMPLETE",
        seed="7",
        n_epochs=3,
        has_best=True,
        started=0,
        artifacts="mlflow-artifacts:/1/a1/artifacts",
        is_deleted=False,
        is_orphan=False,
        parent="",
    )
    assert model_trouble(project, run) == ""
    assert not has_hyperparameters(project, run, {"units": [1]})
    assert asked == ["a1"]
