"""A trial under way, as its supervisor knows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import optuna

from pipeline.search import samplers
from pipeline.search.distinct import Untried
from pipeline.storage import study_store
from pipeline.study import space
from pipeline.study.assignment import Assignment, Outcome
from pipeline.study.seeds import derived_seed
from pipeline.study.spec import StudySpec


@dataclass
class Running:
    """A trial under way.

    Attributes:
        trial: Optuna's.
        assignment: what it was given.
        started: moment of `time.monotonic` at which its process had started.
        history: each metric's values so far, one for each epoch.
        scores: what was measured with the kept weights when training was over.
        n_parameters: trainable weights, known when training was over.
        best: the study's metric at its best epoch.
        best_epoch: that epoch, from 1; 0 before the first.
    """

    trial: optuna.Trial
    assignment: Assignment
    started: float | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    scores: Mapping[str, float] | None = None
    n_parameters: int | None = None
    best: float | None = None
    best_epoch: int = 0

    @property
    def epoch(self) -> int:
        """Number of epochs for which the trial has been trained so far."""
        return len(self.history.get("loss", ()))

    def should_prune(self) -> bool:
        """Asks the pruner whether the trial is to end."""
        with samplers.quiet():
            return self.trial.should_prune()

    def outcome(self, reason: str = "") -> Outcome:
        """Returns what is known of the trial so far, and why it failed if it did."""
        return Outcome(self.history, self.scores, self.n_parameters, reason)


def ask(
    study: optuna.Study, spec: StudySpec, n_drawn: int, untried: Untried | None = None
) -> Running:
    """Asks for the next trial: one that waits in the queue, or else one that is drawn.

    Args:
        study: with one supervisor, who asks.
        spec: its study file.
        n_drawn: number of trials drawn so far, from which sampler's and trial's seed follow.
        untried: what is left to try, if it is known already.
    """
    with samplers.quiet():
        samplers.prepare(study, spec, n_drawn, untried or Untried(spec))
        trial = study.ask()
        queued = Assignment.read(trial.user_attrs)
        if queued:
            if queued.hyperparameters:
                space.register(trial, spec.searched, queued.hyperparameters)
            return Running(trial, queued)
        drawn = space.suggest(trial, spec.searched)
    assignment = Assignment(drawn, seed=derived_seed(spec.seed, "trial", n_drawn))
    study_store.write(trial, assignment)
    return Running(trial, assignment)
