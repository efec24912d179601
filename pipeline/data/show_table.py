"""What stands in a table, column by column, and what becomes of it."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UsageError, printable
from pipeline.paths import display_path
from pipeline.reading.kinds import ColumnRow, describe
from pipeline.reading.tables import read_table
from pipeline.wording import count_noun, join_names

if TYPE_CHECKING:
    from rich.table import Table

_LONGEST_NAME, _LONGEST_EXAMPLE = 18, 12  # characters; longer names are folded, examples cut


def show_table(path: Path, target: str = "") -> None:
    """Reads a table and prints its columns: kind, missing, distinct, example, what becomes of it.

    Args:
        path: of a file.
        target: name of the column that is to be answered, "" if that is not known yet.

    Raises:
        UsageError: it cannot be read, or has no such column.
    """
    from rich.console import Console

    table = read_table(path)
    if target and target not in table.columns:
        raise UsageError(
            f"--target: found {target!r}, allowed are the columns of {display_path(path)}: "
            f"{join_names(list(table.columns))}"
        )
    n_columns = len(table.columns)
    print(
        f"{display_path(path)}: {count_noun(table.n_rows, 'row')}, "
        f"{count_noun(n_columns, 'column')}"
    )
    for remark in table.remarks:
        print(f"  {printable(remark)}")
    print()
    Console(highlight=False).print(_as_table(describe(table), target))


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
