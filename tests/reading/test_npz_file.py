import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.reading.column import ColumnKind, RawArrays
from pipeline.reading.npz_file import read_npz

RNG = np.random.default_rng(7)
PICTURES = RNG.integers(0, 256, (6, 12, 10, 3), dtype=np.uint8)
NUMBERS = RNG.normal(size=(6, 4))
LABELS = np.array([2, 0, 10, 2, 0, 10])


def read(folder: Path, **arrays: Any) -> RawArrays:
    np.savez(folder / "data.npz", **arrays)
    return read_npz(folder / "data.npz")


def refusal(folder: Path, **arrays: Any) -> str:
    with pytest.raises(UsageError) as caught:
        read(folder, **arrays)
    sentence = str(caught.value)
    assert sentence.startswith(str(folder / "data.npz: "))
    return sentence.removeprefix(str(folder / "data.npz: "))


def test_pictures_and_integers_stay_what_they_are(tmp_path: Path) -> None:
    raw = read(tmp_path, x=PICTURES, y=LABELS, x_test=PICTURES[:2], y_test=LABELS[2:4])
    assert raw.inputs.dtype == np.uint8
    assert np.array_equal(raw.inputs, PICTURES)
    assert raw.targets.name == "y"
    assert raw.targets.vocabulary == ("0", "2", "10")  # as numbers are sorted, not texts
    assert raw.targets.values.tolist() == [1, 0, 2, 1, 0, 2]
    assert raw.targets.values.dtype == np.int32
    assert raw.test_inputs is not None
    assert raw.test_targets is not None
    assert np.array_equal(raw.test_inputs, PICTURES[:2])
    names = [raw.test_targets.vocabulary[code] for code in raw.test_targets.values]
    assert names == [str(label) for label in LABELS[2:4]]


@pytest.mark.parametrize("n_channels", [1, 3, 4])
def test_channels_first_are_transposed_and_said(tmp_path: Path, n_channels: int) -> None:
    pictures = RNG.integers(0, 256, (6, n_channels, 12, 10), dtype=np.uint8)
    raw = read(tmp_path, x=pictures, y=LABELS)
    assert raw.inputs.shape == (6, 12, 10, n_channels)
    assert raw.inputs.flags.c_contiguous
    assert np.array_equal(raw.inputs[3, 5, 7], pictures[3, :, 5, 7])
    assert "channels first" in raw.remarks[0]


@pytest.mark.parametrize("shape", [(6, 3, 12, 3), (6, 3, 2, 10), (6, 5, 12, 10)])
def test_other_axes_stay_where_they_are(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert read(tmp_path, x=np.ones(shape), y=LABELS).inputs.shape == shape


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float16", ">f8", "uint8"])
def test_all_other_numbers_become_float32(tmp_path: Path, dtype: str) -> None:
    numbers = np.array([[0, 1], [1, 100]]).astype(dtype)
    raw = read(tmp_path, x=numbers, y=[0.5, 1])
    assert raw.inputs.dtype == np.float32
    assert np.array_equal(raw.inputs, numbers.astype(np.float32))


def test_what_float32_blurs_is_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    seconds = 1.7e9 + rng.normal(0, 30, 50)
    years = rng.integers(1990, 2020, 50).astype(np.float64)
    years[3] = np.nan
    x = np.stack([years, seconds, np.full(50, 0.1), np.full(50, np.nan)], axis=1)
    (said, *_) = read(tmp_path, x=x, y=np.arange(50) / 7).remarks
    assert ", [:, 1] differs too little for float32, which blurs it: subtract its mean" in said
    assert said.count("blurs") == 1
    kept = read(tmp_path, x=x.astype(np.float32), y=np.arange(50) / 7)
    assert "blurs" not in "".join(kept.remarks)


def test_spellings_are_taken_and_said(tmp_path: Path) -> None:
    raw = read(tmp_path, X_train=NUMBERS, y_train=LABELS, ids=LABELS)
    assert raw.test_inputs is None
    remarks = "\n".join(raw.remarks)
    assert "x (the file's X_train): float64 (6, 4), numbers" in remarks
    assert "y (the file's y_train): int64 (6,), 3 classes" in remarks
    assert "not read: ids" in remarks
    raw = read(
        tmp_path,
        train_images=NUMBERS,
        train_labels=LABELS,
        test_images=NUMBERS,
        test_labels=LABELS,
    )
    assert raw.test_inputs is not None
    assert "x (the file's train_images): float64 (6, 4), numbers" in raw.remarks
    assert "not read: labels" in read(tmp_path, x=NUMBERS, y=LABELS, labels=LABELS).remarks


@pytest.mark.parametrize(
    ("y", "vocabulary", "codes"),
    [
        (["b", "", "a", "b", "a", "a"], ("a", "b"), [1, -1, 0, 1, 0, 0]),
        ([b"b", b"\xc3\xa4", b"b", b"b", b"b", b"b"], ("b", "ä"), [0, 1, 0, 0, 0, 0]),
        ([True, False, True, True, True, True], ("False", "True"), [1, 0, 1, 1, 1, 1]),
        ([[-1], [1], [1], [1], [1], [1]], ("-1", "1"), [0, 1, 1, 1, 1, 1]),
        (np.eye(3)[[0, 2, 1, 0, 2, 2]], ("0", "1", "2"), [0, 2, 1, 0, 2, 2]),
    ],
)
def test_classes(tmp_path: Path, y: Any, vocabulary: tuple[str, ...], codes: list[int]) -> None:
    targets = read(tmp_path, x=NUMBERS, y=y).targets
    assert targets.kind == ColumnKind.CATEGORY
    assert (targets.vocabulary, targets.values.tolist()) == (vocabulary, codes)


def test_a_class_that_no_one_hot_row_has_keeps_the_others_names(tmp_path: Path) -> None:
    targets = read(tmp_path, x=NUMBERS, y=np.eye(5)[[0, 2, 4, 0, 2, 4]]).targets
    assert targets.vocabulary == ("0", "2", "4")


def test_floats_are_numbers_even_if_they_are_few_and_whole(tmp_path: Path) -> None:
    targets = read(
        tmp_path, x=NUMBERS, y=np.array([[0], [1], [np.nan], [1], [0], [0]], "f4")
    ).targets
    assert targets.kind == ColumnKind.NUMBER
    assert targets.values.dtype == np.float64
    np.testing.assert_array_equal(targets.values, [0, 1, np.nan, 1, 0, 0])


def test_nan_is_a_missing_value_of_a_matrix_alone(tmp_path: Path) -> None:
    numbers = NUMBERS.copy()
    numbers[4, 2] = np.nan
    raw = read(tmp_path, x=numbers, y=LABELS)
    assert np.isnan(raw.inputs[4, 2])
    assert "1 missing value" in raw.remarks[0]
    said = refusal(tmp_path, x=numbers.reshape(6, 2, 2), y=LABELS)
    assert said.startswith("x[4, 1, 0]: found nan, allowed are finite numbers")


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
def test_what_float32_cannot_hold_is_refused_with_its_place(tmp_path: Path, value: float) -> None:
    numbers = NUMBERS.copy()
    numbers[5, 1] = value
    said = refusal(tmp_path, x=numbers, y=LABELS)
    assert said == (
        f"x[5, 1]: found {value}, allowed are finite numbers that float32 can hold, and NaN"
    )


def test_an_infinite_answer_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, x=NUMBERS, y=[1.0, 2, np.inf, 3, 4, 5])
    assert said.startswith("y[2]: found inf")


class Harm:
    """Makes a file if it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def test_objects_are_refused_and_not_unpickled(tmp_path: Path) -> None:
    objects = np.array([Harm(tmp_path / "harm")] * 6, dtype=object)
    assert "y: found Python objects" in refusal(tmp_path, x=NUMBERS, y=objects)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": NUMBERS, "z": LABELS}, "found x and z, allowed are x and y, besides"),
        ({"images": NUMBERS, "data": NUMBERS}, "found images and data, allowed is one of them"),
        ({}, "found no array, allowed are x and y"),
        ({"x": NUMBERS, "X": NUMBERS, "y": LABELS}, "found x and X, allowed is one of them"),
        ({"x": NUMBERS, "y": LABELS, "y_test": LABELS}, "found y_test without x_test"),
        ({"x": NUMBERS, "y": LABELS[:5]}, "x has 6 examples and y 5 answers"),
        ({"x": NUMBERS[:0], "y": LABELS[:0]}, "x: found an empty array of shape (0, 4)"),
        ({"x": 1.5, "y": LABELS}, "x: found shape (), allowed is an axis of examples"),
        ({"x": NUMBERS.astype(str), "y": LABELS}, "x: found dtype <U32, allowed are numbers"),
        ({"x": NUMBERS * 1j, "y": LABELS}, "x: found dtype complex128"),
        ({"x": NUMBERS, "y": LABELS.astype("M8[s]")}, "y: found dtype datetime64[s]"),
        ({"x": NUMBERS, "y": NUMBERS}, "y: found shape (6, 4), allowed is one answer for each"),
        ({"x": NUMBERS, "y": np.ones((6, 2))}, "y: found shape (6, 2)"),
        ({"x": NUMBERS, "y": [b"\xff"] * 6}, r"y: found b'\xff', allowed are texts in UTF-8"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(
    tmp_path: Path, arrays: dict[str, Any], said: str
) -> None:
    assert refusal(tmp_path, **arrays).startswith(said)


@pytest.mark.parametrize(
    ("x_test", "y_test", "said"),
    [
        (NUMBERS[:, :3], LABELS, "x_test: found examples of float32 (3,), x has those of float32"),
        (NUMBERS, LABELS[:3], "x_test has 6 examples and y_test 3 answers"),
    ],
)
def test_a_test_set_of_another_kind_is_refused(
    tmp_path: Path, x_test: Any, y_test: Any, said: str
) -> None:
    found = refusal(tmp_path, x=NUMBERS, y=LABELS, x_test=x_test, y_test=y_test)
    assert found.startswith(said)


@pytest.mark.parametrize(
    ("y", "missing"), [(["a"] * 6, ["a", "", "a", "a", "a", ""]), (np.ones(6), [1, np.nan] * 3)]
)
def test_a_test_set_has_all_answers(tmp_path: Path, y: Any, missing: Any) -> None:
    said = refusal(tmp_path, x=NUMBERS, y=y, x_test=NUMBERS, y_test=missing)
    assert said == "y_test[1]: found no value, allowed is one"


def archive() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, x=PICTURES, y=LABELS)
    return file.getvalue()


def test_no_archive_is_cut_off_or_damaged_unseen(tmp_path: Path) -> None:
    path, whole = tmp_path / "data.npz", archive()
    damaged = [whole[:n] for n in range(0, len(whole), 97)]
    damaged += [whole[:n] + b"\xff\x00\xfe" + whole[n + 3 :] for n in range(60, 1000, 53)]
    for content in (*damaged, b"x,y\n1,2\n", b"\x80\x04N."):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"data\.npz: "):
            read_npz(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    single = tmp_path / "one.npy"
    np.save(single, NUMBERS)
    with pytest.raises(UsageError, match="found a single array"):
        read_npz(single)
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as file:
        file.writestr("x", "words")
        file.writestr("y", "words")
    with pytest.raises(UsageError, match="x: found bytes that are no array"):
        read_npz(tmp_path / "text.npz")
    with pytest.raises(UsageError, match="there is no such file"):
        read_npz(tmp_path / "none.npz")
    with pytest.raises(UsageError, match=r"cannot be read \(Is a directory\)"):
        read_npz(tmp_path)
