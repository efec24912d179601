"""Looks at the sealed test set: this module alone opens it, and records each time that it did.

A look is recorded in Optuna before the test set is opened, and its scores when they are known:
what cannot be recorded is not looked at, and a kill in between leaves a look without scores.
MLflow is told both times as well; where it is out of reach, a line says so, and the next export
tells it. How the model errs is worked out at the look, and kept as files of the trial's run, since
a second export does not look again.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import snapshot
from pipeline.clock import now
from pipeline.data import datasets
from pipeline.errors import PipelineError
from pipeline.export import scores, test_details
from pipeline.names import details_folder
from pipeline.storage import study_store
from pipeline.storage.studies import StoredStudy
from pipeline.tracking import looks

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Scored:
    """Which model it is that is scored, as a look has it.

    Attributes:
        trial: number of the trial, of an ensemble of the best in it.
        ensemble: how often each trial is in the mean, by number; None of one that is none.
        refit: for how many epochs it was trained again on all but the test set; None of one that
            was not.
        weights: SHA-256 of its weights, if these are made anew by every export.
    """

    trial: int
    ensemble: Mapping[str, int] | None = None
    refit: int | None = None
    weights: str | None = None

    @classmethod
    def of_refit(cls, trial: int, epochs: int, model: "keras.Model") -> "Scored":
        """Names a network that was trained again."""
        digest = hashlib.sha256()
        for each in model.get_weights():
            digest.update(each.tobytes())
        return cls(trial, refit=epochs, weights=digest.hexdigest())

    @property
    def key(self) -> str:
        """The name of its details' folder among a run's artifacts."""
        key = details_folder(self.trial)
        if self.ensemble:
            picks = json.dumps(dict(self.ensemble), sort_keys=True)
            key = f"ensemble_{hashlib.sha256(picks.encode()).hexdigest()[:16]}"
        return f"{key}_refit_{self.weights[:16]}" if self.weights else key

    def look(self, study: Any) -> dict[str, Any] | None:
        """Finds the last look that scored this model; None if there is none."""
        known = study_store.last_look(study, self.trial, self.ensemble, self.refit)
        return known if known and known.get("weights") == self.weights else None


def refuse_unless_recorded(stored: StoredStudy) -> None:
    """Refuses a study in whose store no look can be recorded.

    Raises:
        PipelineError: it is read-only.
    """
    snapshot.refuse_unless_writable(
        stored.project.optuna_url, "an export records there that it looks at the test set"
    )


def fetch_details(stored: StoredStudy, scored: Scored, folder: Path) -> bool:
    """Copies how a model errs from MLflow into a new folder, if that was worked out and kept.

    Of a look that knows no details, such as one of an earlier version, there are none.
    """
    if scored.look(stored.study) is None:
        return False
    try:
        run = study_store.run_of(stored.study, scored.trial)
        return looks.fetch_details(stored.project, run, scored.key, folder)
    except PipelineError as error:
        _say(f"{error}; so how the model errs is found out anew, by another look")
        return False


def look(
    stored: StoredStudy,
    scored: Scored,
    model: "keras.Model",
    command: str,
    folder: Path,
    known_errors: "NDArray[Any] | None" = None,
) -> None:
    """Scores a model on the test set, and records the look.

    Args:
        stored: the study.
        scored: which model it is.
        model: itself; it takes raw inputs.
        command: that asks, without what is private.
        folder: gets a file with how the model errs, and others that show it; made anew.
        known_errors: of a regression, its residuals on rows that it was not trained on.

    Raises:
        PipelineError: the look cannot be recorded, or the data cannot be had.
    """
    task, study = stored.spec.task, stored.study
    quantities = [metric.quantity for metric in task.objectives]
    begun = {
        "when": now(),
        "trial": scored.trial,
        **({"ensemble": dict(scored.ensemble)} if scored.ensemble else {}),
        **({"refit": scored.refit, "weights": scored.weights} if scored.refit else {}),
        "command": command,
        **dict.fromkeys([*quantities, "n_examples"]),
    }
    study.set_user_attr(study_store.TEST_LOOKS, [*study_store.test_looks(study), begun])
    is_told = tell_mlflow(stored)
    examples = datasets.open_test_set(stored.spec.data_spec)
    answers = scores.answer(model, examples)
    known = {
        **begun,
        **scores.measure(task, answers, examples),
        "n_examples": len(examples.targets),
    }
    if examples.groups is not None:
        known["n_groups"] = len(set(examples.groups.tolist()))
    noted = study_store.test_looks(study)
    # the last such: one that broke off within the same second is equal
    noted[len(noted) - 1 - noted[::-1].index(begun)] = known
    study.set_user_attr(study_store.TEST_LOOKS, noted)
    test_details.write(stored.spec.task, answers, examples, known_errors, folder)
    if not tell_mlflow(stored, says=is_told):
        return
    try:
        run = study_store.run_of(study, scored.trial)
        looks.keep_details(stored.project, run, scored.key, folder)
    except PipelineError as error:
        _say(f"{error}; so the next export looks again to tell how the model errs")


def test_inputs(stored: StoredStudy) -> Any:
    """Loads what models are asked on the test set, without the right answers.

    That is no look: nobody can be scored by it. For comparing what copies of one model answer.

    Returns:
        As `Examples.inputs`: an array (n, ...), or of a table arrays (n,) by column.
    """
    return datasets.open_test_set(stored.spec.data_spec).inputs


def tell_mlflow(stored: StoredStudy, *, says: bool = True) -> bool:
    """Brings all looks that Optuna has into MLflow.

    Args:
        stored: the study.
        says: whether a line says so where that cannot be done.

    Returns:
        Whether MLflow has them.
    """
    noted = study_store.test_looks(stored.study)
    trials = dict.fromkeys(int(each["trial"]) for each in noted)
    runs = {number: study_store.run_of(stored.study, number) for number in trials}
    try:
        looks.note_looks(stored.project, stored.spec.name, noted, runs)
    except PipelineError as error:
        if says:
            _say(f"{error}; the next export tells it of this look at the test set")
        return False
    return True


def _say(text: str) -> None:
    print(text, file=sys.stderr)
