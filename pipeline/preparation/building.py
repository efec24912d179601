"""Builds the arrays that networks are trained on, from what stands in a file."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.preparation.materials import Material, material_of, test_material_of
from pipeline.preparation.split import Parts, fold_rows, number_groups, say_split, split_rows
from pipeline.preparation.targets import class_weights, fit_target
from pipeline.preparation.twins import count_twins, say_twins
from pipeline.reading.bundled import BUNDLED, read_bundled
from pipeline.reading.column import RawArrays, RawTable
from pipeline.reading.image_folder import read_image_folder
from pipeline.reading.npz_file import read_npz
from pipeline.reading.tables import read_table
from pipeline.task.scoring import transform
from pipeline.task.settings import DataSettings
from pipeline.task.source import DataSpec, Examples
from pipeline.task.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.intp]

_ROWS = "rows"  # file with the numbers of the rows of a part


def read(data: DataSpec) -> RawTable | RawArrays:
    """Reads a data set by what it is: a bundled one by name, a folder of pictures, a file.

    Raises:
        UsageError: it cannot be read; the text says where and why.
    """
    settings = data.settings
    if data.dataset in BUNDLED:
        return read_bundled(data.dataset)
    path = Path(data.dataset)
    if path.is_dir():
        return read_image_folder(path, size=settings.image_size, colour=settings.colour)
    if path.suffix.lower() == ".npz":
        return read_npz(path)
    return read_table(
        path,
        delimiter=settings.delimiter,
        encoding=settings.encoding,
        decimal=settings.decimal,
        types=settings.types,
        missing=settings.missing,
        drop=[name for name in settings.drop if name not in _used(data)],
    )


def _used(data: DataSpec) -> tuple[str, ...]:
    """Names the columns that have a use beside that of an input."""
    return data.target, data.settings.group, data.settings.time, data.settings.weight


def build(
    raw: RawTable | RawArrays, data: DataSpec, folder: Path
) -> tuple[tuple[Task, ...], tuple[str, ...], tuple[str, ...]]:
    """Splits and encodes data, and writes the arrays.

    Args:
        raw: what was read.
        data: says how it is split.
        folder: gets a folder for each fold, or `0` for the one split, and the rows of the test.

    Returns:
        The tasks, one for each fold; remarks; and warnings.

    Raises:
        UsageError: it cannot be split or learned from; the text says where and why.
    """
    import numpy as np

    settings, material = data.settings, material_of(raw, data)
    answers = material.answers
    classes: Any = answers.values if answers.class_names else None
    brings_test = isinstance(raw, RawArrays) and raw.test_inputs is not None
    parts = split(raw, material, settings)
    np.save(folder / f"{_ROWS}.npy", parts.test)
    hashes = material.hashes()
    if brings_test:
        assert isinstance(raw, RawArrays)
        test = test_material_of(raw, answers)
        n_test, test_hashes = len(test.answers.values), test.hashes()
    else:
        n_test, test_hashes = len(parts.test), hashes[parts.test]
    splits = [(parts.training, parts.validation)]
    if settings.folds:
        splits = fold_rows(
            parts.training,
            settings,
            classes=classes,
            class_names=answers.class_names,
            groups=material.groups,
        )
    known = Task(
        kind=answers.kind,
        input_shape=(),
        class_names=answers.class_names,
        n_examples=len(answers.values),
        n_test=n_test,
        n_validation_rows=sum(len(validation) for _, validation in splits),
        n_validation_groups=_count_groups(material, [rows for _, rows in splits]),
        n_folds=len(splits),
        example=material.example,
        loss=settings.loss or ("squared" if not answers.class_names else "cross-entropy"),
    )
    tasks = []
    for i, (training, validation) in enumerate(splits):
        (folder / str(i)).mkdir()
        np.save(folder / str(i) / f"{_ROWS}.npy", validation)
        tasks.append(build_member(material, known, data, training, validation, folder / str(i)))
    stratified_by = answers.name if answers.class_names else ""
    remarks = [
        *material.remarks,
        say_split(
            parts,
            settings,
            stratified_by=stratified_by,
            n_test_set=n_test,
            example=material.example,
        ),
    ]
    twins = say_twins(count_twins(hashes, splits, test_hashes), material.example)
    warnings = tuple(filter(None, [*material.warnings, *material.leaks(parts.open), twins]))
    return tuple(tasks), tuple(filter(None, remarks)), warnings


def split(raw: RawTable | RawArrays, material: Material, settings: DataSettings) -> Parts:
    """Splits the rows of what was read.

    Raises:
        UsageError: as `split_rows`.
    """
    answers = material.answers
    classes: Any = answers.values if answers.class_names else None
    return split_rows(
        len(answers.values),
        settings,
        classes=classes,
        class_names=answers.class_names,
        groups=material.groups,
        times=material.times,
        has_test_set=isinstance(raw, RawArrays) and raw.test_inputs is not None,
    )


def build_member(
    material: Material,
    known: Task,
    data: DataSpec,
    training: "Rows",
    validation: "Rows",
    folder: Path,
) -> Task:
    """Encodes the rows of one split, fitted on its training rows, and writes them.

    Args:
        material: has the rows.
        known: of the task what does not depend on the split.
        data: says how.
        training: rows.
        validation: rows.
        folder: gets the arrays.
    """
    import numpy as np

    answers, settings = material.answers, data.settings
    features = material.fit(training)
    if features is not None:
        features = replace(features, missing=settings.missing)
    shape = material.shape(features)
    dtype = "uint8" if features is None else "float32"
    task = replace(known, input_shape=shape, input_dtype=dtype, features=features)
    values: NDArray[Any] = answers.values
    if task.is_regression:
        place = f"{material.where}, target {answers.name!r}"
        target = fit_target(answers.name, values, training, settings.target_transform, place)
        task, values = replace(task, target=target), transform(target, values)
    of_classes = class_weights(settings, values[training], answers.class_names)
    for part, rows in (("train", training), ("validation", validation)):
        file = folder / f"{part}_inputs.npy"
        inputs = np.lib.format.open_memmap(file, "w+", dtype, (len(rows), *shape))
        _reserve(file)
        material.encode(features, rows, inputs)
        inputs.flush()
        np.save(folder / f"{part}_targets.npy", values[rows])
        weights = None if material.weights is None else material.weights[rows]
        counts = None
        if part == "train" and of_classes is not None:
            counts = np.ones(len(rows), np.float32) if weights is None else weights
            weights = of_classes * counts
        if weights is not None:
            if not np.any(weights > 0):
                raise UsageError(
                    f"{material.where}, column {settings.weight!r}: all {part} rows have the "
                    "weight 0, allowed is that some count"
                )
            if part == "train":  # of mean 1: so the learning rate means what it always does
                weights = weights / weights.mean(dtype=np.float64)
            np.save(folder / f"{part}_weights.npy", weights.astype(np.float32))
        if counts is not None:
            counts = counts / counts.mean(dtype=np.float64)
            np.save(folder / "train_counts.npy", counts.astype(np.float32))
    if material.groups is not None:
        np.save(folder / "validation_groups.npy", number_groups(material.groups)[validation])
    return task


def _count_groups(material: Material, parts: "Sequence[Rows]") -> int | None:
    import numpy as np

    if material.groups is None:
        return None
    return len(np.unique(number_groups(material.groups)[np.concatenate(parts)]))


def _reserve(file: Path) -> None:
    """Reserves the disk for a file of holes: else who writes to memory is killed if it is full.

    Raises:
        OSError: there is no room.
    """
    if hasattr(os, "posix_fallocate"):  # macOS has none
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)


def mapped(folder: Path, name: str) -> "NDArray[Any] | None":
    """Maps an array of an entry into memory, if there is one; what is written is not kept."""
    import numpy as np

    file = folder / f"{name}.npy"
    return np.load(file, mmap_mode="c") if file.exists() else None


def raw_examples(material: Material, task: Task, folder: Path) -> Examples:
    """Selects rows as a model that is handed over takes them.

    Args:
        material: has the rows.
        task: whose features the model has.
        folder: of an entry or a fold, of which the rows are noted there.
    """
    import numpy as np

    return _selected(material, task, np.load(folder / f"{_ROWS}.npy"))


def raw_test(raw: RawTable | RawArrays, data: DataSpec, task: Task, folder: Path) -> Examples:
    """Selects the test rows so: those noted in an entry's folder, or all that the data bring."""
    import numpy as np

    material = material_of(raw, data)
    if isinstance(raw, RawArrays) and raw.test_inputs is not None:
        test = test_material_of(raw, material.answers)
        return _selected(test, task, np.arange(test.n_rows))
    return raw_examples(material, task, folder)


def _selected(material: Material, task: Task, rows: "Rows") -> Examples:
    weights = None if material.weights is None else material.weights[rows]
    groups = None if material.groups is None else number_groups(material.groups)[rows]
    inputs = material.raw(task.features, rows)
    return Examples(inputs, material.answers.values[rows], weights, groups)
