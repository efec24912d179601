"""What pydantic finds wrong in a study file, said in one sentence."""

from collections.abc import Mapping

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.study.budget import Budget
from pipeline.study.ranges import Choices, FloatRange, IntRange
from pipeline.study.resources import Resources
from pipeline.study.spec import Comparison, Finals, Reference, StudySpec, Training
from pipeline.task.settings import DataSettings

_LISTS = ("reference", "comparison")
_PLAIN_TABLES = (
    "budget", "training", "resources", "data", "sampler", "pruner", "fixed", "space",
)  # fmt: skip
_TABLES: Mapping[str, type[BaseModel]] = {
    "budget": Budget,
    "training": Training,
    "resources": Resources,
    "finals": Finals,
    "data": DataSettings,
    "reference": Reference,
    "comparison": Comparison,
    "int": IntRange,
    "float": FloatRange,
    "categorical": Choices,
}


# What is said of a complaint, by pydantic's type of it. In braces: pydantic's context, and what
# `_context_of` adds.
_SENTENCES: Mapping[str, str] = {
    "missing": "{where}: missing",
    "extra_forbidden": "{where}: no such key, allowed are {keys}",
    "union_tag_invalid": '{where}.type: {tag}, allowed are "int", "float" and "categorical"',
    "union_tag_not_found": '{where}.type: {tag}, allowed are "int", "float" and "categorical"',
    "value_error": "{where}: {error}",
    "too_short": "{where}: found nothing, allowed is one or more",
    "string_too_short": "{where}: found nothing, allowed is one or more",
}
# What is allowed instead of what was found, if that is all there is to say.
_ALLOWED: Mapping[str, str] = {
    "bool_type": "true or false",
    "int_type": "an integer",
    "float_type": "a number",
    "string_type": "a string",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "finite_number": "a finite number",
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "greater than or equal to {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "less than or equal to {le:g}",
    "literal_error": "{expected}",
}
_UNKNOWN = "another value ({type})"  # of a type that no field here has had so far


def describe_error(error: ValidationError, table: str = "") -> str:
    """Says the first of pydantic's complaints in the words of a study file.

    Args:
        error: of the file, or of a table of it.
        table: name of that table.
    """
    errors = error.errors(include_url=False)
    first, alternatives = errors[0], errors[:1]
    place, member = [*filter(None, [table]), *first["loc"]], ""
    if place and place[0] == "space" and len(place) > 2:
        member = str(place.pop(2))  # of the union; a reader does not need it
    if place[-1] in ("bool", "float") and first["type"] == f"{place[-1]}_type":
        place.pop()  # the first member of a union
        alternatives = [each for each in errors if each["loc"][:-1] == first["loc"][:-1]]
    where = place_of(place)
    if sentence := _SENTENCES.get(first["type"]):
        return sentence.format(where=where, **_context_of(first, place, member))
    allowed = " or ".join(
        _ALLOWED.get(each["type"], _UNKNOWN).format(type=each["type"], **each.get("ctx", {}))
        for each in alternatives
    )
    return f"{where}: found {first['input']!r}, allowed is {allowed}"


def _context_of(error: ErrorDetails, place: list[int | str], member: str) -> dict[str, str]:
    """Collects what a sentence may name: pydantic's context, known keys and types."""
    found, context = error["input"], dict(error.get("ctx", {}))
    if error["type"] == "extra_forbidden":
        table = member or str(place[0] if len(place) > 1 else "")
        keys = _TABLES.get(table, StudySpec).model_fields.keys() - {"name", "folder"}
        if table == "reference":
            keys |= {"name", "study"}  # the latter is replaced before
        context["keys"] = ", ".join(sorted(keys))
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        context["tag"] = f"found {found['type']!r}" if "type" in found else "missing"
    return context


def place_of(location: list[int | str]) -> str:
    """Names a place in a study file: `[table] key.key`, or just the key at the top level."""
    if len(location) == 1:
        name = str(location[0])
        is_table = name in _PLAIN_TABLES
        return f"[{name}]" if is_table else f"[[{name}]]" if name in _LISTS else name
    table, *keys = location
    if table in _LISTS and isinstance(keys[0], int):
        number, *keys = keys
        return f"[[{table}]] number {int(number) + 1}" + (
            f" {'.'.join(map(str, keys))}" if keys else ""
        )
    return f"[{table}] {'.'.join(map(str, keys))}"
