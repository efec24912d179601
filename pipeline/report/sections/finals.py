"""The part of a report on finals: who took part, and what each is worth."""

from pipeline.escaping import for_figure, for_markdown
from pipeline.evaluation import intervals
from pipeline.evaluation.sentences import describe_verdict, name_of, show_lead
from pipeline.evaluation.verdict import Standing
from pipeline.report import run_figures
from pipeline.report.document import Block, Figure, Heading, Paragraph, Table
from pipeline.report.summary import StudySummary
from pipeline.wording import capitalize, count_noun, inflect, join_names

HEADING = "Finals"
_BESIDE = ", the best reference beside them, whose first run is as good as fresh: nobody chose it"


def said_of_finals(facts: StudySummary) -> list[str]:
    """Says in sentences what finals have shown; nothing if there were none."""
    spec = facts.spec
    if facts.judged is None:
        return []
    return describe_verdict(facts.judged, spec.task, spec.metric, for_markdown)


def finals(facts: StudySummary) -> list[Block]:
    """Tables the finalists, the winner first; empty if there were no finals."""
    judged = facts.judged
    if judged is None or facts.plan is None:
        return []
    metric = facts.spec.objective
    columns = [
        "network", "fresh runs", "their mean", "expected", "95 % interval",
        "winner less this", "95 % interval", "parameters", "hyperparameters",
    ]  # fmt: skip
    rows = [_row(each, facts) for each in judged.standings]
    steps = [
        f"{count_noun(each.n_networks, 'network')} until each had {each.n_fresh}"
        for each in facts.plan.rounds
    ]
    beside, n_last = facts.plan.reference is not None, facts.plan.rounds[-1].n_fresh
    examples = inflect(facts.spec.task.example, 2)
    how = (
        "The best networks of the search were trained again with fresh seeds, the same for all, "
        f"round by round: {join_names(steps)} fresh {inflect('run', n_last)}"
        f"{_BESIDE if beside else ''}. The mean of all runs decided who won, the first one "
        "included; what is expected rests on fresh ones alone."
    )
    paired = (
        "differences are between answers to the same"
        if judged.is_paired
        else "differences are taken as between answers to different"
    )
    excess = intervals.show(metric, judged.excess, judged.winner.value.mean)
    return [
        Heading(HEADING),
        Paragraph(how),
        Table(columns, rows),
        Figure(
            run_figures.standings(
                judged.standings, [_plain_name(each) for each in judged.standings], metric
            ),
            f"What each finalist's {metric.noun} is expected to be with any seed, and its 95 % "
            "interval; the dotted line is the winner's.",
            _said_of_standings(facts),
        ),
        Paragraph(
            "What is expected is the mean of a hierarchical posterior, in which a network that "
            "is ahead by luck is drawn towards the others; intervals are its 95 % credible "
            f"intervals, of seeds and {examples}: {paired} ones. The runs by which networks were "
            f"selected were better than fresh ones by {excess} (median). All count without the "
            "luck of the best of many epochs: it is chosen by other examples than measure it, or, "
            "in runs of the search, by the network's other runs."
        ),
    ]


def _plain_name(each: Standing) -> str:
    return for_figure(capitalize(name_of(each.finalist)).removeprefix("The "))


def _said_of_standings(facts: StudySummary) -> str:
    """Says how many finalists lie within the winner's reach."""
    judged = facts.judged
    assert judged
    n, n_alike = len(judged.standings) - 1, len(judged.alike)
    if not n:
        return "The winner was alone in the finals."
    others = count_noun(n, "other finalist")
    if not n_alike:
        return f"The winner stands apart from all {n} others." if n > 1 else (
            "The winner stands apart from the other finalist."
        )  # fmt: skip
    if n_alike == n:
        who = {1: "The other finalist", 2: "Both other finalists"}.get(n, f"All {others}")
        return f"{who} may be as good as the winner."
    return f"{n_alike} of {others} may be as good as the winner."


def _row(each: Standing, facts: StudySummary) -> list[str]:
    metric, finalist = facts.spec.objective, each.finalist
    mean = sum(finalist.fresh) / len(finalist.fresh)
    like = each.value.mean
    is_winner = facts.judged is not None and each is facts.judged.winner
    behind, apart = show_lead(each, metric, like)
    network = next(
        str(trial.hyperparameters) for trial in facts.ended if trial.number == finalist.number
    )
    name = capitalize(name_of(finalist, for_markdown)).removeprefix("The ")
    return [
        f"**{name}**" if is_winner else name,
        str(len(finalist.fresh)),
        metric.show(mean),
        metric.show(like),
        _unbroken(each.value.interval.show(metric, like)),
        "" if is_winner else behind,
        "" if is_winner else _unbroken(apart) + (", apart" if each.is_apart else ""),
        f"{finalist.n_parameters:,}" if finalist.n_parameters else "",
        network,
    ]


def _unbroken(text: str) -> str:
    """Keeps a text in one line of a table's cell."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")
