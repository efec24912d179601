"""What two studies were asked and made with, side by side; what differs is marked."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from pipeline.escaping import for_code, for_markdown
from pipeline.report.document import Block, Heading, Table
from pipeline.report.summary import StudySummary
from pipeline.study.budget import Budget
from pipeline.study.ranges import Choices, Entry
from pipeline.study.resources import Resources
from pipeline.study.spec import Finals, StudySpec
from pipeline.study.trial import count_ends
from pipeline.wording import count_noun, join_names

MARK = "differs"


def side_by_side(first: StudySummary, second: StudySummary) -> list[Block]:
    """Tables the search space, the budget, the data and the versions of two studies."""
    parts = {
        "Search space": _space(first.spec, second.spec),
        "Budget and search": [*_asked(first.spec, second.spec), *_used(first, second)],
        "Data": _data(first, second),
        "Machine and versions": _versions(first, second),
    }
    columns = ["", f"`{first.spec.name}`", f"`{second.spec.name}`", ""]
    return [
        block
        for heading, rows in parts.items()
        if rows
        for block in (Heading(heading), Table(columns, rows))
    ]


def _row(what: str, one: Any, other: Any, show: Callable[[Any], str] = str) -> list[str]:
    """Makes a row of two values, and marks it if they differ."""
    return [what, show(one), show(other), MARK if one != other else ""]


def _space(one: StudySpec, other: StudySpec) -> list[list[str]]:
    names = dict.fromkeys([*one.space, *other.space, *one.fixed, *other.fixed])
    return [
        _row(f"`{name}`", _drawn(name, one), _drawn(name, other), _show_drawn) for name in names
    ]


def _drawn(name: str, spec: StudySpec) -> Entry | list[Any]:
    """Finds what a hyperparameter is drawn from; one value if it is fixed, none if not named."""
    if name in spec.space:
        return spec.space[name]
    return [spec.fixed[name]] if name in spec.fixed else []


def _show_drawn(drawn: Entry | list[Any]) -> str:
    if isinstance(drawn, list):
        return for_markdown(f"fixed at {drawn[0]}") if drawn else "not named"
    said = [str(drawn)]
    if not isinstance(drawn, Choices) and drawn.log:
        said.append("evenly in the logarithm")
    if drawn.per:
        said.append("one for each hidden layer")
    said += [f"if {name} is {' or '.join(map(repr, of))}" for name, of in drawn.when.items()]
    return for_markdown(", ".join(said))


def _asked(one: StudySpec, other: StudySpec) -> list[list[str]]:
    """Sets side by side what the study files say of how to search."""
    return [
        _row("budget", one.budget, other.budget, _show_budget),
        _row("finals", one.finals, other.finals, _show_finals),
        _row("sampler", str(one.sampler), str(other.sampler), for_code),
        _row("pruner", str(one.own_pruner), str(other.own_pruner), for_code),
        _row("share audited", one.audit, other.audit),
        _row("patience", one.training.patience, other.training.patience),
        _row("minutes of a trial", one.training.trial_minutes, other.training.trial_minutes),
        *_resources(one, other),
        _row("references", _references(one), _references(other), _listed),
        _row("started from", one.start_from, other.start_from, _listed),
    ]


def _resources(one: StudySpec, other: StudySpec) -> list[list[str]]:
    if one.resources == other.resources == Resources():
        return []
    return [_row("a training has", one.resources, other.resources)]


def _used(first: StudySummary, second: StudySummary) -> list[list[str]]:
    """Sets side by side what the searches came to: that is theirs, and nothing is marked."""
    both = first, second
    return [
        ["trials", *(count_ends(facts.ended) for facts in both), ""],
        ["minutes of search", *(f"{facts.minutes:.1f}" for facts in both), ""],
        ["minutes of finals", *(f"{facts.finals_minutes:.1f}" for facts in both), ""],
        ["epochs trained", *(f"{sum(t.n_epochs for t in facts.ended):,}" for facts in both), ""],
        ["seconds trained", *(f"{_trained(facts):,.0f}" for facts in both), ""],
    ]


def _data(first: StudySummary, second: StudySummary) -> list[list[str]]:
    one, other = first.spec, second.spec
    return [
        _row("data", one.dataset, other.dataset, for_markdown),
        _row("target", one.target, other.target, _or_none),
        _row("fingerprint", first.data_fingerprint, second.data_fingerprint, _short),
        _row("settings in `[data]`", _settings(one), _settings(other), _code_or_none),
        _row("validated on", first.validated_on, second.validated_on),
    ]


def _versions(first: StudySummary, second: StudySummary) -> list[list[str]]:
    names = {"machine": "machine", "git_commit": "commit"}
    names |= {
        key: key.removeprefix("version.")
        for key in (*first.about, *second.about)
        if key.startswith("version.")
    }
    return [
        _row(name, first.about.get(key, ""), second.about.get(key, ""), _or_unknown)
        for key, name in names.items()
    ]


def _show_budget(budget: Budget) -> str:
    said = [] if budget.trials is None else [count_noun(budget.trials, "trial")]
    said += [] if budget.minutes is None else [count_noun(budget.minutes, "minute")]
    return " or ".join(said)


def _show_finals(finals: Finals | None) -> str:
    if finals is None:
        return "none"
    networks, seeds = count_noun(finals.networks, "network"), count_noun(finals.seeds, "seed")
    return f"{100 * finals.share:.4g} % of it, {networks}, {seeds}"


def _references(spec: StudySpec) -> list[str]:
    return [each.name for each in spec.reference]


def _trained(facts: StudySummary) -> float:
    return math.fsum(trial.seconds for trial in facts.ended)


def _settings(spec: StudySpec) -> str:
    given = spec.data.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(given, ensure_ascii=False, sort_keys=True) if given else ""


def _listed(names: Sequence[str]) -> str:
    return join_names([for_markdown(name) for name in names]) if names else "none"


def _short(fingerprint: str) -> str:
    return f"`{fingerprint[:12]}`" if fingerprint else _or_unknown("")


def _or_none(text: str) -> str:
    return for_markdown(text) if text else "none"


def _code_or_none(text: str) -> str:
    return for_code(text) if text else "none"


def _or_unknown(text: str) -> str:
    return text or "not known"
