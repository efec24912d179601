"""What a user has given: which study, and which inputs, read and ready to be answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.names import is_name, normalize
from pipeline.paths import DEFAULT_STUDY, Project, display_path, parse_study_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

STDIN = "-"


@dataclass(frozen=True)
class Place:
    """Where an example comes from.

    Attributes:
        source: the file, as it is shown.
        row: in the file, from 1; None if the file is one example.
    """

    source: str
    row: int | None = None

    def __str__(self) -> str:
        """As it stands in front of an answer."""
        return self.source if self.row is None else f"{self.source}:{self.row}"


@dataclass(frozen=True)
class Given:
    """Examples as a model that is handed over takes them, and where they come from.

    Attributes:
        places: of each example.
        inputs: pictures or numbers, (n, ...); or by name the columns of a table, (n,).
    """

    places: tuple[Place, ...]
    inputs: "NDArray[Any] | Mapping[str, NDArray[Any]]"


def places_in(source: str, n_rows: int) -> tuple[Place, ...]:
    """Numbers the examples of a file."""
    return tuple(Place(source, row) for row in range(1, n_rows + 1))


def split_arguments(project: Project, arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Tells the study from the inputs, which have to be there.

    Args:
        project: whose studies are known.
        arguments: of the command line.

    Returns:
        The study's name, `DEFAULT_STUDY` if none is given, and the inputs.

    Raises:
        UsageError: an input is neither a file nor a folder; the text lists the studies if it is
            the first argument, which may have been meant as one.
        PipelineError: Optuna's store cannot be used.
    """
    study, inputs = DEFAULT_STUDY, list(arguments)
    if inputs and not _is_input(inputs[0]):
        known = _studies(project)
        first = inputs.pop(0)
        if first.endswith(".toml") or normalize(first) in known:
            study = parse_study_name(first)
        else:
            raise UsageError(
                f"{_shown(first)}: no such file or folder, and no study; the studies here are: "
                f"{', '.join(known) or 'none'}"
            )
    for each in inputs:
        if not _is_input(each):
            raise UsageError(f"{_shown(each)}: no such file or folder")
    if inputs.count(STDIN) > 1:
        raise UsageError("-: found twice, allowed is once: stdin is read to its end")
    return study, inputs


def _is_input(argument: str) -> bool:
    if argument == STDIN:
        return True
    try:
        return bool(argument) and not argument.endswith(".toml") and Path(argument).exists()
    except OSError:  # a name longer than a disk allows
        return False


def _shown(argument: str) -> str:
    return display_path(Path(argument)) if argument else "''"


def _studies(project: Project) -> list[str]:
    """Lists the studies that have a file, and those that have been searched."""
    from pipeline.storage import studies

    files = {normalize(file.stem) for file in (project.root / "studies").glob("*.toml")}
    return sorted({*filter(is_name, files), *studies.stored_names(project)})
