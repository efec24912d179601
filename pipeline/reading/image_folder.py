"""Pictures in a folder that has a folder for each class, brought to one size and colour."""

import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cores import n_cores
from pipeline.errors import UsageError, first_line
from pipeline.paths import display_path
from pipeline.reading.column import Column, ColumnKind, RawArrays
from pipeline.reading.folder_listing import list_pictures
from pipeline.wording import count_noun, inflect

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

_LARGEST_MEDIAN = 64  # pixels of either side, if pictures differ in size and none is asked for
_MOST_BYTES = 2**30  # of all pictures, if they are not to be resized and nobody asked for that
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L")  # Pillow's modes
_SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L")
_ORIENTATION, _LYING = 0x0112, (5, 6, 7, 8)  # of EXIF: those that swap height and width


def read_image_folder(
    path: Path, *, size: tuple[int, int] | None = None, colour: bool | None = None
) -> RawArrays:
    """Reads the pictures of a folder that has a folder for each class, several at a time.

    They are turned upright as EXIF says, what is transparent becomes white, 16 bits become 8,
    and all are resized to one size (bilinear, antialiased; large JPEGs are decoded at a smaller
    scale first, as Pillow's `thumbnail` does).

    Args:
        path: of the folder; `list_pictures` says how it is laid out.
        size: height and width in pixels; if not given, that of all pictures if they have the same
            and take less than 1 GiB, else the medians of heights and widths, 64 at most.
        colour: whether there are three channels (red, green, blue), or grey alone; if not
            given, grey if all pictures of training are.

    Returns:
        inputs uint8 (n, height, width) or (n, height, width, 3), sorted by class and name;
        targets "class", whose vocabulary are the names of the folders, sorted.

    Raises:
        UsageError: there are no pictures by class, or some cannot be read.
    """
    listing = list_pictures(path)
    train, test = ([picture for picture, _ in part] for part in (listing.train, listing.test))
    with ThreadPoolExecutor(n_cores()) as pool:
        heads = list(pool.map(_head, train))
    seen = [head for head in heads if isinstance(head, _Head)]
    if not seen:
        raise _unreadable({picture: str(head) for picture, head in zip(train, heads, strict=True)})
    if colour is None:
        colour = not all(head.is_grey for head in seen)
    if size is None:
        size = _size_of(seen, 3 if colour else 1)
    elif min(size) < 1:
        raise UsageError(f"image_size: found {list(size)}, allowed are height and width from 1")
    pictures, bad = _read(train, size, colour)
    test_pictures, bad_of_test = _read(test, size, colour)
    if bad or bad_of_test:
        raise _unreadable(bad | bad_of_test)
    n_classes = len(listing.class_names)
    remarks = (
        f"{count_noun(len(train), 'picture')} of {n_classes:,} "
        f"{inflect('class', n_classes, 'classes')}"
        + (f", and {len(test):,} of a test set" if test else ""),
        f"{'colour' if colour else 'grey'}, {_said(size, seen)}",
        *listing.remarks,
    )
    return RawArrays(
        path,
        pictures,
        _targets(listing.train, listing.class_names),
        test_pictures if test else None,
        _targets(listing.test, listing.class_names) if test else None,
        remarks,
    )


def read_pictures(
    paths: Sequence[Path], size: tuple[int, int], colour: bool
) -> "tuple[NDArray[np.uint8], str]":
    """Reads pictures as `read_image_folder` does, so that a model sees them as those it knows.

    Args:
        paths: of the files.
        size: height and width in pixels.
        colour: whether there are three channels, or grey alone.

    Returns:
        uint8 (n, height, width) or (n, height, width, 3); and what was done to those of another
        size or colour, for people, "" if there are none.

    Raises:
        UsageError: one cannot be read; the text names the first, and counts the others.
    """
    pictures, bad = _read(paths, size, colour)
    if bad:
        raise _unreadable(bad)
    with ThreadPoolExecutor(n_cores()) as pool:
        heads = [head for head in pool.map(_head, paths) if isinstance(head, _Head)]
    others = [
        head for head in heads if (head.height, head.width) != size or not (colour or head.is_grey)
    ]
    if not others:
        return pictures, ""
    done = f"{'colour' if colour else 'grey'}, {_said(size, others)}"
    return pictures, f"{count_noun(len(others), 'picture')}: {done}"


@dataclass(frozen=True)
class _Head:
    """What a file says of its picture before it is decoded."""

    height: int
    width: int
    is_grey: bool


def _head(path: Path) -> _Head | str:
    """Reads the size of a picture as it is seen, or returns why it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            # of others, asking for EXIF decodes the picture
            is_lying = image.format == "JPEG" and _orientation(image) in _LYING
            height, width = image.size if is_lying else image.size[::-1]
            return _Head(height, width, image.mode in _GREY)
    except Exception as error:  # Pillow's decoders raise nearly anything of a damaged file
        return _reason(error)


def _read(
    paths: Sequence[Path], size: tuple[int, int], colour: bool
) -> "tuple[NDArray[np.uint8], dict[Path, str]]":
    """Reads all pictures into one array; returns it, and why some could not be read."""
    import numpy as np

    pictures = np.empty((len(paths), *size, *([3] if colour else [])), np.uint8)

    def read(i: int) -> str:
        try:
            pictures[i] = _decoded(paths[i], size, colour)
        except Exception as error:  # as above
            return _reason(error)
        return ""

    with ThreadPoolExecutor(n_cores()) as pool:
        reasons = pool.map(read, range(len(paths)))
        bad = {path: reason for path, reason in zip(paths, reasons, strict=True) if reason}
    return pictures, bad


def _decoded(path: Path, size: tuple[int, int], colour: bool) -> "NDArray[np.uint8]":
    """Decodes one picture as uint8, (height, width) or (height, width, 3)."""
    import numpy as np
    from PIL import Image, ImageOps

    height, width = size
    mode = "RGB" if colour else "L"
    with Image.open(path) as opened:
        opened.draft(None, (2 * max(size), 2 * max(size)))
        opened.load()
        image: Image.Image = opened
        if _orientation(image) != 1:
            image = ImageOps.exif_transpose(image)
        if image.mode in _SIXTEEN_BITS:
            values = np.asarray(image).astype(np.float32) / 257
            image = Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
        elif image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        image = image.convert(mode)
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image)


def _orientation(image: "Picture") -> int:
    """Reads which side of a picture is up: from 1, as it is stored, to 8; 1 if nothing says so."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF says nothing, and the picture may be whole
        return 1
    return orientation if orientation in range(1, 9) else 1


def _size_of(heads: Sequence[_Head], n_channels: int) -> tuple[int, int]:
    """Chooses the size of all pictures: their own if it is the same, else a small one."""
    heights, widths = [head.height for head in heads], [head.width for head in heads]
    n_bytes = len(heads) * heights[0] * widths[0] * n_channels
    if len(set(zip(heights, widths, strict=True))) == 1 and n_bytes <= _MOST_BYTES:
        return heights[0], widths[0]
    medians = (int(statistics.median(each)) for each in (heights, widths))
    height, width = (min(each, _LARGEST_MEDIAN) for each in medians)
    return height, width


def _said(size: tuple[int, int], heads: Sequence[_Head]) -> str:
    """Says to which size pictures were brought, and from which."""
    of_area = sorted((head.height * head.width, head.height, head.width) for head in heads)
    (_, *smallest), (_, *largest) = of_area[0], of_area[-1]
    height, width = size
    if smallest == largest == [*size]:
        return f"{height} by {width} pixels (height by width)"
    found = f"{smallest[0]} by {smallest[1]}"
    if smallest != largest:
        found += f" to {largest[0]} by {largest[1]}"
    return f"resized to {height} by {width} pixels (height by width) from {found}"


def _targets(labelled: Sequence[tuple[Path, int]], class_names: tuple[str, ...]) -> Column:
    import numpy as np

    codes = np.array([label for _, label in labelled], np.int32)
    return Column("class", ColumnKind.CATEGORY, codes, class_names)


def _unreadable(reasons: dict[Path, str]) -> UsageError:
    """Names the first picture that cannot be read, and counts the others."""
    path, reason = next(iter(reasons.items()))
    n = len(reasons) - 1
    others = f"; nor can {count_noun(n, 'other picture')}" if n else ""
    return UsageError(f"{display_path(path)}: cannot be read as a picture ({reason}){others}")


def _reason(error: Exception) -> str:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "none of a known kind, or cut off"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels"
    return getattr(error, "strerror", None) or first_line(error)
