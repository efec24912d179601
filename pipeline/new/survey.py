"""What data are like, as far as a study file depends on it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.data import datasets
from pipeline.errors import UsageError
from pipeline.preparation import building
from pipeline.preparation.materials import ArrayMaterial, Material, TableMaterial, material_of
from pipeline.reading.bundled import BUNDLED
from pipeline.reading.column import Column, ColumnKind, RawArrays, RawTable
from pipeline.reading.dates import CLOCKS
from pipeline.reading.kinds import distinct
from pipeline.task.settings import DataSettings
from pipeline.task.source import DataSpec
from pipeline.task.task import Kind
from pipeline.wording import count_noun, join_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TARGET_NAMES = ("target", "label", "class", "y")  # what a target is called that nobody names
N_SHOWN = 12  # columns in a message
LEAST_SKEW = 2.0  # of a target that a logarithm may help: that of an exponential distribution
# Of columns whose values each stand for somebody or something that has several rows.
_GROUP = re.compile(
    r"(?i:(.*[\W_])?(customer|client|patient|user|subject|person|participant|household|family|"
    r"session|device|group|school|hospital|student|employee|member|account|player|driver|vehicle|"
    r"machine|sensor|station|store|shop|site|animal|plot|batch|kunden?|patienten|nutzer|cliente|"
    r"paciente|고객|환자|id)([\W_]*(id|no|nr|number|code))?)|.*[a-z0-9]I[dD]"
)


@dataclass(frozen=True)
class Survey:
    """What data are like.

    Attributes:
        kind: of answer.
        n_rows: with an answer, without those of a test set that the data bring.
        shape: of an example; of a table the number of inputs.
        example: what one is called: "image" or "row".
        target: column that is answered; "" if the data have one target.
        class_counts: rows of each class; empty of a regression.
        has_test: whether the data bring a test set.
        is_guess: whether numbers are answered that could be classes or quantities.
        is_skewed: whether a regression's target is positive, and skewed unless its logarithm is
            taken.
        kinds: of the inputs, in words, such as "14 numbers".
        n_numbers: columns of numbers and dates; of arrays, the numbers of a row.
        categories: of each category, how many values it has.
        dates: names of columns of dates.
        groups: names of columns whose values each have several rows.
        n_groups: of the rows that stay in one part each; None if they are not grouped.
        read_as: what was found out of the file, such as "decimal sign .".
        left_out: what is left out and why, and what should be, a sentence each.
        has_settings: whether they may be read and split in other ways.
    """

    kind: Kind
    n_rows: int
    shape: tuple[int, ...]
    example: str = "image"
    target: str = ""
    class_counts: tuple[int, ...] = ()
    has_test: bool = False
    is_guess: bool = False
    is_skewed: bool = False
    kinds: tuple[str, ...] = ()
    n_numbers: int = 0
    categories: tuple[int, ...] = ()
    dates: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    n_groups: int | None = None
    read_as: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    has_settings: bool = True

    @property
    def is_table(self) -> bool:
        """Whether examples are rows of numbers and categories."""
        return len(self.shape) == 1

    @property
    def is_picture(self) -> bool:
        """Whether convolutions can be tried."""
        return len(self.shape) == 2 or (len(self.shape) == 3 and self.shape[-1] <= 4)


def survey(dataset: str, target: str, settings: DataSettings) -> Survey:
    """Looks at data.

    Args:
        dataset: name of a data set, or path of a file or folder.
        target: column of a table that is to be answered; "" for one that says so by its name.
        settings: by which they are read.

    Raises:
        UsageError: they cannot be read or learned from; the text says where and why.
    """
    if source := datasets.sources().get(dataset):
        if target:
            raise UsageError(f"target: found {target!r}, allowed is none with {dataset}")
        if given := sorted(settings.model_fields_set):
            raise UsageError(f"[data] {given[0]}: found with {dataset}, allowed is none with that")
        task = source.task
        n = task.n_examples or len(datasets.load_training_file(dataset)[1])
        counts = (n // len(task.class_names),) * len(task.class_names)
        return Survey(
            task.kind,
            n,
            task.input_shape,
            class_counts=counts,
            has_test=True,
            has_settings=False,
        )
    raw = building.read(DataSpec.of(dataset, "", settings))
    if isinstance(raw, RawTable) and not target and dataset not in BUNDLED:
        target = guess_target(tuple(raw.columns), Path(dataset).name)
    data = DataSpec.of(dataset, target, settings)
    material = material_of(raw, data)
    return _survey(raw, material, target, building.split(raw, material, settings).open)


def guess_target(columns: Sequence[str], file: str) -> str:
    """Finds the column that is called as targets are.

    Args:
        columns: of a table.
        file: for the message.

    Raises:
        UsageError: there is none, or more than one; the text lists the columns.
    """
    found = [name for name in columns if name.lower() in TARGET_NAMES]
    if len(found) == 1:
        return found[0]
    more = f" and {len(columns) - N_SHOWN} more" if len(columns) > N_SHOWN else ""
    shown = ", ".join(repr(name) for name in columns[:N_SHOWN])
    raise UsageError(f"target: missing, allowed is a column of {file}: {shown}{more}")


def _survey(
    raw: RawTable | RawArrays, material: Material, target: str, rows: "NDArray[np.intp]"
) -> Survey:
    """Looks at what was read; at the target's values only in rows that are not sealed."""
    import numpy as np

    answers, n_classes = material.answers, len(material.answers.class_names)
    inputs: tuple[Column, ...] = ()
    known = ("", answers.remark, *raw.remarks)
    if isinstance(material, TableMaterial):
        inputs = material.inputs
        shape: tuple[int, ...] = (len(inputs),)
    else:
        assert isinstance(material, ArrayMaterial)
        shape = material.inputs.shape[1:]
    n_numbers = _count(inputs, ColumnKind.NUMBER) + _count(inputs, ColumnKind.DATE)
    return Survey(
        kind=answers.kind,
        n_rows=material.n_rows,
        shape=shape,
        example=material.example,
        target=target,
        class_counts=tuple(np.bincount(answers.values, minlength=n_classes).tolist())
        if n_classes
        else (),
        has_test=isinstance(raw, RawArrays) and raw.test_inputs is not None,
        is_guess=bool(answers.remark),
        is_skewed=not n_classes and _is_skewed(answers.values[rows]),
        kinds=_kinds(inputs),
        n_numbers=n_numbers if inputs else (shape[0] if len(shape) == 1 else 0),
        categories=tuple(len(each.vocabulary) for each in inputs if each.is_coded),
        dates=tuple(
            each.name
            for each in inputs
            if each.kind is ColumnKind.DATE and each.date_format not in CLOCKS
        ),
        groups=tuple(each.name for each in inputs if _is_group(each)),
        n_groups=None if material.groups is None else len(np.unique(material.groups)),
        read_as=raw.remarks,
        left_out=tuple(
            said
            for said in (*material.remarks, *material.warnings, *material.leaks(rows))
            if said not in known
        ),
    )


def _count(columns: Sequence[Column], kind: ColumnKind) -> int:
    return sum(column.kind is kind for column in columns)


def _kinds(columns: Sequence[Column]) -> tuple[str, ...]:
    nouns = {
        ColumnKind.NUMBER: "number", ColumnKind.BOOLEAN: "boolean", ColumnKind.DATE: "date"
    }  # fmt: skip
    found = [count_noun(n, noun) for kind, noun in nouns.items() if (n := _count(columns, kind))]
    if n := _count(columns, ColumnKind.CATEGORY):
        found.append("1 category" if n == 1 else f"{n:,} categories")
    return tuple(found)


def describe(data: Survey, name: str) -> str:
    """Says in a sentence what data are.

    Args:
        data: what was found.
        name: of the file, folder or data set.
    """
    if data.kind is Kind.REGRESSION:
        question = "a regression"
    else:
        question = f"{len(data.class_counts)} classes"
    if data.target:
        question += f" ({data.target!r})"
    what = count_noun(data.n_rows, data.example)
    if data.kinds:
        what += f" of {join_names(data.kinds)}"
    else:
        what += f" of {' x '.join(map(str, data.shape))} {'numbers' * data.is_table}".rstrip()
    return f"{name}: {what}; {question}"


def _is_group(column: Column) -> bool:
    """Tells by name and values whether a column says to whom a row belongs."""
    if column.kind not in (ColumnKind.NUMBER, ColumnKind.CATEGORY):
        return False
    if not _GROUP.fullmatch(column.name):
        return False
    return 10 <= distinct(column) <= len(column.values) // 2


def _is_skewed(values: "NDArray[Any]") -> bool:
    import numpy as np

    if not np.all(values > 0):
        return False
    return _skew(values) > LEAST_SKEW and abs(_skew(np.log(values))) < _skew(values) / 2


def _skew(values: "NDArray[Any]") -> float:
    """Computes the third standardised moment."""
    scale = float(values.std())
    return float((((values - values.mean()) / scale) ** 3).mean()) if scale > 0 else 0.0
