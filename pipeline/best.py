"""The champion of a study: shown, or written out as a model that just works.

    python -m pipeline.best [STUDY] [--ensemble | --refit] [--json] [--export [DIR]] [--force]
    python -m pipeline.best [STUDY] --finals [K] [--engine local|ray]
    python -m pipeline.best [STUDY] (--rollback | --replay TRIAL) [--json]

Exporting looks at the sealed test set, once for each champion and each of its seeds; every look is
recorded in the study and shown in its report. With --ensemble it is about the mean answer of
several of the best networks, chosen on the validation set; with --refit about the champion's
network, trained again on training and validation data together. What is exported is MLflow's
registered champion; --rollback gives it up for the one before. --replay trains a recorded trial
again, to see whether it comes out the same. --finals trains the best networks of a study again
with fresh seeds, and judges them, whatever is left of its budget.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.engine import Engine, add_engine
from pipeline.errors import DONE, FAILED, run_command
from pipeline.paths import DEFAULT_STUDY, Project, display_path, parse_study_name

if TYPE_CHECKING:
    from pipeline.storage.studies import StoredStudy
    from pipeline.study.spec import StudySpec

MOST_NETWORKS = 1_000  # in finals


def main() -> int:
    """Shows or exports the champion."""
    arguments = _parse(sys.argv[1:])
    from pipeline.export import texts
    from pipeline.export.champion import judge, summary
    from pipeline.export.folder import check_folder
    from pipeline.storage import studies, study_store
    from pipeline.tracking import relocation

    project, study = Project.here(), parse_study_name(arguments.study)
    if arguments.rollback:
        return _roll_back(project, study, arguments.json)
    stored = studies.stored_study(project, study)
    relocation.relocate_if_writable(project, lambda line: print(line, file=sys.stderr))
    if arguments.replay is not None:
        return _replay(stored, arguments.replay, arguments.json)
    champion, spec = study_store.champion(stored.study), stored.spec
    if arguments.finals is not None:
        return _hold_finals(project, spec, arguments.finals, arguments.engine)
    folder: Path | None = None
    if arguments.export is not None:
        name = spec.name + "_ensemble" * arguments.ensemble + "_refit" * arguments.refit
        chosen = Path(arguments.export) if arguments.export else project.export_dir(name)
        folder = check_folder(chosen, arguments.force)
    found: dict[str, Any] = {}
    if folder or arguments.ensemble:
        from pipeline.export import bundle  # and so MLflow, when there is a folder

        asked, only_keras = _command(arguments), arguments.only_keras
        with studies.store_errors(project):
            if arguments.ensemble:
                found = bundle.export_ensemble(stored, folder, asked, only_keras=only_keras)
            elif folder and arguments.refit:
                found = bundle.export_refit(stored, champion, folder, asked, only_keras=only_keras)
            elif folder:
                found = bundle.export(stored, champion, folder, asked, only_keras=only_keras)
    if folder:
        print(f"exported to {display_path(folder)}", file=sys.stderr)
    found = found or summary(stored, champion)
    if folder:
        from pipeline.export.registration import register

        if said := register(stored, champion, found, folder):
            print(said, file=sys.stderr)
    if arguments.json:
        print(json.dumps(found, indent=2))
    elif arguments.ensemble:
        print(texts.ensemble_text(spec, found))
    else:
        print(texts.champion_text(spec, champion, found, judge(stored)))
    return DONE


def _hold_finals(
    project: Project, spec: "StudySpec", n_networks: int, engine: Engine | None
) -> int:
    """Holds finals of a study that has been searched; 0 networks stands for as many as it asks."""
    from pipeline.search.session import search
    from pipeline.study.spec import Finals

    asked = spec.finals or Finals()
    if n_networks:
        asked = asked.model_copy(update={"networks": n_networks})
    file = project.study_file(spec.name)
    return search(project, spec, file, only_finals=asked, engine=engine)


def _n_networks(text: str) -> int:
    """Converts an argument for argparse."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:5]) <= MOST_NETWORKS):
        raise argparse.ArgumentTypeError(
            f"found {text!r}, allowed is an integer from 1 to {MOST_NETWORKS}"
        )
    return int(text)


def _command(arguments: argparse.Namespace) -> str:
    """Says what was asked, as it is recorded: the flags, without what they were given."""
    flags = [flag for flag, value in vars(arguments).items() if value not in (None, False)]
    return " ".join(
        ["best", *(f"--{flag.replace('_', '-')}" for flag in sorted(flags) if flag != "study")]
    )


def _roll_back(project: Project, study: str, as_json: bool) -> int:
    """Swaps the aliases `champion` and `previous`, and prints what they are now."""
    from pipeline.export import registration

    found = registration.roll_back(project, study)
    shown = json.dumps(found, indent=2) if as_json else registration.rollback_text(study, found)
    print(shown)
    return DONE


def _replay(stored: "StoredStudy", trial: int, as_json: bool) -> int:
    """Trains a trial again, and prints whether it came out the same; returns the exit code."""
    from pipeline.export import comparison, replay

    found = replay.replay(stored, trial)
    print(
        json.dumps(found.as_dict(), indent=2)
        if as_json
        else comparison.text(stored.spec.name, found)
    )
    return DONE if found.is_same else FAILED


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.best", description="Shows or exports a study's champion."
    )
    parser.add_argument("study", nargs="?", default=DEFAULT_STUDY, help="name of a study")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--ensemble",
        action="store_true",
        help="the mean answer of several of the best networks, chosen on the validation set",
    )
    instead.add_argument(
        "--refit",
        action="store_true",
        help="with --export: the champion's network, trained again on training and validation "
        "data together",
    )
    instead.add_argument(
        "--finals",
        nargs="?",
        type=_n_networks,
        const=0,
        metavar="K",
        help="train the best K networks again with fresh seeds, and judge them (as [finals] asks)",
    )
    instead.add_argument(
        "--rollback",
        action="store_true",
        help="swap the aliases champion and previous of the registered model",
    )
    instead.add_argument(
        "--replay",
        type=int,
        metavar="TRIAL",
        help="train a recorded trial again, and say whether it comes out the same",
    )
    add_engine(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.add_argument(
        "--export",
        nargs="?",
        const="",
        metavar="DIR",
        help="write model, hyperparameters, metrics and model card to DIR (exports/STUDY)",
    )
    parser.add_argument(
        "--only-keras",
        action="store_true",
        help="with --export: the model as Keras has it, and no other format",
    )
    parser.add_argument("--force", action="store_true", help="overwrite an earlier export")
    found = parser.parse_args(arguments)
    if found.only_keras and found.export is None:
        parser.error("found --only-keras alone, allowed is --only-keras with --export")
    if found.refit and found.export is None:
        parser.error("found --refit alone, allowed is --refit with --export")
    if found.finals is not None and (found.export is not None or found.json):
        parser.error("found --finals with --export or --json, allowed is --finals alone")
    if found.engine and found.finals is None:
        parser.error("found --engine alone, allowed is --engine with --finals")
    flag = "--rollback" if found.rollback else "--replay" if found.replay is not None else ""
    if flag and (found.export is not None or found.force):
        parser.error(f"found {flag} with --export or --force, allowed is {flag} without")
    return found


if __name__ == "__main__":
    sys.exit(run_command(main))
