"""What stands in data of one's own: in a table column by column, and what becomes of each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.errors import UsageError, printable
from pipeline.preparation.building import read
from pipeline.reading.column import RawTable
from pipeline.reading.kinds import ColumnRow, describe
from pipeline.task.settings import DataSettings
from pipeline.task.source import DataSpec
from pipeline.wording import count_noun, join_names

if TYPE_CHECKING:
    from rich.table import Table

_LONGEST_NAME, _LONGEST_EXAMPLE = 18, 12  # characters; longer names are folded, examples cut


def show_own(dataset: str, target: str = "") -> None:
    """Reads data of one's own, or of scikit-learn's, and prints what was found in them.

    Args:
        dataset: path of a file or folder, or a name of `BUNDLED`.
        target: column of a table that is to be answered, "" if that is not known yet.

    Raises:
        UsageError: they cannot be read, or have no such column.
    """
    raw = read(DataSpec.of(dataset, target, DataSettings()))
    name = raw.where
    if isinstance(raw, RawTable):
        return _show_table(raw, name, target)
    if target:
        raise UsageError(f"--target: found with {name}, allowed with a table")
    shape = " x ".join(map(str, raw.inputs.shape[1:]))
    print(f"{name}: {count_noun(len(raw.inputs), 'example')} of {shape}, {raw.inputs.dtype}")
    _show_remarks(raw.remarks)
    classes = count_noun(len(raw.targets.vocabulary), "value")
    print(f"  target {raw.targets.name}: {classes if raw.targets.is_coded else 'numbers'}")
    if raw.test_inputs is not None:
        print(f"  test set of its own: {count_noun(len(raw.test_inputs), 'example')}")


def _show_table(table: RawTable, name: str, target: str) -> None:
    """Prints of each column: kind, missing, distinct, example, what becomes of it."""
    from rich.console import Console

    if target and target not in table.columns:
        known = join_names(list(table.columns))
        raise UsageError(f"--target: found {target!r}, allowed are the columns of {name}: {known}")
    n_columns = count_noun(len(table.columns), "column")
    print(f"{name}: {count_noun(table.n_rows, 'row')}, {n_columns}")
    _show_remarks(table.remarks)
    _show_remarks([f"warning: {each.doubt}" for each in table.columns.values() if each.doubt])
    print()
    Console(highlight=False).print(_as_table(describe(table), target))


def _show_remarks(remarks: Sequence[str]) -> None:
    for remark in remarks:
        print(f"  {printable(remark)}")


def _as_table(rows: list[ColumnRow], target: str) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("column", max_width=_LONGEST_NAME, overflow="fold")
    table.add_column("kind", no_wrap=True)
    table.add_column("missing", justify="right", no_wrap=True)
    table.add_column("distinct", justify="right", no_wrap=True)
    table.add_column("example", max_width=_LONGEST_EXAMPLE, no_wrap=True, overflow="ellipsis")
    table.add_column("what becomes of it", overflow="fold")
    for row in rows:
        fate = "the target" if row.name == target else row.fate
        texts = (
            row.name,
            row.kind,
            f"{row.n_missing:,}",
            f"{row.n_distinct:,}",
            row.example,
            fate,
        )
        is_dim = not row.is_used and row.name != target
        table.add_row(*(Text(printable(each)) for each in texts), style="dim" if is_dim else "")
    return table
