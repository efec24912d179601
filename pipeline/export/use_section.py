"""The section "Use" of a model card: how the model is loaded, what it takes, what it answers."""

import math
from collections.abc import Mapping
from typing import Any

from pipeline.data import pixels
from pipeline.escaping import for_code, for_markdown
from pipeline.task.features import Features, RawInput
from pipeline.task.task import Kind, Task

_LOAD = """\
import os

os.environ["KERAS_BACKEND"] = "tensorflow"
import keras
"""
_MODEL = 'model = keras.saving.load_model("model.keras")\n'
_READ = """\
import numpy as np
from PIL import Image, ImageOps


def read(path):  # as the pictures of the training were; of one of 16 bits divide by 257 first
    with Image.open(path) as picture:
        picture.draft(None, ({twice}, {twice}))
        picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    picture = picture.convert("{mode}").resize(({width}, {height}), Image.Resampling.BILINEAR)
    return np.asarray(picture)


images = np.stack([read(path) for path in ["picture.jpg"]])
"""
_MISSING = """\
A missing number (NaN, or empty) counts as the median of the training rows; true and false are 1
and 0. A missing text has a code of its own if any was missing there, else that of all values that
are rare or were never seen there. A date may be missing, too, and one that cannot be read is;
`predict.py` refuses dates that are written otherwise than in the training's file.
"""


def use(task: Task, row: Mapping[str, Any] | None = None, *, is_folder: bool = False) -> str:
    """Writes the section's text in Markdown, without a heading.

    Args:
        task: what the model has learned.
        row: of a table, an example of each column's values; None if there is none.
        is_folder: whether its examples were pictures in a folder, and so of many sizes.
    """
    if task.features and task.features.inputs:
        return _of_table(task, task.features, row or {})
    is_image = task.input_dtype == "uint8"
    takes = pixels.RANGE if is_image else "raw numbers, NaN where they are missing"
    care = f"\n{pixels.CARE}\n" if is_image else ""
    raw = task.input_shape
    if task.features and len(raw) == 1:
        raw = (len(task.features.numbers),)  # without what says which are missing
    shape = ", ".join(map(str, raw))
    answers, examples = "numbers" if task.is_regression else "probabilities", f"{task.example}s"
    read = ""
    if is_folder:
        height, width, *channels = raw
        mode = "RGB" if channels else "L"
        read = _READ.format(twice=2 * max(height, width), mode=mode, width=width, height=height)
    return f"""```python
{_LOAD}{read}
{_MODEL}{answers} = model.predict({examples})  # {examples}: (n, {shape}){", 0 to 255" * is_image}
```

It takes {takes}, scales them itself, and gives {_gives(task)}
{_classes(task)}{care}"""


def _of_table(task: Task, features: Features, row: Mapping[str, Any]) -> str:
    values = {each.name: _example(each, row.get(each.name)) for each in features.inputs}
    columns = "".join(f"        {name!r}: [{value!r}],\n" for name, value in values.items())
    tensors = "".join(
        f"    {each.name!r}: tf.constant([[{values[each.name]!r}]]"
        f"{', tf.float64' if each.kind == 'number' else ''}),\n"
        for each in features.inputs
    )
    table = "\n".join(
        f"| {_cell(each.name)} | {_kind(each)} | {_shown(values[each.name])} |"
        for each in features.inputs
    )
    a_column = "a column for each class, its probability" * (not task.is_regression)
    return f"""`python predict.py rows.csv` prints the answers for the rows of a CSV file, as CSV.
It reads the file as that of the training was read: delimiter, encoding, decimal sign, units.
In Python, in this folder:

```python
{_LOAD}import pandas as pd
import predict  # the file beside this one

{_MODEL}rows = pd.DataFrame(  # or predict.read("rows.csv", model)
    {{
{columns}    }}
)
answers = predict.answer_table(model, rows)  # {a_column or "a column with the number"}
```

It takes these columns as they were in the file, in any order; others are ignored. It gives
{_gives(task) if task.is_regression else "one probability for each class:"}
{_classes(task)}
| column | kind | example |
|---|---|---|
{table}

{_MISSING}
Without `predict.py` the model is called with a dictionary by column name, float64 for numbers and
text for all others, missing ones NaN and "":

```python
import tensorflow as tf

columns = {{
{tensors}}}
{"numbers" if task.is_regression else "probabilities"} = model(columns)  # {_shape(task)}
```
"""


def _gives(task: Task) -> str:
    """Says what a model answers."""
    if task.is_regression:
        return f"{for_markdown(task.target.name) or 'its target'} in units of its own."
    if task.kind is Kind.BINARY:
        return "the probability of the second class:"
    return "one probability for each class:"


def _classes(task: Task) -> str:
    listed = "".join(f"{i}. {for_markdown(name)}\n" for i, name in enumerate(task.class_names))
    return listed and f"\n{listed}"


def _shape(task: Task) -> str:
    if task.is_regression:
        return f"(n, 1), of {task.target.name}" if task.target.name.isprintable() else "(n, 1)"
    return f"(n, {task.n_outputs}){', of the second class' * (task.kind is Kind.BINARY)}"


def _kind(column: RawInput) -> str:
    kinds = {"number": "number", "category": "text"}
    return kinds.get(column.kind) or f"date, as {_cell(column.date_format)}"


def _example(column: RawInput, value: Any) -> Any:
    """Makes an example plain Python: something of the right kind if there is none."""
    if column.kind != "number":
        return str(value) if value is not None else ""
    number = float(value) if value is not None else math.nan
    if math.isnan(number):
        return 0
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _shown(value: Any) -> str:
    text = str(value)
    return for_code(text).replace("|", "\\|") if text.strip() else ""


def _cell(text: str) -> str:
    return for_markdown(text).replace("|", "\\|")
