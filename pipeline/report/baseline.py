"""What another study found, which a study file names as its `baseline`."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import PipelineError
from pipeline.evaluation.finals import judge_study
from pipeline.evaluation.verdict import Verdict
from pipeline.paths import Project
from pipeline.storage import finals, studies, study_store
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial, select_counted


@dataclass(frozen=True)
class Baseline:
    """What another study found.

    Attributes:
        best: its best trial.
        ended: trials that ended of their own, by number.
        minutes: how long its supervisors ran, without finals.
        judged: the verdict on its finals; None if there is none, or it is of another metric.
    """

    best: Trial
    ended: Sequence[Trial]
    minutes: float
    judged: Verdict | None = None

    @property
    def n_searched(self) -> int:
        """Number of trials without finals."""
        return sum(not trial.is_final for trial in self.ended)


def read(project: Project, spec: StudySpec) -> Baseline | None:
    """Reads what the baseline of a study has found; None if it names none, or that has nothing.

    Args:
        project: in whose store both are.
        spec: the study file that names it.
    """
    if not spec.baseline:
        return None
    try:
        stored = studies.stored_study(project, spec.baseline)
    except PipelineError:  # it has not been run
        return None
    ended = select_counted(study_store.read_trials(stored.study))
    best = study_store.champion_among(stored.study, ended)
    if best is None:
        return None
    other, judged = stored.spec, None
    if (other.metric, other.data_spec) == (spec.metric, spec.data_spec):
        judged = judge_study(other, finals.read_held(stored.study), ended)
    return Baseline(best, ended, study_store.minutes_searched(stored.study), judged)
