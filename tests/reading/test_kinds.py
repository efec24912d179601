"""What becomes of a column, in words."""

import numpy as np
import pytest

from pipeline.reading.column import Column, ColumnKind
from pipeline.reading.kinds import FEW_ROWS, fate, remark_of


def category(counts: list[int], n_missing: int = 0) -> Column:
    codes = np.repeat(np.arange(-1, len(counts)), [n_missing, *counts]).astype(np.int32)
    vocabulary = tuple(f"v{i}" for i in range(len(counts)))
    remark = remark_of("c", ColumnKind.CATEGORY, codes)
    return Column("c", ColumnKind.CATEGORY, codes, vocabulary, remark=remark)


@pytest.mark.parametrize(
    ("column", "is_used", "words"),
    [
        (category([10, 4]), True, "2 values"),
        (category([FEW_ROWS, 5, 4, 1]), True, "4 values; 2 of fewer than 5 rows together"),
        (category([6, 1], n_missing=2), True, "2 values; 2 missing: a value of its own"),
        (category([1, 1, 1]), False, "dropped: an id: all values differ"),
        (category([2, 1, 1, 1]), False, "dropped: no value in 5 rows or more"),
        (category([4, 4]), True, "2 values"),
        (category([2, 1, 1, 1], n_missing=6), True, "4 values; 6 missing: a value of its own"),
        (category([9]), False, "dropped: constant"),
        (category([9], n_missing=1), True, "1 value; 1 missing: a value of its own"),
        (category([], n_missing=3), False, "dropped: all missing"),
    ],
)
def test_fate_of_a_category(column: Column, is_used: bool, words: str) -> None:
    assert fate(column) == (is_used, words)


def test_fate_of_other_kinds() -> None:
    values = np.array([1.5, np.nan, 3.0])
    filled = "; 1 missing: the median, and an indicator"
    assert fate(Column("n", ColumnKind.NUMBER, values)) == (True, f"standardised{filled}")
    assert fate(Column("b", ColumnKind.BOOLEAN, values)) == (True, f"0 or 1{filled}")
    dates = Column("d", ColumnKind.DATE, values[:1], date_format="%Y-%m-%d %H:%M")
    assert fate(dates) == (True, "days, day of week and of year, time of day")
    text = Column("t", ColumnKind.TEXT, np.array([0, 1], np.int32), ("a b", "c d"))
    assert fate(text) == (False, "dropped: free text")
    assert fate(text, "refuse") == (False, "refused: free text")


@pytest.mark.parametrize(
    ("name", "is_id"),
    [
        ("id", True),
        ("ID", True),
        ("customer_id", True),
        ("customerId", True),
        ("paid", False),
        ("humid", False),
        ("index", True),
        ("price_index", False),
        ("body_mass_index", False),
        ("idle", False),
        ("Kundennummer", True),
        ("order_no", True),
        ("BestellNr.", True),
        ("casino", False),
    ],
)
def test_whole_numbers_that_all_differ_are_an_id_by_name_alone(name: str, is_id: bool) -> None:
    values = np.array([7.0, 30.0, 11.0])
    assert bool(remark_of(name, ColumnKind.NUMBER, values)) == is_id
    assert not remark_of(name, ColumnKind.NUMBER, values + 0.5)
    assert not remark_of(name, ColumnKind.NUMBER, values, is_set=True)
