"""The audit of a pruner or a policy: which trials are trained to their end that it would drop."""

from pipeline.study.assignment import Assignment
from pipeline.study.seeds import derived_seed
from pipeline.study.spec import StudySpec


def is_audited(spec: StudySpec, assignment: Assignment) -> bool:
    """Decides whether a trial is trained to its end if it is to be dropped.

    That follows from the study's seed and the trial's. The latter follows from how many were drawn
    before, and stays the same if the trial is interrupted and queued again with another number.

    Args:
        spec: the study file.
        assignment: of the trial.
    """
    return derived_seed(spec.seed, "audit", assignment.seed) < spec.audit * 2**31
