"""What a training is worth if the examples that choose its epoch are not those that measure it.

The best of many epochs is so partly by luck with the validation examples. How much that is tells
cross-fitting (Chernozhukov et al. 2018, doi:10.1111/ectj.12097): the examples are divided, the
epoch is chosen by all parts but one and measured on that one, and this for each part in turn.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.study.trial import best_epoch
from pipeline.task.scoring import join_parts, values_of_parts
from pipeline.training.job import Job
from pipeline.training.members import Member, validation_parts

N_PARTS, N_DIVISIONS = 10, 5  # of examples, or of their groups; and how often they are divided
DIGITS = 9  # by which epochs differ: of equal ones the first is best


class CrossFitting:
    """Follows a training, epoch by epoch.

    A metric of a part is told from the influences of its examples, and so of any metric that has
    such (see `task.scoring.influences`).

    Args:
        job: says the metric.
        members: the networks of the job.
    """

    def __init__(self, job: Job, members: Sequence[Member]) -> None:
        self._members, self._direction = members, job.direction
        self._quantity = members[0].task.metric(job.metric).quantity
        self._values: list[float] = []
        self._off: list[NDArray[np.float64]] = []  # by how far the parts of each are off it
        self._is_known = True

    def add(self, value: float) -> None:
        """Adds an epoch.

        Args:
            value: of the job's metric.
        """
        known = join_parts(validation_parts(self._members))
        task = self._members[0].task
        off = values_of_parts(task, self._quantity, *known, N_PARTS, N_DIVISIONS)
        if off is None:
            self._is_known = False
        else:
            self._values.append(value)
            self._off.append(off)

    def value(self) -> float | None:
        """Returns the value of the best epoch without its luck; None if that is not known."""
        if not (self._is_known and self._values):
            return None
        off, values = np.array(self._off), np.array(self._values)[:, np.newaxis]
        inside, outside = values + off, (values - off / (N_PARTS - 1)).round(DIGITS)
        own = best_epoch(self._values, self._direction) - 1
        luck = [
            inside[own, k] - inside[best_epoch(outside[:, k].tolist(), self._direction) - 1, k]
            for k in range(inside.shape[1])
        ]
        return float(self._values[own] - np.mean(luck))
