"""A study under examination: its trials and its runs, held against each other."""

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.paths import Project

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from pipeline.doctor.mending import Mender
    from pipeline.study.spec import StudySpec
    from pipeline.study.trial import Trial
    from pipeline.tracking.reader import Run

N_NAMED = 8  # trials that a finding names one by one


@dataclass(frozen=True)
class Finding:
    """Something that does not match.

    Attributes:
        what: what was found, and where: one sentence.
        cure: what mending it comes to, or what is left for the user to do.
        mend: does it; None if it cannot be done here.
    """

    what: str
    cure: str
    mend: Callable[[], object] | None = None


@dataclass(frozen=True)
class Match:
    """Whose run is whose.

    Attributes:
        own: the run of each trial that has ended, as far as there is one.
        unnoted: numbers of those trials whose run is known by its tags alone.
        lost: numbers of trials that have no run, and ought to.
        strangers: runs that belong to no trial.
        left_running: runs of trials that Optuna calls RUNNING.
        of_study: the study's own runs, the latest first.
    """

    own: Mapping[int, "Run"]
    unnoted: Sequence[int]
    lost: Sequence[int]
    strangers: Sequence["Run"]
    left_running: Sequence["Run"]
    of_study: Sequence["Run"]


@dataclass
class Subject:
    """A study under examination.

    Attributes:
        project: whose stores and folders they are.
        study: as Optuna holds it.
        spec: its study file.
        whole: number of models that were found whole.
    """

    project: Project
    study: "optuna.Study"
    spec: "StudySpec"
    whole: int = field(default=0, init=False)

    @cached_property
    def frozen(self) -> "Mapping[int, FrozenTrial]":
        """All trials of the study, by number."""
        return {each.number: each for each in self.study.get_trials(deepcopy=False)}

    @cached_property
    def ended(self) -> "Mapping[int, Trial]":
        """Trials that have come to an end, by number."""
        from pipeline.storage import study_store

        return {trial.number: trial for trial in study_store.read_trials(self.study)}

    @cached_property
    def match(self) -> Match:
        """Trials and runs, held against each other."""
        return _match(self)

    @cached_property
    def mender(self) -> "Mender":
        """Writes MLflow; opened at the first need, for opening it may create what is not there."""
        from pipeline.doctor.mending import Mender

        return Mender(self.project, self.study, self.spec, say)

    @property
    def is_behind(self) -> bool:
        """Whether MLflow waits for writes, and so cannot be held against Optuna yet."""
        return self.project.outbox(self.spec.name).exists()

    @property
    def scratch(self) -> Path:
        """Where its workers keep files for a moment."""
        return self.project.scratch_dir(self.spec.name)

    def read_again(self) -> None:
        """Forgets what was read, for something has been mended."""
        for name in ("frozen", "ended", "match"):
            self.__dict__.pop(name, None)


def _match(subject: Subject) -> Match:
    from optuna.trial import TrialState

    from pipeline.tracking.reader import runs_of

    found = runs_of(subject.project, subject.spec.name, subject.spec.metric)
    by_id = {run.id: run for run in found}
    by_trial: dict[int, list[Run]] = defaultdict(list)
    for run in found:
        if run.trial is not None and not run.is_deleted and not run.is_orphan:
            by_trial[run.trial].append(run)
    own: dict[int, Run] = {}
    unnoted: list[int] = []
    lost: list[int] = []
    for number, trial in subject.ended.items():
        # a kill may come between the creation of a run and the note of it, or its parameters
        twins = [run for run in by_trial[number] if run.seed in ("", str(trial.seed))]
        noted = by_id.get(trial.run_id)
        if noted and not (noted.is_deleted and trial.interrupted):
            own[number] = noted
        elif twins:
            own[number] = twins[0]
            unnoted += [] if trial.interrupted else [number]
        elif not trial.interrupted:  # of which Optuna holds nothing that a run could show
            lost.append(number)
    known = {run.id for run in own.values()}
    others = [run for same in by_trial.values() for run in same if run.id not in known]
    alive = {n for n, each in subject.frozen.items() if each.state == TrialState.RUNNING}
    return Match(
        own=own,
        unnoted=unnoted,
        lost=lost,
        strangers=[run for run in others if run.trial not in alive],
        left_running=[run for run in others if run.trial in alive and run.status == "RUNNING"],
        of_study=[run for run in found if run.is_of_study],
    )


# Words


def say(line: str) -> None:
    """Shows what mending comes upon while it goes on."""
    print(line, file=sys.stderr, flush=True)


def name_trials(noun: str, numbers: Sequence[int]) -> str:
    """`trial 3`, `trials 3 and 4`, `trials 0, 1 and 98 more`."""
    return f"{plural(noun, numbers)} {join_names(list(map(str, sorted(numbers))))}"


def join_names(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and 98 more`."""
    if len(names) > N_NAMED:
        names = [*names[: N_NAMED - 1], f"{len(names) - N_NAMED + 1:,} more"]
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def plural(noun: str, things: Sequence[object]) -> str:
    """A noun, for one thing or for several."""
    return noun if len(things) == 1 else f"{noun}s"


def count(n: int, noun: str) -> str:
    """`1 run`, `1,000 runs`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
