"""A trial under way, as its supervisor knows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna

from pipeline.search import samplers
from pipeline.storage import queue, study_store
from pipeline.study import space
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.seeds import derived_seed
from pipeline.study.spec import StudySpec


@dataclass
class Running:
    """A trial under way.

    Attributes:
        trial: Optuna's.
        hyperparameters: of the network; None if it is none.
        attributes: user attributes of the trial, as they were when it began.
        started: moment of `time.monotonic` at which its process had started.
        history: each metric's values so far, one for each epoch.
        scores: what was measured with the kept weights when training was over.
        best: the study's metric at its best epoch.
        best_epoch: that epoch, from 1; 0 before the first.
    """

    trial: optuna.Trial
    hyperparameters: Hyperparameters | None
    attributes: Mapping[str, Any]
    started: float | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    best: float | None = None
    best_epoch: int = 0

    @property
    def epoch(self) -> int:
        """Number of epochs it has been trained so far."""
        return len(self.history.get("loss", ()))

    @property
    def about(self) -> str:
        """What is trained, in a line."""
        return str(self.hyperparameters or self.attributes[study_store.REFERENCE])


def ask(study: optuna.Study, spec: StudySpec, n_drawn: int) -> Running:
    """Asks for the next trial: one that waits in the queue, or else one that is drawn.

    Args:
        study: with one supervisor, who asks.
        spec: its study file.
        n_drawn: number of trials drawn so far, from which sampler's and trial's seed follow.
    """
    study.sampler = samplers.build_sampler(spec.sampler, spec.seed, n_drawn)
    trial = study.ask()
    attributes = dict(trial.user_attrs)
    if study_store.HYPERPARAMETERS in attributes:
        queued = queue.queued_hyperparameters(attributes)
        if queued:
            space.register(trial, spec.searched, queued)
        return Running(trial, queued, attributes)
    drawn = space.suggest(trial, spec.searched)
    attributes[study_store.HYPERPARAMETERS] = drawn.as_dict()
    attributes[study_store.SEED] = derived_seed(spec.seed, "trial", n_drawn)
    for key in (study_store.SEED, study_store.HYPERPARAMETERS):
        trial.set_user_attr(key, attributes[key])
    return Running(trial, drawn, attributes)
