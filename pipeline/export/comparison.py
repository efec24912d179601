"""What came of a replay: a trial's epochs as they were recorded, and as they came out again."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.wording import count_noun, join_names, wrap

NOT_COMPARED = "seconds"  # of an epoch


@dataclass(frozen=True)
class Difference:
    """A value of a metric that did not come out as it was recorded.

    Attributes:
        epoch: counted from 1.
        metric: its name in the history.
        recorded: what the search has stored.
        replayed: what came out now.
    """

    epoch: int
    metric: str
    recorded: float
    replayed: float

    @property
    def size(self) -> float:
        """Absolute difference; infinite if either is no number."""
        size = abs(self.replayed - self.recorded)
        return size if math.isfinite(size) else math.inf


@dataclass(frozen=True)
class Replay:
    """What came of training a recorded trial again.

    Attributes:
        trial: its number.
        metrics: names of what was compared, in every epoch.
        missing: names of what was recorded, and is not measured any more.
        n_epochs: number of epochs that are recorded.
        n_replayed: number of epochs that it came to now.
        ended: why it came no further, if it did not.
        differences: values that are not the same, bit for bit, by epoch.
        weights: whether those of the best epoch are the stored model's; None if none is stored.
        versions: what is other than it was, with what was recorded and what is now.
    """

    trial: int
    metrics: Sequence[str]
    missing: Sequence[str]
    n_epochs: int
    n_replayed: int
    ended: str
    differences: Sequence[Difference]
    weights: bool | None
    versions: Mapping[str, tuple[str, str]]

    @property
    def is_same(self) -> bool:
        """Whether all came out as it was recorded."""
        is_whole = self.n_replayed == self.n_epochs and not self.missing
        return is_whole and not self.differences and self.weights is not False

    @property
    def largest(self) -> Difference | None:
        """The largest difference, of equal ones the first; None without any."""
        return max(self.differences, key=lambda each: each.size, default=None)

    def as_dict(self) -> dict[str, Any]:
        """Returns it as plain values."""
        largest = self.largest
        return {
            "trial": self.trial,
            "same": self.is_same,
            "epochs": self.n_epochs,
            "epochs_replayed": self.n_replayed,
            "ended": self.ended,
            "metrics": list(self.metrics),
            "missing": list(self.missing),
            "n_differences": len(self.differences),
            "first_difference": asdict(self.differences[0]) if largest else None,
            "largest_difference": asdict(largest) if largest else None,
            "same_weights": self.weights,
            "versions": {
                name: {"recorded": before, "now": now}
                for name, (before, now) in self.versions.items()
            },
        }


def compare(
    recorded: Mapping[str, Sequence[float]], replayed: Mapping[str, Sequence[float]]
) -> list[Difference]:
    """Finds the values that are not the same, bit for bit, by epoch; seconds are no matter.

    Only of metrics and epochs that both have.

    Args:
        recorded: each metric's values, one for each epoch.
        replayed: the same of now.
    """
    found = [
        Difference(epoch, name, float(before), float(now))
        for name in recorded.keys() & replayed.keys() - {NOT_COMPARED}
        for epoch, (before, now) in enumerate(
            zip(recorded[name], replayed[name], strict=False), start=1
        )
        if float(before).hex() != float(now).hex()
    ]
    names = list(recorded)
    return sorted(found, key=lambda each: (each.epoch, names.index(each.metric)))


def text(study: str, found: Replay) -> str:
    """Shows what came of a replay of one of a study's trials."""
    about, n = f"study {study}: trial {found.trial}", count_noun(found.n_epochs, "epoch")
    how = f"came out the same, bit for bit, in {_all(found.n_epochs)}"
    if not found.is_same:
        how = "did not come out the same"
    lines = [f"{about} {how}", wrap(f"compared: {join_names(found.metrics)}", indent="  ")]
    if found.n_replayed < found.n_epochs:
        why = f": {found.ended}" if found.ended else ""
        lines.append(wrap(f"it ended after epoch {found.n_replayed} of {n}{why}", indent="  "))
    if found.missing:
        lines.append(wrap(f"not measured any more: {join_names(found.missing)}", indent="  "))
    if largest := found.largest:
        first = found.differences[0]
        lines += [
            f"  it differs from epoch {first.epoch} of {found.n_epochs} on, first in "
            f"{first.metric}",
            f"  the largest difference is that of {largest.metric} in epoch {largest.epoch}:",
            f"    recorded {largest.recorded!r}, now {largest.replayed!r} "
            f"({largest.replayed - largest.recorded:+.2g})",
        ]
    if found.weights is not None:
        those = "those" if found.weights else "other than those"
        lines.append(f"  the weights of its best epoch are {those} of its stored model")
    if not found.versions:
        lines.append("  machine, versions, commit and data are those of then")
    else:
        lines.append("  what is other than it was then:")
    for name, (before, now) in found.versions.items():
        lines.append(wrap(f"{name.removeprefix('version.')}: {before}, now {now}", indent="    "))
    return "\n".join(lines)


def _all(n_epochs: int) -> str:
    return "its one epoch" if n_epochs == 1 else f"all of {n_epochs} epochs"
