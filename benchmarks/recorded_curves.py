"""Curves for the laboratory of policies: recorded ones, and for all other networks plausible ones.

python -m benchmarks.policies --curves benchmarks.recorded_curves:table    # searched on
python -m benchmarks.recorded_curves [--full]   # how far the curves of unknown networks are true
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks import record
from benchmarks.recorded.surrogate import Network, Surrogate, key_of
from pipeline.errors import UsageError
from pipeline.execution.replay import Curves
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.seeds import derived_seed
from pipeline.study.trial import Cause

MINIMUM = 20  # networks, below which there is nothing to learn from
METRIC = "val_accuracy"
FIRST_SECONDS = 1.0  # of a first epoch, where none came to its end
ABOUT_A_RUN = {"network", "seed", "n_parameters", "hyperparameters", "seconds", "failed"}


def dense(hyperparameters: Hyperparameters, seed: int) -> Curves:
    """How a network of the default study learns Fashion-MNIST."""
    return _space("dense").curves(hyperparameters, seed)


def table(hyperparameters: Hyperparameters, seed: int) -> Curves:
    """How a network of `recorded/table.toml` learns a table."""
    return _space("table").curves(hyperparameters, seed)


def convolutional(hyperparameters: Hyperparameters, seed: int) -> Curves:
    """How a network of `recorded/convolutional.toml` learns pictures."""
    return _space("convolutional").curves(hyperparameters, seed)


class Space:
    """Curves of every network of a space.

    Args:
        networks: that are recorded.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        self._recorded = {each.given: each.runs for each in networks}
        self._surrogate = Surrogate(networks, METRIC)

    def curves(self, hyperparameters: Hyperparameters, seed: int) -> Curves:
        """Finds the curves of one training: the same whenever it is asked for.

        A recorded network has those of one of its repeats. If it has but one, other seeds than 0
        have what the surrogate draws, as all seeds of a network that is not recorded.
        """
        given = _identity(hyperparameters)
        runs = self._recorded.get(given, ())
        if runs and (len(runs) > 1 or seed == 0):
            found = runs[seed % len(runs)]
        else:
            found = self._surrogate.draw(given, seed)
        return _of_length(found, hyperparameters.epochs, derived_seed(key_of(given), seed))


def read(name: str) -> list[Network]:
    """Reads the recorded networks of a space.

    Raises:
        UsageError: the seconds of one were not measured.
    """
    runs: dict[int, list[tuple[int, Curves]]] = {}
    given: dict[int, Hyperparameters] = {}
    for row in record.read(name):
        if not row["seconds"] and METRIC in row:
            raise UsageError(
                f"found network {row['network']} of {name} without seconds, allowed are some: "
                f"python -m benchmarks.record {name} --seconds"
            )
        given[row["network"]] = _identity(Hyperparameters.from_mapping(row["hyperparameters"]))
        runs.setdefault(row["network"], []).append((row["seed"], _curves_of(row)))
    return [
        Network(given[i], [run for _, run in sorted(runs[i], key=lambda pair: pair[0])])
        for i in sorted(runs)
    ]


@lru_cache
def _space(name: str) -> Space:
    networks = read(name)
    if len(networks) < MINIMUM:
        raise UsageError(
            f"found {len(networks)} recorded networks of {name}, allowed are {MINIMUM} or more: "
            f"python -m benchmarks.record {name}"
        )
    return Space(networks)


def _curves_of(row: Mapping[str, Any]) -> Curves:
    """Makes curves of a row; the last of its seconds are those of all later epochs.

    The epoch in which training broke off took time, too.
    """
    failed, seconds = row.get("failed", ""), row["seconds"] or [FIRST_SECONDS]
    metrics = {name: values for name, values in row.items() if name not in ABOUT_A_RUN}
    n = len(row.get(METRIC, ())) + bool(failed)
    seconds = [*seconds, *seconds[-1:] * (n - len(seconds))][:n]
    return Curves(
        metrics=metrics or {METRIC: []},
        seconds=seconds,
        failed=failed,
        cause=Cause.DIVERGED if failed else None,
        n_parameters=row.get("n_parameters", 0),
    )


def _identity(hyperparameters: Hyperparameters) -> Hyperparameters:
    """What decides how a network learns: not how long it does, nor what has no effect."""
    return replace(hyperparameters.effective, epochs=1)


def _of_length(curves: Curves, n: int, seed: int) -> Curves:
    """Cuts curves, or goes on with them on the level at which they end, with their noise."""
    n_known = curves.n_epochs
    if curves.failed and n_known < n:
        return curves
    cut = {name: list(values[:n]) for name, values in curves.metrics.items()}
    seconds = list(curves.seconds[:n])
    if n > n_known:
        n_last = max(n_known // 3, 1)
        order = np.random.default_rng(seed).integers(n_last, size=n - n_known)
        for name, values in cut.items():
            last = np.array(values[-n_last:])
            trend = np.polyval(np.polyfit(range(n_last), last, min(n_last - 1, 1)), range(n_last))
            more = trend[-1] + (last - trend)[order]
            cut[name] += np.clip(more, *_bounds(np.array(values))).tolist()
        seconds += np.array(seconds[-n_last:])[order].tolist()
    return replace(curves, metrics=cut, seconds=seconds, **_success(curves, n, n_known))


def _bounds(values: np.ndarray) -> tuple[float, float]:
    """Bounds of a metric, as far as its values tell: an accuracy is no more than 1."""
    is_positive = bool((values >= 0).all())
    return (0.0 if is_positive else -np.inf), (
        1.0 if is_positive and (values <= 1).all() else np.inf
    )


def _success(curves: Curves, n: int, n_known: int) -> dict[str, Any]:
    """A training that is cut before it fails does not fail."""
    return {"failed": "", "cause": None} if curves.failed and n <= n_known else {}


def main() -> int:
    """Measures the surrogates, and puts the section into the results."""
    from benchmarks import results
    from benchmarks.recorded import surrogate_quality

    return results.main(surrogate_quality.measure, "recorded_curves")


if __name__ == "__main__":
    sys.exit(main())
