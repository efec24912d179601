"""The champion of a study: shown, or written out as a model that just works.

    python -m pipeline.best [STUDY] [--json] [--export [DIR]] [--force]

Exporting looks at the sealed test set, once for each champion; every look is recorded in the
study and shown in its report.
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import DONE, run_command
from pipeline.masking import mask
from pipeline.paths import DEFAULT_STUDY, Project, display_path, parse_study_name

if TYPE_CHECKING:
    from pipeline.reading.column import Dialect
    from pipeline.study.spec import StudySpec
    from pipeline.study.trial import Trial


def main() -> int:
    """Shows or exports the champion."""
    arguments = _parse(sys.argv[1:])
    from pipeline.export.champion import summary
    from pipeline.export.folder import check_folder
    from pipeline.storage import studies, study_store
    from pipeline.tracking import relocation

    project = Project.here()
    stored = studies.stored_study(project, parse_study_name(arguments.study))
    relocation.relocate_if_writable(project, lambda line: print(line, file=sys.stderr))
    champion, spec = study_store.champion(stored.study), stored.spec
    if arguments.export is not None:
        chosen = Path(arguments.export) if arguments.export else project.export_dir(spec.name)
        folder = check_folder(chosen, arguments.force)
        from pipeline.export.bundle import export  # and so MLflow, when there is a folder

        with studies.store_errors(project):
            export(stored, champion, folder)
        print(f"exported to {display_path(folder)}", file=sys.stderr)
    found = summary(stored, champion)
    print(json.dumps(found, indent=2) if arguments.json else _as_text(spec, champion, found))
    return DONE


def _as_text(spec: "StudySpec", champion: "Trial", found: dict[str, Any]) -> str:
    from pipeline.evaluation import intervals

    validation, test, score = found["validation"], found["test"], spec.task.score
    value = score.show(validation[score.quantity])
    if f"{score.quantity}_95" in validation:
        interval = intervals.Interval(*validation[f"{score.quantity}_95"])
        value += f" (95 % interval {interval.show(score, validation[score.quantity])})"
    name = "" if spec.name == DEFAULT_STUDY else f" {spec.name}"
    lines = [
        f"study {spec.name}: champion is trial {champion.number}",
        f"  {champion.hyperparameters}",
        f"  {champion.n_parameters:,} parameters, weights of epoch {champion.best_epoch} of "
        f"{champion.n_epochs}, seed {champion.seed}",
        *([f"  ended before its own end: {champion.ending}"] if champion.ending else []),
        "",
        f"  {score.words}  {value}{_others(spec, validation)}",
    ]
    said = "sealed; --export opens the test set, once"
    if test:
        said = score.show(test[score.quantity])
        if (error := intervals.error_of(score, test)) is not None:
            said += f" (standard error {intervals.show(score, error, test[score.quantity])})"
        said += _others(spec, test)
    lines.append(f"  {f'test {score.noun}':<{len(score.words)}}  {said}")
    lines += ["", "hyperparameters"]
    assert champion.hyperparameters is not None
    shown = champion.hyperparameters.shown(spec.named)
    width = max(map(len, shown))
    lines += [f"  {key:<{width}} {value}" for key, value in shown.items()]
    lines += [
        "",
        f"the model: .venv/bin/python -m pipeline.best{name} --export",
        *_from_mlflow(spec),
    ]
    return "\n".join(lines)


def _from_mlflow(spec: "StudySpec") -> list[str]:
    """Spells the command that loads the model from MLflow, as pasted into any shell here.

    Of a table that is one which answers the rows of a file.

    A store with a secret in its URL is not named: whoever has its variable has it again.
    """
    store = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlruns/mlflow.db"
    is_secret = mask(store, store) != store
    from pipeline.data import datasets

    features, model = spec.task.features, f"'models:/{spec.name}@champion'"
    needed, use = "mlflow", f"mlflow.keras.load_model({model}).summary()"
    if features and features.inputs:
        needed, use = (
            "mlflow, pandas",
            f"print(mlflow.pyfunc.load_model({model})"
            f".predict({_reading(datasets.dialect(spec.data_spec))}))",
        )
    given = "" if is_secret else f"MLFLOW_TRACKING_URI={shlex.quote(store)} "
    return [
        "or from MLflow, where it is registered when a search ends"
        f"{', with MLFLOW_TRACKING_URI as now' if is_secret else ''}:",
        f'KERAS_BACKEND=tensorflow {given}.venv/bin/python -c "import {needed}; {use}"',
    ]


def _reading(dialect: "Dialect") -> str:
    """Spells how pandas reads rows as they were for the training: as text, which a model reads."""
    sign = dialect.delimiter
    sep = repr(sign) if sign in ",;|:\t " else f"'\\x{ord(sign):02x}'"
    given = f"'rows.csv', sep={sep}, encoding='{dialect.encoding}'"
    if dialect.n_skipped:
        given += f", skiprows={dialect.n_skipped}"
    if dialect.names:
        given += ", header=None"
    given += f", decimal='{dialect.decimal}', dtype=str, keep_default_na=False"
    named = ".rename(columns=lambda i: f'column {i + 1}')" if dialect.names else ""
    return f"pandas.read_csv({given}){named}"


def _others(spec: "StudySpec", found: dict[str, Any]) -> str:
    """Lists what else was measured, behind the score."""
    others = [each for each in spec.task.objectives[1:] if each.quantity in found]
    return "".join(f", {each.noun} {each.show(found[each.quantity])}" for each in others)


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
