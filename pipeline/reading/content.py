"""What identifies the content of a file or folder: a change of time or place changes nothing."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.cores import n_cores
from pipeline.errors import UsageError
from pipeline.paths import display_path
from pipeline.reading.bundled import BUNDLED, fingerprint_of_bundled
from pipeline.reading.folder_listing import list_pictures


def fingerprint_of(dataset: str) -> str:
    """Returns a SHA-256 over the content of one of scikit-learn's data sets, a folder or a file.

    Args:
        dataset: its name or path.

    Raises:
        UsageError: it cannot be read, or a folder holds no pictures by class.
    """
    if dataset in BUNDLED:
        return fingerprint_of_bundled(dataset)
    path = Path(dataset)
    return fingerprint_of_folder(path) if path.is_dir() else fingerprint_of_file(path)


def fingerprint_of_file(path: Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{display_path(path)}: cannot be read ({reason})") from None


def fingerprint_of_folder(path: Path) -> str:
    """Returns a SHA-256 over the names and contents of the pictures that are read from a folder.

    Names are those inside the folder; files that `read_image_folder` leaves out do not count.

    Raises:
        UsageError: it cannot be read, or holds no pictures by class.
    """
    listing = list_pictures(path)
    pictures = [picture for picture, _ in (*listing.train, *listing.test)]
    by_name = sorted((picture.relative_to(path).as_posix(), picture) for picture in pictures)
    with ThreadPoolExecutor(n_cores()) as pool:
        contents = pool.map(fingerprint_of_file, (picture for _, picture in by_name))
        lines = [
            f"{content} {name}\n" for (name, _), content in zip(by_name, contents, strict=True)
        ]
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()
