"""Which pictures stand in a folder that has a folder for each class."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.paths import display_path
from pipeline.wording import count_noun, inflect, join_names

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")  # upper or lower case
_KINDS = ", ".join(SUFFIXES)
_ALLOWED = "allowed is a folder for each class with its pictures in it"
_TRAINING, _TEST = ("train", "training"), ("test", "testing")
_VALIDATION = ("val", "valid", "validation")


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder, in an order that is the same everywhere.

    Attributes:
        class_names: names of the folders of training pictures, sorted.
        train: each picture with the index of its class.
        test: the same of the test set; empty if the folder has none.
        remarks: what was found out, for people.
    """

    class_names: tuple[str, ...]
    train: tuple[tuple[Path, int], ...]
    test: tuple[tuple[Path, int], ...]
    remarks: tuple[str, ...]


def list_pictures(root: Path) -> Listing:
    """Finds the pictures of each class, of training and of a test set if there is one.

    Args:
        root: holds a folder for each class, or a folder `train` and maybe `test` that do;
            pictures in `val` or `validation` are added to those of training. Hidden files,
            files of other kinds and folders inside those of the classes are left out and counted.

    Raises:
        UsageError: there is no such folder, it holds no pictures by class, a class has none, or
            only the test set has it.
    """
    folders = _folders(root)
    by_name = {folder.name.lower(): folder for folder in folders}
    training = next((by_name[name] for name in _TRAINING if name in by_name), None)
    parts, tests, remarks = [root], [], []
    if training is not None and _is_part(training):
        parts = [training]
        for folder in folders:
            name = folder.name.lower()
            if folder == training:
                continue
            if name not in (*_VALIDATION, *_TEST):
                remarks.append(f"{folder.name}/ is not read: it lies beside {training.name}/")
            elif not _is_part(folder):
                remarks.append(f"{folder.name}/ is not read: it has no folder for each class")
            elif name in _VALIDATION:
                parts.append(folder)
                remarks.append(f"pictures of {folder.name}/ are added to those of training")
            else:
                tests.append(folder)
    n_ignored: Counter[str] = Counter()
    for folder in {root, *parts, *tests}:
        n_ignored["file"] += sum(not entry.is_dir() for entry in _entries(folder))
    train, test = _pictures(parts, n_ignored), _pictures(tests, n_ignored)
    class_names = tuple(sorted(train))
    for name in test:
        if name not in train:
            raise UsageError(
                f"{display_path(root)}: the test set has the class {name}, "
                f"allowed are those of training: {join_names(class_names)}"
            )
    for noun, place in (("file", "no pictures by class"), ("folder", "inside those of classes")):
        if n := n_ignored[noun]:
            remarks.append(f"{count_noun(n, noun)} {inflect('is', n, 'are')} not read: {place}")
    return Listing(
        class_names,
        tuple(_labelled(train, class_names)),
        tuple(_labelled(test, class_names)),
        tuple(remarks),
    )


def _pictures(parts: list[Path], n_ignored: Counter[str]) -> dict[str, list[Path]]:
    """Lists the pictures of each class, of all parts together; counts what is none.

    Raises:
        UsageError: a class has none, or a name that cannot be printed.
    """
    found: dict[str, list[Path]] = {}
    for folder in (folder for part in parts for folder in _folders(part)):
        where = display_path(folder)
        if not folder.name.isprintable():
            raise UsageError(f"{where}: found a name of a class that cannot be printed")
        entries = _entries(folder)
        pictures = [entry for entry in entries if _is_picture(entry)]
        n_inner = sum(entry.is_dir() for entry in entries)
        if not pictures:
            inside = f", but {count_noun(n_inner, 'folder')}" if n_inner else ""
            hint = "; if those are the classes, give this folder itself" if n_inner > 1 else ""
            raise UsageError(f"{where}: found no pictures ({_KINDS}){inside}, {_ALLOWED}{hint}")
        n_ignored["folder"] += n_inner
        n_ignored["file"] += len(entries) - len(pictures) - n_inner
        found.setdefault(folder.name, []).extend(pictures)
    return found


def _folders(part: Path) -> list[Path]:
    """Lists the folders in a part.

    Raises:
        UsageError: there are none.
    """
    entries = _entries(part)
    folders = [entry for entry in entries if entry.is_dir()]
    if folders:
        return folders
    where = display_path(part)
    if n_pictures := sum(map(_is_picture, entries)):
        n = count_noun(n_pictures, "picture")
        raise UsageError(f"{where}: found {n} and no folders, {_ALLOWED}")
    raise UsageError(f"{where}: found no pictures ({_KINDS}), {_ALLOWED}")


def _is_part(folder: Path) -> bool:
    """Whether a folder holds classes, as `train` does, and is not one of them."""
    entries = _entries(folder)
    return any(each.is_dir() for each in entries) and not any(map(_is_picture, entries))


def _entries(folder: Path) -> list[Path]:
    """Lists what is in a folder by name, without hidden files.

    Raises:
        UsageError: it is no folder, or cannot be read.
    """
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{display_path(folder)}: cannot be read ({reason})") from None
    return [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]


def _is_picture(entry: Path) -> bool:
    return entry.suffix.lower() in SUFFIXES and not entry.is_dir()


def _labelled(
    pictures: dict[str, list[Path]], class_names: tuple[str, ...]
) -> Iterable[tuple[Path, int]]:
    for label, name in enumerate(class_names):
        for picture in pictures.get(name, []):
            yield picture, label
