"""All that a finite space can draw, so that nothing is trained twice while something is left.

Two draws are one combination if they train the same network in the same way: a dropout that was
drawn for no hidden layer makes no difference.
"""

import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence

from pipeline.study.hyperparameters import DEFAULTS, Hyperparameters
from pipeline.study.ranges import Choices, Entry
from pipeline.study.rules import Scalar, idle, layer_name
from pipeline.study.space import Space

# Of a space with more, none is listed: no search tries so many, and a repeat is drawn again.
MOST_COMBINATIONS = 10_000
_DECIDE = {"hidden_layers", "optimizer"}


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
    # first those on which it depends whether others have an effect; they depend on nothing
    entries = sorted(space.entries.items(), key=lambda item: item[0] not in _DECIDE)
    for i, values in enumerate(_extend(dict(space.fixed), entries, given)):
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
    """Yields values with all that the entries may add to them; None where there is no end.

    Of what has no effect, on the network or on what else is drawn, one value stands for all.
    """
    if not entries:
        yield values
        return
    (name, entry), *others = entries
    without_effect = idle(values)
    asked = {each for key, other in others if key not in without_effect for each in other.when}
    options: Iterator[object]
    if not entry.is_active(values):
        options = iter([DEFAULTS[name]])
    elif name in without_effect - asked:
        any_value = entry.choices[0] if isinstance(entry, Choices) else entry.low
        options = iter([given.get(name, any_value)])
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
