"""What is mended before a search goes on here that was killed elsewhere.

What MLflow has not got, a supervisor keeps on its disk; who goes on there sends that. Who goes on
on another machine cannot: what is missing is written anew from Optuna, as the doctor does it.
"""

import contextlib
import sys

from pipeline.paths import Project
from pipeline.store_url import StoreUrl


def mend_what_is_left(project: Project, study: str) -> None:
    """Mends a study whose last supervisor had another folder, and has not given the study back.

    Args:
        project: whose stores hold the study, if it was begun.
        study: name.

    Raises:
        PipelineError: a store cannot be used.
    """
    if project.optuna_url == StoreUrl.of(project.runs_dir / "optuna.db"):
        return  # nobody elsewhere has it
    from pipeline.storage import lease, studies, study_store

    if study not in studies.stored_names(project):
        return
    stored = studies.without_data(project, study).study
    holder = lease.left_elsewhere(stored, project)
    if holder:  # noted, for this process may be killed before all is mended
        stored.set_user_attr(study_store.LEFT_ELSEWHERE, holder)
    elif not stored.user_attrs.get(study_store.LEFT_ELSEWHERE):
        return
    else:
        holder = stored.user_attrs[study_store.LEFT_ELSEWHERE]
    from pipeline.doctor.examine import examine

    print(f"study {study} was left by {holder}: looking what is missing ...", file=sys.stderr)
    with contextlib.redirect_stdout(sys.stderr):
        left = examine(project, study, fix=True)
    if not left and not lease.left_elsewhere(stored, project):
        stored.set_user_attr(study_store.LEFT_ELSEWHERE, None)
