"""What is said when a search has used its budget: its champion, or why there is none.

Whatever advises something names what helps: a larger budget helps only those that had no time.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from pipeline.evaluation.claims import estimate
from pipeline.evaluation.finals import judge_study
from pipeline.evaluation.sentences import describe_verdict
from pipeline.paths import DEFAULT_STUDY
from pipeline.study.finals import Held
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Cause, State, Trial, count_ends, with_seeds
from pipeline.wording import count_noun, inflect, wrap

_IN_A_COPY = "in a copy of the study file, since another question is another study"


def say_what_came(
    spec: StudySpec,
    champion: Trial,
    ended: Sequence[Trial],
    n_waiting: int,
    held: Held | None = None,
) -> None:
    """Prints the champion, and what else is to be known.

    Args:
        spec: the study file.
        champion: its best network.
        ended: all trials that count.
        n_waiting: number of trials for which the budget did not suffice.
        held: its finals, if there were any.
    """
    how = f" ({champion.ending})" if champion.ending else ""
    if champion.is_final:
        how += f", trial {champion.final_of} again"
    notes = "".join(f"\n{wrap(note)}" for note in notes_on(spec, ended, n_waiting))
    value = f"{spec.metric} {spec.objective.show(champion.value or 0.0)}"
    lines = [
        f"study {spec.name}: {count_noun(len(ended), 'trial')} ({count_ends(ended)})",
        f"champion: trial {champion.number}, {value} at epoch {champion.best_epoch}{how}",
    ]
    about = wrap(champion.hyperparameters, indent="  ")
    print(
        "",
        *map(wrap, lines),
        f"{about}{_seeds(spec, champion, ended, held)}{notes}",
        sep="\n",
        flush=True,
    )


def say_what_next(study: str) -> None:
    """Prints the commands that go on from a search that has ended, whose report is written.

    Args:
        study: its name.
    """
    is_default = study == DEFAULT_STUDY
    of_make, name = ("", "") if is_default else (f" STUDY={study}", f" {study}")
    commands = {
        f"make ui{of_make}": "shows runs, curves and models in MLflow",
        "make dashboard": "shows the study in Optuna's dashboard",
        f".venv/bin/python -m pipeline.best{name} --export": (
            f"writes the champion to exports/{study}/, with its test score"
        ),
    }
    print("\nnext:")
    for command, what in commands.items():
        print(f"  {command}", wrap(what, indent="      "), sep="\n")


def _seeds(spec: StudySpec, champion: Trial, ended: Sequence[Trial], held: Held | None) -> str:
    """Says what finals have shown, or what the champion came to with several seeds, if it has."""
    if judged := judge_study(spec, held, ended):
        said = describe_verdict(judged, spec.task, spec.metric)
        return "\n\nverdict" + "".join(f"\n{wrap(each, indent='  ')}" for each in said)
    runs = with_seeds(ended, champion)
    if len(runs) < 2:
        return ""
    show, values = spec.objective.show, [run.value or 0.0 for run in runs]
    return (
        f"\n  with {len(runs)} seeds: {show(min(values))} to {show(max(values))}, "
        f"mean {show(estimate(values).mean)}"
    )


def notes_on(spec: StudySpec, ended: Sequence[Trial], n_waiting: int = 0) -> list[str]:
    """Tells of a study that has a champion what else is to be known.

    What most of its trials came to, if that is no value, and whether others wait.

    Args:
        spec: the study file.
        ended: all trials that count.
        n_waiting: number of trials for which the budget did not suffice.
    """
    drawn = [trial for trial in ended if trial.is_drawn]
    notes = []
    if n_waiting:
        notes.append(
            f"note: {count_noun(n_waiting, 'trial')} {inflect('waits', n_waiting, 'wait')} in the "
            "queue, and the budget is used: raise [budget], and the same command trains "
            f"{inflect('it', n_waiting, 'them')}"
        )
    pruned = [trial for trial in drawn if trial.state == State.PRUNED]
    if pruned and not any(trial.state == State.COMPLETE for trial in drawn):
        n_pruned = (
            f"{len(pruned)} of {len(drawn)}" if len(pruned) < len(drawn) else f"all {len(drawn)}"
        )
        notes.append(
            f"note: the pruner, {spec.own_pruner}, ended {n_pruned} that were drawn before their "
            f"own end, to which none came: if it asks too much, change [pruner] {_IN_A_COPY}"
        )
    kinds = {cause: [trial for trial in ended if trial.cause == cause] for cause in (*Cause, None)}
    for cause, told in kinds.items():
        broken = [trial for trial in told if trial.reason]
        if broken and 2 * len(broken) >= len(ended):
            said = _ADVICE[cause](spec, broken) if cause else _broken(spec, broken)
            notes.append(f"note: {len(broken)} of {len(ended)} {said}")
    return notes


def why_no_champion(spec: StudySpec, ended: Sequence[Trial]) -> str:
    """Says why a study whose budget is used has no champion, and what helps.

    Args:
        spec: the study file.
        ended: all trials that count; none of them is a network with a value and kept weights.
    """
    if not ended:
        budget = spec.budget
        used = count_noun(budget.minutes, "minute") if budget.minutes else "its trials"
        return f"no trial of {spec.name} ended within the budget of {used}: raise [budget]"
    said = []
    for cause in Cause:
        if told := [trial for trial in ended if trial.cause == cause]:
            said.append(f"{len(told)} {_ADVICE[cause](spec, told)}")
    others = [trial for trial in ended if not trial.cause]
    if failed := [trial for trial in others if trial.value is None]:
        said.append(
            f"{len(failed)} failed, the last one because: {failed[-1].reason}; mend that, and "
            "raise [budget], in which they count"
        )
    if unkept := [trial for trial in others if trial.value is not None and trial.hyperparameters]:
        pruned = f" by the pruner, {spec.own_pruner},"
        said.append(
            f"{len(unkept)} {inflect('was', len(unkept), 'were')} ended{pruned} by a version that "
            "kept no weights of such; of further ones they are kept: raise [budget]"
        )
    if n_other := sum(trial.value is not None and not trial.hyperparameters for trial in others):
        said.append(_no_network(spec, n_other, len(ended)))
    return f"{spec.name} has no champion, of {count_noun(len(ended), 'trial')}: " + ". ".join(said)


def _no_network(spec: StudySpec, n: int, n_ended: int) -> str:
    """Says what helps if trials were references that are no networks."""
    said = f"{n} {inflect('is', n, 'are')} no network, and so no champion"
    has_networks = spec.space or any(each.trainer == "keras" for each in spec.reference)
    if not has_networks:
        return f"{said}: add a [space], or a reference that is one, {_IN_A_COPY}"
    if n < n_ended:  # what became of the networks is said beside it
        return said
    most = spec.budget.trials
    key = "trials" if most is not None and n_ended >= most else "minutes"
    return f"{said}: such references took the whole budget; raise [budget] {key}"


def _diverged(spec: StudySpec, told: Sequence[Trial]) -> str:
    return (
        f"diverged, the last one because: {told[-1].reason}; lower "
        f"{_where(spec, 'learning_rate', told)} {_IN_A_COPY}"
    )


def _too_slow(spec: StudySpec, told: Sequence[Trial]) -> str:
    return (
        f"came to no epoch, the last one because: {told[-1].reason}; raise [training] "
        f"trial_minutes, and [budget], in which they count; or lower "
        f"{_where(spec, 'units', told)} {_IN_A_COPY}"
    )


def _too_large(spec: StudySpec, told: Sequence[Trial]) -> str:
    return (
        f"did not fit into memory, the last one because: {told[-1].reason}; search with fewer "
        f"--workers and a larger [budget], in which they count; or lower "
        f"{_where(spec, 'units', told)} {_IN_A_COPY}"
    )


def _broken(_: StudySpec, told: Sequence[Trial]) -> str:
    return f"were ended before their own end, the last one because: {told[-1].reason}"


_ADVICE: Mapping[Cause, Callable[[StudySpec, Sequence[Trial]], str]] = MappingProxyType(
    {Cause.DIVERGED: _diverged, Cause.TOO_SLOW: _too_slow, Cause.TOO_LARGE: _too_large}
)


def _where(spec: StudySpec, name: str, told: Sequence[Trial]) -> str:
    """Names the place in a study file that decides how large a hyperparameter of trials is."""
    if all(trial.reference for trial in told):
        return f"{name} of the reference {told[-1].reference!r}"
    entry = spec.space.get(name)
    if entry is None:
        return f"[fixed] {name}, {spec.fixed.get(name)},"
    if entry.type == "categorical":
        return (
            f"[space] {name}, of which the largest choice is {max(map(_size, entry.choices)):g},"
        )
    return f"[space] {name}, of which high is {entry.high:g},"


def _size(choice: object) -> float:
    return float(choice) if isinstance(choice, int | float) else 0.0
