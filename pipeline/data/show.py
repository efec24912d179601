"""What a data set holds, as text and as a picture."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.data.datasets import fetch, load
from pipeline.errors import PipelineError
from pipeline.paths import Project, display_path
from pipeline.task.dataset import Dataset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.task.source import Inputs

_BLACK = 32  # of 255: the ground of pictures of which half of all pixels are darker


def show(name: str, picture: Path | None) -> None:
    """Fetches and verifies a data set, prints what it holds, and saves samples of it.

    Args:
        name: of the data set.
        picture: where to save samples (PNG); None for a file in `exports/`.

    Raises:
        UsageError: there is no data set of that name.
        PipelineError: it could not be had, or the picture cannot be written.
    """
    dataset = load(name)
    path = picture or Project.here().root / "exports" / f"{name}-samples.png"
    save_picture(dataset, path)
    print(f"{dataset.name}: {len(dataset.class_names)} classes, training files verified")
    print(f"  folder       {fetch(name)}")
    print(f"  fingerprint  {dataset.fingerprint}")
    for part, images, labels in (
        ("training", dataset.train_inputs, dataset.train_targets),
        ("validation", dataset.validation_inputs, dataset.validation_targets),
    ):
        print(f"  {part:<12} images {images.shape} {images.dtype}, labels {labels.shape}")
    n_test = dataset.task.n_test
    count = "" if n_test is None else f"{n_test:,} "
    print(f"  test         {count}images, sealed: only `best --export` opens them")
    mean = dataset.train_inputs.mean() / 255
    print(f"  mean pixel   {mean:.5f} of 1, in training\n")
    print(f"  {'label':>5}  {'class':<12} {'training':>9} {'validation':>11}")
    for label, class_name in enumerate(dataset.class_names):
        n_train = int((dataset.train_targets == label).sum())
        n_validation = int((dataset.validation_targets == label).sum())
        print(f"  {label:>5}  {class_name:<12} {n_train:>9,} {n_validation:>11,}")
    print(f"\nsamples of each class: {display_path(path)}")


def save_picture(dataset: Dataset, path: Path, n_per_class: int = 12) -> None:
    """Saves samples as a PNG: a row for each class, its name in front; of a regression one row.

    Grey on a black ground is shown in negative; of numbers the lowest is black, the highest white.

    Args:
        dataset: whose training inputs are shown: (n, height, width), or with 1, 3 or 4 channels
            (of four the first three are seen).
        path: of the PNG.
        n_per_class: how many images a row has.

    Raises:
        PipelineError: the file cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    rows = [
        (name, dataset.train_inputs[dataset.train_targets == label][:n_per_class])
        for label, name in enumerate(dataset.class_names)
    ] or [(dataset.task.target.name, dataset.train_inputs[:n_per_class])]
    tiles = as_pixels([samples for _, samples in rows])
    mode = "RGB" if tiles[0].ndim == 4 else "L"
    font, size = ImageFont.load_default(size=18), 56
    longest = max(font.getlength(name) for name, _ in rows)
    label_width = min(max(130, round(longest) + 16), 400)
    picture = Image.new(mode, (label_width + n_per_class * size, len(rows) * size), color="white")
    draw = ImageDraw.Draw(picture)
    for row, ((name, _), samples) in enumerate(zip(rows, tiles, strict=True)):
        draw.text((8, row * size + size // 3), name, fill="black", font=font)
        for column, sample in enumerate(samples):
            tile = Image.fromarray(sample).resize((size, size))
            picture.paste(tile, (label_width + column * size, row * size))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, format="PNG")
    except (OSError, ValueError) as error:  # the latter of a name with a NUL in it
        reason = getattr(error, "strerror", None) or error
        raise PipelineError(f"{display_path(path)}: cannot be written ({reason})") from None


def as_pixels(rows: "list[Inputs]") -> "list[NDArray[np.uint8]]":
    """Brings pictures of each row to uint8, (n, height, width) or (n, height, width, 3)."""
    import numpy as np

    if rows[0].ndim == 4:
        rows = [row[..., 0] if row.shape[-1] == 1 else row[..., :3] for row in rows]
    values = np.concatenate([row.reshape(-1) for row in rows])
    if values.dtype != np.uint8:
        low, high = float(values.min()), float(values.max())
        scale = 255 / (high - low) if high > low else 0.0
        rows, values = [(row - low) * scale for row in rows], (values - low) * scale
    pixels = [np.asarray(row).round().astype(np.uint8) for row in rows]
    is_negative = pixels[0].ndim == 3 and np.median(values) < _BLACK
    return [255 - row if is_negative else row for row in pixels]
