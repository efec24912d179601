"""One entry of a search space: a range or choices, under which conditions, and for what."""

import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from pipeline.study.rules import Scalar

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


class _Entry(BaseModel):
    """What ranges and choices share.

    Attributes:
        when: the entry is drawn only if each named hyperparameter has one of the values;
            otherwise it keeps its default.
        per: name of an integer hyperparameter; so many values are drawn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    when: dict[str, Annotated[tuple[Scalar, ...], Field(strict=False, min_length=1)]] = {}
    per: Literal["hidden_layers"] | None = None

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Tells whether the entry is drawn; of conditions on what is not known, that it may be."""
        return all(
            _is_among(values[name], allowed)
            for name, allowed in self.when.items()
            if name in values
        )

    def takes(self, value: Any) -> bool:
        """Tells whether a value of whatever type, from outside, can be drawn."""
        kinds = {"int": (int,), "float": (int, float), "categorical": (str, bool, int, float)}
        own: Entry = self  # type: ignore[assignment]
        is_kind = isinstance(value, kinds[own.type])
        is_kind &= own.type == "categorical" or not isinstance(value, bool)
        return is_kind and own.contains(value)


class IntRange(_Entry):
    """Integers from `low` to `high`, both included.

    Attributes:
        type: "int".
        low: the least value.
        high: the greatest value.
        step: from one value to the next.
        log: whether the sampler draws evenly in the logarithm.
    """

    type: Literal["int"]
    low: int
    high: int
    step: Annotated[int, Field(gt=0)] = 1
    log: bool = False

    @property
    def values(self) -> Sequence[Scalar]:
        """All that can be drawn."""
        return range(self.low, self.high + 1, self.step)

    def contains(self, value: Scalar) -> bool:
        """Tells whether `value` can be drawn."""
        return isinstance(value, int) and value in range(self.low, self.high + 1, self.step)

    def __str__(self) -> str:
        """Says what can be drawn."""
        step = f" in steps of {self.step}" if self.step > 1 else ""
        return f"an integer from {self.low} to {self.high}{step}"

    def suggest(self, trial: "BaseTrial", name: str) -> Scalar:
        """Draws an integer by way of an Optuna trial."""
        return trial.suggest_int(name, self.low, self.high, step=self.step, log=self.log)


class FloatRange(_Entry):
    """Numbers from `low` to `high`, both included; evenly spaced if there is a `step`.

    Attributes:
        type: "float".
        low: the least value.
        high: the greatest value.
        step: from one value to the next; None if all between are allowed.
        log: whether the sampler draws evenly in the logarithm.
    """

    type: Literal["float"]
    low: float
    high: float
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    log: bool = False

    @property
    def values(self) -> Sequence[Scalar] | None:
        """All that can be drawn; None if there is no end of it."""
        if self.low == self.high:
            return (self.low,)
        if not self.step:
            return None
        n_steps = round((self.high - self.low) / self.step)
        return tuple(min(self.low + i * self.step, self.high) for i in range(n_steps + 1))

    def contains(self, value: Scalar) -> bool:
        """Tells whether `value` can be drawn."""
        if isinstance(value, str) or not self.low <= value <= self.high:
            return False
        if not self.step:
            return True
        n_steps = (value - self.low) / self.step
        # Optuna's third step of 0.1 is above 0.3, and steps may be as small as such errors
        lost = 4 * sys.float_info.epsilon * max(abs(self.low), abs(self.high)) / self.step
        return abs(n_steps - round(n_steps)) < 1e-8 + lost

    def __str__(self) -> str:
        """Says what can be drawn."""
        step = f" in steps of {self.step:g}" if self.step else ""
        return f"a number from {self.low:g} to {self.high:g}{step}"

    def suggest(self, trial: "BaseTrial", name: str) -> Scalar:
        """Draws a number by way of an Optuna trial."""
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)


class Choices(_Entry):
    """One of a few values without an order."""

    type: Literal["categorical"]
    choices: Annotated[tuple[Scalar, ...], Field(strict=False, min_length=1)]

    @property
    def values(self) -> Sequence[Scalar]:
        """All that can be drawn."""
        return self.choices

    def contains(self, value: Scalar) -> bool:
        """Tells whether `value` can be drawn."""
        return value in self.choices

    def __str__(self) -> str:
        """Says what can be drawn."""
        return " or ".join(map(repr, self.choices))

    def suggest(self, trial: "BaseTrial", name: str) -> Scalar:
        """Draws one of the choices by way of an Optuna trial."""
        return cast("Scalar", trial.suggest_categorical(name, self.choices))


Entry = IntRange | FloatRange | Choices
EntryTable = Annotated[Entry, Field(discriminator="type")]


def _is_among(value: Any, allowed: tuple[Scalar, ...]) -> bool:
    """Tells whether a drawn value is one of those named: 0.30000000000000004 is 0.3."""
    if not isinstance(value, float):
        return value in allowed
    return any(math.isclose(value, each) for each in allowed if not isinstance(each, str))
