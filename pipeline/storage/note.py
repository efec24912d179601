"""The note of a study, as Optuna's dashboard shows it: first its goal, in the end what it found.

The dashboard keeps a note in system attributes of the study: a text in pieces, and a version that
each change counts up by one. The same is written here, for importing the dashboard, with its
server, would take a search a second; a test holds it against the dashboard.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import optuna

from pipeline.errors import PipelineError, first_line
from pipeline.storage import optuna_internals

VERSION, PIECE = "dashboard:note_ver", "dashboard:note_str:"  # the dashboard's names
MOST = 2045  # characters of a piece, as the dashboard has it
OWN = "note_versions"  # user attribute of a study: versions of its note that are no user's


def begin(study: optuna.Study, text: str) -> None:
    """Writes a study's note if it has none, and says so if that cannot be done.

    Args:
        study: whose.
        text: in Markdown.

    Raises:
        PipelineError: who searches the study has lost it, and writes nothing any more.
    """
    with _doing_no_harm():
        if VERSION not in _attributes(study):
            _write(study, text)


def replace(study: optuna.Study, text: str) -> None:
    """Writes a study's note unless a user has written it, and says so if that cannot be done.

    Args:
        study: whose.
        text: in Markdown.

    Raises:
        PipelineError: who searches the study has lost it, and writes nothing any more.
    """
    with _doing_no_harm():
        known = _attributes(study)
        is_own = known.get(VERSION, 0) in study.user_attrs.get(OWN, [0])
        if is_own and "".join(_pieces(known)) != text:
            _write(study, text)


@contextlib.contextmanager
def _doing_no_harm() -> Iterator[None]:
    """A note is worth no search: what keeps it from being written is said, and no more."""
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:  # Optuna's, SQLAlchemy's; of another Optuna, whatever it raises
        said = f"the study's note in Optuna's dashboard is not written: {first_line(error)}"
        print(said, file=sys.stderr)


def _attributes(study: optuna.Study) -> dict[str, Any]:
    storage, number = optuna_internals.storage_of(study)
    return dict(storage.get_study_system_attrs(number))


def _pieces(attributes: dict[str, Any]) -> list[str]:
    """Lists the pieces of a note in their order; those that a longer one has left are empty."""
    n = sum(key.startswith(PIECE) for key in attributes)
    return [str(attributes[f"{PIECE}{i}"]) for i in range(n)]


def _write(study: optuna.Study, text: str) -> None:
    """Writes a note; whoever is killed meanwhile leaves one that is known to be no user's.

    For its version is counted up by two, and noted first: a user's next one is another.
    """
    storage, number = optuna_internals.storage_of(study)
    known = _attributes(study)
    before = int(known.get(VERSION, 0))
    study.set_user_attr(OWN, [before, before + 2])
    pieces = [text[start : start + MOST] for start in range(0, len(text), MOST)]
    pieces += [""] * (len(_pieces(known)) - len(pieces))
    for i, piece in enumerate(pieces):
        storage.set_study_system_attr(number, f"{PIECE}{i}", piece)
    storage.set_study_system_attr(number, VERSION, before + 2)
