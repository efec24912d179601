"""All that a finite space can draw, so that nothing is trained twice while something is left.

Two draws are one combination if they train the same network in the same way: a dropout that was
drawn for no hidden layer makes no difference.
"""

import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence

from pipeline.study.hyperparameters import DEFAULTS, Hyperparameters, Scalar, layer_name
from pipeline.study.ranges import Entry
from pipeline.study.space import Space

# Of a space with more, none is listed: no search tries so many, and a repeat is drawn again.
MOST_COMBINATIONS, MOST_DRAWS = 10_000, 50_000


def key_of(hyperparameters: Hyperparameters) -> Hashable:
    """Makes a key that is the same for the same training: 0.30000000000000004 is 0.3."""
    return tuple(
        float(f"{value:.12g}") if isinstance(value, float) else value
        for value in vars(hyperparameters.effective).values()
    )


def drawable(space: Space, given: Mapping[str, Scalar]) -> dict[str, Entry]:
    """Lists the entries that may be drawn, by their names in Optuna, such as `units_2`.

    Args:
        space: from which is drawn.
        given: what a sampler always draws, by its name in Optuna.
    """
    known = {**space.fixed, **given}
    found: dict[str, Entry] = {}
    for name, entry in space.entries.items():
        if not entry.is_active(known):
            continue
        if not entry.per:
            found[name] = entry
            continue
        source = known.get(entry.per, space.entries.get(entry.per))
        n_layers = max(source.values or ()) if isinstance(source, Entry) else source
        found |= {layer_name(name, i): entry for i in range(int(n_layers or 0))}
    return found


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
        if values is None or i == MOST_DRAWS:
            return None
        hyperparameters = Hyperparameters.from_mapping(values)
        listed.setdefault(key_of(hyperparameters), hyperparameters)
        if len(listed) > MOST_COMBINATIONS:
            return None
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
