"""What a module has to provide to be a data set: a value of `Source`, named `SOURCE`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pipeline.data.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Images: TypeAlias = "NDArray[np.uint8]"
Labels: TypeAlias = "NDArray[np.uint8]"
Inputs: TypeAlias = "NDArray[np.uint8] | NDArray[np.float32]"
Targets: TypeAlias = "NDArray[np.uint8] | NDArray[np.int32] | NDArray[np.float32]"
Weights: TypeAlias = "NDArray[np.float32]"


@dataclass(frozen=True)
class Source:
    """A data set: where it comes from and how it is read. Its module's name is its own.

    Attributes:
        task: what is learned from it.
        checksums: SHA-256 of each file, or whatever else changes when the content does; the
            fingerprint of the data set is made of the values.
        fetch: fills a folder with the verified files, unless they are there; raises
            PipelineError with what was tried.
        read_training: reads all training examples from that folder, before the split: inputs
            (n, *input_shape) and integer labels (n,).
        read_test: reads the test set in the same way.
    """

    task: Task
    checksums: Mapping[str, str]
    fetch: Callable[[Path], None]
    read_training: Callable[[Path], tuple[Images, Labels]]
    read_test: Callable[[Path], tuple[Images, Labels]]
