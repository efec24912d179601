"""Whatever is written is read again as it was."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.study import toml

SCALARS = (
    st.text()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
)
LINES = st.dictionaries(st.text(), SCALARS | st.lists(SCALARS), max_size=4)


@given(st.dictionaries(st.text(), SCALARS | LINES | st.lists(LINES, min_size=1, max_size=3)))
def test_a_document_comes_back(content: dict[str, Any]) -> None:
    assert tomllib.loads(toml.document(content)) == content


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "true"),
        (0.0005, "0.0005"),
        (1e-05, "1e-05"),
        ((1, 2), "[1, 2]"),
        ({"type": "int", "when": {"a b": ["x"]}}, '{ type = "int", when = { "a b" = ["x"] } }'),
    ],
)
def test_a_value_within_a_line(value: Any, expected: str) -> None:
    assert toml.inline(value) == expected
