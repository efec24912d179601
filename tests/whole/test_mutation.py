"""The table of `make mutation` has not rotted; trying it takes minutes."""

import ast

import pytest
from mutation import MUTATIONS, REPOSITORY, Mutation


@pytest.mark.parametrize("row", MUTATIONS, ids=lambda row: f"{row.file}: {row.old.strip()}")
def test_a_mutation_finds_its_text_and_its_tests(row: Mutation) -> None:
    text = (REPOSITORY / row.file).read_text(encoding="utf-8")
    assert text.count(row.old) == 1
    mutated = text.replace(row.old, row.new)
    assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(text))
    for test in row.tests:
        file, *names = test.split("::")
        text = (REPOSITORY / file).read_text(encoding="utf-8")
        for name in names:
            assert f"def {name}(" in text or f"class {name}(" in text


def test_every_room_has_a_mutation() -> None:
    rooms = {file.parent.name for file in (REPOSITORY / "pipeline").glob("*/__init__.py")}
    assert {row.file.split("/")[1] for row in MUTATIONS} == rooms
