"""Rows that stand in two parts of a data set: found by a hash of their inputs, and said."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pipeline.wording import count_noun, inflect, join_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Rows = NDArray[np.intp]


def hash_rows(columns: "Iterable[NDArray[np.generic]]") -> "Hashes":
    """Hashes each row of a table, so that equal rows, and practically only these, have one hash.

    Args:
        columns: of the inputs, each (n,) of numbers or codes. Missing values are equal, as are 0
            and -0; numbers of one value are equal whatever their dtype.

    Returns:
        uint64 (n,), the same in every process.
    """
    import numpy as np

    total: Hashes | None = None
    for column in columns:
        numbers = np.asarray(column, np.float64) + 0.0  # -0 becomes 0
        numbers[np.isnan(numbers)] = np.nan  # there are many, and they differ in bits
        bits = numbers.view(np.uint64)
        total = _mix(bits if total is None else bits ^ total)
    if total is None:
        raise ValueError("no columns to hash")
    return total


def hash_examples(examples: "NDArray[np.generic]") -> "Hashes":
    """Hashes each picture or array, (n, ...), by its bytes; returns uint64 (n,)."""
    import hashlib

    import numpy as np

    hashes = (
        int.from_bytes(hashlib.blake2b(np.ascontiguousarray(each).data, digest_size=8).digest())
        for each in examples
    )
    return np.fromiter(hashes, np.uint64, len(examples))


def count_twins(
    hashes: "Hashes", splits: "Sequence[tuple[Rows, Rows]]", test: "Hashes"
) -> dict[str, int]:
    """Counts rows of validation and test with the inputs of a row of training.

    Args:
        hashes: of all input values of each row, by `hash_rows` or `hash_examples`.
        splits: training and validation rows, of each fold.
        test: hashes of the test rows.

    Returns:
        How many, for "validation" and "test".
    """
    import numpy as np

    found = [np.isin(hashes[rows], hashes[training]).sum() for training, rows in splits]
    searched = np.concatenate([training for training, _ in splits])
    return {"validation": int(sum(found)), "test": int(np.isin(test, hashes[searched]).sum())}


def say_twins(twins: dict[str, int], example: str = "row") -> str:
    """Says how many rows stand in two parts, and what that means; "" if none does."""
    found = [f"{count_noun(n, f'{part} {example}')}" for part, n in twins.items() if n]
    if not found:
        return ""
    n = sum(twins.values())
    return (
        f"{join_names(found)} {inflect('has', n, 'have')} the same inputs as a training "
        f"{example}: where that is no chance, the scores flatter"
    )


def _mix(bits: "Hashes") -> "Hashes":
    """Scatters 64 bits: the finaliser of SplitMix64 (Steele et al. 2014)."""
    import numpy as np

    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
