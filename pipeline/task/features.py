"""What a network gets to see of a table: numbers and codes, encoded once before training.

The encoded matrix, float32 (n, width), has a column for each number (standardised, the median
where it is missing), then one for each number that may be missing (1 where it is), then one for
each category (its code). What is fitted, is fitted on the training part alone.
"""

from dataclasses import dataclass

MISSING_CODE, OTHER_CODE, FIRST_CODE = 0, 1, 2  # of a category: missing, rare or unseen, known


@dataclass(frozen=True)
class Number:
    """A number that a network sees.

    Attributes:
        name: of the column, for a part of a date "column: part".
        mean: of the training part, in the column's own units.
        scale: standard deviation of the training part, never 0.
        median: of the training part, in the column's own units; stands for a missing value.
        may_miss: whether it is missing in the training part, and so has an indicator.
        knots: quantiles of the training part, standardised, strictly rising; at least two.
    """

    name: str
    mean: float
    scale: float
    median: float
    may_miss: bool
    knots: tuple[float, ...]


@dataclass(frozen=True)
class Category:
    """A category that a network sees.

    Attributes:
        name: of the column.
        vocabulary: values with a code of their own, `FIRST_CODE` and up, as text.
        may_miss: whether it is missing in the training part; if not, what is missing later is
            encoded as an unseen value.
    """

    name: str
    vocabulary: tuple[str, ...]
    may_miss: bool = True

    @property
    def n_codes(self) -> int:
        """How many codes there are, with those of missing and other values."""
        return FIRST_CODE + len(self.vocabulary)


@dataclass(frozen=True)
class RawInput:
    """A column that a model which is handed over takes.

    Attributes:
        name: of the column.
        kind: "number" (float64; booleans too), "category" (text) or "date" (text).
        date_format: of a date, as `strptime` has it.
        parts: of a date: which numbers are made of it (see `data.dates`), in the order in which
            their `Number`s stand.
    """

    name: str
    kind: str
    date_format: str = ""
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Features:
    """All that a network sees of a table, and how it is made of raw columns.

    Attributes:
        inputs: raw columns in the file's order. Empty if the raw input is one array of numbers,
            (n, number of numbers), as of an `.npz` file.
        numbers: in the order of the encoded matrix: those of number columns and of parts of
            dates, in the order of `inputs`.
        categories: in the order of the encoded matrix.
        missing: texts that mean a missing value, besides those that always do.
    """

    inputs: tuple[RawInput, ...]
    numbers: tuple[Number, ...]
    categories: tuple[Category, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def n_indicators(self) -> int:
        """How many numbers may be missing."""
        return sum(number.may_miss for number in self.numbers)

    @property
    def width(self) -> int:
        """Columns of the encoded matrix."""
        return len(self.numbers) + self.n_indicators + len(self.categories)
