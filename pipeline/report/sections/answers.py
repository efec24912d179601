"""The beginning of a report: the questions that a reader has, and the answers in short."""

from collections.abc import Callable

from pipeline.escaping import for_markdown
from pipeline.evaluation import intervals
from pipeline.evaluation.sentences import show_lead
from pipeline.report.comparing import leads
from pipeline.report.document import Answer, Answers, Block
from pipeline.report.sections import (
    best,
    budget,
    champion,
    finals,
    gain,
    next_study,
    space,
    verdict,
)
from pipeline.report.sections.verdict import kept, score_interval
from pipeline.report.summary import StudySummary
from pipeline.study.trial import Trial
from pipeline.wording import count_noun, inflect


def answers(facts: StudySummary) -> list[Block]:
    """Answers what every reader asks, who won first; each names the section that tells more."""
    of_gap = finals.HEADING if facts.judged else verdict.HEADING
    asked: list[tuple[str, Callable[[StudySummary], str], str]] = [
        ("Who won?", _who, champion.HEADING),
        ("By how much?", _by_how_much, of_gap),
        ("How sure is that?", _how_sure, verdict.HEADING),
        ("Against what was known before?", _against, gain.HEADING),
        ("What would random search have found?", _random, gain.HEADING),
        ("Which hyperparameters mattered?", space.said_of_importance,
         space.IMPORTANCE),
        ("Where do the best lie; is a bound too tight?", space.said_of_best,
         space.HEADING),
        ("Was the budget enough; what would twice of it bring?", budget.said_of_budget,
         budget.ENOUGH),
        ("What was paused, pruned, failed, and why?", budget.said_of_ends,
         budget.COST),
        ("Does the winner overfit?", _overfits, champion.HEADING),
        ("What did it cost?", budget.said_of_cost, budget.COST),
        ("Could it be smaller?", _smaller, best.SIZES),
        ("What next?", _next, next_study.HEADING),
    ]  # fmt: skip
    rows = [Answer(question, answer(facts), part) for question, answer, part in asked]
    return [Answers([row for row in rows if row.answer])]


def _who(facts: StudySummary) -> str:
    champion, metric = facts.champion, facts.spec.objective
    if facts.judged:
        value = facts.judged.winner.value
        shown = metric.show(value.mean)
        worth = f"{metric.noun} expected of it with any seed: **{shown}**"
    else:
        score = facts.spec.task.score
        worth = f"{score.words} **{score.show(kept(score, champion))}**"
    reference = f", the reference {for_markdown(repr(champion.reference))}" if (
        champion.reference
    ) else ""  # fmt: skip
    n = f"{champion.n_parameters:,} parameters"
    return f"**{champion.hyperparameters}** (trial {champion.number}{reference}; {n}): {worth}."


def _by_how_much(facts: StudySummary) -> str:
    metric, judged = facts.spec.objective, facts.judged
    if judged:
        others = judged.standings[1:]
        if not others:
            return "It was alone in the finals."
        lead, interval = show_lead(others[0], metric, judged.winner.value.mean)
        return f"By {lead} over the next finalist (95 % interval {interval})."
    if facts.second is None:
        return "No other network has a value."
    return _beside(facts, facts.second, f"the second (trial {facts.second.number})")


def _beside(facts: StudySummary, other: Trial, name: str) -> str:
    """Says how far the champion is ahead of another network by the score, in one run of each."""
    score = facts.spec.task.score
    value, known = kept(score, facts.champion), kept(score, other)
    if value == known:
        return f"By nothing: {name} has the same {score.noun}, in one run of each."
    shown = intervals.show(score, abs(value - known), known)
    if (value > known) is (score.direction == "maximize"):
        return f"By {shown} of {score.noun} it is ahead of {name}, in one run of each."
    won = f"it won by its `{facts.spec.metric}`"
    return f"By {shown} of {score.noun} it is behind {name}, in one run of each: {won}."


def _how_sure(facts: StudySummary) -> str:
    judged, example = facts.judged, inflect(facts.spec.task.example, 2)
    if judged is None:
        interval = score_interval(facts.champion, facts)
        score = facts.spec.task.score
        if interval is None:
            n = count_noun(len(facts.ended), "trial")
            return f"Not known: it is the best of {n}, and so partly by luck."
        shown = interval.show(score, kept(score, facts.champion))
        n_trials = len(facts.ended)
        flattered = f"it is the best of {n_trials:,} trials, which flatters it, and "
        flattered *= n_trials > 1
        return (
            f"95 % interval of its value {shown}, from {facts.validated_on}; {flattered}there "
            "were no finals."
        )
    alike = judged.alike
    shown = judged.winner.value.interval.show(facts.spec.objective, judged.winner.value.mean)
    if not judged.standings[1:]:
        return f"95 % interval {shown}."
    n_others = len(judged.standings) - 1
    others = f"the {n_others} other finalists"
    told = f"it is better than {others}" if n_others > 1 else "it is better than the other"
    if alike:
        told = f"{len(alike)} of {others} cannot be told from it"
        if len(alike) == n_others:
            told = f"none of {others} can be told from it"
    return f"95 % interval {shown}, of seeds and {example}; {told}."


def _against(facts: StudySummary) -> str:
    judged, metric = facts.judged, facts.spec.objective
    if judged and judged.winner.finalist.reference:
        return "It was known before: searching has found nothing that is better."
    if judged and judged.reference and judged.probability is not None:
        lead, interval = show_lead(judged.reference, metric, judged.winner.value.mean)
        name = for_markdown(repr(judged.reference.finalist.reference))
        better, sure = judged.is_better, f"{100 * judged.probability:.0f} %"
        how = {
            True: f"It is better, {sure} sure",
            False: "It is worse",
            None: f"It is better with a probability of {sure}, too little to say so",
        }[better]
        return f"{how}. Against the best reference, {name}: {lead} (95 % interval {interval})."
    reference = facts.best_reference
    if reference is None:
        return "The study names no reference."
    if reference in facts.with_seeds:
        return "It is the best reference itself: searching has found nothing that is better."
    name = for_markdown(repr(reference.reference))
    return _beside(facts, reference, f"the best reference, {name}")


def _random(facts: StudySummary) -> str:
    if facts.spec.sampler.type == "RandomSampler":
        return "This is random search."
    if not facts.spec.baseline:
        return "Not known: the study file names no `baseline`."
    known = facts.baseline
    if known is None:
        again = f"`make search STUDY={facts.spec.baseline}`"
        return f"Not known yet: study `{facts.spec.baseline}` has not been run; {again}"
    spent = f"{count_noun(known.n_searched, 'trial')} in {known.minutes:.1f} minutes"
    if facts.judged and known.judged:
        metric, ours, theirs = facts.spec.objective, facts.judged.winner, known.judged.winner
        gap = leads.of_estimates(ours.value, theirs.value, metric)
        chance = "may be chance" if gap.may_be_chance else "is more than chance"
        which = "better" if gap.is_first_ahead else "worse"
        lead = f"{which} by {gap.lead}, which {chance} (95 % interval {gap.lead_interval})"
        expected = f"{metric.show(theirs.value.mean)} is expected of its winner, after {spent}"
        ours_is = "as good" if gap.is_level else lead
        return f"Study `{facts.spec.baseline}`: {expected}. This winner is {ours_is}."
    score = facts.spec.task.score
    return (
        f"Study `{facts.spec.baseline}` found {score.show(kept(score, known.best))} with {spent}. "
        f"{_beside(facts, known.best, 'that')}"
    )


def _overfits(facts: StudySummary) -> str:
    return champion.said_of_fit(facts) or "It cannot be told: training was not scored."


def _smaller(facts: StudySummary) -> str:
    judged, metric = facts.judged, facts.spec.objective
    if judged:
        small = judged.smallest
        if small is None:
            return "No smaller finalist is within one standard error of it."
        behind = intervals.show(metric, abs(small.behind.mean), judged.winner.value.mean)
        return (
            f"Yes: {small.finalist.n_parameters:,} parameters instead of "
            f"{judged.winner.finalist.n_parameters:,} are {behind} behind, within one standard "
            "error."
        )
    return ""


def _next(facts: StudySummary) -> str:
    if not facts.spec.space:
        return ""
    said = next_study.suggestions(facts)
    more = f" And {count_noun(len(said) - 1, 'other step')}." if said[1:] else ""
    return said[0] + more
