"""The verdict on the finals of a study, from what was held and its trials."""

from collections.abc import Sequence

from pipeline.data import datasets
from pipeline.evaluation.curves import value_without_luck
from pipeline.evaluation.intervals import error_of
from pipeline.evaluation.verdict import Examples, Finalist, Verdict, judge
from pipeline.study.finals import Held, Network, best_run, networks_of
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial, cross_fitted
from pipeline.task.task import Metric


def judge_finals(
    held: Held, trials: Sequence[Trial], metric: Metric, n_examples: int
) -> Verdict | None:
    """Judges the finals of a study.

    Args:
        held: finals that are over.
        trials: all that ended.
        metric: the study's.
        n_examples: on how many independent ones, or groups of them, it was measured.

    Returns:
        None if no run of the winner with a fresh seed has a value.
    """
    taking = {*held.plan.networks, held.champion, held.plan.reference}
    networks = [each for each in networks_of(trials) if each.number in taking]
    references = [each.number for each in networks if each.reference]
    winner = next((each for each in networks if each.number == held.champion), None)
    if any(i == j for i, j in held.covariances):
        examples = Examples.of_covariances(held.covariances, references)
    else:
        examples = Examples.of_error(_error(winner, metric, n_examples))
    finalists = [_finalist(each, metric) for each in networks]
    return judge(finalists, held.champion, metric.direction, examples)


def judge_study(spec: StudySpec, held: Held | None, trials: Sequence[Trial]) -> Verdict | None:
    """Judges the finals of a study by its file; None if there are none to be judged.

    Args:
        spec: the study file.
        held: finals that are over; None if there are none.
        trials: all that ended.
    """
    if held is None:
        return None
    n = spec.task.n_validation_groups or datasets.n_validation_examples(spec.data_spec)
    return judge_finals(held, trials, spec.objective, n)


def _error(winner: Network | None, metric: Metric, n_examples: int) -> float | None:
    """Finds the standard error of the winner's value over examples; None if it is not known."""
    run = best_run(winner, metric.direction) if winner else None
    if run is None or run.value is None:
        return None
    measured = {metric.quantity: run.value, "n_examples": float(n_examples)}
    if (error := run.kept(metric.error_name)) is not None:
        measured[metric.error_quantity] = error
    return error_of(metric, measured)


def _finalist(network: Network, metric: Metric) -> Finalist:
    """Takes of a network what its runs tell; a reference was selected by none of them.

    First runs and fresh ones alike, each by its value without the luck of the best epoch: as
    cross-fitting tells it, or, of those that were drawn, at the epoch that the network's other
    runs have found best.
    """
    known = [run for run in network.runs if run.value is not None]

    def value_of(run: Trial) -> float:
        if (fair := run.scores.get(cross_fitted(metric.name))) is not None:
            return fair
        others = [each for each in known if each is not run]
        return value_without_luck(run, others, metric.name, metric.direction)

    is_drawn, first = not network.reference, network.first
    return Finalist(
        number=network.number,
        fresh=tuple(value_of(run) for run in known if run.repeat or not is_drawn),
        first=value_of(first) if is_drawn and first in known else None,
        n_parameters=max(run.n_parameters for run in network.runs),
        reference=network.reference,
    )
