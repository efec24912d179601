"""What does not match between Optuna's trials and MLflow's runs, and what is to be done about it.

Optuna is the truth: MLflow is made to say what Optuna says, never the other way. Nothing here
reads or writes a store: values come in, repairs come out, and `apply` does them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from pipeline.doctor.wording import name_trials
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial
from pipeline.tracking.record import RunRecord
from pipeline.wording import N_NAMED, count_noun, inflect, join_names

if TYPE_CHECKING:
    from pipeline.tracking.reader import Run  # which imports MLflow


class Kind(Enum):
    """What is done; a plan has at most one repair of a kind."""

    ASK_USER = auto()
    RELOCATE = auto()
    TAKE_OVER_LEASE = auto()
    REMOVE_SCRATCH = auto()
    REMOVE_LEFTOVERS = auto()
    REMOVE_STATES = auto()
    SEND_KEPT = auto()
    REQUEUE = auto()
    WRITE_STUDY_RUN = auto()
    RESTORE_STUDY_RUN = auto()
    END_STUDY_RUN = auto()
    SET_PARENT = auto()
    RESTORE_RUNS = auto()
    NOTE_RUNS = auto()
    WRITE_RUNS = auto()
    SET_ASIDE = auto()
    END_RUNS = auto()
    SEND_AGAIN = auto()
    WRITE_FILES = auto()
    TRAIN_AGAIN = auto()
    RESTORE_VERSIONS = auto()
    REGISTER = auto()


@dataclass(frozen=True)
class Repair:
    """Something that does not match, and how it is mended.

    Attributes:
        kind: what is done; ASK_USER if it cannot be done here.
        what: what was found, and where: one sentence.
        cure: what mending it comes to, or what is left for the user to do.
        trials: numbers of the trials that it is done to.
        runs: runs that it is done to; those of `trials`, in their order, if there are any.
    """

    kind: Kind
    what: str
    cure: str
    trials: Sequence[int] = ()
    runs: "Sequence[Run]" = ()


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

    own: "Mapping[int, Run]"
    unnoted: Sequence[int]
    lost: Sequence[int]
    strangers: "Sequence[Run]"
    left_running: "Sequence[Run]"
    of_study: "Sequence[Run]"


def plan(
    trials: Sequence[Trial],
    runs: "Sequence[Run]",
    running: Collection[int],
    spec: StudySpec,
    paused: Collection[int] = (),
) -> list[Repair]:
    """Plans how the runs of a study that nobody searches are mended, in the order of doing it.

    Args:
        trials: all that came to an end, as Optuna holds them.
        runs: all of the study's experiment, the latest first.
        running: numbers of the trials that Optuna calls RUNNING.
        spec: the study file.
        paused: numbers of the trials that are paused: the next search goes on with them.
    """
    match = match_runs(trials, runs, running, paused)
    return [
        *_of_study(match.of_study, bool(trials)),
        *_children(match.of_study, runs),
        *_lost_runs(match),
        *_strangers(match.strangers),
        *_differing(match, {trial.number: RunRecord.of(trial, spec) for trial in trials}),
    ]


def plan_queue(running: Collection[int]) -> list[Repair]:
    """Plans what is to be done about trials that Optuna calls RUNNING though nothing runs.

    It comes before all else, and needs no MLflow.
    """
    what = "Optuna calls {} RUNNING, but nothing searches the study"
    cure = "queued again with the same hyperparameters and seed, and told as FAIL"
    return [Repair(Kind.REQUEUE, what.format(name_trials([*running])), cure)] if running else []


def match_runs(
    trials: Sequence[Trial],
    runs: "Sequence[Run]",
    running: Collection[int],
    paused: Collection[int] = (),
) -> Match:
    """Finds the run of each trial, and which runs and trials are left over.

    Args:
        trials: all that came to an end, as Optuna holds them.
        runs: all of the study's experiment, the latest first.
        running: numbers of the trials that Optuna calls RUNNING.
        paused: numbers of the trials that are paused: the next search sees to their runs.
    """
    by_id = {run.id: run for run in runs}
    by_trial: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        if run.trial is not None and not run.is_deleted and not run.is_orphan:
            by_trial[run.trial].append(run)
    own: dict[int, Run] = {}
    unnoted: list[int] = []
    lost: list[int] = []
    for trial in trials:
        number = trial.number
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
    others = [
        run
        for trial, same in by_trial.items()
        for run in same
        if run.id not in known and trial not in paused
    ]
    return Match(
        own=own,
        unnoted=unnoted,
        lost=lost,
        strangers=[run for run in others if run.trial not in running],
        left_running=[run for run in others if run.trial in running and run.status == "RUNNING"],
        of_study=[run for run in runs if run.is_of_study],
    )


def _of_study(of_study: "Sequence[Run]", has_trials: bool) -> Iterator[Repair]:
    """Finds a study's own run, the parent of all others, that is deleted or missing."""
    alive = [run for run in of_study if not run.is_deleted]
    if not of_study:
        if has_trials:
            what = "MLflow has no run of the study itself"
            yield Repair(Kind.WRITE_STUDY_RUN, what, "written anew")
    elif not alive:
        what = f"the study's own run {of_study[0].id} is deleted in MLflow"
        yield Repair(Kind.RESTORE_STUDY_RUN, what, "restored", runs=of_study[:1])
    elif alive[0].status == "RUNNING":
        what = "MLflow calls the study's own run RUNNING, but nothing searches the study"
        yield Repair(Kind.END_STUDY_RUN, what, "ended as the search was")


def _children(of_study: "Sequence[Run]", runs: "Sequence[Run]") -> Iterator[Repair]:
    """Finds runs below one that is gone, as where the study's own was written anew."""
    known = {run.id for run in runs if not run.is_deleted} | {""}
    left = [
        run
        for run in runs
        if not (run.is_of_study or run.is_orphan or run.is_deleted or run.parent in known)
    ]
    if left and not all(run.is_deleted for run in of_study):
        n = len(left)
        yield Repair(
            Kind.SET_PARENT,
            f"{count_noun(n, 'run')} {inflect('lies', n, 'lie')} below a run of the study that "
            "MLflow has no more",
            "put below the study's own run",
            runs=left,
        )


def _lost_runs(match: Match) -> Iterator[Repair]:
    """Finds trials without a run: deleted, never noted, or gone for good."""
    deleted = [number for number, run in match.own.items() if run.is_deleted]
    if deleted:
        yield Repair(
            Kind.RESTORE_RUNS,
            f"the {inflect('run', len(deleted))} of {name_trials(deleted)} "
            f"{inflect('is', len(deleted), 'are')} deleted in MLflow",
            "restored, with all that belongs to it",
            deleted,
            [match.own[number] for number in deleted],
        )
    if match.unnoted:
        yield Repair(
            Kind.NOTE_RUNS,
            f"Optuna does not know the run of {name_trials(match.unnoted)} in MLflow",
            "found by its tags, and noted",
            match.unnoted,
            [match.own[number] for number in match.unnoted],
        )
    if match.lost:
        yield Repair(
            Kind.WRITE_RUNS,
            f"{name_trials(match.lost)} {inflect('has', len(match.lost), 'have')} no run "
            "in MLflow",
            "written anew from what Optuna holds, with the model if it still lies on disk",
            match.lost,
        )


def _strangers(strangers: "Sequence[Run]") -> Iterator[Repair]:
    """Finds runs without a trial: of a study of that name that was deleted in Optuna, say."""
    if strangers:
        ids = join_names([run.id for run in strangers])
        yield Repair(
            Kind.SET_ASIDE,
            f"{inflect('run', len(strangers))} {ids} in MLflow "
            f"{inflect('belongs', len(strangers), 'belong')} to no trial in Optuna",
            "tagged as orphan and deleted; MLflow keeps what is deleted, and its UI restores it",
            runs=strangers,
        )


def _differing(match: Match, records: Mapping[int, RunRecord]) -> Iterator[Repair]:
    """Finds runs that do not say what Optuna holds of their trials."""
    own = match.own
    zombies = [number for number, run in own.items() if run.status == "RUNNING"]
    left = sorted([*zombies, *(run.trial or 0 for run in match.left_running)])
    if left:
        yield Repair(
            Kind.END_RUNS,
            f"MLflow calls the {inflect('run', len(left))} of {name_trials(left)} RUNNING, but "
            "nothing searches the study",
            "ended as Optuna has it",
            zombies,  # the others' trials are told first, and then are among these
            [own[number] for number in zombies],
        )
    differences = {
        number: said
        for number, run in own.items()
        if number not in zombies and (said := difference(records[number], run))
    }
    if differences:
        named = "; ".join(f"trial {n}: {differences[n]}" for n in list(differences)[:N_NAMED])
        n_more = len(differences) - N_NAMED
        yield Repair(
            Kind.SEND_AGAIN,
            "MLflow does not say what Optuna holds: "
            + named
            + (f"; and {n_more} more" if n_more > 0 else ""),
            "sent again",
            list(differences),
            [own[number] for number in differences],
        )


def difference(record: RunRecord, run: "Run") -> str:
    """Says what a run lacks of what it should hold; "" if it has everything."""
    if run.state != record.state:
        return f"state {run.state or 'unknown'}, not {record.state}"
    if run.status not in record.statuses:
        return f"status {run.status}, not {record.statuses[0]}"
    if record.params and not run.seed:
        return "without its hyperparameters"
    if run.n_epochs < record.n_epochs:
        return f"{run.n_epochs} of {count_noun(record.n_epochs, 'epoch')}"
    return "without its best value" if record.has_best and not run.has_best else ""
