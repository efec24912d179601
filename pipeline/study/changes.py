"""What differs between the study file of a begun study and today's, and what of it may."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ValidationError

from pipeline.study.messages import place_of
from pipeline.study.spec import StudySpec, is_known

N_SHOWN = 5  # changes that a sentence names
LONGEST = 40  # characters of a value in it
ABSENT: Any = object()


@dataclass(frozen=True)
class Change:
    """One key of a study file with its value before and today; `ABSENT` where it has none."""

    keys: tuple[str, ...]
    old: Any
    new: Any

    @property
    def is_allowed(self) -> bool:
        """Whether trials turn out as before in spite of the change."""
        return any(_matches(self.keys, keys) and rule(self) for keys, rule in _ALLOWED)

    @property
    def is_noted(self) -> bool:
        """Whether a reader of results has to know of the change."""
        return not any(_matches(self.keys, keys) for keys in _OF_NO_TRIAL)

    def __str__(self) -> str:
        """Says it as a user finds it in the file."""
        table, *rest = self.keys
        where = place_of([table, *rest])
        if table in ("reference", "comparison") and rest:
            where = " ".join([f"[[{table}]] {_short(rest[0])}", *rest[1:]])
        elif table == "space" and len(rest) > 1:
            where = f"[space] {rest[0]} {'.'.join(rest[1:])}"
        if self.old is ABSENT or self.new is ABSENT:
            verb, value = ("added", self.new) if self.old is ABSENT else ("removed", self.old)
            return f"{where} {verb}" if isinstance(value, dict) else f"{where} {verb} ({value!r})"
        return f"{where}: {_short(self.old)} -> {_short(self.new)}"


def _anything(_: Change) -> bool:
    return True


def _raised(change: Change) -> bool:
    return bool(change.new > change.old)


def _moved(change: Change) -> bool:
    return not is_known(change.old) and not is_known(change.new)


def _added(change: Change) -> bool:
    return change.old is ABSENT


# Keys that no trial sees; `*` stands for any one key.
_OF_NO_TRIAL = (
    "name", "goal", "folder", "budget", "budget/*", "baseline", "comparison", "comparison/*",
    "finals", "resources", "training/retries", "training/stop_after_failures",
    "reference/*/claim",
)  # fmt: skip
# Keys that may change, and how.
_ALLOWED: tuple[tuple[str, Callable[[Change], bool]], ...] = (
    *((keys, _anything) for keys in _OF_NO_TRIAL),
    ("training/trial_minutes", _raised),  # who ended within less ends as before
    ("dataset", _moved),  # the data themselves are held against their fingerprint
    ("reference/*", _added),
    ("reference/*/repeats", _raised),
)


def _matches(keys: tuple[str, ...], pattern: str) -> bool:
    """Tells whether keys are those of a pattern, or below the last of them."""
    wanted = pattern.split("/")
    is_below = len(keys) > len(wanted) and wanted[-1] != "*"
    shown = keys[: len(wanted)] if is_below else keys
    return len(shown) == len(wanted) and all(map(fnmatchcase, shown, wanted))


def changes_since(stored: str, today: StudySpec) -> list[Change]:
    """Lists what differs from the study file that a store holds as JSON.

    A file of another version of this program, which this one cannot read, is compared as it is.
    """
    try:
        before = StudySpec.model_validate_json(stored, strict=False).model_dump(mode="json")
    except ValidationError:
        before = json.loads(stored)
    return list(_differences((), _by_name(before), _by_name(today.model_dump(mode="json"))))


def summarize(changes: list[Change]) -> str:
    """Names a few changes, and counts the others."""
    said = "; ".join(map(str, changes[:N_SHOWN]))
    left = len(changes) - N_SHOWN
    return f"{said}; and {left} more" if left > 0 else said


def _differences(keys: tuple[str, ...], old: Any, new: Any) -> Iterator[Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            yield from _differences((*keys, key), old.get(key, ABSENT), new.get(key, ABSENT))
    elif old is ABSENT or new is ABSENT or json.dumps(old) != json.dumps(new):
        yield Change(keys, old, new)


def _by_name(content: Mapping[str, Any]) -> dict[str, Any]:
    """Turns lists of named tables into tables, so that their order does not matter."""
    tables = {"reference": "name", "comparison": "claim"}
    return {
        key: {str(each[tables[key]]): each for each in value} if key in tables else value
        for key, value in content.items()
    }


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-10:]}"
