"""Names of studies: what is allowed, and the files that bear them, however a disk spells them."""

import unicodedata
from pathlib import Path

DETAILS_FILE = "test_details.json"  # how a model errs on the test set, worked out at a look
MAX_CHARACTERS, MAX_BYTES = 100, 200  # of a name; NAME.workers.log has to fit 255 bytes
NAME_RULE = (
    "letters and digits of any script, '_', '-' and '.', a letter or digit first, at most "
    f"{MAX_CHARACTERS} characters and {MAX_BYTES} bytes in UTF-8"
)


def normalize(name: str) -> str:
    """Composes what some systems write in parts, as Hangul syllables: one name is one string."""
    return unicodedata.normalize("NFC", name)


def file_of_study(study: object, folder: Path) -> Path | None:
    """Finds the file of a study by its name in a folder; None if it is no name of one there."""
    path = folder / f"{study}.toml"
    return existing_file(path) if isinstance(study, str) and path.parent == folder else None


def existing_file(path: Path) -> Path | None:
    """Returns a file as the disk spells its name, composed or not; None if there is none."""
    try:
        if path.is_file():
            return path
        wanted = normalize(path.name)
        if wanted.isascii():  # there is one way to write it
            return None
        spelled = sorted(each for each in path.parent.iterdir() if normalize(each.name) == wanted)
        return next((each for each in spelled if each.is_file()), None)
    except (OSError, ValueError):  # a name longer than a disk allows, or with a NUL in it
        return None


def is_name(text: str) -> bool:
    """Tells whether a composed name is one that a study may have."""
    kinds = [unicodedata.category(each)[0] for each in text]
    return (
        0 < len(text) <= MAX_CHARACTERS
        and kinds[0] in "LN"
        and all(kind in "LMN" or each in "_-." for kind, each in zip(kinds, text, strict=True))
        and len(text.encode()) <= MAX_BYTES
    )


def state_file(trial: int, epoch: int) -> str:
    """Names the file of the state of a trial's training after an epoch, in a study's folder."""
    return f"{trial}.{epoch}.npz"


def details_folder(trial: int) -> str:
    """Names the folder of what tells of a look at a trial's own model, in its run's."""
    return f"trial_{trial}"
