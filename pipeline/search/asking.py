"""How the next trial is asked for: one that waits in Optuna's queue, or else one that is drawn."""

from collections.abc import Container, Mapping
from typing import Any

import optuna

from pipeline.errors import UsageError, one_line
from pipeline.search import samplers
from pipeline.search.distinct import Untried
from pipeline.search.optuna_errors import argument_errors
from pipeline.search.running import Running
from pipeline.storage import optuna_internals, queue, study_store
from pipeline.study import space
from pipeline.study.assignment import RETRY_OF, Assignment
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.ranges import Entry
from pipeline.study.rules import Scalar
from pipeline.study.seeds import derived_seed
from pipeline.study.spec import StudySpec

# What samplers raise on their arguments; what a store raises is of other kinds.
_OF_ARGUMENTS = (ValueError, TypeError, AssertionError, ArithmeticError, IndexError)


class Unsuitable(Exception):
    """A trial that somebody has enqueued, with values that no trial of the study can have."""


def ask(
    study: optuna.Study,
    spec: StudySpec,
    n_drawn: int,
    untried: Untried | None = None,
    under_way: Container[int] = (),
    proposed: Hyperparameters | None = None,
) -> Running:
    """Asks for the next trial: one that waits in the queue, or else one that is drawn.

    Args:
        study: with one supervisor, who asks.
        spec: its study file.
        n_drawn: number of trials drawn so far, from which sampler's and trial's seed follow.
        untried: what is left to try, if it is known already.
        under_way: numbers of the trials that run, or are paused.
        proposed: by a policy, of a new trial; None to have the sampler draw.

    Raises:
        UsageError: the sampler cannot do it with its arguments; the trial is not left RUNNING.
        Unsuitable: somebody has enqueued it with values that it cannot have; it was told as FAIL.
    """
    untried = untried or Untried(spec)
    earlier = untried.earlier(study)
    proposed = earlier.hyperparameters if earlier else proposed
    try:
        with argument_errors("sampler", spec.sampler, _OF_ARGUMENTS):
            samplers.prepare(study, spec, n_drawn, untried, proposed)
            trial = study.ask()
            queued = Assignment.read(trial.user_attrs)
            if queued:
                if queued.hyperparameters:
                    space.register(trial, spec.searched, queued.hyperparameters)
                return Running(trial, queued)
            given = optuna_internals.enqueued_params(trial)
            try:
                drawn = _draw(trial, spec, given)
            except ValueError as error:
                if spec.space and not given:
                    raise  # the sampler's own
                reason = one_line(f"enqueued by hand: {error}")
                queue.refuse(study, trial, reason)
                raise Unsuitable(f"trial {trial.number} was {reason}") from None
    except UsageError:
        queue.requeue_left(study, spec, under_way)
        raise
    source = earlier.source if earlier and not given else ""  # else enqueued by hand
    # by hand: perhaps before one of the same number drawn that was interrupted, and waits
    own = ("enqueued", trial.number) if given else ("trial", n_drawn)
    seed = derived_seed(spec.seed, *own)
    before = trial.user_attrs.get(RETRY_OF)  # one enqueued by hand, which was killed right here
    assignment = Assignment(drawn, seed=seed, started_from=source, retry_of=before)
    study_store.write(trial, assignment)
    return Running(trial, assignment)


def _draw(trial: optuna.Trial, spec: StudySpec, given: Mapping[str, Any]) -> Hyperparameters:
    """Draws hyperparameters, but for those with which the trial was enqueued.

    Raises:
        ValueError: the study cannot draw these; the text says what it can.
    """
    space.check_params(spec.searched, given)
    if not spec.space:
        raise ValueError("found a trial without a name, allowed are this study's references")
    stored, names = trial.distributions, set()  # distributions of one that was added with params

    def suggest(name: str, entry: Entry) -> Scalar:
        names.add(name)
        return entry.suggest(trial, name)

    try:
        drawn = space.draw(spec.searched, suggest)
    except ValueError as error:
        if not stored:
            raise
        found = ", ".join(f"{name} of {each}" for name, each in stored.items())
        raise ValueError(f"found {found}, allowed are this study's own: {error}") from None
    for name in given.keys() - names - spec.fixed.keys():
        raise ValueError(f"found {name} = {given[name]!r}, which goes with none of: {drawn}")
    return drawn
