"""Weights are compared by what they are, not by how a file holds them."""

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.tracking import versions


def write(path: Path, weights: "dict[str, np.ndarray]", *, packed: bool = False) -> Path:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, values in weights.items():
            file.create_dataset(name, data=values, compression="gzip" if packed else None)
    with zipfile.ZipFile(path, "w") as outer:
        outer.writestr("model.weights.h5", content.getvalue())
    return path


WEIGHTS = {"layers/dense/vars/0": np.arange(6.0).reshape(2, 3), "layers/dense/vars/1": np.ones(3)}


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({}, True),
        ({"layers/dense/vars/1": np.zeros(3)}, False),
        ({"layers/more/vars/0": np.ones(1)}, False),
        ({"optimizer/vars/2": np.ones((2, 3))}, True),
        ({"layers/dropout/seed_generator/vars/0": np.ones(2)}, True),
    ],
)
def test_weights_are_the_same_however_they_are_packed(
    tmp_path: Path, changes: "dict[str, np.ndarray]", is_same: bool
) -> None:
    one = write(tmp_path / "one", WEIGHTS)
    other = write(tmp_path / "other", {**WEIGHTS, **changes}, packed=True)
    assert one.read_bytes() != other.read_bytes()
    assert versions.has_same_weights(one, other) is is_same


def test_a_file_without_weights_has_no_others(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "empty", "w") as file:
        file.writestr("config.json", "{}")
    one = write(tmp_path / "one", WEIGHTS)
    assert not versions.has_same_weights(one, tmp_path / "empty")
