"""Values as TOML has them: https://toml.io/en/v1.0.0."""

import json
from collections.abc import Mapping
from typing import Any


def quote(text: str) -> str:
    """Writes a string, where JSON's form fits but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def inline(value: Any) -> str:
    """Writes a value within a line: text, numbers, booleans, and lists and tables of them.

    Args:
        value: not None, which TOML does not have.
    """
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(inline, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(key)} = {inline(each)}' for key, each in value.items())} }}"
    return str(value).lower()  # true and false; numbers as they are


def document(content: Mapping[str, Any]) -> str:
    """Writes a document: plain values first, then tables, then lists of tables.

    Args:
        content: by key; values of tables are written within their lines.
    """
    tables = {key: each for key, each in content.items() if isinstance(each, Mapping)}
    lists = {key: each for key, each in content.items() if _is_list_of_tables(each)}
    lines = [
        f"{_key(key)} = {inline(value)}"
        for key, value in content.items()
        if key not in tables and key not in lists
    ]
    for key, table in tables.items():
        lines += ["", f"[{_key(key)}]", *_lines(table)]
    for key, each in lists.items():
        for table in each:
            lines += ["", f"[[{_key(key)}]]", *_lines(table)]
    return "\n".join(lines) + "\n"


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {inline(value)}" for key, value in table.items()]


def _is_list_of_tables(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(each, Mapping) for each in value)
    )


def _key(key: str) -> str:
    is_bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if is_bare else quote(key)
