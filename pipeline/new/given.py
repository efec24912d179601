"""Settings of `[data]` that are given with the command, before there is a file for them."""

import re
import tomllib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from pipeline.errors import UsageError
from pipeline.study.messages import describe_error
from pipeline.task.settings import DataSettings

_TEXT = r'"(?:[^"\\]|\\.)*"'
_NAMED = re.compile(  # a key in a sentence, and what helps
    rf"\[data\] (\w+)(?: = ({_TEXT}|\[{_TEXT}(?:, {_TEXT})*\]|\{{ {_TEXT} = {_TEXT} \}}))?"
)


def read_settings(given: Iterable[str]) -> DataSettings:
    """Reads settings as they are given on a command line.

    Args:
        given: each SETTING=VALUE: a key of `[data]`, and TOML; a bare word stands for a string.

    Raises:
        UsageError: one is none, or may not have that value; the text says which.
    """
    values: dict[str, Any] = {}
    for each in given:
        key, sign, text = each.partition("=")
        key = key.strip()
        if not (sign and key):
            raise UsageError(
                f"--set: found {each!r}, allowed is SETTING=VALUE: a key of [data] and its value "
                'in TOML, such as drop=["a", "b"]'
            )
        if key in values:
            raise UsageError(f"--set {key}: found twice, allowed is once")
        values[key] = _value(key, text.strip(" "))
    try:
        return DataSettings.model_validate(values)
    except ValidationError as error:
        raise UsageError(describe_error(error, "data")) from None


def _value(key: str, text: str) -> Any:
    try:
        found = tomllib.loads(f"value = {text}")
        if len(found) == 1:  # else a line break let another key in
            return found["value"]
    except (ValueError, RecursionError):
        pass
    if text[:1] in ("[", "{", '"', "'"):
        raise UsageError(
            f'--set {key}: found {text!r}, allowed is a value of TOML, such as "a", ["a", '
            '"b"] or { a = "b" }'
        )
    return {r"\t": "\t"}.get(text, text)


def say_how(sentence: str, settings: DataSettings, *, is_new: bool) -> str:
    """Ends a sentence that names `[data]` with how that is set while there is no file.

    Args:
        sentence: of an error.
        settings: that were given; who gave one knows how.
        is_new: whether `pipeline.new` was called, and nothing that calls it.
    """
    named = _NAMED.search(sentence)
    if "[data]" not in sentence or (named and named[1] in settings.model_fields_set):
        return sentence
    key = named[1] if named and named[1] in DataSettings.model_fields else "SETTING"
    value = (named and named[2]) or "VALUE"
    how = f"{key}={value}".replace("'", r"'\''")  # as a shell takes it
    how = f"--set '{how}'"
    if is_new:
        return f"{sentence}; with pipeline.new: {how}"
    return (
        f"{sentence}; write the study file first, by .venv/bin/python -m pipeline.new with {how}"
    )
