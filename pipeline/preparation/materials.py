"""What data of one's own are made of: rows with answers, and how the rows are encoded."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.preparation import encoding
from pipeline.preparation.leaks import find_leaks
from pipeline.preparation.raw import raw_columns
from pipeline.preparation.roles import assign_roles, said_of_case
from pipeline.preparation.targets import Answers, understand, understand_test
from pipeline.preparation.twins import hash_examples, hash_rows
from pipeline.reading.column import Codes, Column, Numbers, RawArrays, RawTable
from pipeline.task.features import Features
from pipeline.task.source import DataSpec, Inputs, Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.intp]


N_COPIED = 4096  # pictures at a time


@dataclass(frozen=True)
class Material(ABC):
    """Rows with their answers.

    Attributes:
        where: the file, for messages.
        example: what a row is called: "image" or "row".
        answers: the target of each row.
        remarks: what was found out, and what was left out, for people.
        weights: of each row; None if all are 1.
        groups: a code for each row; None without groups.
        times: of each row; None without.
        warnings: what a reader of results has to know.
    """

    where: str
    example: str
    answers: Answers
    remarks: tuple[str, ...]
    weights: "Weights | None" = field(default=None, kw_only=True)
    groups: "Codes | None" = field(default=None, kw_only=True)
    times: "Numbers | None" = field(default=None, kw_only=True)
    warnings: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.answers.values)

    @abstractmethod
    def fit(self, rows: "Rows") -> Features | None:
        """Fits on training rows how rows are encoded; None if they are trained on as they are."""

    @abstractmethod
    def shape(self, features: Features | None) -> tuple[int, ...]:
        """Returns the shape of an encoded row."""

    @abstractmethod
    def encode(self, features: Features | None, rows: "Rows", out: "NDArray[Any]") -> None:
        """Encodes rows into an array, (len(rows), *shape)."""

    @abstractmethod
    def raw(self, features: Features | None, rows: "Rows") -> Any:
        """Returns rows as a model that is handed over takes them."""

    @abstractmethod
    def hashes(self) -> "NDArray[np.uint64]":
        """Returns a number for each row that is equal where all inputs are."""

    def leaks(self, rows: "Rows") -> tuple[str, ...]:
        """Says which columns give the target away in these rows; of arrays nobody can tell."""
        return ()


@dataclass(frozen=True)
class TableMaterial(Material):
    """A table of which columns are inputs, and one the target."""

    inputs: tuple[Column, ...]
    target: Column

    def fit(self, rows: "Rows") -> Features:
        """Fits numbers, categories and dates on training rows."""
        return encoding.fit_features(self.inputs, rows)

    def shape(self, features: Features | None) -> tuple[int, ...]:
        """Returns the width of the encoded matrix."""
        assert features is not None
        return (features.width,)

    def encode(self, features: Features | None, rows: "Rows", out: "NDArray[Any]") -> None:
        """Encodes rows column by column."""
        assert features is not None
        encoding.encode(features, self.inputs, rows, out)

    def raw(self, features: Features | None, rows: "Rows") -> "dict[str, NDArray[Any]]":
        """Returns the raw columns by name."""
        assert features is not None
        return raw_columns(features, self.inputs, rows)

    def hashes(self) -> "NDArray[np.uint64]":
        """Hashes all inputs of each row."""
        return hash_rows(column.values for column in self.inputs)

    def leaks(self, rows: "Rows") -> tuple[str, ...]:
        """Looks for columns from which the target follows."""
        return find_leaks(self.inputs, self.target, rows)


@dataclass(frozen=True)
class ArrayMaterial(Material):
    """Pictures, or numbers in an array."""

    inputs: Inputs

    def fit(self, rows: "Rows") -> Features | None:
        """Fits mean and scale of numbers; pictures are trained on as they are."""
        if self.inputs.dtype == "uint8" and self.inputs.ndim > 2:
            return None
        return encoding.fit_array(self.inputs, rows)

    def shape(self, features: Features | None) -> tuple[int, ...]:
        """Returns the shape of a picture, or of encoded numbers."""
        if features is not None and self.inputs.ndim == 2:
            return (features.width,)
        return self.inputs.shape[1:]

    def encode(self, features: Features | None, rows: "Rows", out: "NDArray[Any]") -> None:
        """Encodes numbers; copies pictures, some thousand at a time."""
        if features is not None:
            encoding.encode_array(features, self.inputs, rows, out)
            return
        for start in range(0, len(rows), N_COPIED):
            out[start : start + N_COPIED] = self.inputs[rows[start : start + N_COPIED]]

    def raw(self, features: Features | None, rows: "Rows") -> Inputs:
        """Returns rows as the file has them."""
        return self.inputs[rows]

    def hashes(self) -> "NDArray[np.uint64]":
        """Hashes each row's bytes."""
        return hash_examples(self.inputs)


def material_of(raw: RawTable | RawArrays, data: DataSpec) -> Material:
    """Makes material of what was read.

    Raises:
        UsageError: a column or an answer will not do; the text says where and why.
    """
    where = raw.where
    if isinstance(raw, RawTable):
        roles = assign_roles(raw, data)
        answers = understand(roles.target, data.settings, where)
        return TableMaterial(
            where,
            "row",
            answers,
            (*raw.remarks, *roles.remarks, answers.remark),
            roles.inputs,
            roles.target,
            weights=roles.weights,
            groups=roles.groups,
            times=roles.times,
            warnings=roles.warnings,
        )
    _refuse_table_settings(data, where)
    inputs, target, remarks = raw.inputs, raw.targets, raw.remarks
    import numpy as np

    known = ~target.is_missing
    if not known.any():
        raise UsageError(f"{where}, target {target.name!r}: all values are missing")
    if not known.all():
        rows = np.flatnonzero(known)
        inputs, target = inputs[rows], replace(target, values=target.values[rows])
        remarks = (*remarks, f"{len(known) - len(rows):,} rows without a target are left out")
    answers = understand(target, data.settings, where)
    remarks = (*remarks, answers.remark)
    warnings = tuple(filter(None, [said_of_case(target)]))
    return ArrayMaterial(where, _example(inputs), answers, remarks, inputs, warnings=warnings)


def test_material_of(raw: RawArrays, training: Answers) -> ArrayMaterial:
    """Makes material of the test set that arrays bring, with the classes of the training part.

    Raises:
        UsageError: it has classes that the training part has not.
    """
    where = raw.where
    assert raw.test_inputs is not None
    assert raw.test_targets is not None
    place = f"{where}, target {raw.test_targets.name!r}"
    answers = understand_test(raw.test_targets, training, place)
    inputs = raw.test_inputs
    return ArrayMaterial(where, _example(inputs), answers, (), inputs)


def _example(inputs: Inputs) -> str:
    return "image" if inputs.ndim > 2 else "row"


def _refuse_table_settings(data: DataSpec, where: str) -> None:
    settings = data.settings
    for key in (
        "types",
        "missing",
        "drop",
        "group",
        "time",
        "weight",
        "delimiter",
        "encoding",
        "decimal",
    ):
        if getattr(settings, key):
            raise UsageError(
                f"[data] {key}: found {getattr(settings, key)!r}, allowed is none with {where}, "
                "which is no table"
            )
    if data.target:
        raise UsageError(f"target: found {data.target!r}, allowed is none: {where} has its own")
