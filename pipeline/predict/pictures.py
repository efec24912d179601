"""Pictures as a model knows them: of the training's size and colour, and on the same ground."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UsageError
from pipeline.paths import display_path
from pipeline.predict.given import Place
from pipeline.reading.folder_listing import SUFFIXES
from pipeline.reading.image_folder import read_pictures
from pipeline.task.task import Task
from pipeline.wording import count_noun, inflect, join_names

_DARK, _LIGHT = 64, 191  # of 255: what is darker, or lighter, is a dark, or a light, border
_MOST = 0.9  # of all images of the training: then they have such a border


def read_files(paths: Sequence[Path], task: Task) -> tuple[NDArray[Any], str]:
    """Reads pictures as those of a folder are read for the training.

    Args:
        paths: of the files, of any size and of any format that Pillow reads.
        task: of which pictures are expected: raw pixels.

    Returns:
        uint8 (n, *task.input_shape); and what was done to them, "" if nothing.

    Raises:
        UsageError: one cannot be read.
    """
    height, width, *channels = task.input_shape
    if channels not in ([], [1], [3]):
        raise UsageError(
            f"{display_path(paths[0])}: found a picture, allowed is .npy or .npz: this study's "
            f"images have {channels[0]} channels"
        )
    try:
        pictures, done = read_pictures(paths, (height, width), channels == [3])
    except UsageError as error:
        raise UsageError(
            f"{error}; allowed are pictures, folders of pictures, .npy and .npz"
        ) from None
    return pictures.reshape(len(paths), *task.input_shape), done


def list_folder(folder: Path) -> tuple[list[Path], int]:
    """Lists the pictures anywhere in a folder, hidden ones apart, by name.

    Returns:
        The pictures, and how many other files are in it.

    Raises:
        UsageError: there are none, or the folder cannot be read.
    """
    try:
        files = sorted(
            path
            for path in folder.rglob("*")
            if path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        )
    except OSError as error:
        raise UsageError(f"{display_path(folder)}: cannot be read ({error.strerror})") from None
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not pictures:
        allowed = ", ".join(SUFFIXES)
        raise UsageError(f"{display_path(folder)}: found no pictures, allowed are {allowed}")
    return pictures, len(files) - len(pictures)


def negative_of(pixels: NDArray[Any]) -> NDArray[Any]:
    """Turns dark into light, whichever scale an image has: 0 to 255, or 0 to 1."""
    if pixels.dtype == np.uint8:
        return np.asarray(255 - pixels)
    highest = np.where(_is_divided(pixels), np.float32(1), np.float32(255))
    return np.asarray(highest.reshape(-1, *[1] * (pixels.ndim - 1)) - pixels)


def say_doubts(
    pixels: NDArray[Any], places: Sequence[Place], known: NDArray[Any]
) -> Iterable[str]:
    """Says of which images the answers are to be doubted, since the training had no such ones.

    Args:
        pixels: of the images that are answered, (n, height, width, ...), 0 to 255 or 0 to 1.
        places: of each.
        known: of the validation set, likewise, 0 to 255.
    """
    is_binary = pixels.reshape(len(pixels), -1).max(axis=1) <= 1
    is_binary &= ~_is_divided(pixels)
    is_blank = ~pixels.reshape(len(pixels), -1).any(axis=1)
    if (found := is_binary & ~is_blank).any():
        yield (
            f"{_name(places, found)}: all pixels are 0 or 1, taken as such of 0 to 255, nearly "
            "black; if 1 is white, multiply by 255"
        )
    usual = _borders(known)
    scaled = np.where(_is_divided(pixels), 255, 1) * _borders(pixels)
    for ground, other, is_odd, is_usual in (
        ("dark", "light", scaled > _LIGHT, usual < _DARK),
        ("light", "dark", scaled < _DARK, usual > _LIGHT),
    ):
        if is_odd.any() and is_usual.mean() >= _MOST:
            n = int(is_odd.sum())
            yield (
                f"{_name(places, is_odd)}: {inflect('has', n, 'have')} a {other} border, while "
                f"the images of the training are {other} on {ground}: "
                f"{inflect('its answer', n, 'their answers')} may be wrong; --invert answers "
                "negatives"
            )


def _name(places: Sequence[Place], chosen: NDArray[Any]) -> str:
    named = [str(place) for place, is_chosen in zip(places, chosen, strict=True) if is_chosen]
    if len(named) > 3:
        return f"{count_noun(len(named), 'image')}, such as {named[0]}"
    return join_names(named)


def _borders(pixels: NDArray[Any]) -> NDArray[Any]:
    """Computes the median of each image's outermost pixels, (n,)."""
    sides = (pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1])
    border = np.concatenate([side.reshape(len(pixels), -1) for side in sides], axis=1)
    median: NDArray[Any] = np.median(border, axis=1)
    return median


def _is_divided(pixels: NDArray[Any]) -> NDArray[Any]:
    """Tells which images are of 0 to 1, as `pixels.accept_any_scale` does, (n,)."""
    flat = pixels.reshape(len(pixels), -1)
    if flat.dtype == np.uint8:
        return np.zeros(len(flat), bool)
    found: NDArray[Any] = (flat != np.floor(flat)).any(axis=1) & (flat.max(axis=1) <= 1)
    return found
