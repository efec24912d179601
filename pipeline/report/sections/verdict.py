"""The answer of a report: the verdict on the champion."""

from collections.abc import Iterator

from pipeline.escaping import for_markdown
from pipeline.evaluation import intervals
from pipeline.evaluation.claims import estimate
from pipeline.evaluation.intervals import Interval
from pipeline.report.document import Block, Heading, Items
from pipeline.report.sections.finals import said_of_finals
from pipeline.report.sections.looks import said_of_test_set
from pipeline.report.sections.simple_models import said_of_simple_models
from pipeline.report.summary import StudySummary
from pipeline.study.trainers import SIMPLE
from pipeline.study.trial import Trial
from pipeline.task.task import Metric
from pipeline.wording import count_noun, inflect, join_names

HEADING = "Verdict"


def verdict(facts: StudySummary) -> list[Block]:
    """Tells the champion, how it compares with what was known, and the looks at the test set."""
    champion, score = facts.champion, facts.spec.task.score
    value, interval = kept(score, champion), score_interval(champion, facts)
    n_trials = count_noun(len(facts.ended), "trial")
    biased = f" It is optimistically biased: selected as the best of {n_trials}."
    trusted = f"95 % interval {interval.show(score, value)} from " if interval else ""
    of_target = f" of {for_markdown(name)}" if (name := facts.spec.task.target.name) else ""
    value_of_run = (
        f"Its {score.words}{of_target} is **{score.show(value)}** ({trusted}"
        f"{facts.validated_on}).{_folds(facts)}{biased if len(facts.ended) > 1 else ''}"
    )
    if facts.judged:
        items = [*said_of_finals(facts), _handed_over(facts), _tests_of_seeds(facts)]
        items = [items[0] + _folds(facts), *items[1:], said_of_simple_models(facts)]
    else:
        items = [_best(facts), value_of_run, _over_seeds(facts), _compared(facts)]
        items += [said_of_simple_models(facts), *_against_second(facts)]
    items += [said_of_test_set(facts), *(f"{for_markdown(said)}." for said in facts.warnings)]
    return [Heading(HEADING), Items([item for item in items if item])]


def _against_second(facts: StudySummary) -> Iterator[str]:
    """Says whether the champion can be told from the second by these examples alone."""
    champion, score, second = facts.champion, facts.spec.task.score, facts.second
    if second and (gap := _difference(champion, second, facts)):
        said = {
            1: "is better than",
            0: "cannot be told from",
            -1: f"is {_worse(score)} than",  # better by its loss
        }[_compare(score, gap)]
        yield (
            f"By these {inflect(facts.spec.task.example, 2)} alone the champion {said} the "
            f"second, trial {second.number}."
        )


def _handed_over(facts: StudySummary) -> str:
    """Says which run of the winner is handed over, and what it showed."""
    champion, objective = facts.champion, facts.spec.objective
    n_runs = count_noun(len(facts.with_seeds), "run")
    value = objective.show(champion.value or 0.0)
    return (
        f"Its hyperparameters: **{champion.hyperparameters}**. The best of its {n_runs}, trial "
        f"{champion.number} with {value} on {facts.validated_on}, is the model that is handed "
        "over."
    )


def _tests_of_seeds(facts: StudySummary) -> str:
    """Says what its runs came to on the test set, if they were scored there."""
    said = _tested(facts).removeprefix("; ")
    return f"The mean of its runs {said}." if said else ""


def _folds(facts: StudySummary) -> str:
    """Says what a value is of a study that cross-validates each trial; "" of others."""
    n, example = facts.spec.task.n_folds, facts.spec.task.example
    if n == 1:
        return ""
    is_mean = "; the ROC AUC is the mean of their folds'"
    return (
        f" It is cross-validated: of {n} networks, each trained without one fold, every {example} "
        "is answered by the one that has not seen it"
        f"{is_mean if facts.spec.task.score.quantity == 'roc_auc' else ''}."
    )


def _best(facts: StudySummary) -> str:
    """Says which trial is the best, what ended it, and which were better but are lost."""
    champion, objective = facts.champion, facts.spec.objective
    n_trials = count_noun(len(facts.ended), "trial")
    said = f"**trial {champion.number}: {champion.hyperparameters}**"
    how = f" It was ended before its own end: {champion.ending}." if champion.ending else ""
    if not champion.keeps_weights:
        return f"The best of {n_trials} is {said}.{how} Of no trial were the weights kept."
    better = facts.ranked[: facts.ranked.index(champion)]
    if not better:
        return f"The best of {n_trials} is {said}.{how}"
    others = join_names(
        [f"trial {t.number} with {objective.show(t.value or 0.0)} ({t.ending})" for t in better]
    )
    return (
        f"The best of {n_trials} whose weights were kept is {said}.{how} Better, but by a version "
        f"that did not keep the weights of such: {others}."
    )


def _over_seeds(facts: StudySummary) -> str:
    """Says what the champion's network came to with several seeds; "" if with one alone."""
    score, runs = facts.spec.task.score, facts.with_seeds
    values = [value for run in runs if (value := run.kept(score.name)) is not None]
    if len(values) < 2:
        return ""
    known = estimate(values)
    assert known.interval is not None
    mean = score.show(known.mean)
    spread = intervals.show(score, known.deviation, known.mean)
    first = min(run.number for run in runs)
    lost = [each for each in facts.ended if each.final_of == first and each.value is None]
    others = [f"trial {run.number} was {run.ending}" for run in runs if run.ending]
    others += [f"nothing came of {count_noun(len(lost), 'other seed')}"] if lost else []
    return (
        f"The same network was trained with {count_noun(len(values), 'seed')}, one of which was "
        f"selected: mean {score.words} **{mean}** (95 % interval of the mean "
        f"{known.interval.show(score, known.mean)}; standard deviation {spread})"
        f"{_tested(facts)}{''.join(f'; {for_markdown(other)}' for other in others)}."
    )


def _tested(facts: StudySummary) -> str:
    """Says what the same networks came to on the test set, as far as all were scored."""
    score, alone = facts.spec.task.score, [x for x in facts.test_looks if not x.get("ensemble")]
    said = ""
    for refit in dict.fromkeys(look.get("refit") for look in alone):
        scored = {
            look["trial"]: look[score.quantity]
            for look in alone
            if look.get("refit") == refit and look.get(score.quantity) is not None
        }
        values = [scored[run.number] for run in facts.with_seeds if run.number in scored]
        if len(values) < len(facts.with_seeds):
            continue
        known, again = estimate(values), "trained again on all other data, " if refit else ""
        assert known.interval is not None
        said += (
            f"; {again}on the test set **{score.show(known.mean)}** "
            f"({known.interval.show(score, known.mean)})"
        )
    return said


def _compared(facts: StudySummary) -> str:
    """Compares the champion with the best network that was known before, with the interval."""
    reference, champion = facts.best_reference, facts.champion
    others = [each for each in facts.spec.reference if each.trainer not in SIMPLE]
    if reference is None and facts.spec.reference and not others:
        return ""  # `said_of_simple_models` says it
    if reference is None and others:
        return "So far no reference is complete, so there is nothing known to compare with."
    if reference is None:
        return "The study names no reference, so there is nothing known to compare with."
    name = for_markdown(repr(reference.reference))
    if reference in facts.with_seeds and not facts.spec.space:
        return f"It is a run of the reference {name}: nothing was searched."
    if reference in facts.with_seeds:
        return f"It is the reference {name} itself: searching found nothing better."
    score = facts.spec.task.score
    value, known = kept(score, champion), kept(score, reference)
    gained = intervals.show(score, value - known, known, is_signed=True)
    said = [] if score.direction == "maximize" else ["lower is better"]
    judged = ""
    if interval := _difference(champion, reference, facts):
        said.append(f"95 % interval {interval.show(score, known, is_signed=True)}")
        judged = {
            1: f", more than chance in these {inflect(facts.spec.task.example, 2)} would give",
            0: ", which may be chance: the interval includes zero",
            -1: f", {_worse(score)}: it is the best by its {facts.spec.metric}",
        }[_compare(score, interval)]
    other = "moves either by some thousandths"
    if score.quantity != "accuracy":
        other = "gives other values"
    more = f" ({', '.join(said)})" if said else ""
    runs = (
        "These are one run of each"
        if len(facts.with_seeds) > 1
        else "Each was trained with one seed"
    )
    return (
        f"Against the best reference, {name} with {score.show(known)}, that is {gained}"
        f"{more}{judged}. {runs}; another seed {other}."
    )


def kept(metric: Metric, trial: Trial) -> float:
    """Returns a metric at the epoch whose weights were kept, whatever the study's metric is."""
    return trial.history[metric.name][trial.best_epoch - 1]


def score_interval(trial: Trial, facts: StudySummary) -> Interval | None:
    """Computes the interval of a trial's score; None if none is known."""
    score = facts.spec.task.score
    error = trial.kept(score.error_name)
    return intervals.interval_of(score, kept(score, trial), facts.n_independent, error)


def _difference(first: Trial, second: Trial, facts: StudySummary) -> Interval | None:
    """Computes the interval of what a trial's score has more than another's, if it is known."""
    score = facts.spec.task.score
    values = kept(score, first), kept(score, second)
    errors = first.kept(score.error_name), second.kept(score.error_name)
    return intervals.difference_of(score, *values, facts.n_independent, errors)


def _compare(metric: Metric, difference: Interval) -> int:
    """Compares a difference's interval with zero: 1 is better, -1 worse, 0 includes zero."""
    sign = (difference.low > 0) - (difference.high < 0)
    return sign if metric.direction == "maximize" else -sign


def _worse(metric: Metric) -> str:
    return "less accurate" if metric.quantity == "accuracy" else f"worse in {metric.noun}"
