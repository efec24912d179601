"""The champion of a study: shown, or written out as a model that just works.

    python -m pipeline.best [STUDY] [--json] [--export [DIR]] [--force]

Exporting looks at the sealed test set, once for each champion; every look is recorded in the
study and shown in its report.
"""

import argparse
import contextlib
import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import statistics
from pipeline.errors import DONE, PipelineError, one_line, run_command
from pipeline.paths import DEFAULT_STUDY, Project, named, shown, write_atomically

if TYPE_CHECKING:
    import keras
    import optuna

    from pipeline.study import StudySpec
    from pipeline.trials import Trial

MODEL_FILE = "model.keras"
FILES = (MODEL_FILE, "hyperparameters.json", "metrics.json", "README.md")  # of an export
TOLERANCE = 1e-4  # between a recorded metric and the exported model's: one image in 10,000


def main() -> int:
    """Shows or exports the champion."""
    arguments = _parse(sys.argv[1:])
    from pipeline import trials

    project = Project.here()
    study, spec = trials.stored_study(project, named(arguments.study))
    champion = trials.champion(study)
    if arguments.export is not None:
        chosen = Path(arguments.export) if arguments.export else project.export_dir(spec.name)
        folder = _checked_folder(chosen, arguments.force)
        export(project, study, spec, champion, folder)
        print(f"exported to {shown(folder)}", file=sys.stderr)
    found = summary(study, spec, champion)
    print(json.dumps(found, indent=2) if arguments.json else _as_text(spec, champion, found))
    return DONE


def _checked_folder(folder: Path, force: bool) -> Path:
    """The folder, behind links, unless what is there would be lost by an export.

    An earlier export may be overwritten with --force, anything else never.

    Raises:
        PipelineError: the text says what is there.
    """
    try:
        folder = folder.resolve()
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        is_file = folder.exists() and not folder.is_dir()
        above = next((path for path in folder.parents if path.exists()), folder)
        if not above.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{shown(above)} is no folder")
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise PipelineError(f"{shown(folder)} cannot be exported to: {reason}") from None
    if is_file or (there and not (MODEL_FILE in there and there <= {*FILES})):
        raise PipelineError(f"{shown(folder)} is not an earlier export: choose another folder")
    if there and not force:
        raise PipelineError(f"{shown(folder)} exists; overwrite it with --force")
    return folder


def summary(study: "optuna.Study", spec: "StudySpec", champion: "Trial") -> dict[str, Any]:
    """What is recorded of the champion, as plain values."""
    from pipeline import data, trials

    n_images = data.n_validation_images(spec.dataset)
    at_best = {name: values[champion.best_epoch - 1] for name, values in champion.history.items()}
    accuracy = at_best["val_accuracy"]
    interval = statistics.wilson(accuracy, n_images)
    looks = [each for each in trials.test_looks(study) if each["trial"] == champion.number]
    assert champion.hyperparameters is not None
    return {
        "study": spec.name,
        "trial": champion.number,
        "run_id": champion.run_id,
        "seed": champion.seed,
        "hyperparameters": champion.hyperparameters.as_dict(),
        "n_parameters": champion.n_parameters,
        "best_epoch": champion.best_epoch,
        "epochs_trained": champion.n_epochs,
        "validation": {
            "accuracy": accuracy,
            "accuracy_95": [round(interval.low, 4), round(interval.high, 4)],
            "loss": at_best["val_loss"],
            "n_images": n_images,
        },
        "training": {"accuracy": at_best["accuracy"], "loss": at_best["loss"]},
        "test": {k: looks[-1][k] for k in ("accuracy", "loss", "n_images")} if looks else None,
    }


def export(
    project: Project,
    study: "optuna.Study",
    spec: "StudySpec",
    champion: "Trial",
    folder: Path,
) -> None:
    """Writes the champion's model, hyperparameters, metrics and model card into a folder.

    The folder appears whole or not at all.

    Raises:
        PipelineError: the stored model is missing, cannot be loaded, or does not have its
            recorded metric.
    """
    from pipeline import data, model_card, tracking

    content = tracking.load_model_bytes(project, champion.run_id)
    with _without_banner():
        from pipeline import training
    try:
        model = training.from_bytes(content)
    except Exception as error:  # zipfile's, h5py's, and Keras's, whose safe mode refuses code
        raise PipelineError(
            f"the stored model of trial {champion.number} cannot be loaded: {one_line(str(error))}"
        ) from None
    dataset = data.load(spec.dataset)
    _, accuracy = training.evaluate(model, dataset.validation_images, dataset.validation_labels)
    recorded = champion.history["val_accuracy"][champion.best_epoch - 1]
    if abs(accuracy - recorded) > TOLERANCE:
        raise PipelineError(
            f"the stored model of trial {champion.number} has validation accuracy {accuracy:.4f}, "
            f"not its recorded {recorded:.4f}; is its run's model.keras damaged?"
        )
    _look_at_test_set(study, spec, champion, model)
    found = summary(study, spec, champion)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        scratch.chmod(0o755)
        write_atomically(scratch / MODEL_FILE, content)
        write_atomically(
            scratch / "hyperparameters.json", json.dumps(found["hyperparameters"], indent=2) + "\n"
        )
        write_atomically(scratch / "metrics.json", json.dumps(found, indent=2) + "\n")
        write_atomically(scratch / "README.md", model_card.text(study, spec, found))
        if folder.exists():
            shutil.rmtree(folder)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _look_at_test_set(
    study: "optuna.Study", spec: "StudySpec", champion: "Trial", model: "keras.Model"
) -> None:
    """Scores the champion on the test set, unless that was done, and records the look."""
    from pipeline import data, training, trials

    looks = trials.test_looks(study)
    if any(each["trial"] == champion.number for each in looks):
        return
    images, labels = data.open_test_set(spec.dataset)
    loss, accuracy = training.evaluate(model, images, labels)
    look = {
        "when": datetime.now().astimezone().isoformat(" ", "seconds"),
        "trial": champion.number,
        "accuracy": accuracy,
        "loss": loss,
        "n_images": len(labels),
    }
    study.set_user_attr(trials.TEST_LOOKS, [*looks, look])


def _as_text(spec: "StudySpec", champion: "Trial", found: dict[str, Any]) -> str:
    validation, test = found["validation"], found["test"]
    low, high = validation["accuracy_95"]
    name = "" if spec.name == DEFAULT_STUDY else f" {spec.name}"
    lines = [
        f"study {spec.name}: champion is trial {champion.number}",
        f"  {champion.hyperparameters}",
        f"  {champion.n_parameters:,} parameters, weights of epoch {champion.best_epoch} of "
        f"{champion.n_epochs}, seed {champion.seed}",
        "",
        f"  validation accuracy  {validation['accuracy']:.4f} "
        f"(95 % interval {low:.4f} to {high:.4f}), loss {validation['loss']:.4f}",
    ]
    if test:
        error = statistics.standard_error(test["accuracy"], test["n_images"])
        lines.append(
            f"  test accuracy        {test['accuracy']:.4f} (standard error {error:.4f}), "
            f"loss {test['loss']:.4f}"
        )
    else:
        lines.append("  test accuracy        sealed; --export opens the test set, once")
    lines += ["", "hyperparameters"]
    lines += [f"  {key:<14} {value}" for key, value in found["hyperparameters"].items()]
    lines += [
        "",
        f"the model: .venv/bin/python -m pipeline.best{name} --export",
        f"or in Python: mlflow.keras.load_model('models:/{spec.name}@champion')",
    ]
    return "\n".join(lines)


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


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.best", description="Shows or exports a study's champion."
    )
    parser.add_argument("study", nargs="?", default=DEFAULT_STUDY, help="name of a study")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.add_argument(
        "--export",
        nargs="?",
        const="",
        metavar="DIR",
        help="write model, hyperparameters, metrics and model card to DIR (exports/STUDY)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite an earlier export")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(run_command(main))
