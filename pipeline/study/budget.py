"""How long a study is searched."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

LEAST_FINALS = 2  # trainings, of which fewer decide nothing
FROZEN = ConfigDict(frozen=True, extra="forbid", strict=True)  # every table of a study file
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Budget(BaseModel):
    """When the study is done, over all reruns: whichever comes first.

    Attributes:
        trials: number of trials that come to an end of their own.
        minutes: wall time that supervisors of the study run; trials running then still finish.
    """

    model_config = FROZEN
    trials: Annotated[int, Field(gt=0)] | None = None
    minutes: Positive | None = None

    @model_validator(mode="after")
    def _one_at_least(self) -> "Budget":
        if self.trials is None and self.minutes is None:
            raise ValueError("found neither trials nor minutes, allowed is either or both")
        return self

    def split(self, share: float) -> tuple["Budget", "Budget | None"]:
        """Splits it into what is searched with and what finals have.

        Args:
            share: of finals; trials are rounded.

        Returns:
            Both; None for finals if they would have too few trials to decide anything.
        """
        n_finals = None if self.trials is None else round(share * self.trials)
        if n_finals is not None and n_finals < LEAST_FINALS:
            return self, None
        n_searched, minutes = self.trials and self.trials - (n_finals or 0), self.minutes or 0.0
        searched = Budget(trials=n_searched, minutes=(1 - share) * minutes or None)
        return searched, Budget(trials=n_finals, minutes=share * minutes or None)

    def is_used(self, n_trials: int, seconds: float) -> bool:
        """Tells whether a study of so many trials, searched for so long, is done.

        Args:
            n_trials: that count, or will.
            seconds: for which supervisors have run the study.
        """
        return (self.trials is not None and n_trials >= self.trials) or (
            self.minutes is not None and seconds >= 60 * self.minutes
        )

    def share_used(self, n_trials: int, seconds: float) -> float:
        """Returns how much of it so many trials and seconds are, from 0 to 1."""
        of_trials = 0.0 if self.trials is None else n_trials / self.trials
        of_time = 0.0 if self.minutes is None else seconds / (60 * self.minutes)
        return min(max(of_trials, of_time, 0.0), 1.0)
