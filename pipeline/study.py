"""A study file: TOML in, a validated and frozen `StudySpec` out, or one clear sentence."""

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import UsageError
from pipeline.hyperparameters import Hyperparameters
from pipeline.paths import Project, shown, study_name
from pipeline.space import Choices, EntryTable, FloatRange, IntRange, Space, SpaceError

Metric = Literal["val_accuracy", "val_loss"]
Trainer = Literal["keras", "sgd_classifier"]

# What can be said of a trial; `claims` computes it. "Kept" are the weights of the best epoch.
MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "val_accuracy": "validation accuracy at the kept epoch",
        "val_loss": "validation loss at the kept epoch",
        "accuracy": "training accuracy at the kept epoch, while learning",
        "loss": "training loss at the kept epoch, while learning",
        "last_val_accuracy": "validation accuracy after the last epoch",
        "last_val_loss": "validation loss after the last epoch",
        "last_accuracy": "training accuracy in the last epoch, while learning",
        "last_loss": "training loss in the last epoch, while learning",
        "lowest_val_loss": "lowest validation loss of any epoch",
        "lowest_val_loss_epoch": "epoch with the lowest validation loss, from 1",
        "highest_val_accuracy": "highest validation accuracy of any epoch",
        "val_loss_rise": "last validation loss less the lowest",
        "overfitting_gap": "validation less training loss, in inference mode, kept weights",
        "n_parameters": "number of trainable weights",
        "first_layer_parameters": "number of weights of the first hidden layer",
        "output_layer_parameters": "number of weights of the output layer",
        "n_epochs": "number of epochs trained",
    }
)
DEPTH = 20  # of tables and lists in each other; a study has five
LARGEST = 100_000  # number among the arguments of samplers and pruners, as of epochs
MOST_REPEATS = 10_000  # of a reference
_FROZEN = ConfigDict(frozen=True, extra="forbid", strict=True)
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Budget(BaseModel):
    """When the study is done, over all reruns: whichever comes first.

    Attributes:
        trials: number of trials that come to an end of their own.
        minutes: wall time that supervisors of the study run; trials running then still finish.
    """

    model_config = _FROZEN
    trials: Annotated[int, Field(gt=0)] | None = None
    minutes: _Positive | None = None

    @model_validator(mode="after")
    def _one_at_least(self) -> "Budget":
        if self.trials is None and self.minutes is None:
            raise ValueError("found neither trials nor minutes, allowed is either or both")
        return self


class Training(BaseModel):
    """What holds for every trial.

    Attributes:
        patience: epochs without improvement of the metric before a trial stops itself.
        trial_minutes: wall time after which a trial is stopped and counts as failed.
        retries: how often a trial is tried again that failed for want of memory and the like.
        stop_after_failures: so many failed trials in a row end the search.
    """

    model_config = _FROZEN
    patience: Annotated[int, Field(gt=0)] = 3
    trial_minutes: _Positive = 10
    retries: Annotated[int, Field(ge=0)] = 2
    stop_after_failures: Annotated[int, Field(gt=0)] = 5


class Component(BaseModel):
    """A class of Optuna by name; all other keys are its arguments."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    type: str

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that the study file gives."""
        return dict(self.model_extra or {})


class Reference(BaseModel):
    """A known model that is trained first, to its end, and compared with what was claimed of it.

    In a file, `study = "other"` takes the reference of that name from another study's file.

    Attributes:
        trainer: "keras", or "sgd_classifier" for scikit-learn's logistic regression.
        hyperparameters: all of them; they may lie outside the search space. None for
            "sgd_classifier".
        patience: instead of the study's.
        repeats: how often it is trained, each time with a fresh seed.
        claim: what somebody has published of it, by name of a measure (see `MEASURES`), and
            under `source` where.
    """

    model_config = _FROZEN
    name: Annotated[str, Field(min_length=1)]
    trainer: Trainer = "keras"
    hyperparameters: dict[str, Any] = {}
    patience: Annotated[int, Field(gt=0)] | None = None
    repeats: Annotated[int, Field(gt=0, le=MOST_REPEATS)] = 1
    claim: dict[str, float | str] = {}


class Comparison(BaseModel):
    """A claim about two references: how a measure of the first differs from the second's.

    Attributes:
        claim: what is claimed, in a sentence.
        first: name of a reference.
        second: name of another.
        measure: what is compared (see `MEASURES`).
        difference: what first less second is if the claim holds: "positive", "negative", "none",
            or, if one side alone matters, "not positive" or "not negative".
        margin: the largest difference that does not matter.
        published: the difference somebody has published.
        source: where.
    """

    model_config = _FROZEN
    claim: Annotated[str, Field(min_length=1)]
    first: str
    second: str
    measure: str
    difference: Literal["positive", "negative", "not positive", "not negative", "none"]
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    published: Annotated[float, Field(allow_inf_nan=False)] | None = None
    source: str = ""


class StudySpec(BaseModel):
    """A whole study file. `name` is the file's; everything else stands in it."""

    model_config = _FROZEN
    name: str
    goal: Annotated[str, Field(min_length=1)]
    dataset: Literal["fashion_mnist"]
    metric: Metric = "val_accuracy"
    budget: Budget
    training: Training = Training()
    sampler: Component = Component(type="TPESampler")
    pruner: Component = Component(type="MedianPruner")
    fixed: dict[str, Any] = {}
    space: dict[str, EntryTable] = {}
    reference: Annotated[tuple[Reference, ...], Field(strict=False)] = ()
    comparison: Annotated[tuple[Comparison, ...], Field(strict=False)] = ()
    baseline: str = ""  # name of a study that the report sets beside this one

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Which way the metric gets better."""
        return "minimize" if self.metric.endswith("loss") else "maximize"

    @property
    def seed(self) -> int:
        """The seed from which all others are derived: `[sampler] seed`, 0 unless given."""
        return int(self.sampler.arguments.get("seed", 0))

    @property
    def searched(self) -> Space:
        """The search space; checked when the file was loaded."""
        return Space(self.fixed, self.space)

    @property
    def references(self) -> list[tuple[Reference, Hyperparameters | None]]:
        """Every reference with its hyperparameters."""
        return [
            (each, Hyperparameters.from_mapping(each.hyperparameters))
            if each.trainer == "keras"
            else (each, None)
            for each in self.reference
        ]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what decides how trials turn out.

        That is everything but the name, the goal, the budget, when to give up, and what only a
        report reads.
        Settings at their defaults are left out, so that a new setting changes no old study.
        """
        asked = self.model_dump(
            mode="json",
            exclude_defaults=True,
            exclude={
                "name": True,
                "goal": True,
                "budget": True,
                "comparison": True,
                "baseline": True,
                "training": {"retries", "stop_after_failures"},
                "reference": {"__all__": {"claim"}},
            },
        )
        asked = {key: value for key, value in asked.items() if value != {}}
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def load(project: Project, study: str) -> StudySpec:
    """Reads a study by its name in `studies/`, or by a path.

    Raises:
        UsageError: there is no such file, or something in it is not allowed: the text names the
            file, the table, the key, what was found and what is allowed.
    """
    path = project.study_file(study)
    name = study_name(path)
    content = _read(path)
    try:
        spec = parse(name, _with_borrowed_references(content, path.parent))
        if spec.baseline == name or not (
            spec.baseline == "" or _is_study(spec.baseline, path.parent)
        ):
            raise UsageError(
                f"baseline: found {spec.baseline!r}, allowed is another study in the same folder"
            )
    except UsageError as error:
        raise UsageError(f"{shown(path)}: {error}") from None
    return spec


def _read(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # an integer of 5,000 digits is no TOML error
        raise UsageError(f"{shown(path)}: not a TOML file: {error}") from None
    except OSError as error:
        raise UsageError(f"{shown(path)}: cannot be read: {error.strerror}") from None
    for key, value in content.items():
        try:
            _check_extent([key], value)
        except UsageError as error:
            raise UsageError(f"{shown(path)}: {error}") from None
    return content


def _check_extent(place: list[int | str], value: Any) -> None:
    """Refuses what is nested deeper than any study, and integers that TOML does not promise.

    Either would break what wants to show it.
    """
    if len(place) > DEPTH:
        raise UsageError(f"{_place(place[:3])}: found more than {DEPTH} levels, allowed are fewer")
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            _check_extent([*place, key], each)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        digits = str(value) if value.bit_length() < 10_000 else hex(value)  # str has a limit
        raise UsageError(
            f"{_place(place)}: found {digits[:20]}..., allowed is an integer of 64 bits"
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
        if not _is_study(study, folder):
            raise UsageError(f"{place} study: found {study!r}, which is no study here")
        known = _own_references(_read(folder / f"{study}.toml"))
        if not isinstance(name, str) or name not in known:
            found = f"found {name!r}" if "name" in own else "missing"
            raise UsageError(
                f"{place} name: {found}, allowed is the name of a reference that {study} has "
                f"itself: {', '.join(map(repr, known)) or 'none'}"
            )
        borrowed = {k: v for k, v in known[name].items() if k != "repeats"}
        complete.append({**borrowed, **{k: v for k, v in own.items() if k != "study"}})
    return {**content, "reference": complete}


def _is_study(study: object, folder: Path) -> bool:
    """Whether it is the name of a study in that folder."""
    if not isinstance(study, str):
        return False
    file = folder / f"{study}.toml"
    try:
        return file.parent == folder and file.is_file()
    except OSError:  # a name longer than a disk allows
        return False


def _own_references(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """References by name, as far as they are any; without those that are borrowed themselves."""
    references = content.get("reference")
    return {
        each["name"]: each
        for each in (references if isinstance(references, list) else [])
        if isinstance(each, dict) and isinstance(each.get("name"), str) and "study" not in each
    }


def parse(name: str, content: Mapping[str, Any]) -> StudySpec:
    """Validates what stands in a study file.

    Raises:
        UsageError: something is not allowed; the text does not name the file.
    """
    if "name" in content:
        raise UsageError("name: no such key, the study is named by its file")
    try:
        spec = StudySpec.model_validate({**content, "name": name})
    except ValidationError as error:
        raise UsageError(_sentence(error)) from None
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
    _check_arguments("sampler", [], spec.sampler.arguments)
    _check_arguments("pruner", [], spec.pruner.arguments)
    return spec


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


_LISTS = ("reference", "comparison")
_TABLES: Mapping[str, type[BaseModel]] = {
    "budget": Budget,
    "training": Training,
    "reference": Reference,
    "comparison": Comparison,
    "int": IntRange,
    "float": FloatRange,
    "categorical": Choices,
}


def _sentence(error: ValidationError) -> str:
    """The first of pydantic's complaints, in the words of a study file."""
    errors = error.errors()
    first = errors[0]
    place = list(first["loc"])
    kind, found, tag = first["type"], first["input"], None
    if place and place[0] == "space" and len(place) > 2:
        tag = place.pop(2)  # pydantic names the member of the union, a reader does not need it
    alternatives = [first]
    if place[-1] in ("bool", "float") and kind == f"{place[-1]}_type":
        place.pop()  # the first member of a union
        alternatives = [each for each in errors if each["loc"][:-1] == first["loc"][:-1]]
    where = _place(place)
    if kind == "missing":
        return f"{where}: missing"
    if kind == "extra_forbidden":
        table = tag or (place[0] if len(place) > 1 else "")
        fields = _TABLES.get(str(table), StudySpec).model_fields.keys() - {"name"}
        if table == "reference":
            fields |= {"name", "study"}  # the latter is replaced before
        return f"{where}: no such key, allowed are {', '.join(sorted(fields))}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        what = f"found {found['type']!r}" if "type" in found else "missing"
        return f'{where}.type: {what}, allowed are "int", "float" and "categorical"'
    if kind == "value_error":
        return f"{where}: {first['ctx']['error']}"
    if kind == "too_short" or kind == "string_too_short":
        return f"{where}: found nothing, allowed is one or more"
    allowed = " or ".join(each["msg"].removeprefix("Input should be ") for each in alternatives)
    allowed = allowed.replace("a valid integer", "an integer").replace("valid ", "")
    allowed = allowed.replace("a boolean", "true or false")
    allowed = allowed.replace("dictionary", "table").replace("tuple", "list")
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        allowed = "a table"
    return f"{where}: found {found!r}, allowed is {allowed}"


def _place(location: list[int | str]) -> str:
    """`[table] key.key`, or just the key at the top level."""
    if len(location) == 1:
        name = str(location[0])
        is_table = name in ("budget", "training", "sampler", "pruner", "fixed", "space")
        return f"[{name}]" if is_table else f"[[{name}]]" if name in _LISTS else name
    table, *keys = location
    if table in _LISTS and isinstance(keys[0], int):
        number, *keys = keys
        return f"[[{table}]] number {int(number) + 1}" + (
            f" {'.'.join(map(str, keys))}" if keys else ""
        )
    return f"[{table}] {'.'.join(map(str, keys))}"
