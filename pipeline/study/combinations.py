"""All that a finite space can draw, so that nothing is trained twice while something is left.

Two draws are one combination if their hyperparameters are the same: `units` that were drawn for
no hidden layer make no difference.
"""

import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence

from pipeline.study.hyperparameters import DEFAULTS, Hyperparameters, Scalar, layer_name
from pipeline.study.ranges import Entry
from pipeline.study.space import Space

# Of a space with more, none is listed: no search tries so many, and a repeat is drawn again.
MOST_COMBINATIONS = 10_000


def key_of(hyperparameters: Hyperparameters) -> Hashable:
    """Makes a key that is the same for the same hyperparameters: 0.30000000000000004 is 0.3."""
    return tuple(
        float(f"{value:.12g}") if isinstance(value, float) else _hashable(value)
        for value in hyperparameters.as_dict().values()
    )


def may_repeat(space: Space, given: Mapping[str, Scalar]) -> bool:
    """Tells whether two draws may be equal: not if each has a number without a step.

    Args:
        space: from which is drawn.
        given: what a sampler always draws, by its name in Optuna.
    """
    return all(
        entry.values is not None or entry.when or name in given
        for name, entry in space.entries.items()
    )


def is_endless(space: Space, given: Mapping[str, Scalar]) -> bool:
    """Tells whether any entry is a number without a step.

    Args:
        space: from which is drawn.
        given: what a sampler always draws, by its name in Optuna.
    """
    return any(entry.values is None and name not in given for name, entry in space.entries.items())


def combinations(
    space: Space, given: Mapping[str, Scalar]
) -> dict[Hashable, Hyperparameters] | None:
    """Lists all that a space can draw; None if there is no end of it, or too much to list.

    Args:
        space: from which is drawn.
        given: what a sampler always draws, by its name in Optuna.
    """
    listed: dict[Hashable, Hyperparameters] = {}
    for i, values in enumerate(_extend(dict(space.fixed), list(space.entries.items()), given)):
        if values is None or i == MOST_COMBINATIONS:
            return None
        hyperparameters = Hyperparameters.from_mapping(values)
        listed.setdefault(key_of(hyperparameters), hyperparameters)
    return listed


def _extend(
    values: Mapping[str, object],
    entries: Sequence[tuple[str, Entry]],
    given: Mapping[str, Scalar],
) -> Iterator[Mapping[str, object] | None]:
    """Yields values with all that the entries may add to them; None where there is no end."""
    if not entries:
        yield values
        return
    (name, entry), *others = entries
    options: Iterator[object]
    if not entry.is_active(values):
        options = iter([DEFAULTS[name]])
    elif entry.per:
        n_layers = values[entry.per]
        assert isinstance(n_layers, int)
        layers = [_options(layer_name(name, i), entry, given) or () for i in range(n_layers)]
        options = map(list, itertools.product(*layers))
    elif (listed := _options(name, entry, given)) is None:
        yield None
        return
    else:
        options = iter(listed)
    for option in options:
        yield from _extend({**values, name: option}, others, given)


def _options(name: str, entry: Entry, given: Mapping[str, Scalar]) -> Sequence[Scalar] | None:
    return (given[name],) if name in given else entry.values


def _hashable(value: object) -> Hashable:
    return tuple(value) if isinstance(value, list | tuple) else value
