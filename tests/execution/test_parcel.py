import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import datasets
from pipeline.execution.ray.parcel import Parcel
from pipeline.task.source import DataSpec

ROOT = Path(__file__).parents[2]
LOAD = """
import pathlib, pickle, sys
import numpy as np
parcel, folder = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes()), pathlib.Path(sys.argv[2])
parcel.unpack(folder)
from pipeline.data import datasets
(dataset,) = datasets.load_members(parcel.data)
np.savez(sys.argv[3], fingerprint=dataset.fingerprint, name=dataset.name,
         inputs=dataset.train_inputs, targets=dataset.validation_targets)
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataSpec:
    monkeypatch.setenv("PIPELINE_DATA_DIR", str(tmp_path / "cache"))
    file = tmp_path / "flowers.csv"
    rows = [f"{i % 7},{i % 5 / 3:.3f},{'ab'[i % 2]}" for i in range(200)]
    file.write_text("\n".join(["length,width,kind", *rows]))
    return DataSpec(str(file), "kind")


def test_another_machine_trains_on_own_data_without_their_file(
    table: DataSpec, tmp_path: Path
) -> None:
    """And so without the test rows, which stay where they are."""
    (here,) = datasets.load_members(table)
    parcel = Parcel.of(table)
    (tmp_path / "parcel").write_bytes(pickle.dumps(parcel))
    expected = {"inputs": np.array(here.train_inputs), "targets": here.validation_targets}
    Path(table.dataset).unlink()
    there = tmp_path / "there.npz"
    arguments = [str(tmp_path / "parcel"), str(tmp_path / "node"), str(there)]
    elsewhere = {**os.environ, "PIPELINE_DATA_DIR": str(tmp_path / "elsewhere")}
    subprocess.run([sys.executable, "-c", LOAD, *arguments], cwd=ROOT, env=elsewhere, check=True)
    with np.load(there) as found:
        assert (str(found["fingerprint"]), str(found["name"])) == (here.fingerprint, here.name)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)


def test_a_parcel_holds_all_files_of_an_entry_and_nothing_else(table: DataSpec) -> None:
    parcel = Parcel.of(table)
    folder = datasets.fetch(table)
    files = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {Path(name).name for name in parcel.sizes} == files
    assert len(parcel.content) == sum(parcel.sizes.values())
