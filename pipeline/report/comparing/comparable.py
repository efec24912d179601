"""Which studies can be set side by side: those that measure the same on the same examples."""

from collections.abc import Iterator

from pipeline.errors import UsageError
from pipeline.report.summary import StudySummary
from pipeline.task.task import LOSS

# Keys of `[data]` that decide which rows are validated on, and how these are weighed.
_OF_VALIDATION = ("validation", "test", "seed", "group", "time", "folds", "missing", "weight")
_OF_LOSS = ("loss", "target_transform")  # of which a validation loss is


def check_comparable(first: StudySummary, second: StudySummary) -> None:
    """Refuses two studies whose values say nothing of each other.

    Raises:
        UsageError: the text says in what they differ, and what each has.
    """
    found = [f"{what} {one} and {other}" for what, one, other in _differences(first, second)]
    if found:
        raise UsageError(
            f"studies {first.spec.name!r} and {second.spec.name!r}: found {'; '.join(found)}; "
            "allowed is the same in both: only values of one metric, measured on the same "
            "validation examples, can be compared"
        )


def _differences(first: StudySummary, second: StudySummary) -> Iterator[tuple[str, str, str]]:
    """Tells what differs: its name, and what either study has."""
    one, other = first.spec, second.spec
    if not _have_same_data(first, second):
        yield "data", _data(first), _data(second)
        return  # of other data, all else has another meaning
    keys = [*_OF_VALIDATION, *(_OF_LOSS if one.objective.quantity == LOSS else ())]
    compared: list[tuple[str, object, object]] = [
        ("target", one.target, other.target),
        ("task", one.task.kind.value, other.task.kind.value),
        ("metric", one.metric, other.metric),
        *((f"[data] {key}", getattr(one.data, key), getattr(other.data, key)) for key in keys),
    ]
    differing = [each for each in compared if each[1] != each[2]]
    for what, has_one, has_other in differing:
        yield what, _show(has_one), _show(has_other)
    if not differing and first.validated_on != second.validated_on:
        yield "validation on", first.validated_on, second.validated_on


def _have_same_data(first: StudySummary, second: StudySummary) -> bool:
    if first.data_fingerprint and second.data_fingerprint:
        return first.data_fingerprint == second.data_fingerprint
    return first.spec.data_spec.dataset == second.spec.data_spec.dataset


def _data(facts: StudySummary) -> str:
    fingerprint = f" ({facts.data_fingerprint[:12]})" if facts.data_fingerprint else ""
    return f"{facts.spec.dataset}{fingerprint}"


def _show(value: object) -> str:
    return repr(value) if value not in ("", None, ()) else "none"
