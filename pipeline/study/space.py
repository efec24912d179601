"""A search space: ranges and choices of hyperparameters, with conditions and per-layer entries."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from pipeline.study.hyperparameters import DEFAULTS, Hyperparameters
from pipeline.study.ranges import Choices, Entry
from pipeline.study.rules import RULES, Scalar, check, layer_name, rule_of

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

MOST_LAYERS = int(RULES["hidden_layers"].high)
MOST_STEPS = 1_000_000  # in a range: as many as the largest batch size has


class SpaceError(ValueError):
    """An entry that makes no sense.

    Args:
        table: of the study file: "fixed" or "space".
        key: of the entry within the table, such as "units.choices".
        message: what was found and what is allowed.
    """

    def __init__(self, table: str, key: str, message: str) -> None:
        super().__init__(message)
        self.table, self.key = table, key


@dataclass(frozen=True)
class Space:
    """What is searched and what stays fixed; see `checked` for what holds of it."""

    fixed: Mapping[str, Any]
    entries: Mapping[str, Entry]

    @classmethod
    def checked(cls, fixed: Mapping[str, Any], entries: Mapping[str, Entry]) -> "Space":
        """Builds a space in which every draw is a valid `Hyperparameters`.

        Raises:
            SpaceError: a name is unknown or given twice, a range is empty or leaves what is
                allowed, or a condition names what is not known by then.
        """
        for name, value in fixed.items():
            _placed("fixed", name, check, name, value)
        known = dict(fixed)
        for name, entry in entries.items():
            if name in fixed:
                raise SpaceError("space", name, "given in [fixed] too, allowed is one of them")
            _check_range(name, entry)
            _check_conditions(name, entry, known, entries)
            known[name] = entry
        _check_layers(fixed, entries)
        return cls(fixed, entries)

    @property
    def missing(self) -> list[str]:
        """Hyperparameters without a value or a default: a space to draw from has none."""
        return sorted(RULES.keys() - DEFAULTS.keys() - self.fixed.keys() - self.entries.keys())

    def corner(self, largest: bool) -> Hyperparameters:
        """Builds the smallest or largest network; choices without an order give the first."""

        def pick(name: str, entry: Entry) -> Scalar:
            if not isinstance(entry, Choices):
                return entry.high if largest else entry.low
            if name == "numeric_encoding":  # whose rule lists first what makes the fewest inputs
                found = sorted(entry.choices, key=RULES[name].choices.index)
                return found[-1 if largest else 0]
            numbers = [choice for choice in entry.choices if not isinstance(choice, str)]
            if not numbers:
                return entry.choices[0]
            return max(numbers) if largest else min(numbers)

        return draw(self, pick)


def suggest(trial: "BaseTrial", space: Space) -> Hyperparameters:
    """Draws one set of hyperparameters from a space by way of an Optuna trial."""
    return draw(space, lambda name, entry: entry.suggest(trial, name))


def check_params(space: Space, params: Mapping[str, Any]) -> None:
    """Refuses params from outside that no draw from a space could have.

    Raises:
        ValueError: a name or a value is not in the space; the text says what is.
    """
    for name, value in params.items():
        entry = _entry_of(space, name)
        if entry is None and space.fixed.get(name, entry) == value:
            continue
        if entry is None:
            known = ", ".join([*space.entries]) or "none, as this study draws nothing"
            raise ValueError(
                f"found {name} = {value!r}, which is not searched; allowed are {known}"
            )
        if not entry.takes(value):
            raise ValueError(f"found {name} = {value!r}, allowed is {entry}")


def _entry_of(space: Space, param: str) -> Entry | None:
    """Finds the entry that draws a param of that name; None if none does."""
    for name, entry in space.entries.items():
        if param == name and not entry.per:
            return entry
        stem, _, number = param.rpartition("_")
        if entry.per and stem == name and number in map(str, range(1, MOST_LAYERS + 1)):
            return entry
    return None


def params_of(space: Space, hyperparameters: Hyperparameters) -> dict[str, Scalar]:
    """Converts hyperparameters to Optuna's params: what the space can draw, nothing else."""
    return {name: value for name, _, value in _drawable(space, hyperparameters)}


def register(trial: "BaseTrial", space: Space, hyperparameters: Hyperparameters) -> None:
    """Lets Optuna learn from given hyperparameters, as if the sampler had drawn them.

    Args:
        trial: queued with `params_of` these hyperparameters.
        space: of the study.
        hyperparameters: what the trial was given.
    """
    for name, entry, _ in _drawable(space, hyperparameters):
        entry.suggest(trial, name)


def draw(space: Space, pick: Callable[[str, Entry], Scalar]) -> Hyperparameters:
    """Draws one set of hyperparameters from a space.

    Args:
        space: checked.
        pick: chooses a value by its name in Optuna, such as `units_2`, and its entry.
    """
    values: dict[str, Any] = dict(space.fixed)
    for name, entry in space.entries.items():
        if not entry.is_active(values):
            values[name] = DEFAULTS[name]
        elif entry.per:
            n_layers = values[entry.per]
            values[name] = [pick(layer_name(name, i), entry) for i in range(n_layers)]
        else:
            values[name] = pick(name, entry)
    return Hyperparameters.from_mapping(values)


def _drawable(
    space: Space, hyperparameters: Hyperparameters
) -> Iterator[tuple[str, Entry, Scalar]]:
    """Yields name, entry and value of each scalar that the space could have drawn."""
    values = vars(hyperparameters)
    for name, entry in space.entries.items():
        if not entry.is_active(values):
            continue
        if entry.per:
            scalars = {layer_name(name, i): value for i, value in enumerate(values[name])}
        elif RULES[name].per_layer:  # one draw for all layers
            scalars = {name: values[name][0]} if len(set(values[name])) == 1 else {}
        else:
            scalars = {name: values[name]}
        yield from ((key, entry, value) for key, value in scalars.items() if entry.contains(value))


def _check_range(name: str, entry: Entry) -> None:
    rule = _placed("space", name, rule_of, name)
    if isinstance(entry, Choices):
        for i, value in enumerate(entry.choices):
            _placed("space", f"{name}.choices", check, name, value)
            if value in entry.choices[:i]:
                raise SpaceError(
                    "space", f"{name}.choices", f"found {value!r} twice, allowed is once"
                )
        return
    wanted = {int: '"int" or "categorical"', float: '"float" or "categorical"'}
    if entry.type != rule.kind.__name__:
        allowed = wanted.get(rule.kind, '"categorical"')
        raise SpaceError("space", f"{name}.type", f'found "{entry.type}", allowed is {allowed}')
    for end in ("low", "high"):
        _placed("space", f"{name}.{end}", check, name, getattr(entry, end))
    found = f"found low = {entry.low!r} and high = {entry.high!r}"
    if entry.low > entry.high:
        raise SpaceError("space", name, f"{found}, allowed is low at most high")
    if entry.log and entry.low <= 0:
        raise SpaceError("space", name, f"{found} with log, allowed is a low above 0")
    if entry.step is not None:
        if entry.log and "step" in entry.model_fields_set:
            raise SpaceError("space", name, "found both step and log, allowed is one of them")
        if not _is_multiple(entry.low, entry.high, entry.step):
            raise SpaceError(
                "space", name, f"{found}, allowed is a difference of a multiple of {entry.step!r}"
            )
        # some samplers list them all, and one that changes nothing would list for ever
        if entry.step * MOST_STEPS < entry.high - entry.low or entry.low + entry.step == entry.low:
            raise SpaceError(
                "space",
                f"{name}.step",
                f"found {entry.step!r}, allowed are steps that lead from {entry.low!r} to "
                f"{entry.high!r} in at most {MOST_STEPS}",
            )


def _check_conditions(
    name: str, entry: Entry, known: Mapping[str, Any], entries: Mapping[str, Any]
) -> None:
    """Refuses conditions on what is not known by then, and on values that it never has.

    Args:
        name: of the entry.
        entry: whose `when` and `per` are looked at.
        known: what is fixed or stands above the entry: values, and entries.
        entries: all of the space, by name.
    """
    for other, allowed in entry.when.items():
        key = f"{name}.when.{other}"
        _check_is_above(key, other, known, entries)
        if RULES[other].per_layer:
            raise SpaceError("space", key, f"{other} may differ by layer, allowed is any other")
        for value in allowed:
            if not (_may_be(value, known[other]) and RULES[other].allows(value)):
                said = f"found {value!r}, which {other} never is in this study"
                raise SpaceError("space", key, said)
    if entry.per:
        _check_is_above(f"{name}.per", entry.per, known, entries)
    if entry.when and name not in DEFAULTS:
        raise SpaceError(
            "space",
            f"{name}.when",
            f"{name} must have a value in every trial; allowed with conditions are "
            f"{', '.join(DEFAULTS)}",
        )
    if entry.per and not RULES[name].per_layer:
        raise SpaceError("space", f"{name}.per", f"found {entry.per!r}, allowed for units alone")


def _check_is_above(
    key: str, other: str, known: Mapping[str, Any], entries: Mapping[str, Any]
) -> None:
    if other not in known:
        where = "below" if other in entries else "nowhere"
        raise SpaceError(
            "space",
            key,
            f"found {other!r}, which stands {where}; allowed are names in [fixed] and names "
            f"above {key.partition('.')[0]}: {', '.join(known) or 'none'}",
        )


def _may_be(value: Scalar, source: Any) -> bool:
    """Tells whether an entry can draw a value, or whether what is fixed is that value."""
    return source.contains(value) if isinstance(source, Entry) else bool(value == source)


def _check_layers(fixed: Mapping[str, Any], entries: Mapping[str, Any]) -> None:
    """Refuses a fixed list of units that does not fit the number of hidden layers."""
    units = fixed.get("units")
    if isinstance(units, list | tuple) and fixed.get("hidden_layers", len(units)) != len(units):
        raise SpaceError(
            "fixed",
            "units",
            f"found {len(units)} values for {fixed['hidden_layers']} hidden layers, "
            "allowed is one integer, or one for each hidden layer",
        )
    if isinstance(units, list | tuple) and "hidden_layers" in entries:
        raise SpaceError(
            "fixed", "units", "found a list while hidden_layers is searched, allowed is an integer"
        )


def _placed(table: str, key: str, function: Any, *arguments: Any) -> Any:
    """Calls a function, and turns its ValueError into a `SpaceError` with a place."""
    try:
        return function(*arguments)
    except ValueError as error:
        raise SpaceError(table, key, str(error).removeprefix(f"{arguments[0]}: ")) from None


def _is_multiple(low: float, high: float, step: float) -> bool:
    """Tells whether whole steps lead from `low` to `high`, counted exactly, as Optuna does."""
    try:
        return not (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step))
    except InvalidOperation:  # more than 10**28 steps
        return False
