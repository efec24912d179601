"""Writes the champion out as a model that just works, with its test score.

The sealed test set is looked at (`test_looks`) once for each champion, and for each of its
network's runs with other seeds; every look is recorded in the study and shown in its report.
"""

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.data import datasets
from pipeline.errors import PipelineError
from pipeline.export import card_head, model_card, scores, stored_model, test_looks
from pipeline.export.champion import epochs_of_refit, runs_of, summary
from pipeline.export.folder import CARD_FILE, DETAIL_FILES, MODEL_FILE, SCRIPT_FILE, write_sums
from pipeline.export.test_looks import Scored
from pipeline.files import scratch_folder, temporary_files_in, write_atomically
from pipeline.formats import writing
from pipeline.names import DETAILS_FILE
from pipeline.storage import study_store
from pipeline.storage.studies import StoredStudy
from pipeline.study.trial import Trial
from pipeline.task.source import Examples
from pipeline.tracking import rows_flavor

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray


COMMAND = "best --export"


def export(
    stored: StoredStudy,
    champion: Trial,
    folder: Path,
    command: str = COMMAND,
    *,
    only_keras: bool = False,
) -> dict[str, Any]:
    """Writes the champion's model, hyperparameters, metrics and model card into a folder.

    The folder appears whole or not at all.

    Args:
        stored: the study.
        champion: its best trial.
        folder: as `folder.check_folder` returned it.
        command: that asks, as a look at the test set is recorded with it.
        only_keras: whether no other format of the model is made and tried.

    Returns:
        What `metrics.json` has.

    Raises:
        PipelineError: the stored model is missing, cannot be loaded, or does not have its
            recorded metric; or a look at the test set could not be recorded.
    """
    unseen = [
        run for run in runs_of(stored, champion) if not Scored(run.number).look(stored.study)
    ]
    if unseen:
        test_looks.refuse_unless_recorded(stored)
    with _whole(folder) as new:
        details = new.parent / "details"
        if champion not in unseen and _needs_details(stored, Scored(champion.number), details):
            unseen = [champion, *unseen]
        examples = datasets.validation_sets(stored.spec.data_spec)
        model, answers = stored_model.verified_model(stored, champion, examples)
        models = {champion.number: (model, answers)}
        for run in unseen:
            if run.number != champion.number:
                models[run.number] = stored_model.verified_model(stored, run, examples)
        for run in unseen:  # all of them are what was recorded
            own, answers = models[run.number]
            place = details if run.number == champion.number else new.parent / str(run.number)
            residuals = _residuals(stored, answers, examples)
            test_looks.look(stored, Scored(run.number), own, command, place, residuals)
        found = summary(stored, champion)
        return _write(stored, found, model, _row_of(examples[0]), new, details, only_keras)


def export_refit(
    stored: StoredStudy,
    champion: Trial,
    folder: Path,
    command: str = f"{COMMAND} --refit",
    *,
    only_keras: bool = False,
) -> dict[str, Any]:
    """Trains the champion's network again on training and validation data, and writes that.

    With each of its seeds, of which the test set has not been told yet; returns what is known.

    Args:
        stored: the study.
        champion: its best trial.
        folder: as `folder.check_folder` returned it.
        command: as of `export`.
        only_keras: as of `export`.

    Raises:
        PipelineError: it cannot be trained so, or as `export`.
    """
    from pipeline.export import refit

    test_looks.refuse_unless_recorded(stored)
    runs = runs_of(stored, champion)
    epochs = epochs_of_refit(stored.spec, runs)
    wanted = [
        run
        for run in runs
        if run.number == champion.number
        or not study_store.last_look(stored.study, run.number, refit=epochs)
    ]
    with _whole(folder) as new:
        details = new.parent / "details"
        examples = datasets.validation_sets(stored.spec.data_spec)
        contents = refit.refit(stored, wanted, epochs)
        stored_model.import_tensorflow()
        models = {n: stored_model.as_handed_over(content) for n, content in contents.items()}
        for number, model in models.items():
            scored = Scored.of_refit(number, epochs, model)
            is_champion = number == champion.number
            place = details if is_champion else new.parent / str(number)
            is_known = scored.look(stored.study) is not None
            if not is_known or (is_champion and _needs_details(stored, scored, place)):
                test_looks.look(stored, scored, model, command, place)
        found = summary(stored, champion, epochs)
        model = models[champion.number]
        return _write(stored, found, model, _row_of(examples[0]), new, details, only_keras)


def export_ensemble(
    stored: StoredStudy,
    folder: Path | None,
    command: str = f"{COMMAND} --ensemble",
    *,
    only_keras: bool = False,
) -> dict[str, Any]:
    """Makes an ensemble, writes it as `export` does a champion, and returns what is known of it.

    Args:
        stored: the study.
        folder: as `folder.check_folder` returned it; None to write nothing, and leave the test
            set sealed.
        command: as of `export`.
        only_keras: as of `export`.

    Raises:
        PipelineError: as `export`.
    """
    from pipeline.export import ensemble

    if folder is None:
        examples = datasets.validation_sets(stored.spec.data_spec)
        return ensemble.summary(stored, ensemble.build(stored, examples)[0])
    test_looks.refuse_unless_recorded(stored)
    with _whole(folder) as new:
        details = new.parent / "details"
        examples = datasets.validation_sets(stored.spec.data_spec)
        found, model = ensemble.build(stored, examples)
        scored = Scored(found.members[0][0].number, ensemble=found.picks)
        if not scored.look(stored.study) or _needs_details(stored, scored, details):
            residuals = _residuals(stored, found.answers, examples)
            test_looks.look(stored, scored, model, command, details, residuals)
        known = ensemble.summary(stored, found)
        return _write(stored, known, model, _row_of(examples[0]), new, details, only_keras)


def _needs_details(stored: StoredStudy, scored: Scored, folder: Path) -> bool:
    """Fetches how a model errs that was scored before; tells whether that takes another look.

    That is so of a look of an earlier version. Where none can be recorded, the export does
    without.
    """
    if test_looks.fetch_details(stored, scored, folder):
        return False
    try:
        test_looks.refuse_unless_recorded(stored)
    except PipelineError:
        return False
    print(
        f"how trial {scored.trial} errs is not known of its look at the test set: this takes "
        "another, which is recorded",
        file=sys.stderr,
    )
    return True


def _residuals(
    stored: StoredStudy, answers: "NDArray[Any]", examples: Sequence[Examples]
) -> "NDArray[Any] | None":
    """Computes a regression's residuals on the validation rows; None of classes."""
    if not stored.spec.task.is_regression:
        return None
    found: NDArray[Any] = answers.reshape(-1) - scores.joined(examples).targets
    return found


@contextlib.contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Makes a folder that takes the place of another when it is whole."""
    with scratch_folder(folder) as scratch, _temporary_files_in(scratch):
        yield scratch / "new"
        if folder.exists():
            folder.rename(scratch / "old")  # whose end is not to be seen, if it is killed
        (scratch / "new").rename(folder)


def _temporary_files_in(scratch: Path) -> contextlib.AbstractContextManager[None]:
    """Has Keras's files go when the scratch folder does, also if this process is killed."""
    if "\\" in str(scratch):  # which Keras takes for a slash, and would write elsewhere
        return contextlib.nullcontext()
    return temporary_files_in(scratch)


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
    found: dict[str, Any],
    model: "keras.Model",
    row: Mapping[str, Any],
    folder: Path,
    details: Path,
    only_keras: bool,
) -> dict[str, Any]:
    from pipeline.training import loop

    folder.mkdir()
    if details.is_dir():
        found |= {"test_details": json.loads((details / DETAILS_FILE).read_bytes())}
        for name in DETAIL_FILES:
            if (details / name).exists():
                shutil.copyfile(details / name, folder / name)
    task = stored.spec.task
    if task.features and task.features.inputs:
        dialect = datasets.dialect(stored.spec.data_spec)
        write_atomically(folder / SCRIPT_FILE, rows_flavor.predict_script(task, dialect))
    write_atomically(folder / MODEL_FILE, loop.to_bytes(model))
    given = found.get("hyperparameters") or {
        str(each["trial"]): each["hyperparameters"] for each in found["ensemble"]
    }
    write_atomically(folder / "hyperparameters.json", json.dumps(given, indent=2) + "\n")
    formats = {}
    if not only_keras:
        print("trying every format of the model in its own runtime ...", file=sys.stderr)
        formats = writing.write_formats(model, task, test_looks.test_inputs(stored), folder)
        found |= {"formats": {name: asdict(each) for name, each in formats.items()}}
    write_atomically(folder / "metrics.json", json.dumps(found, indent=2) + "\n")
    card = model_card.text(stored, found, row, folder, formats)
    write_atomically(folder / CARD_FILE, card_head.text(stored.spec, found, formats) + card)
    write_sums(folder)
    return found
