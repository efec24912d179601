"""Writes the champion out as a model that just works, with its test score.

This alone looks at the sealed test set, once for each champion, and for each of its network's
runs with other seeds; every look is recorded in the study and shown in its report.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import snapshot
from pipeline.clock import now
from pipeline.data import datasets
from pipeline.export import card_head, model_card, stored_model
from pipeline.export.champion import epochs_of_refit, runs_of, summary
from pipeline.export.folder import CARD_FILE, MODEL_FILE, SCRIPT_FILE, write_sums
from pipeline.files import scratch_folder, temporary_files_in, write_atomically
from pipeline.formats import writing
from pipeline.storage import study_store
from pipeline.storage.studies import StoredStudy
from pipeline.study.trial import Trial
from pipeline.task.source import Examples
from pipeline.tracking import rows_flavor

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
    unseen = [
        run
        for run in runs_of(stored, champion)
        if not study_store.last_look(stored.study, run.number)
    ]
    if unseen:
        _refuse_unless_recorded(stored)
    with _whole(folder) as new:
        examples = datasets.validation_sets(stored.spec.data_spec)
        model, _ = stored_model.verified_model(stored, champion, examples)
        models = {champion.number: model}
        for run in unseen:
            if run.number != champion.number:
                models[run.number], _ = stored_model.verified_model(stored, run, examples)
        for number, each in models.items():  # all of them are what was recorded
            _look_at_test_set(stored, number, each)
        _write(stored, summary(stored, champion), model, _row_of(examples[0]), new)


def export_refit(stored: StoredStudy, champion: Trial, folder: Path) -> dict[str, Any]:
    """Trains the champion's network again on training and validation data, and writes that.

    With each of its seeds, of which the test set has not been told yet; returns what is known.

    Args:
        stored: the study.
        champion: its best trial.
        folder: as `folder.check_folder` returned it.

    Raises:
        PipelineError: it cannot be trained so, or as `export`.
    """
    from pipeline.export import refit

    _refuse_unless_recorded(stored)
    runs = runs_of(stored, champion)
    epochs = epochs_of_refit(stored.spec, runs)
    wanted = [
        run
        for run in runs
        if run.number == champion.number
        or not study_store.last_look(stored.study, run.number, refit=epochs)
    ]
    with _whole(folder) as new:
        examples = datasets.validation_sets(stored.spec.data_spec)
        contents = refit.refit(stored, wanted, epochs)
        stored_model.import_tensorflow()
        models = {n: stored_model.as_handed_over(content) for n, content in contents.items()}
        for number, model in models.items():
            _look_at_test_set(stored, number, model, refit=epochs)
        found = summary(stored, champion, epochs)
        _write(stored, found, models[champion.number], _row_of(examples[0]), new)
    return found


def export_ensemble(stored: StoredStudy, folder: Path | None) -> dict[str, Any]:
    """Makes an ensemble, writes it as `export` does a champion, and returns what is known of it.

    Args:
        stored: the study.
        folder: as `folder.check_folder` returned it; None to write nothing, and leave the test
            set sealed.

    Raises:
        PipelineError: as `export`.
    """
    from pipeline.export import ensemble

    if folder is None:
        examples = datasets.validation_sets(stored.spec.data_spec)
        return ensemble.summary(stored, ensemble.build(stored, examples)[0])
    _refuse_unless_recorded(stored)
    with _whole(folder) as new:
        examples = datasets.validation_sets(stored.spec.data_spec)
        found, model = ensemble.build(stored, examples)
        _look_at_test_set(stored, found.members[0][0].number, model, found.picks)
        known = ensemble.summary(stored, found)
        _write(stored, known, model, _row_of(examples[0]), new)
    return known


def _refuse_unless_recorded(stored: StoredStudy) -> None:
    snapshot.refuse_unless_writable(
        stored.project.optuna_url, "an export records there that it looks at the test set"
    )


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
) -> None:
    from pipeline.training import loop

    folder.mkdir()
    task = stored.spec.task
    if task.features and task.features.inputs:
        dialect = datasets.dialect(stored.spec.data_spec)
        write_atomically(folder / SCRIPT_FILE, rows_flavor.predict_script(task, dialect))
    write_atomically(folder / MODEL_FILE, loop.to_bytes(model))
    given = found.get("hyperparameters") or {
        str(each["trial"]): each["hyperparameters"] for each in found["ensemble"]
    }
    write_atomically(folder / "hyperparameters.json", json.dumps(given, indent=2) + "\n")
    print("trying every format of the model in its own runtime ...", file=sys.stderr)
    inputs = datasets.inputs_of_test_set(stored.spec.data_spec)
    formats = writing.write_formats(model, task, inputs, folder)
    measured = {**found, "formats": {name: asdict(each) for name, each in formats.items()}}
    write_atomically(folder / "metrics.json", json.dumps(measured, indent=2) + "\n")
    card = model_card.text(stored, found, row, formats)
    write_atomically(folder / CARD_FILE, card_head.text(stored.spec, found, formats) + card)
    write_sums(folder)


def _look_at_test_set(
    stored: StoredStudy,
    trial: int,
    model: "keras.Model",
    ensemble: Mapping[str, int] | None = None,
    refit: int | None = None,
) -> None:
    """Scores a model on the test set, unless that was done, and records the look.

    The look is recorded before the test set is opened, and its scores when they are known: what
    cannot be recorded is not looked at, and a kill in between leaves a look without scores.
    """
    from pipeline.export import scores

    task, study = stored.spec.task, stored.study
    known = study_store.last_look(study, trial, ensemble, refit)
    weights = _hash_of(model) if refit else None  # which are made anew by every export
    if known and known.get("weights") == weights:
        return
    quantities = [metric.quantity for metric in task.objectives]
    look = {
        "when": now(),
        "trial": trial,
        **({"ensemble": dict(ensemble)} if ensemble else {}),
        **({"refit": refit, "weights": weights} if refit else {}),
        **dict.fromkeys([*quantities, "n_examples"]),
    }
    study.set_user_attr(study_store.TEST_LOOKS, [*study_store.test_looks(study), look])
    examples = datasets.open_test_set(stored.spec.data_spec)
    found = scores.measure(task, scores.answer(model, examples), examples)
    known = {**look, **found, "n_examples": len(examples.targets)}
    if examples.groups is not None:
        known["n_groups"] = len(set(examples.groups.tolist()))
    looks = study_store.test_looks(study)
    # the last such: one that broke off within the same second is equal
    looks[len(looks) - 1 - looks[::-1].index(look)] = known
    study.set_user_attr(study_store.TEST_LOOKS, looks)


def _hash_of(model: "keras.Model") -> str:
    """Computes the SHA-256 of a model's weights."""
    digest = hashlib.sha256()
    for each in model.get_weights():
        digest.update(each.tobytes())
    return digest.hexdigest()
