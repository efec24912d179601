"""Which data: what a study file names, and what a module provides that is a data set by name."""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pipeline.task.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.task.settings import DataSettings

Images: TypeAlias = "NDArray[np.uint8]"
Labels: TypeAlias = "NDArray[np.uint8]"
Inputs: TypeAlias = "NDArray[np.uint8] | NDArray[np.float32]"
Targets: TypeAlias = "NDArray[np.uint8] | NDArray[np.int32] | NDArray[np.float32]"
Weights: TypeAlias = "NDArray[np.float32]"
Groups: TypeAlias = "NDArray[np.intp]"
Outputs: TypeAlias = "NDArray[np.float32]"


class Examples(NamedTuple):
    """Examples as a model that is handed over takes them, and the right answers.

    Attributes:
        inputs: pictures, (n, ...); numbers, (n, ...); or by name the columns of a table, (n,).
        targets: integers of classes, (n,), or numbers in units of their own, (n,).
        weights: of the examples in metrics, (n,); None if all are 1.
        groups: numbers of each example's, (n,); None if they err independently.
    """

    inputs: "NDArray[Any] | Mapping[str, NDArray[Any]]"
    targets: "NDArray[Any]"
    weights: "Weights | None" = None
    groups: "Groups | None" = None


@dataclass(frozen=True)
class Source:
    """A data set: where it comes from and how it is read. Its module's name is its own.

    Attributes:
        task: what is learned from it.
        checksums: SHA-256 of each file, or whatever else changes when the content does; the
            fingerprint of the data set is made of the values.
        fetch: fills a folder with the verified files, unless they are there; raises
            PipelineError with what was tried. It need not open those of the test set.
        read_training: reads all training examples from that folder, before the split: inputs
            (n, *input_shape) and integer labels (n,).
        read_test: reads the test set in the same way; verifies its files if `fetch` does not.
    """

    task: Task
    checksums: Mapping[str, str]
    fetch: Callable[[Path], None]
    read_training: Callable[[Path], tuple[Images, Labels]]
    read_test: Callable[[Path], tuple[Images, Labels]]


@dataclass(frozen=True)
class DataSpec:
    """Which data, and how: small, hashable, and the same in every process.

    Attributes:
        dataset: name of a data set, or the absolute path of a file or folder.
        target: column that is to be answered; "" if the data set says it itself.
        options: the `DataSettings` that are not at their defaults, and the share of a test set if
            it was given, which data may bring, as JSON with sorted keys.
    """

    dataset: str
    target: str = ""
    options: str = "{}"

    @classmethod
    def of(cls, dataset: str, target: str, settings: "DataSettings") -> "DataSpec":
        """Makes one of a study file's values."""
        given = settings.model_dump(mode="json", exclude_defaults=True)
        given |= {"test": settings.test} if "test" in settings.model_fields_set else {}
        return cls(dataset, target, json.dumps(given, sort_keys=True))

    @property
    def settings(self) -> "DataSettings":
        """The settings, defaults included."""
        return _settings(self.options)


@functools.cache
def _settings(options: str) -> "DataSettings":
    from pipeline.task.settings import DataSettings  # and so pydantic, which a worker does without

    return DataSettings.model_validate_json(options, strict=False)
