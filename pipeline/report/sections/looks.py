"""Who looked at the test set, and what it said: of many looks in a table of its own."""

from collections.abc import Mapping
from typing import Any

from pipeline.evaluation import intervals
from pipeline.report.document import Block, Heading, Table
from pipeline.report.summary import StudySummary, measured_on
from pipeline.wording import join_names

N_IN_A_SENTENCE = 2  # looks; of more a sentence cannot be read
HEADING = "Looks at the test set"


def said_of_test_set(facts: StudySummary) -> str:
    """Says in a sentence whether the test set is sealed, and what looks at it found."""
    found = facts.test_looks
    if not found:
        return "The test set is sealed: nobody has looked at it for this study."
    times = "once" if len(found) == 1 else f"{len(found)} times"
    if len(found) > N_IN_A_SENTENCE:
        return f'The test set was looked at {times}: see "{HEADING}".'
    scores = "; ".join(
        f"{_model(look)}{',' * bool(look.get('refit'))} {_scored(look, facts)} ({_asked(look)})"
        for look in found
    )
    return f"The test set was looked at {times}: {scores}."


def looks(facts: StudySummary) -> list[Block]:
    """Lists the looks, if they are more than a sentence tells of."""
    score = facts.spec.task.score
    if len(facts.test_looks) <= N_IN_A_SENTENCE:
        return []
    rows = [
        [_model(look), *_values(look, facts), str(look["when"]), str(look.get("command", ""))]
        for look in facts.test_looks
    ]
    columns = ["model", f"test {score.noun}", "95 % interval", "measured on", "when", "asked by"]
    return [Heading(HEADING), Table(columns, rows)]


def _model(look: Mapping[str, Any]) -> str:
    if ensemble := look.get("ensemble"):
        return f"the mean of trials {join_names([*ensemble])}"
    epochs = look.get("refit")
    again = f" trained again on all other data for {epochs} epochs" if epochs else ""
    return f"trial {look['trial']}{again}"


def _asked(look: Mapping[str, Any]) -> str:
    """Says when a look was taken, and by which command if that was recorded."""
    return f"{look['when']}, {look['command']}" if look.get("command") else str(look["when"])


def _values(look: Mapping[str, Any], facts: StudySummary) -> list[str]:
    """Tells a look's score, its interval, and on how many examples it was measured."""
    score, n, groups = facts.spec.task.score, look["n_examples"], look.get("n_groups")
    if n is None:
        return ["the export broke off", "", ""]
    value, error = look[score.quantity], look.get(score.error_quantity)
    interval = intervals.interval_of(score, value, groups or n, error)
    shown = interval.show(score, value) if interval else ""
    return [score.show(value), shown, measured_on(facts.spec.task.example, n, groups)]


def _scored(look: Mapping[str, Any], facts: StudySummary) -> str:
    """Tells what a look found, with an interval if an error was noted."""
    score = facts.spec.task.score
    if look["n_examples"] is None:
        return "was to be scored, and the export broke off"
    value, interval, measured = _values(look, facts)
    has_error = look.get(score.error_quantity) is not None
    trusted = f" (95 % interval {interval})" if interval and has_error else ""
    name = "" if score.quantity == "accuracy" else f"{score.noun} "
    return f"scored {name}{value}{trusted} on {measured}"
