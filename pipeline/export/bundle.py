"""Writes the champion out as a model that just works, with its test score.

This alone looks at the sealed test set, once for each champion; every look is recorded in the
study and shown in its report.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import snapshot
from pipeline.clock import now
from pipeline.data import datasets, pixels
from pipeline.environment import hide_gpus, import_keras
from pipeline.errors import PipelineError, first_line, one_line
from pipeline.export import model_card
from pipeline.export.champion import summary
from pipeline.export.folder import MODEL_FILE, SCRIPT_FILE
from pipeline.files import scratch_folder, temporary_files_in, write_atomically
from pipeline.storage import study_store
from pipeline.storage.studies import StoredStudy
from pipeline.study.trial import Trial
from pipeline.task.source import Examples
from pipeline.tracking import registry, rows_flavor
from pipeline.wording import doctor_command

if TYPE_CHECKING:
    import keras


def export(stored: StoredStudy, champion: Trial, folder: Path) -> None:
    """Writes the champion's model, hyperparameters, metrics and model card into a folder.

    The folder appears whole or not at all.

    Args:
        stored: the study.
        champion: its best trial.
        folder: as `folder.check_folder` returned it.

    Raises:
        PipelineError: the stored model is missing, cannot be loaded, or does not have its
            recorded metric; or a look at the test set could not be recorded.
    """
    if not study_store.test_look(stored.study, champion.number):
        snapshot.refuse_unless_writable(
            stored.project.optuna_url, "an export records there that it looks at the test set"
        )
    with scratch_folder(folder) as scratch, _temporary_files_in(scratch):
        examples = datasets.validation_sets(stored.spec.data_spec)
        model = _verified_model(stored, champion, examples)
        _look_at_test_set(stored, champion, model)
        _write(stored, champion, model, _row_of(examples[0]), scratch / "new")
        if folder.exists():
            folder.rename(scratch / "old")  # whose end is not to be seen, if it is killed
        (scratch / "new").rename(folder)


def _temporary_files_in(scratch: Path) -> contextlib.AbstractContextManager[None]:
    """Has Keras's files go when the scratch folder does, also if this process is killed."""
    if "\\" in str(scratch):  # which Keras takes for a slash, and would write elsewhere
        return contextlib.nullcontext()
    return temporary_files_in(scratch)


def _verified_model(
    stored: StoredStudy, champion: Trial, examples: Sequence[Examples]
) -> "keras.Model":
    """Loads the champion's model, and looks whether it is as good as was recorded.

    Raises:
        PipelineError: it is not, or cannot be loaded.
    """
    content = registry.load_model_bytes(stored.project, champion.run_id)
    hide_gpus()
    try:
        with _without_banner():
            import_keras()
            from pipeline.training import loop
    except Exception as error:  # whatever is wrong with an installation
        raise PipelineError(
            f"TensorFlow cannot be imported: {type(error).__name__}: {first_line(error)}"
        ) from None
    try:
        model = pixels.accept_any_scale(loop.from_bytes(content))
    except Exception as error:  # zipfile's, h5py's, and Keras's, whose safe mode refuses code
        raise PipelineError(
            f"the stored model of trial {champion.number} cannot be loaded: {one_line(str(error))}"
        ) from None
    from pipeline.export import scores

    score = stored.spec.task.score
    value = scores.validate(model, stored.spec.task, examples)
    recorded = champion.history[score.name][champion.best_epoch - 1]
    if not scores.is_as_recorded(stored.spec.task, value, recorded):
        raise PipelineError(
            f"the stored model of trial {champion.number} has {score.words} {score.show(value)}, "
            f"not its recorded {score.show(recorded)}; if its run's model.keras was changed, what "
            f"was trained is restored with: {doctor_command()}"
        )
    return model


def _row_of(examples: Examples) -> dict[str, Any]:
    """Finds of a table a value of each column that is not missing, if there is one."""
    if not isinstance(examples.inputs, Mapping):
        return {}
    return {
        name: next((value for value in values if value == value and value != ""), None)
        for name, values in examples.inputs.items()
    }


def _write(
    stored: StoredStudy,
    champion: Trial,
    model: "keras.Model",
    row: Mapping[str, Any],
    folder: Path,
) -> None:
    from pipeline.training import loop

    found = summary(stored, champion)
    folder.mkdir()
    task = stored.spec.task
    if task.features and task.features.inputs:
        dialect = datasets.dialect(stored.spec.data_spec)
        write_atomically(folder / SCRIPT_FILE, rows_flavor.predict_script(task, dialect))
    write_atomically(folder / MODEL_FILE, loop.to_bytes(model))
    write_atomically(
        folder / "hyperparameters.json", json.dumps(found["hyperparameters"], indent=2) + "\n"
    )
    write_atomically(folder / "metrics.json", json.dumps(found, indent=2) + "\n")
    write_atomically(folder / "README.md", model_card.text(stored, found, row))


def _look_at_test_set(stored: StoredStudy, champion: Trial, model: "keras.Model") -> None:
    """Scores the champion on the test set, unless that was done, and records the look.

    The look is recorded before the test set is opened, and its scores when they are known: what
    cannot be recorded is not looked at, and a kill in between leaves a look without scores.
    """
    from pipeline.export import scores

    task, study = stored.spec.task, stored.study
    if study_store.test_look(study, champion.number):
        return
    quantities = [metric.quantity for metric in task.objectives]
    look = {
        "when": now(),
        "trial": champion.number,
        **dict.fromkeys([*quantities, "n_examples"]),
    }
    study.set_user_attr(study_store.TEST_LOOKS, [*study_store.test_looks(study), look])
    examples = datasets.open_test_set(stored.spec.data_spec)
    found = scores.score_test(model, task, examples)
    known = {**look, **found, "n_examples": len(examples.targets)}
    if examples.groups is not None:
        known["n_groups"] = len(set(examples.groups.tolist()))
    looks = study_store.test_looks(study)
    # the last such: one that broke off within the same second is equal
    looks[len(looks) - 1 - looks[::-1].index(look)] = known
    study.set_user_attr(study_store.TEST_LOOKS, looks)


@contextlib.contextmanager
def _without_banner() -> Iterator[None]:
    """Drops what TensorFlow's libraries print when they are loaded; errors are exceptions."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
