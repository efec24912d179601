"""Asks the champion: everything is read and checked first, and printed when all is answered."""

import json
import math
import sys
from collections.abc import Sequence
from typing import Literal

import numpy as np

from pipeline.data import datasets
from pipeline.errors import UsageError, printable
from pipeline.evaluation import conformal
from pipeline.export import scores, stored_model
from pipeline.paths import Project
from pipeline.predict import answers, pictures
from pipeline.predict.given import Given, split_arguments
from pipeline.predict.reading import read_inputs
from pipeline.storage import studies, study_store
from pipeline.study.spec import StudySpec
from pipeline.task.source import Examples
from pipeline.tracking import serving
from pipeline.wording import count_noun, join_names, wrap


def predict(
    arguments: Sequence[str], form: Literal["text", "json", "request"], *, invert: bool
) -> None:
    """Prints what the champion answers, or what a service is sent that is to answer.

    Args:
        arguments: a study, if it is not the default one, and inputs.
        form: of what is printed.
        invert: whether pictures are answered as negatives.

    Raises:
        UsageError: an input is not there, cannot be read, or is none of the study's.
        PipelineError: there is no such study, no champion, or no model of it.
    """
    project = Project.here()
    study, inputs = split_arguments(project, arguments)
    if not inputs and form != "request":
        raise UsageError(
            "INPUT: found none, allowed are files and folders: "
            ".venv/bin/python -m pipeline.predict --help"
        )
    stored = studies.stored_study(project, study)
    spec, champion = stored.spec, study_store.champion(stored.study)
    is_pixels = spec.task.features is None
    if invert and not is_pixels:
        raise UsageError(f"--invert: found with {spec.name}, allowed is a study of pictures")
    if not inputs:
        print(json.dumps(serving.example_request(spec.data_spec)))
        return
    given = read_inputs(spec, inputs, _say)
    if invert:
        assert isinstance(given.inputs, np.ndarray)
        given = Given(given.places, pictures.negative_of(given.inputs))
    if form == "request":
        print(json.dumps(serving.request_of(given.inputs)))
        return
    known = datasets.validation_sets(spec.data_spec)
    if is_pixels:
        seen = known[0].inputs
        assert isinstance(given.inputs, np.ndarray)
        assert isinstance(seen, np.ndarray)
        for doubt in pictures.say_doubts(given.inputs, given.places, seen):
            _say(doubt)
    model, found = stored_model.verified_model(stored, champion, known)
    half_width = None
    if spec.task.is_regression:
        right = scores.joined(known)
        half_width = conformal.half_width(
            spec.task.target, right.targets, found[:, 0], right.weights
        )
        _say(_about_intervals(spec, len(right.targets), half_width))
    asked = Examples(given.inputs, np.zeros(len(given.places)))
    answered = answers.spread(spec.task, scores.answer(model, asked))
    spell = answers.as_json if form == "json" else answers.as_text
    print("\n".join(spell(spec.task, given.places, answered, half_width)))


def _say(line: str) -> None:
    print(wrap(printable(line)), file=sys.stderr)


def _about_intervals(spec: StudySpec, n: int, half_width: float | None) -> str:
    """Says what the intervals of a regression rest on, and how far to trust them."""
    rows = count_noun(n, f"validation {spec.task.example}")
    if half_width is None:
        return f"no 95 % interval: {rows}, of which {conformal.LEAST} at least are needed"
    width = f"value plus or minus {answers.show(half_width)}"
    if spec.task.target.transform == "log":
        width = f"value divided and multiplied by {answers.show(math.exp(half_width))}"
    reasons = ["the model was chosen on them"]
    reasons += ["each was answered by a network that has seen fewer rows"] * bool(spec.data.folds)
    reasons += ["later rows may differ"] * bool(spec.data.time)
    reasons += ["rows of a group err alike"] * bool(spec.data.group)
    return (
        f"95 % interval: {width}, within which 95 % of {rows} are answered (split conformal "
        f"prediction); approximate, since {join_names(reasons)}"
    )
