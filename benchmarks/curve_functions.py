"""Functions of learning curves, which somebody brings as `MODULE:FUNCTION`."""

import functools
import importlib
import traceback

from pipeline.errors import UsageError
from pipeline.execution.replay import Curves, CurvesOf
from pipeline.execution.worker import describe
from pipeline.study.hyperparameters import Hyperparameters


@functools.cache
def find_curves(named: str, flag: str = "--curves") -> CurvesOf:
    """Finds the function `MODULE:FUNCTION`; what it raises becomes a sentence.

    Args:
        named: `MODULE:FUNCTION`.
        flag: where that was asked for.

    Raises:
        UsageError: there is none.
    """
    module, _, name = named.partition(":")
    if not (module and name):
        raise UsageError(f'{flag}: found "{named}", allowed is MODULE:FUNCTION')
    try:
        function = getattr(importlib.import_module(module), name, None)
    except Exception as error:
        said = describe(error)
        raise UsageError(f'{flag}: the module "{module}" cannot be imported ({said})') from error
    if not callable(function):
        raise UsageError(f'{flag}: found no function "{name}" in the module "{module}"')

    def curves(hyperparameters: Hyperparameters, seed: int) -> Curves:
        try:
            return Curves.of(function(hyperparameters, seed))
        except UsageError as error:
            raise UsageError(f"{flag}: {named} for {hyperparameters}: {error}") from None
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            raise UsageError(
                f"{flag}: {named} fails for {hyperparameters} with seed {seed} "
                f"({describe(error)}; line {frame.lineno} of {frame.filename})"
            ) from error

    return curves
