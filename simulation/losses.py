"""What somebody loses of a study that is complete; the doctor has to find and mend it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from pipeline.storage import study_store
from pipeline.tracking.delivery import MODEL_ARTIFACT
from simulation.drive import Drive, File
from simulation.mlflow_store import MlflowStore, Run
from simulation.scenario import NAME

if TYPE_CHECKING:
    from simulation.run import Simulation

_T = TypeVar("_T")
_NO_TRIAL = 1_000


class Lost(Enum):
    """What is lost."""

    DELETED = "a run is deleted"
    GONE = "a run is gone for good"
    GONE_BUT_MODEL = "a run is gone for good, and its model lies on the disk"
    OLDER = "a run is as it was in the middle of it"
    OPEN = "a run has not ended"
    MODEL = "a model is gone"
    EMPTY = "a model is an empty file"
    NOTE = "Optuna names another run as a trial's"
    ALIAS = "no version is the champion"
    STRANGER = "there is a run of a trial that there is not"
    STUDY_DELETED = "the study's run is deleted"
    STUDY_GONE = "the study's run is gone for good"
    STUDY_OPEN = "the study's run has not ended"
    SCRATCH = "files of a killed search lie there"


@dataclass(frozen=True)
class Loss:
    """Something that is lost.

    Attributes:
        what: it is.
        share: from 0 to 1: of which trial.
    """

    what: Lost
    share: float

    def __str__(self) -> str:
        return f"when all is over: {self.what.value} ({self.share:g})"


def lose(simulation: "Simulation", loss: Loss) -> None:
    """Loses something behind everybody's back.

    Args:
        simulation: whose search is complete; one of its trials at least has a model.
        loss: what is lost.
    """
    store, drive = simulation.runs, simulation.drives["here"]
    trials = [trial for trial in simulation.trials_that_count() if trial.run_id in store.runs]
    of_study = [run for run in store.runs.values() if run.tags.get("role") == "study"]
    if not trials or not of_study:  # lost before
        return
    trial = _pick(trials, loss.share)
    run, parent = store.runs[trial.run_id], of_study[-1]
    runs = [store.runs[each.run_id] for each in trials]
    model = _pick([each for each in runs if MODEL_ARTIFACT in each.artifacts] or runs, loss.share)
    match loss.what:
        case Lost.DELETED:
            run.is_deleted = True
        case Lost.GONE:
            del store.runs[run.id]
        case Lost.GONE_BUT_MODEL:
            if MODEL_ARTIFACT in model.artifacts:
                _leave_model(simulation, drive, model)
            del store.runs[model.id]
        case Lost.OLDER:
            _go_back(run, len(trial.history.get("val_accuracy", ())) // 2)
        case Lost.OPEN:
            run.status = "RUNNING"
        case Lost.MODEL:
            model.artifacts.pop(MODEL_ARTIFACT, None)
        case Lost.EMPTY if MODEL_ARTIFACT in model.artifacts:
            model.artifacts[MODEL_ARTIFACT] = b""
        case Lost.NOTE:
            study = simulation.study()
            assert study is not None
            study_store.note_run(study, trial.number, "unknown")
        case Lost.ALIAS:
            store.aliases.clear()
        case Lost.STRANGER:
            _add_stranger(store, parent)
        case Lost.STUDY_DELETED:
            parent.is_deleted = True
        case Lost.STUDY_GONE:
            del store.runs[parent.id]
        case Lost.STUDY_OPEN:
            parent.status = "RUNNING"
        case Lost.SCRATCH:
            scratch = simulation.here.scratch_dir(NAME)
            drive.folders |= {scratch, *scratch.parents}
            drive.files[scratch / "file"] = File(b"")


def _pick(of: Sequence[_T], share: float) -> _T:
    return of[int(share * len(of)) % len(of)]


def _leave_model(simulation: "Simulation", drive: Drive, run: Run) -> None:
    folder = simulation.here.artifacts_dir / NAME / run.id / "artifacts"
    drive.folders |= {folder, *folder.parents}
    drive.files[folder / MODEL_ARTIFACT] = File(run.artifacts[MODEL_ARTIFACT])


def _go_back(run: Run, epoch: int) -> None:
    run.status, run.ended = "RUNNING", None
    for key in ("state", "reason"):
        run.tags.pop(key, None)
    for key, values in run.metrics.items():
        kept = {each for each in values if each[0] <= epoch and not key.startswith("best_")}
        run.metrics[key] = kept
    run.metrics = {key: values for key, values in run.metrics.items() if values}


def _add_stranger(store: MlflowStore, parent: Run) -> None:
    tags = {"trial": str(_NO_TRIAL), "mlflow.parentRunId": parent.id}
    run = store.make(parent.experiment, parent.started, tags, "a stranger")
    run.status = "FINISHED"
