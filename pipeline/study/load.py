"""Reads a study file: TOML in, a `StudySpec` out, or one clear sentence."""

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.data import datasets
from pipeline.errors import UsageError
from pipeline.names import file_of_study
from pipeline.paths import Project, display_path, study_name
from pipeline.preparation.split import check as check_split
from pipeline.study.hyperparameters import DEFAULTS, Hyperparameters
from pipeline.study.measures import MEASURES
from pipeline.study.messages import describe_error, place_of
from pipeline.study.ranges import Choices, FloatRange, IntRange
from pipeline.study.rules import RULES
from pipeline.study.space import Space, SpaceError
from pipeline.study.spec import StudySpec
from pipeline.study.toml_file import read_toml
from pipeline.task.task import OBJECTIVES

DEPTH = 20  # of tables and lists in each other; a study has five
LARGEST = 100_000  # number among the arguments of samplers and pruners, as of epochs


def load(project: Project, study: str, *, needs_data: bool = True) -> StudySpec:
    """Reads a study by its name in `studies/`, or by a path.

    Args:
        project: in which it is.
        study: the name or path.
        needs_data: whether the study is held against its data. Without them its metric must be
            given, unless its data set is known by name.

    Raises:
        UsageError: there is no such file, or something in it is not allowed: the text names the
            file, the table, the key, what was found and what is allowed.
    """
    path = project.study_file(study)
    name = study_name(path)
    content = _read(path)
    try:
        folder = os.path.relpath(path.parent, project.root)
        if folder.startswith(os.pardir):  # no part of the project, which may be moved
            folder = str(path.parent.absolute())
        content = _with_borrowed_references(content, path.parent)
        spec = parse(name, content, folder, needs_data=needs_data)
        _check_others(spec, path.parent)
    except UsageError as error:
        raise UsageError(f"{display_path(path)}: {error}") from None
    return spec


def _check_others(spec: StudySpec, folder: Path) -> None:
    """Refuses names of studies that are none in the same folder."""
    others = [("baseline", each) for each in [spec.baseline] if each]
    for key, other in [*others, *(("start_from", each) for each in spec.start_from)]:
        if other == spec.name or not file_of_study(other, folder):
            said = "allowed is another study in the same folder"
            raise UsageError(f"{key}: found {other!r}, {said}")


def _read(path: Path) -> dict[str, Any]:
    content = read_toml(path)
    for key, value in content.items():
        try:
            _check_extent([key], value)
        except UsageError as error:
            raise UsageError(f"{display_path(path)}: {error}") from None
    return content


def _check_extent(place: list[int | str], value: Any) -> None:
    """Refuses what is nested deeper than any study, and integers that TOML does not promise.

    Either would break what wants to show it.
    """
    if len(place) > DEPTH:
        raise UsageError(
            f"{place_of(place[:3])}: found more than {DEPTH} levels, allowed are fewer"
        )
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            _check_extent([*place, key], each)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        digits = str(value) if value.bit_length() < 10_000 else hex(value)  # str has a limit
        raise UsageError(
            f"{place_of(place)}: found {digits[:20]}..., allowed is an integer of 64 bits"
        )


def _with_borrowed_references(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Puts in what `[[reference]]` tables with a `study` take from that study's file."""
    references = content.get("reference", [])
    if not isinstance(references, list):
        return content
    complete = []
    for number, own in enumerate(references, start=1):
        if not isinstance(own, dict) or "study" not in own:
            complete.append(own)
            continue
        place, study, name = f"[[reference]] number {number}", own["study"], own.get("name")
        file = file_of_study(study, folder)
        if file is None:
            raise UsageError(f"{place} study: found {study!r}, which is no study here")
        known = _own_references(_read(file))
        if not isinstance(name, str) or name not in known:
            found = f"found {name!r}" if "name" in own else "missing"
            raise UsageError(
                f"{place} name: {found}, allowed is the name of a reference that {study} has "
                f"itself: {', '.join(map(repr, known)) or 'none'}"
            )
        borrowed = {k: v for k, v in known[name].items() if k != "repeats"}
        complete.append({**borrowed, **{k: v for k, v in own.items() if k != "study"}})
    return {**content, "reference": complete}


def _own_references(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """References by name, as far as they are any; without those that are borrowed themselves."""
    references = content.get("reference")
    return {
        each["name"]: each
        for each in (references if isinstance(references, list) else [])
        if isinstance(each, dict) and isinstance(each.get("name"), str) and "study" not in each
    }


def parse(
    name: str, content: Mapping[str, Any], folder: str = "studies", *, needs_data: bool = True
) -> StudySpec:
    """Validates what stands in a study file.

    Args:
        name: of the study.
        content: of the file.
        folder: in which the file lies, from the project's folder; paths of data begin there.
        needs_data: as `load`.

    Raises:
        UsageError: something is not allowed; the text does not name the file.
    """
    if "name" in content:
        raise UsageError("name: no such key, the study is named by its file")
    if "folder" in content:
        raise UsageError("folder: no such key, the study file lies in it")
    try:
        spec = StudySpec.model_validate({**content, "name": name, "folder": folder})
    except ValidationError as error:
        raise UsageError(describe_error(error)) from None
    needs_data = needs_data or spec.dataset in datasets.sources()  # these need no loading
    spec = _with_metric(spec, is_given="metric" in content, needs_data=needs_data)
    try:
        space = Space.checked(spec.fixed, spec.space)
    except SpaceError as error:
        raise UsageError(f"[{error.table}] {error.key}: {error}") from None
    if space.missing and not (spec.reference and not spec.space):
        raise UsageError(
            f"[space]: without {', '.join(space.missing)}, which must stand in [fixed] or [space]"
        )
    if not (spec.space or spec.reference):
        raise UsageError("[space]: missing, as is [[reference]]; allowed is one of them or both")
    _check_references(spec)
    if needs_data:
        _check_data(spec)
    _check_arguments("sampler", [], spec.sampler.arguments)
    _check_arguments("pruner", [], spec.pruner.arguments)
    return spec


def _with_metric(spec: StudySpec, *, is_given: bool, needs_data: bool) -> StudySpec:
    """Puts in the metric as everything else names it, or the task's own if none is given.

    Raises:
        UsageError: the data cannot be had, or have no such metric; the text says why.
    """
    given = [f"[data] {key}" for key in spec.data.model_fields_set]
    given = ["target", *given] if spec.target else given
    if given and spec.dataset in datasets.sources():
        raise UsageError(f"{given[0]}: found with {spec.dataset}, allowed is none with that")
    check_split(spec.data)  # as given: later what is given at its default is not known any more
    if needs_data:
        objectives = datasets.task_of(spec.data_spec).allowed_objectives
    elif is_given:
        objectives = OBJECTIVES
    else:
        raise UsageError("metric: missing, and without its data a study has none of its own")
    allowed = {metric.name: metric for metric in objectives}
    chosen = spec.metric if is_given else next(iter(allowed))
    name = f"val_{chosen}" if f"val_{chosen}" in allowed else chosen
    if name not in allowed:
        names = " or ".join(map(repr, allowed))
        raise UsageError(f"metric: found {chosen!r}, allowed is {names}")
    return spec if name == spec.metric else spec.model_copy(update={"metric": name})


def _check_arguments(table: str, place: list[str], arguments: Mapping[str, Any]) -> None:
    """Refuses what no class of Optuna takes from a file; what it takes, it checks itself.

    It checks types and signs, but counts to a billion and computes powers with a billion digits.
    """
    for key, value in arguments.items():
        keys = [*place, key]
        where = f"[{table}] {'.'.join(keys)}"
        if key == "type" and not isinstance(value, str):
            raise UsageError(f"{where}: found {value!r}, allowed is a string")
        if key == "seed" and table == "pruner":
            raise UsageError(f"{where}: no such key, for a pruner draws nothing")
        if key == "seed":
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise UsageError(f"{where}: found {value!r}, allowed is an integer from 0")
        elif isinstance(value, dict):
            _check_arguments(table, keys, value)
        elif isinstance(value, list):
            _check_arguments(table, keys, {str(i): each for i, each in enumerate(value)})
        elif not isinstance(value, bool | int | float | str):
            raise UsageError(
                f"{where}: found {value}, allowed are numbers, strings, true and false, lists and "
                "tables"
            )
        elif not isinstance(value, str) and not abs(value) <= LARGEST:
            raise UsageError(
                f"{where}: found {value!r}, allowed is a number from {-LARGEST} to {LARGEST}"
            )


def _check_data(spec: StudySpec) -> None:
    """Refuses hyperparameters that the data have no use for."""
    task = spec.task
    known = {
        "": True,
        "pictures": task.is_picture,
        "tables": task.is_table,
        "classes": not task.is_regression,
    }
    places = [("[fixed]", spec.fixed), ("[space]", spec.space)]
    for each in spec.reference:
        places.append((f"[[reference]] {each.name!r} hyperparameters", each.hyperparameters))
    for place, given in places:
        for name, value in given.items():
            wanted, allowed = RULES[name].data, DEFAULTS.get(name)
            if not known[wanted] and (found := _another(value, allowed)) is not None:
                raise UsageError(
                    f"{place} {name}: found {found!r}, which is for {wanted} alone, allowed with "
                    f"{spec.dataset} is {allowed!r}"
                )


def _another(value: Any, default: Any) -> Any:
    """Finds a value that is not a default in what is given or can be drawn; None if none is."""
    values: Iterable[Any] = (value,)
    if isinstance(value, FloatRange):
        values = (value.low, value.high)
    elif isinstance(value, IntRange | Choices):
        values = value.values
    return next((each for each in values if each != default), None)


def _check_references(spec: StudySpec) -> None:
    names = [reference.name for reference in spec.reference]
    for i, reference in enumerate(spec.reference):
        place = f"[[reference]] {reference.name!r}"
        if reference.name in names[:i]:
            raise UsageError(f"{place}: found twice, allowed is once (see repeats)")
        try:
            if reference.trainer == "keras":
                Hyperparameters.from_mapping(reference.hyperparameters)
            elif reference.hyperparameters:
                raise ValueError("found some, allowed are none with this trainer")
        except ValueError as error:
            raise UsageError(f"{place} hyperparameters: {error}") from None
        for key, value in reference.claim.items():
            is_number = isinstance(value, float) and math.isfinite(value)
            if is_number if key == "source" else not is_number:
                wanted = "a string" if key == "source" else "a finite number"
                raise UsageError(f"{place} claim.{key}: found {value!r}, allowed is {wanted}")
            if key != "source":
                _check_measure(f"{place} claim.{key}", key)
    for comparison in spec.comparison:
        place = f"[[comparison]] {comparison.claim!r}"
        for key in ("first", "second"):
            if getattr(comparison, key) not in names:
                raise UsageError(
                    f"{place} {key}: found {getattr(comparison, key)!r}, allowed is the name of a "
                    f"reference: {', '.join(map(repr, names)) or 'none'}"
                )
        if comparison.first == comparison.second:
            raise UsageError(
                f"{place} second: found {comparison.second!r}, allowed is another than the first"
            )
        _check_measure(f"{place} measure", comparison.measure)


def _check_measure(place: str, name: str) -> None:
    if name not in MEASURES:
        raise UsageError(f"{place}: found {name!r}, allowed are {', '.join(MEASURES)}")
