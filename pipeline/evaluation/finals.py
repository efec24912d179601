"""The verdict on the finals of a study, from what was held and its trials."""

from collections.abc import Sequence

from pipeline.evaluation.intervals import error_of
from pipeline.evaluation.verdict import Examples, Finalist, Verdict, judge
from pipeline.study.finals import Held, Network, best_run, networks_of
from pipeline.study.trial import Trial
from pipeline.task.task import Metric


def judge_finals(
    held: Held | None, trials: Sequence[Trial], metric: Metric, n_examples: int
) -> Verdict | None:
    """Judges the finals of a study.

    Args:
        held: finals that are over; None if there are none.
        trials: all that ended.
        metric: the study's.
        n_examples: on how many independent ones, or groups of them, it was measured.

    Returns:
        None if there are none, or no run of the winner with a fresh seed has a value.
    """
    if held is None:
        return None
    taking = {*held.plan.networks, held.champion, held.plan.reference}
    networks = [each for each in networks_of(trials) if each.number in taking]
    references = [each.number for each in networks if each.reference]
    winner = next((each for each in networks if each.number == held.champion), None)
    if any(i == j for i, j in held.covariances):
        examples = Examples.of_covariances(held.covariances, references)
    else:
        examples = Examples.of_error(_error(winner, metric, n_examples))
    finalists = [_finalist(each) for each in networks]
    return judge(finalists, held.champion, metric.direction, examples)


def _error(winner: Network | None, metric: Metric, n_examples: int) -> float | None:
    """Finds the standard error of the winner's value over examples; None if it is not known."""
    run = best_run(winner, metric.direction) if winner else None
    if run is None or run.value is None:
        return None
    measured = {metric.quantity: run.value, "n_examples": float(n_examples)}
    if (error := run.kept(metric.error_name)) is not None:
        measured[metric.error_quantity] = error
    return error_of(metric, measured)


def _finalist(network: Network) -> Finalist:
    """Takes of a network what its runs tell; a reference was selected by none of them."""
    fresh = network.runs if network.reference else network.fresh
    return Finalist(
        number=network.number,
        fresh=tuple(run.value for run in fresh if run.value is not None),
        first=None if network.reference else network.first.value,
        n_parameters=max(run.n_parameters for run in network.runs),
        reference=network.reference,
    )
