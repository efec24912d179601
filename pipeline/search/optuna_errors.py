"""What Optuna warns of, and what it says of arguments in a study file."""

import contextlib
import warnings
from collections.abc import Iterator

from pipeline.errors import UsageError, first_line
from pipeline.study.spec import Component


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what Optuna warns of to itself: what matters of it is said once, in other words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def argument_errors(
    table: str, component: Component, kinds: tuple[type[Exception], ...] = (Exception,)
) -> Iterator[None]:
    """Turns whatever a class of Optuna says of its arguments into a `UsageError`.

    Args:
        table: "sampler" or "pruner".
        component: the class and its arguments.
        kinds: of errors; where a store is used, other kinds are the store's.
    """
    try:
        with quiet():
            yield
    except UsageError:
        raise
    except kinds as error:
        reason = first_line(error).replace(f"{component.type}.__init__()", "it")
        raise UsageError(f"[{table}] {component.type}: {reason}") from None
