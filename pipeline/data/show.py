"""What a data set holds, as text and as a picture."""

from pathlib import Path

from pipeline.data.dataset import Dataset
from pipeline.data.datasets import fetch, load
from pipeline.errors import PipelineError
from pipeline.paths import Project, display_path


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
    print(f"{dataset.name}: {len(dataset.class_names)} classes, all files verified")
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
    """Saves samples as a PNG: a row for each class, its name in front.

    Args:
        dataset: whose training images are shown.
        path: of the PNG.
        n_per_class: how many images a row has.

    Raises:
        PipelineError: the file cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    size, label_width = 56, 130
    picture = Image.new(
        "L", (label_width + n_per_class * size, len(dataset.class_names) * size), color=255
    )
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=18)
    for row, class_name in enumerate(dataset.class_names):
        draw.text((8, row * size + size // 3), class_name, fill=0, font=font)
        samples = dataset.train_inputs[dataset.train_targets == row][:n_per_class]
        for column, sample in enumerate(samples):
            tile = Image.fromarray(255 - sample).resize((size, size))
            picture.paste(tile, (label_width + column * size, row * size))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, format="PNG")
    except (OSError, ValueError) as error:  # the latter of a name with a NUL in it
        reason = getattr(error, "strerror", None) or error
        raise PipelineError(f"{display_path(path)}: cannot be written ({reason})") from None
