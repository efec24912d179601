"""The part of a report on simple models: whether a network was worth it, whoever won."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from pipeline.escaping import for_markdown
from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Interval
from pipeline.report.document import Block, Heading, Paragraph, Table
from pipeline.report.summary import StudySummary
from pipeline.study.measures import has_measure, measure
from pipeline.study.trainers import GRADIENT_BOOSTING, SIMPLE, words_of
from pipeline.study.trial import Trial, is_better
from pipeline.wording import capitalize, count_noun, join_names


@dataclass(frozen=True)
class _Model:
    """A simple model that the study names, and what came of it.

    Attributes:
        name: as a sentence says it: "the linear model".
        verb: that goes with the name: "is" or "are".
        values: of the task's score, one for each run that has it.
        error: standard error of their mean over the examples; None if it is not known.
        seconds: that a run took, on average.
        failure: why there is no value; "" if there is one, or the model has not been run.
    """

    name: str
    verb: str
    values: tuple[float, ...]
    error: float | None
    seconds: float
    failure: str

    @property
    def value(self) -> float:
        """The mean over its runs."""
        return mean(self.values)


def simple_models(facts: StudySummary) -> list[Block]:
    """Ranks the champion and the simple models by the task's score; empty if there are none."""
    known = _models(facts)
    if not known:
        return []
    task, score, champion = facts.spec.task, facts.spec.task.score, facts.champion
    own = _score(champion, facts)
    rows = [(own, [f"**the champion**, trial {champion.number}", score.show(own), "", "", "1",
                   f"{champion.seconds:.1f}"])]  # fmt: skip
    for model in _ranked(known, facts):
        gap = _gap(model, facts)
        rows.append((model.value, [
            model.name, score.show(model.value),
            intervals.show(score, own - model.value, model.value, is_signed=True),
            gap.show(score, model.value, is_signed=True) if gap else "",
            str(len(model.values)), f"{model.seconds:.1f}",
        ]))  # fmt: skip
    rows.sort(key=lambda row: row[0], reverse=score.direction == "maximize")
    lost = [[model.name, "", "", "", "0", ""] for model in known if not model.values]
    columns = ["", score.words, "champion less this", "95 % interval", "runs", "seconds"]
    n_networks = count_noun(len(facts.ranked), "network")
    picked = (
        f" The champion is the best of {n_networks} by these {task.example}s, which flatters it; "
        "of the simple models nothing was picked."
    )
    return [
        Heading("Is a network worth it?"),
        Paragraph(said_of_simple_models(facts)),
        Table(columns, [*(row for _, row in rows), *lost]),
        Paragraph(
            f"Simple models are scikit-learn's, fitted to the training {task.example}s of this "
            "study and scored as its networks are; with more than one run, by the mean. Nothing "
            f"of them was searched.{_taught(facts)}{picked if len(facts.ranked) > 1 else ''}"
        ),
    ]


def _taught(facts: StudySummary) -> str:
    """Says what is not as scikit-learn has it by default: what the data settings ask of all."""
    said = ""
    if facts.spec.task.target.transform == "log":
        said = " The linear model and the trees learn the logarithm of the target, as networks do."
    if facts.spec.data.class_weights:
        said += " The linear model and the trees learn with the class weights of networks."
    return said


def said_of_simple_models(facts: StudySummary) -> str:
    """Says whether the champion or a simple model won, and by how much; "" if there are none."""
    known = _models(facts)
    ranked = _ranked(known, facts)
    missing = [
        f"{model.name} ({for_markdown(model.failure) or 'not run yet'})"
        for model in known
        if not model.values
    ]
    lost = f" Without a result: {join_names(missing)}." if missing else ""
    if not ranked:
        return lost.strip()
    best, own = ranked[0], _score(facts.champion, facts)
    score = facts.spec.task.score
    of_several = ", the best of the simple models" if len(ranked) > 1 else ""
    if score.show(best.value) == score.show(own):  # one may be of float32, the other of float64
        return f"The champion is as good as {best.name}{of_several}: {score.noun} " \
               f"{score.show(own)}.{lost}"  # fmt: skip
    if is_better(own, best.value, score.direction):
        said = f"The champion is better than {best.name}{of_several}"
        return f"{said}: {_against(own, best.value, facts)}.{_chance(best, facts)}{lost}"
    said = f"{capitalize(best.name)} {best.verb} better than the champion"
    others = [
        f"{model.name} with {score.show(model.value)}"
        for model in ranked[1:]
        if is_better(model.value, own, score.direction)
    ]
    also = f" Better than the champion, too: {join_names(others)}." if others else ""
    chance = _chance(best, facts)
    return f"{said}: {_against(best.value, own, facts)}.{chance}{also}{lost}"


def _models(facts: StudySummary) -> list[_Model]:
    """Collects the simple models that the study names, in its order."""
    found = []
    for reference in facts.spec.reference:
        if reference.trainer in SIMPLE:
            trials = [trial for trial in facts.ended if trial.reference == reference.name]
            runs = [t for t in trials if has_measure(facts.spec.task.score.name, t)]
            name, verb = f"the {words_of(reference.trainer, facts.spec.task)}", "is"
            if reference.trainer == GRADIENT_BOOSTING:
                name, verb = f"{SIMPLE[GRADIENT_BOOSTING]} at their defaults", "are"
            failure = trials[-1].reason or trials[-1].how if trials else ""
            values = tuple(_score(trial, facts) for trial in runs)
            seconds = mean(trial.seconds for trial in runs) if runs else 0.0
            found.append(_Model(name, verb, values, _error(runs, facts), seconds, failure))
    return found


def _ranked(models: list[_Model], facts: StudySummary) -> list[_Model]:
    """Sorts the models that have a value, the best first."""
    valued = [model for model in models if model.values]
    is_more_better = facts.spec.task.score.direction == "maximize"
    return sorted(valued, key=lambda model: model.value, reverse=is_more_better)


def _score(trial: Trial, facts: StudySummary) -> float:
    """Returns the task's score at the epoch whose weights were kept."""
    return measure(facts.spec.task.score.name, trial, facts.spec.task)


def _error(runs: Sequence[Trial], facts: StudySummary) -> float | None:
    """Returns the standard error of the score of runs: they err on the same examples."""
    errors = [run.kept(facts.spec.task.score.error_name) for run in runs]
    known = [error for error in errors if error is not None]
    return mean(known) if known and len(known) == len(runs) else None


def _gap(model: _Model, facts: StudySummary) -> Interval | None:
    """Computes the interval of the champion's score less a model's, if one is known."""
    own = _score(facts.champion, facts)
    score, n = facts.spec.task.score, facts.n_independent
    errors = _error([facts.champion], facts), model.error
    return intervals.difference_of(score, own, model.value, n, errors)


def _chance(model: _Model, facts: StudySummary) -> str:
    """Says whether the difference may be chance, if that is known."""
    gap = _gap(model, facts)
    if gap is None:
        return ""
    n = facts.validated_on
    if gap.low <= 0 <= gap.high:
        return f" By these {n} alone that may be chance: the 95 % interval includes zero."
    return f" That is more than chance in these {n} would give."


def _against(better: float, worse: float, facts: StudySummary) -> str:
    """Sets two values side by side: "RMSE 529.10 against 548.90 (3.6 % lower)"."""
    score = facts.spec.task.score
    way = "higher" if score.direction == "maximize" else "lower"
    off = abs(better - worse)
    by = intervals.show(score, off, worse)
    if score.direction == "minimize" and worse > 0:  # an error; shares are told as they are
        percent = 100 * off / worse
        by = f"{percent:.1f} %" if percent >= 0.05 else "less than 0.1 %"
    return f"{score.noun} {score.show(better)} against {score.show(worse)} ({by} {way})"
