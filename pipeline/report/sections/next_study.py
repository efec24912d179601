"""The part of a report on what to try next, as a study file to be copied."""

from pipeline.evaluation.edges import Edge
from pipeline.report.document import Block, Code, Heading, Items, Paragraph
from pipeline.report.sections.space import tight
from pipeline.report.summary import StudySummary
from pipeline.study import toml
from pipeline.study.ranges import Choices, Entry, FloatRange, IntRange
from pipeline.study.trial import State
from pipeline.wording import count_noun

HEADING = "What to try next"
IS_NOTHING = 0.02  # importance below which a hyperparameter decides nothing
MANY_FAILED = 0.2  # share of trials
FACTOR = 4.0  # by which a logarithmic range is widened
SHARE = 0.5  # of its width, by which another one is
FACTOR_OF_FINALS, MOST_OF_FINALS = 2.0, 0.5  # by which their share grows, and up to which


def next_study(facts: StudySummary) -> list[Block]:
    """Lists what follows from the report, and a study file that does it; empty if nothing was."""
    if not facts.spec.space:
        return []
    steps = suggestions(facts)
    name = f"{facts.spec.name}_next"
    return [
        Heading(HEADING),
        Items(steps),
        Paragraph(
            f"As a study file: put it into `studies/{name}.toml`, and run "
            f"`make search STUDY={name}`. The best networks of this study are tried first."
        ),
        Code(study_file(facts), "toml"),
    ]


def suggestions(facts: StudySummary) -> list[str]:
    """Says what to change, the most promising first; one at least."""
    said = [
        f"Widen `{edge.name}`, whose {'upper' if edge.is_upper else 'lower'} bound is "
        f"{edge.bound:g}: {edge.n_near} of {edge.n_best} values in the best trials lie near it."
        for edge in _widened(facts)
    ]
    said += [
        f"Leave `{name}` as the champion has it: its importance was {facts.importance[name]:.2f}."
        for name in _settled(facts)
    ]
    if _wants_more(facts):
        said.append("Search for twice as long: the last doubling still brought something.")
    known = facts.budget
    if (known is None or known.gain is None) and not facts.is_exhausted:
        said.append("Search for longer: so few trials cannot tell what more would bring.")
    failed = sum(trial.state == State.FAIL for trial in facts.ended)
    if failed > MANY_FAILED * len(facts.ended):
        said.append(
            f"See to the {count_noun(failed, 'failed trial')} first: their hyperparameters lie "
            "where nothing can be trained."
        )
    if _wants_finals(facts):
        said.append(
            "Give finals a larger share of the budget: whether the winner is better than what was "
            "known cannot be told yet."
        )
    return said or ["Nothing stands out: this space and this budget have given what they had."]


def _widened(facts: StudySummary) -> list[Edge]:
    return [edge for edge in tight(facts) if not edge.is_natural]


def _settled(facts: StudySummary) -> list[str]:
    """Names hyperparameters that decided nothing, unless others of the space hang on them."""
    entries = facts.spec.space
    named = {name for entry in entries.values() for name in entry.when}
    named |= {entry.per for entry in entries.values() if entry.per}
    return [
        name
        for name, share in facts.importance.items()
        if share < IS_NOTHING and name in entries and name not in named and not entries[name].when
    ]


def _wants_more(facts: StudySummary) -> bool:
    known = facts.budget
    if known is None or known.gain is None or facts.is_exhausted:
        return False
    return known.gain > (facts.judged.noise if facts.judged else 0.0)


def _wants_finals(facts: StudySummary) -> bool:
    judged = facts.judged
    return judged is not None and judged.reference is not None and judged.is_better is None


def study_file(facts: StudySummary) -> str:
    """Writes the study file that does what is suggested, and is else as this study's."""
    spec, settled = facts.spec, _settled(facts)
    champion = facts.champion.hyperparameters
    assert champion is not None
    known = spec.model_dump(exclude_defaults=True, exclude={"name", "folder", "comparison"})
    factor = 2 if _wants_more(facts) else 1
    content = {
        "goal": f"Go on from study {spec.name}.",
        **{key: value for key, value in known.items() if key != "goal" and value not in ({}, ())},
        "budget": {key: factor * value for key, value in known["budget"].items()},
        "start_from": [spec.name],
        "baseline": spec.name,
        "space": {
            name: _wide(name, entry, facts).model_dump(exclude_defaults=True)
            for name, entry in spec.space.items()
            if name not in settled
        },
    }
    if settled or "fixed" in content:
        fixed = {name: getattr(champion, name) for name in settled}
        content["fixed"] = {**known.get("fixed", {}), **fixed}
    if spec.finals is None:
        content["finals"] = False
    elif _wants_finals(facts):
        share = min(FACTOR_OF_FINALS * spec.finals.share, MOST_OF_FINALS)
        content["finals"] = {**known.get("finals", {}), "share": max(share, spec.finals.share)}
    return toml.document(content)


def _wide(name: str, entry: Entry, facts: StudySummary) -> Entry:
    for edge in _widened(facts):
        if edge.name == name and not isinstance(entry, Choices):
            return _wider(entry, edge.is_upper)
    return entry


def _wider(entry: IntRange | FloatRange, is_upper: bool) -> Entry:
    """Moves a bound of a range outward: by a factor where it is logarithmic, else by its width."""
    low: float
    high: float
    if entry.log:
        low, high = entry.low / FACTOR, entry.high * FACTOR
    else:
        width = SHARE * (entry.high - entry.low)
        low, high = entry.low - width, entry.high + width
        low = max(low, 0) if entry.low >= 0 else low
    if isinstance(entry, IntRange):
        step, least = entry.step, 1 if entry.log else 0
        low = max(entry.low - step * max(1, round((entry.low - low) / step)), least)
        high = entry.high + step * max(1, round((high - entry.high) / step))
    change = {"high": high} if is_upper else {"low": low}
    return entry.model_copy(update=change)
