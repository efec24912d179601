"""What each training of a study may use of a machine, wherever it runs."""

from typing import Annotated

from pydantic import BaseModel, Field, field_validator

from pipeline.study.budget import FROZEN
from pipeline.wording import count_noun

MOST_CPUS, MOST_GPUS = 1_024, 64  # of one machine


class Resources(BaseModel):
    """What a training has of a machine's cores and GPUs for itself.

    Attributes:
        cpus: threads on which it is trained.
        gpus: 0 for none; a fraction if several trainings share a GPU, or a whole number.
    """

    model_config = FROZEN
    cpus: Annotated[int, Field(ge=1, le=MOST_CPUS)] = 1
    gpus: Annotated[float, Field(ge=0, le=MOST_GPUS)] = 0.0

    @field_validator("gpus")
    @classmethod
    def _part_or_whole(cls, gpus: float) -> float:
        if gpus > 1 and not gpus.is_integer():
            raise ValueError(f"found {gpus:g}, allowed is a whole number, or a part of 1")
        return gpus

    def __str__(self) -> str:
        """Says it: `2 CPUs, 0.5 GPUs`."""
        said = [count_noun(self.cpus, "CPU")]
        return ", ".join([*said, *([count_noun(self.gpus, "GPU")] if self.gpus else [])])
