"""Makes the study file of data of one's own, and says what to do next."""

import contextlib
import os
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pipeline.data import datasets
from pipeline.errors import UsageError
from pipeline.escaping import for_screen
from pipeline.files import create_whole
from pipeline.names import MAX_BYTES, MAX_CHARACTERS, file_of_study, is_name, normalize
from pipeline.new.given import say_how
from pipeline.new.plan import plan
from pipeline.new.study_file import text_of
from pipeline.new.survey import Survey, describe, survey
from pipeline.paths import Project, display_path, parse_study_name
from pipeline.reading.bundled import BUNDLED
from pipeline.study.load import load, parse
from pipeline.study.spec import StudySpec, is_known
from pipeline.task.settings import DataSettings
from pipeline.wording import wrap

WIDTH = 80  # of a terminal
_ENDINGS = (".gz", ".csv", ".tsv", ".txt", ".dat", ".parquet", ".pq", ".npz")


@dataclass(frozen=True)
class Asked:
    """What a study is to be made of.

    Attributes:
        name: of the study.
        data: as it was given, for messages.
        dataset: name of a data set, or an absolute path.
        written: the same as the study file says it, from its folder.
        target: column that is to be answered; "" if the data say it themselves.
        settings: of `[data]`, as far as they were given.
    """

    name: str
    data: str
    dataset: str
    written: str
    target: str
    settings: DataSettings

    @classmethod
    def of(
        cls,
        project: Project,
        name: str | None,
        data: str,
        target: str,
        settings: DataSettings | None = None,
    ) -> "Asked":
        """Finds the data, and names the study.

        Args:
            project: that gets the study file.
            name: of the study; None for that of the data.
            data: name of a data set, or a path from the current folder.
            target: column that is to be answered, or "".
            settings: of `[data]`.

        Raises:
            UsageError: there are no such data, or the name is none that a study may have.
        """
        settings = settings or DataSettings()
        if is_known(data):
            study = parse_study_name(name) if name else data
            return cls(study, data, data, data, target, settings)
        path = _path_of(data)
        if not (data and path.exists()):
            known = " or ".join(map(repr, datasets.names()))
            raise UsageError(f"data: found {data!r}, allowed is a file or a folder, or {known}")
        written = _from_studies(path, project.root / "studies", data)
        study = parse_study_name(name) if name else _name_of(path)
        return cls(study, data, str(path), written, target, settings)


def create(project: Project, asked: Asked, *, is_new: bool = True) -> str:
    """Looks at the data, writes the study file, and returns what to say of it.

    Args:
        project: that gets the file.
        asked: what the study is made of.
        is_new: whether `pipeline.new` was called, and nothing that calls it.

    Raises:
        UsageError: there is a study of that name, or the data will not do; the text says why.
    """
    folder = project.root / "studies"
    if file := file_of_study(asked.name, folder):
        raise _is_there(file)
    try:
        found = survey(asked.dataset, asked.target, asked.settings)
        shown = Path(asked.dataset).name
        text = text_of(
            found,
            plan(found, asked.settings),
            asked.written,
            shown,
            describe(found, shown),
            asked.settings,
        )
        spec = parse(asked.name, tomllib.loads(text))  # and so makes the data ready
    except UsageError as error:
        place, said = display_path(Path(asked.data)), str(error)
        said = said if place in said else f"{place}: {said}"
        raise UsageError(say_how(said, asked.settings, is_new=is_new)) from None
    file, was_made = folder / f"{asked.name}.toml", []

    def make(new: Path) -> None:
        new.write_text(text, encoding="utf-8")
        was_made.append(new)

    create_whole(file, make)
    if not was_made:  # somebody else was faster
        raise _is_there(file)
    return _report(spec, found, asked.data, file)


def ensure(project: Project, asked: Asked) -> str:
    """Writes the study file unless one is there that asks the same; returns the study's name.

    What is to be said of a new one is said on stderr.

    Raises:
        UsageError: there is one that asks something else, or as `create`.
    """
    file = file_of_study(asked.name, project.root / "studies")
    if file is None:
        print(create(project, asked, is_new=False), file=sys.stderr)
        return asked.name
    spec = load(project, asked.name)
    dataset = spec.data_spec.dataset
    if not (dataset == asked.dataset or _is_same_file(dataset, asked.dataset)):
        raise UsageError(
            f"{display_path(file)}: found the data {spec.dataset!r}, asked for is "
            f"{asked.written!r}; choose another name for the study, as with STUDY=NAME"
        )
    if asked.target not in ("", spec.target):
        raise UsageError(
            f"{display_path(file)}: found the target {spec.target!r}, asked for is "
            f"{asked.target!r}; choose another name for the study, as with STUDY=NAME"
        )
    for key in sorted(asked.settings.model_fields_set):
        before, wanted = getattr(spec.data, key), getattr(asked.settings, key)
        if before != wanted:
            raise UsageError(
                f"{display_path(file)}: found [data] {key} {before!r}, asked for is {wanted!r}; "
                "change it there, or choose another name for the study, as with STUDY=NAME"
            )
    return asked.name


def _report(spec: StudySpec, found: Survey, data: str, file: Path) -> str:
    remarks, warnings = datasets.about(spec.data_spec)
    is_ordered = bool(spec.data.group or spec.data.time)
    lines = [
        describe(found, data),
        *(f"  {each}" for each in remarks),
        *(f"  warning: {each}" for each in warnings),
        *(
            f"  if rows of one {each!r} belong together, set [data] group"
            for each in found.groups
            if not is_ordered
        ),
        *(
            f"  if it is the future that counts, set [data] time = {each!r}"
            for each in found.dates
            if not is_ordered
        ),
    ]
    folds = f", {spec.data.folds} folds" if spec.data.folds else ""
    lines = [
        *map(_wrapped, lines),
        "",
        f"written: {display_path(file)}: metric {spec.metric}{folds}, "
        f"{spec.budget.minutes:g} minutes",
        "next:",
        f"  .venv/bin/python -m pipeline.search {spec.name} --dry-run",
        f"  make search STUDY={spec.name}",
    ]
    return for_screen("\n".join(lines))


def _wrapped(line: str) -> str:
    indent = " " * (len(line) - len(line.lstrip()))
    return wrap(line.lstrip(), WIDTH, indent)


def _is_there(file: Path) -> UsageError:
    return UsageError(
        f"{display_path(file)}: is there already, allowed is a name that no study has; "
        "remove it or choose another NAME"
    )


def _path_of(data: str) -> Path:
    """Returns the absolute path, without `..`, of what was given.

    Raises:
        UsageError: it is not in UTF-8, which a study file is.
    """
    try:
        data.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"data: found {data!r}, allowed is a path in UTF-8: rename the file"
        ) from None
    path = Path(data)
    if data.startswith("~"):
        with contextlib.suppress(RuntimeError):  # no such user: it is a file's name
            path = path.expanduser()
    return Path(os.path.normpath(path.absolute()))


def _from_studies(path: Path, folder: Path, data: str) -> str:
    """Spells a path from the folder of study files; outside the project as it was given."""
    if not path.is_relative_to(folder.parent) and data.startswith(("/", "~")):
        return str(path)
    relative = os.path.relpath(path, folder)
    # beside the study files: what is no path to the reader of a study file
    return f"../{folder.name}/{relative}" if is_known(relative) or relative[0] == "~" else relative


def _is_same_file(dataset: str, other: str) -> bool:
    try:
        return dataset not in BUNDLED and Path(dataset).samefile(other)
    except OSError:
        return False


def _name_of(path: Path) -> str:
    """Makes the name of a study of a file's.

    Raises:
        UsageError: nothing of it may stand in a name.
    """
    name = normalize(path.name)
    for ending in _ENDINGS:
        if path.is_file() and name.lower().endswith(ending):
            name = name[: -len(ending)]
    kept = re.sub(r"[^\w.-]+", "_", name).lstrip("_-.")[:MAX_CHARACTERS].rstrip("_-.")
    while len(kept.encode()) > MAX_BYTES:
        kept = kept[:-1]
    if not is_name(kept):
        raise UsageError(
            f"name: missing, and {path.name!r} makes none; allowed is a NAME before --data"
        )
    return kept
