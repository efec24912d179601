"""What a trial is given when it begins, and what is known of it when it ends, as values.

Each has the form in which it stands in the user attributes of a trial: `write` makes it, `read`
takes it back. The names of the attributes are a contract with every store that there is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.trial import Cause, Origin

SEED, HYPERPARAMETERS = "seed", "hyperparameters"
REFERENCE, REPEAT, TRAINER, PATIENCE = "reference", "repeat", "trainer", "patience"
RETRY_OF, N_RETRIES = "retry_of", "n_retries"
FINAL_OF = "final_of"
STARTED_FROM = "started_from"
HISTORY, N_PARAMETERS, SCORES = "history", "n_parameters", "scores"
REASON, CAUSE = "reason", "cause"
PAUSES, AUDITED_AFTER = "pauses", "audited_after"


@dataclass(frozen=True)
class Assignment(Origin):
    """What a trial is given: enough to run it again, in whatever process.

    Attributes:
        hyperparameters: of the network; None if the trainer needs none.
        seed: of weights, batches and dropout.
        reference: name of the reference that it repeats; "" if it was drawn.
        repeat: which repeat of the reference, from 0, or of the trial, from 1; None if drawn.
        trainer: "keras" or "sgd_classifier".
        patience: instead of the study's.
        retry_of: number of the interrupted trial that it is run instead of.
        n_retries: how often it has been tried again after a failure of a passing cause.
        final_of: number of the trial that it is trained again for, with another seed.
        started_from: study and trial of the earlier network that it follows; "" of most.
    """

    hyperparameters: Hyperparameters | None
    seed: int
    reference: str = ""
    repeat: int | None = None
    trainer: str = "keras"
    patience: int | None = None
    retry_of: int | None = None
    n_retries: int = 0
    final_of: int | None = None
    started_from: str = ""

    @classmethod
    def read(cls, attributes: Mapping[str, Any]) -> "Assignment | None":
        """Reads the assignment from a trial's user attributes; None if the trial never got one.

        Args:
            attributes: as this or an older version wrote them, or as somebody else did, who may
                have written anything.
        """
        if HYPERPARAMETERS not in attributes or not isinstance(attributes.get(SEED), int):
            return None
        stored = attributes[HYPERPARAMETERS]
        try:
            hyperparameters = Hyperparameters.from_mapping(stored) if stored else None
        except (ValueError, TypeError):
            return None
        return cls(
            hyperparameters=hyperparameters,
            seed=attributes[SEED],
            reference=attributes.get(REFERENCE, ""),
            repeat=attributes.get(REPEAT),
            trainer=attributes.get(TRAINER, "keras"),
            patience=attributes.get(PATIENCE),
            retry_of=attributes.get(RETRY_OF),
            n_retries=attributes.get(N_RETRIES, 0),
            final_of=attributes.get(FINAL_OF),
            started_from=attributes.get(STARTED_FROM, ""),
        )

    def write(self) -> dict[str, Any]:
        """Returns the trial's user attributes; hyperparameters last: with these it has begun."""
        found: dict[str, Any] = {SEED: self.seed}
        if self.reference:
            found |= {REFERENCE: self.reference, REPEAT: self.repeat}
            found |= {TRAINER: self.trainer, PATIENCE: self.patience}
        if self.is_final:
            found |= {FINAL_OF: self.final_of, REPEAT: self.repeat, PATIENCE: self.patience}
        if self.retry_of is not None:
            found[RETRY_OF] = self.retry_of
        if self.n_retries:
            found[N_RETRIES] = self.n_retries
        if self.started_from:
            found[STARTED_FROM] = self.started_from
        stored = self.hyperparameters.as_dict() if self.hyperparameters else None
        return {**found, HYPERPARAMETERS: stored}

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the trial's run in MLflow, to search runs by."""
        found = {
            REFERENCE: self.reference or None,
            FINAL_OF: self.final_of,
            REPEAT: self.repeat,
            RETRY_OF: self.retry_of,
            STARTED_FROM: self.started_from or None,
        }
        return {key: str(value) for key, value in found.items() if value is not None}

    def __str__(self) -> str:
        """Describes in a line what is trained."""
        return str(self.hyperparameters or self.reference)


@dataclass(frozen=True)
class Earlier:
    """A network of an earlier study, mapped into the space of this one, which tries it first.

    Attributes:
        source: study and trial that it comes from, such as "houses, trial 12".
        hyperparameters: in the space of this study.
    """

    source: str
    hyperparameters: Hyperparameters

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> "Earlier":
        """Reads what `write` returned."""
        return cls(stored["source"], Hyperparameters.from_mapping(stored[HYPERPARAMETERS]))

    def write(self) -> dict[str, Any]:
        """Returns it as plain values for JSON."""
        return {"source": self.source, HYPERPARAMETERS: self.hyperparameters.as_dict()}


@dataclass(frozen=True)
class Outcome:
    """What is known of a trial when it ends, or is paused.

    Attributes:
        history: each metric's values, one for each epoch; None if it is tried again.
        scores: train_loss and train_accuracy in inference mode, with the kept weights; None if
            it did not finish.
        n_parameters: trainable weights; None without an epoch.
        reason: why it failed or was stopped; "" if it came to its own end or was pruned.
        cause: what its hyperparameters made of it, so that it has no value, if that is known.
        pauses: epochs after which it was paused, in order; none in stores of versions up to 0.7.
        audited_after: epoch after which it would have been dropped, had it not been chosen for
            the audit; 0 of all others.
    """

    history: Mapping[str, Sequence[float]] | None = None
    scores: Mapping[str, float] | None = None
    n_parameters: int | None = None
    reason: str = ""
    cause: Cause | None = None
    pauses: Sequence[int] = ()
    audited_after: int = 0

    @classmethod
    def read(cls, attributes: Mapping[str, Any]) -> "Outcome":
        """Reads the outcome from a trial's user attributes; what is missing is None.

        Args:
            attributes: as this or an older version wrote them.
        """
        return cls(
            history=attributes.get(HISTORY),
            scores=attributes.get(SCORES),
            n_parameters=attributes.get(N_PARAMETERS),
            reason=attributes.get(REASON, ""),
            cause=Cause(attributes[CAUSE]) if attributes.get(CAUSE) in [*Cause] else None,
            pauses=tuple(attributes.get(PAUSES, ())),
            audited_after=attributes.get(AUDITED_AFTER, 0),
        )

    def write(self) -> dict[str, Any]:
        """Returns the trial's user attributes, without those that say nothing."""
        known = {
            HISTORY: self.history,
            SCORES: self.scores,
            N_PARAMETERS: self.n_parameters,
            REASON: self.reason or None,
            CAUSE: self.cause,
            PAUSES: [*self.pauses] or None,
            AUDITED_AFTER: self.audited_after or None,
        }
        return {key: value for key, value in known.items() if value is not None}
