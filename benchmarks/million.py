"""A large table that is made up: numbers, categories, dates and missing values, as a CSV file."""

from pathlib import Path

N_NUMBERS, N_MISSING = 33, 12  # of which some values are missing
N_VALUES = (5, 5, 8, 10, 12, 20, 25, 30, 40, 50, 80, 100, 200, 300, 500)  # of each category
TARGET = "answer"  # yes or no
_AT_ONCE = 100_000  # rows


def write(path: Path, n_rows: int) -> None:
    """Writes a table of 50 columns with so many rows; its target follows from some of them."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import csv

    rng = np.random.default_rng(0)
    effects = [rng.normal(size=n) for n in N_VALUES]
    with path.open("wb") as file:
        for start in range(0, n_rows, _AT_ONCE):
            n = min(_AT_ONCE, n_rows - start)
            numbers = rng.normal(size=(N_NUMBERS, n)).astype(np.float32)
            codes = [rng.integers(0, values, n) for values in N_VALUES]
            score = numbers[0] * numbers[1] + np.sin(2 * numbers[2]) + numbers[3:9].sum(axis=0)
            score += sum(effect[code] for effect, code in zip(effects, codes, strict=True))
            columns = {}
            for i, values in enumerate(numbers):
                gaps = rng.random(n) < 0.05 if i < N_MISSING else None
                columns[f"number {i + 1}"] = pa.array(values * 10 ** (i % 4), mask=gaps)
            for i, code in enumerate(codes):
                words = pa.array([f"value {each}" for each in range(N_VALUES[i])])
                columns[f"category {i + 1}"] = pa.DictionaryArray.from_arrays(
                    pa.array(code), words
                ).cast(pa.string())
            days = np.datetime64("2015-01-01") + rng.integers(0, 3650, n)
            columns["date"] = pa.array(days)
            is_yes = score + rng.normal(size=n) > 0
            columns[TARGET] = pa.array(np.where(is_yes, "yes", "no"))
            options = csv.WriteOptions(include_header=not start)
            csv.write_csv(pa.table(columns), file, options)
