"""A study under examination: what is read of it, once until something has been mended."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.disk import Disk
from pipeline.doctor import plan
from pipeline.doctor.wording import say
from pipeline.paths import Project
from pipeline.storage import finals, study_store
from pipeline.storage.paused import FolderOfStates, paused_after
from pipeline.storage.studies import StoredStudy
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial, is_better
from pipeline.tracking import view
from pipeline.tracking.reader import Run, runs_of
from pipeline.tracking.run_writer import RunWriter

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from pipeline.storage.lease import Taken


@dataclass
class Subject:
    """A study under examination.

    Attributes:
        stored: the study, its study file, and the project whose stores and folders they are.
        taken: the lease under which it is mended; None if it is only looked at.
        n_whole: number of models that were found whole.
    """

    stored: StoredStudy
    taken: "Taken | None"
    n_whole: int = field(default=0, init=False)

    @property
    def project(self) -> Project:
        """Whose stores and folders they are."""
        return self.stored.project

    @property
    def study(self) -> "optuna.Study":
        """As Optuna holds it."""
        return self.stored.study

    @property
    def spec(self) -> StudySpec:
        """What it asked."""
        return self.stored.spec

    @property
    def _disk(self) -> Disk:
        return self.project.outside.disk

    def check(self) -> None:
        """Looks whether the study may still be written.

        Raises:
            LostLease: somebody else has taken it over.
        """
        if self.taken:
            self.taken.check()

    @cached_property
    def frozen(self) -> "Mapping[int, FrozenTrial]":
        """All trials of the study, by number."""
        return {each.number: each for each in self.study.get_trials(deepcopy=False)}

    @cached_property
    def ended(self) -> Mapping[int, Trial]:
        """Trials that have come to an end, by number."""
        return {trial.number: trial for trial in study_store.read_trials(self.study)}

    @cached_property
    def runs(self) -> Sequence[Run]:
        """All runs of the study's experiment, the latest first."""
        return runs_of(self.project, self.spec.name, self.spec.metric)

    @property
    def is_complete(self) -> bool:
        """Whether the search has come to its end, as far as Optuna knows."""
        searched = StudySpec.model_validate_json(
            self.study.user_attrs[study_store.SPEC], strict=False
        )  # whose budget is that of the last search, whatever the file says
        n_ended = finals.count_searched([*self.ended.values()])
        seconds = self.study.user_attrs.get(study_store.SECONDS, 0.0)
        budget, _ = finals.split_budget(self.study, searched)
        is_in_finals = finals.read_plan(self.study) and not finals.are_over(self.study)
        return not is_in_finals and bool(
            self.study.user_attrs.get(study_store.EXHAUSTED) or budget.is_used(n_ended, seconds)
        )

    @property
    def running(self) -> Sequence[int]:
        """Numbers of the trials that Optuna calls RUNNING, and that are not paused."""
        found = [n for n, each in self.frozen.items() if each.state.name == "RUNNING"]
        return [n for n in found if n not in self.paused]

    @property
    def paused(self) -> Sequence[int]:
        """Numbers of the trials that are paused, and can go on."""
        return list(self.paused_epochs)

    @property
    def paused_epochs(self) -> Mapping[int, int]:
        """After which epoch each of those trials is paused."""
        found = {n: paused_after(each, self.states) for n, each in self.frozen.items()}
        return {n: epoch for n, epoch in found.items() if epoch}

    @property
    def states(self) -> FolderOfStates:
        """Where the states of paused trials lie."""
        return FolderOfStates(self.project.paused_dir(self.spec.name), self._disk)

    @property
    def match(self) -> plan.Match:
        """Trials and runs, held against each other."""
        return plan.match_runs([*self.ended.values()], self.runs, self.running, self.paused)

    @property
    def status(self) -> str:
        """How the study's own run ought to have ended."""
        return "FINISHED" if self.is_complete else "KILLED"

    @cached_property
    def writer(self) -> RunWriter:
        """Writes MLflow; opened at the first need, for opening it may create what is not there."""
        study, spec = self.study, self.spec
        note_run = functools.partial(study_store.note_run, study)
        writer = RunWriter.open(self.project, spec.name, say, note_run, self.check)
        data = study.user_attrs.get(study_store.DATA_FINGERPRINT, "")
        versions = study.user_attrs.get(study_store.VERSIONS, {})
        if not writer.join_study(data, versions):  # as a search would
            about = {"dataset": spec.dataset, "metric": spec.metric}
            views = view.tags(spec.metric, spec.direction, spec.space)
            writer.open_study(spec.goal, {**about, "fingerprint": spec.fingerprint}, data, views)
            best: float | None = None
            for trial in sorted(self.ended.values(), key=lambda trial: trial.ended):
                if trial.value is not None and is_better(trial.value, best, spec.direction):
                    best = trial.value
                    writer.log_incumbent(trial.number, spec.metric, best)
            writer.close_study(self.status)
            writer.join_study(data, versions)
        return writer

    @property
    def is_behind(self) -> bool:
        """Whether MLflow waits for writes, and so cannot be held against Optuna yet."""
        return self._disk.is_folder(self.project.outbox(self.spec.name))

    @property
    def scratch(self) -> Path:
        """Folder where the study's workers keep files for a moment."""
        return self.project.scratch_dir(self.spec.name)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Folders to which reports and exports of the study are written, unless told otherwise."""
        name = self.spec.name
        return self.project.report_dir(name), self.project.export_dir(name).parent

    def plan_queue(self) -> list[plan.Repair]:
        """Plans what is to be done about trials that a killed supervisor left RUNNING."""
        return plan.plan_queue(self.running)

    def plan_runs(self) -> list[plan.Repair]:
        """Plans what is to be done about the study's runs, unless writes to them still wait."""
        if self.is_behind:
            return []
        return plan.plan([*self.ended.values()], self.runs, self.running, self.spec, self.paused)

    def read_again(self) -> None:
        """Forgets what was read, so that the next check sees what has been mended."""
        for name in ("frozen", "ended", "runs"):
            self.__dict__.pop(name, None)
