"""A trial that came to an end, as a value, and what follows from several of them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pipeline.study.hyperparameters import Hyperparameters


class State(StrEnum):
    """How a trial came to its end, by Optuna's names.

    COMPLETE is also what was stopped after an epoch at least, and then has a reason. FAIL has no
    value, but in stores of versions up to 0.2, which gave up what they stopped.
    """

    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAIL = "FAIL"


class Cause(StrEnum):
    """What its hyperparameters made of a trial: with these it would end like that again."""

    DIVERGED = "diverged"
    TOO_SLOW = "too slow"
    TOO_LARGE = "too large"


def is_better(value: float, than: float | None, direction: str) -> bool:
    """Tells whether a metric's value beats another; any that is finite beats None.

    Args:
        value: the one.
        than: the other; None if there is none yet.
        direction: "maximize" or "minimize".
    """
    if than is None:
        return math.isfinite(value)
    return value > than if direction == "maximize" else value < than


class Origin:
    """Where the hyperparameters of a trial come from."""

    reference: str
    final_of: int | None

    @property
    def is_final(self) -> bool:
        """Whether it is another trial's network once more."""
        return self.final_of is not None

    @property
    def is_drawn(self) -> bool:
        """Whether a sampler drew its hyperparameters: the pruner may end it."""
        return not self.reference and not self.is_final


@dataclass(frozen=True)
class Trial(Origin):
    """A trial that came to an end.

    Attributes:
        number: counted from 0.
        state: how it came to its end.
        value: the metric at the best epoch, whatever ended the trial; None without any.
        best_epoch: epoch of `value`, from 1; 0 without any.
        hyperparameters: None if it broke off before they were drawn, or is no network.
        seed: of weights, batches and dropout.
        history: loss, accuracy, val_loss, val_accuracy, learning_rate, seconds; one each epoch.
        reason: why it failed, or was stopped before its own end.
        reference: name of the reference it repeats, or "".
        run_id: of its MLflow run.
        n_parameters: trainable weights, 0 if it did not finish.
        scores: train_loss and train_accuracy in inference mode, with the kept weights; of finals
            and references also the value without the luck of the best epoch, by `cross_fitted`.
        ended: seconds since 1970 at its end; 0.0 if that is not known.
        interrupted: whether it was stopped from outside, or failed for a cause that may be over
            the next time, and was queued again: it does not count.
        cause: what its hyperparameters made of it, so that it has no value; None if that is not
            known.
        keeps_weights: whether its weights were kept if it was good enough when it ended (see
            `with_model`). Versions up to 0.2 kept none of what they pruned or stopped.
        final_of: number of the trial that it was trained again for, with another seed; None of
            most.
        repeat: which repeat of a reference, from 0, or of a network in finals, from 1; all that
            have the same one have the same seed. None of what was drawn.
        pauses: epochs after which it was paused, in order; none in stores of versions up to 0.7.
        audited_after: epoch after which it would have been dropped, had it not been chosen for
            the audit; 0 of all others.
        started_from: study and trial of the earlier network that it follows; "" of most.
    """

    number: int
    state: State
    value: float | None
    best_epoch: int
    hyperparameters: Hyperparameters | None
    seed: int | None
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)
    reason: str = ""
    reference: str = ""
    run_id: str = ""
    n_parameters: int = 0
    scores: Mapping[str, float] = field(default_factory=dict)
    ended: float = 0.0
    interrupted: bool = False
    cause: Cause | None = None
    keeps_weights: bool = True
    final_of: int | None = None
    repeat: int | None = None
    pauses: Sequence[int] = ()
    audited_after: int = 0
    started_from: str = ""

    @property
    def n_epochs(self) -> int:
        """Number of epochs for which the trial was trained."""
        return len(self.history.get("loss", ()))

    @property
    def seconds(self) -> float:
        """How long its epochs were trained; time in which the process was stopped is none."""
        return math.fsum(self.history.get("seconds", ()))

    @property
    def ending(self) -> str:
        """What ended the trial, such as "pruned after epoch 3"; "" if it was its own end."""
        if self.state == State.PRUNED:
            return f"pruned after epoch {self.n_epochs}"
        return self.reason

    @property
    def how(self) -> str:
        """How it ended, in a word or two: "complete", "pruned", "stopped", "diverged", ..."""
        return name_end(self.state, self.reason, self.cause)

    def kept(self, name: str) -> float | None:
        """Returns what was measured at the epoch whose weights were kept; None if it was not.

        Args:
            name: of a metric or of its standard error, as in the history.
        """
        values = self.history.get(name, ())
        return values[self.best_epoch - 1] if 0 < self.best_epoch <= len(values) else None

    def end(self, metric: str) -> tuple[str, dict[str, float], dict[str, str]]:
        """Returns the state, metrics and tags with which the trial's run in MLflow ends."""
        values = self.history.get(metric, ())[: self.best_epoch]
        best = values[-1] if values else None
        return run_end(self.state, metric, best, self.best_epoch, self.scores, self.reason)


def run_end(
    state: str,
    metric: str,
    best: float | None,
    best_epoch: int,
    scores: Mapping[str, float],
    reason: str,
) -> tuple[str, dict[str, float], dict[str, str]]:
    """Returns the state, metrics and tags with which a trial's run in MLflow ends.

    Args:
        state: in which the trial ended.
        metric: the study's.
        best: value at the best epoch; None if there was no epoch.
        best_epoch: counted from 1.
        scores: measured with the kept weights.
        reason: why the trial failed; "" if it did not.
    """
    metrics: dict[str, float] = {}
    if best is not None:
        metrics = {f"best_{metric}": best, "best_epoch": best_epoch, **scores}
    return state, metrics, {"reason": reason} if reason else {}


def name_end(state: State, reason: str, cause: Cause | None) -> str:
    """Names in a word or two how a trial ended.

    Args:
        state: in which it ended.
        reason: why it did so before its own end; "" if it did not.
        cause: what its hyperparameters made of it, if that is known.
    """
    if state == State.FAIL:
        return cause or "failed"
    return "stopped" if reason else state.lower()


def count_ends(trials: Sequence[Trial]) -> str:
    """Counts how trials ended: `8 complete, 2 pruned, 1 diverged`."""
    n = Counter(trial.how for trial in trials)
    known = [*(state.lower() for state in State), "stopped", "failed", *Cause]
    return ", ".join(f"{n[how]} {how}" for how in known if n[how])


def select_counted(trials: Sequence[Trial]) -> list[Trial]:
    """Selects the trials that ended of their own: only these count for the budget."""
    return [trial for trial in trials if not trial.interrupted]


def ranking(trials: Sequence[Trial], direction: str) -> list[Trial]:
    """Sorts networks that count by their best epochs, the best first; of equal ones the earlier.

    What ended them does not matter. The earlier is the one that ended first: it was the best so
    far, and its weights were kept.
    """
    valued = [
        trial
        for trial in trials
        if trial.value is not None and trial.hyperparameters and not trial.interrupted
    ]
    sign = -1.0 if direction == "maximize" else 1.0
    return sorted(
        valued, key=lambda trial: (sign * (trial.value or 0.0), trial.ended, trial.number)
    )


def champion_of(ranked: Sequence[Trial]) -> Trial | None:
    """Finds the best of ranked trials whose weights were kept; None if there is none."""
    return next((trial for trial in ranked if trial.keeps_weights), None)


def with_seeds(trials: Sequence[Trial], trial: Trial) -> list[Trial]:
    """Selects the runs of a trial's network: itself, its finals, other repeats of a reference.

    Args:
        trials: all that count.
        trial: one of them; the only one if it was trained once.

    Returns:
        Those with a value, by number.
    """
    own = trial.number if trial.final_of is None else trial.final_of
    name = next((each.reference for each in trials if each.number == own), trial.reference)
    firsts = {own, *(each.number for each in trials if name and each.reference == name)}
    found = [
        each
        for each in trials
        if (each.number in firsts or each.final_of in firsts) and each.value is not None
    ]
    return sorted(found, key=lambda each: each.number)


def with_model(ranked: Sequence[Trial], direction: str, n_kept: int) -> list[Trial]:
    """Selects the trials whose models are kept.

    Args:
        ranked: by `ranking`.
        direction: "maximize" or "minimize".
        n_kept: so many of the best; 0 in a study of an older version, which has kept the model of
            each trial that was the best so far when it ended. Those of finals are kept beside.
    """
    finals = [trial for trial in ranked if trial.keeps_weights and trial.is_final]
    kept = [trial for trial in ranked if trial.keeps_weights and not trial.is_final]
    if n_kept:
        return kept[:n_kept] + finals
    best: float | None = None
    found = finals
    for trial in sorted(kept, key=lambda trial: (trial.ended, trial.number)):
        if trial.value is not None and is_better(trial.value, best, direction):
            best = trial.value
            found.append(trial)
    return found


def cross_fitted(metric: str) -> str:
    """Names a metric's value without the luck of the best epoch, among a trial's scores."""
    return f"cross_fitted_{metric}"


def best_epoch(values: Sequence[float], direction: str) -> int:
    """Finds the epoch, from 1, with the best value; the first of equal ones; 0 without values."""
    best: float | None = None
    epoch = 0
    for i, value in enumerate(values, start=1):
        if is_better(value, best, direction):
            best, epoch = value, i
    return epoch
