"""A network made into a model that is handed over: it takes raw columns and answers in own units.

Made of Keras's own layers and operations, so that whoever loads it needs nothing of this package,
nor to trust code in it. What it computes is what `preparation.encoding` does before training.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np
from keras import ops

from pipeline.data import pixels
from pipeline.preparation import dates
from pipeline.reading import numerals
from pipeline.reading.missing import MISSING_TEXTS
from pipeline.task.features import (
    FIRST_CODE,
    MISSING_CODE,
    OTHER_CODE,
    Category,
    Features,
    Number,
    RawInput,
)
from pipeline.task.task import Target, Task
from pipeline.training.raw_dates import DateReader

_UNSEEN = "\0unseen"  # stands for values without a code; no column has it


def accept_raw(network: keras.Model, task: Task) -> keras.Model:
    """Puts the encoding before a network, and the target's own units behind it.

    Args:
        network: compiled, as it was trained.
        task: what it was trained for.

    Returns:
        A compiled model. Of a table it takes a dictionary by column name: numbers and booleans
        float64 (n, 1), NaN where missing; categories and dates text (n, 1), any of
        `MISSING_TEXTS` where missing. Of an array of numbers it takes float64 (n, ...), NaN where
        missing; of pictures pixels on any scale (see `pixels.accept_any_scale`). It gives float32
        probabilities, of two classes that of the second, or of a regression float64 numbers.

        `predict` of Keras casts arrays of float64 to float32 first: call the model itself, or
        `predict_on_batch`, where numbers are large and differ little.
    """
    features = task.features
    if features is None:
        return pixels.accept_any_scale(network)
    inputs, encoded = _inputs_and_encoding(features, task)
    bare = keras.Model(network.inputs, network.outputs[0], name="network")  # has no optimizer
    answer = bare(encoded)
    if task.is_regression:
        answer = _in_own_units(task.target, answer)
    model = keras.Model(inputs, answer)
    if features.inputs:
        model = _by_column(features.inputs, model)
    model.compile_from_config(network.get_compile_config())
    return model


def average(models: Mapping[str, keras.Model], picks: Sequence[str] | None = None) -> keras.Model:
    """Makes one model of several that take the same raw inputs: it gives their mean answer.

    Args:
        models: by `accept_raw`; each stays a layer of that name.
        picks: names of those in the mean, as often as they count; None for each once.
    """
    first = next(iter(models.values()))
    inputs = keras.tree.map_structure(
        lambda each: keras.Input(each.shape[1:], dtype=each.dtype, name=each.name), first.input
    )
    for name, model in models.items():
        model.name = name
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "When providing `inputs` as a dict")
        answers = {name: model(inputs) for name, model in models.items()}
        mean = keras.layers.Average(dtype=first.output.dtype)  # else it casts to float32
        return keras.Model(inputs, mean([answers[name] for name in picks or models]))


def _by_column(columns: Sequence[RawInput], model: keras.Model) -> keras.Model:
    """Has a model of a list of inputs take a dictionary by column name.

    Keras then looks for the inputs' names among the keys, and passes over all other keys. It asks
    that no layer is called like an input, so the layers stand in a model of their own; and that no
    name has a "/". Where one has, the inputs themselves are a dictionary: Keras warns of it
    whenever it is loaded, and other keys must not be given.
    """
    names = [column.name for column in columns]
    model.name = pixels.free_name(model.name, names)
    safe = [name if "/" not in name else f"column {i}" for i, name in enumerate(names)]
    inputs = {
        column.name: keras.Input((1,), dtype=_dtype(column), name=name)
        for column, name in zip(columns, safe, strict=True)
    }
    answer = model(list(inputs.values()))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "When providing `inputs` as a dict")
        return keras.Model(list(inputs.values()) if names == safe else inputs, answer)


def _inputs_and_encoding(
    features: Features, task: Task
) -> tuple[list[keras.KerasTensor] | keras.KerasTensor, keras.KerasTensor]:
    """Makes raw inputs and encodes them: float32 (n, *task.input_shape)."""
    if features.inputs:
        columns = [keras.Input((1,), dtype=_dtype(column)) for column in features.inputs]
        return columns, _of_columns(features, columns)
    shape = (len(features.numbers),) if task.is_table else task.input_shape
    numbers = keras.Input(shape, dtype="float64", name="numbers")
    if task.is_table:
        return numbers, _beside([*_of_numbers(features.numbers, numbers)])
    return numbers, _standardised(features.numbers, numbers)


def _dtype(column: RawInput) -> str:
    return "float64" if column.kind == "number" else "string"


def _of_columns(features: Features, inputs: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
    """Encodes raw columns: float32 (n, features.width)."""
    numbers, codes = [], []
    reader, categories = DateReader(), iter(features.categories)
    for column, values in zip(features.inputs, inputs, strict=True):
        if column.kind == "category":
            codes.append(_codes(next(categories), values, features.missing))
        elif column.kind == "date":
            seconds = reader.seconds(values, column.date_format)
            if features.missing:
                texts = [*dict.fromkeys(features.missing)]
                lookup = keras.layers.StringLookup(vocabulary=texts, oov_token=_UNSEEN)
                seconds = ops.where(ops.greater(lookup(values), 0), np.float64("nan"), seconds)
            numbers += [dates.part(part, seconds, ops) for part in column.parts]
        else:
            for number in numerals.plain(features.missing):
                values = ops.where(ops.equal(values, number), np.float64("nan"), values)
            numbers.append(values)
    if numbers:
        codes = [*_of_numbers(features.numbers, _beside(numbers)), *codes]
    return _beside(codes)


def _beside(columns: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
    return ops.concatenate(columns, axis=1) if len(columns) > 1 else columns[0]


def _of_numbers(
    numbers: Sequence[Number], values: keras.KerasTensor
) -> Iterator[keras.KerasTensor]:
    """Encodes numbers, float64 (n, len(numbers)), and then which of them are missing."""
    yield _standardised(numbers, values)
    may_miss = np.flatnonzero([number.may_miss for number in numbers])
    if len(may_miss):
        is_missing = ops.logical_not(ops.isfinite(ops.take(values, may_miss, axis=1)))
        yield ops.cast(is_missing, "float32")


def _standardised(numbers: Sequence[Number], values: keras.KerasTensor) -> keras.KerasTensor:
    median, mean, scale = (
        np.array([getattr(number, name) for number in numbers], np.float64)
        for name in ("median", "mean", "scale")
    )
    # One after the other, for of a condition made of both tf2onnx makes a product, NaN * 0.
    present = ops.where(ops.isnan(values), median, values)
    present = ops.where(ops.isinf(present), median, present)
    return ops.cast((present - mean) / scale, "float32")


def _codes(
    category: Category, texts: keras.KerasTensor, also_missing: Sequence[str]
) -> keras.KerasTensor:
    """Finds the codes of texts, as `preparation.encoding` does.

    Also of a text behind a space, as many a file has it that puts one behind each comma.
    """
    texts_of_missing = dict.fromkeys([*MISSING_TEXTS, *also_missing])
    missing = [text for text in texts_of_missing if text not in category.vocabulary]
    known = [*missing, *category.vocabulary]
    lookup = keras.layers.StringLookup(
        vocabulary=[*known, *(f" {text}" for text in known)], oov_token=_UNSEEN
    )
    of_missing = MISSING_CODE if category.may_miss else OTHER_CODE
    of_known = [*[of_missing] * len(missing), *range(FIRST_CODE, category.n_codes)]
    codes = [OTHER_CODE, *of_known, *of_known]
    return ops.take(np.array(codes, np.float32), lookup(texts))


def _in_own_units(target: Target, answer: keras.KerasTensor) -> keras.KerasTensor:
    answer = ops.cast(answer, "float64") * target.scale + target.mean
    return ops.exp(answer) if target.transform == "log" else answer
