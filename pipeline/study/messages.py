"""What pydantic finds wrong in a study file, said in one sentence."""

from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from pipeline.study.ranges import Choices, FloatRange, IntRange
from pipeline.study.spec import Budget, Comparison, Reference, StudySpec, Training

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


def describe_error(error: ValidationError) -> str:
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
    where = place_of(place)
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


def place_of(location: list[int | str]) -> str:
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
