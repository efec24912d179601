"""What Optuna's store holds of a study's finals: whether there are any, their plan, the winner."""

from collections.abc import Sequence

import optuna

from pipeline.storage import study_store
from pipeline.study.budget import Budget
from pipeline.study.finals import Held, Plan
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial


def note_due(study: optuna.Study, spec: StudySpec, *, is_new: bool) -> None:
    """Notes that a study has finals: a new one, or an older one whose file names them by now.

    One that was begun by an earlier version, with a file that says nothing of finals, has none:
    nothing is added to what was finished.
    """
    is_named = "finals" in spec.model_fields_set and spec.finals is not None
    if study_store.FINALS not in study.user_attrs and (is_new or is_named):
        study.set_user_attr(study_store.FINALS, {})


def split_budget(study: optuna.Study, spec: StudySpec) -> tuple[Budget, Budget | None]:
    """Splits a study's budget into what is searched with and what finals have; None if nothing.

    Args:
        study: noted by `note_due`.
        spec: its study file.
    """
    if spec.finals is None or not spec.space or study_store.FINALS not in study.user_attrs:
        return spec.budget, None
    return spec.budget.split(spec.finals.share)


def read_plan(study: optuna.Study) -> Plan | None:
    """Reads the plan of the finals that were begun last; None if none were."""
    stored = study.user_attrs.get(study_store.FINALS, {}).get("plan")
    return Plan.read(stored) if stored else None


def note_plan(study: optuna.Study, plan: Plan) -> None:
    """Notes a plan; who has won an earlier one is no champion any more."""
    study.set_user_attr(study_store.FINALS, {"plan": plan.write()})


def note_champion(study: optuna.Study, number: int | None) -> None:
    """Notes that finals are over, and the number of the network that has won; None if none has."""
    noted = study.user_attrs.get(study_store.FINALS, {})
    if noted.get("champion", ()) != number:
        study.set_user_attr(study_store.FINALS, {**noted, "champion": number})


def note_examples(
    study: optuna.Study, covariances: Sequence[tuple[int, int, float]], champion: int
) -> None:
    """Notes how the errors that validation examples make are shared between finalists.

    Args:
        study: whose finals.
        covariances: each after the numbers of two networks.
        champion: the number of the network that had won.
    """
    noted = {"champion": champion, "covariances": [list(each) for each in covariances]}
    study.set_user_attr(study_store.FINALS_EXAMPLES, noted)


def has_examples(study: optuna.Study) -> bool:
    """Tells whether that is noted of the finals that were held last."""
    noted = study.user_attrs.get(study_store.FINALS_EXAMPLES, {})
    return bool(noted) and noted["champion"] == champion_of(study)


def read_held(study: optuna.Study) -> Held | None:
    """Reads the finals that were held to their end, and had a winner; None if there are none."""
    plan, champion = read_plan(study), champion_of(study)
    if plan is None or champion is None:
        return None
    noted = study.user_attrs.get(study_store.FINALS_EXAMPLES, {})
    known = noted["covariances"] if has_examples(study) else ()
    return Held(plan, champion, {(i, j): value for i, j, value in known})


def champion_of(study: optuna.Study) -> int | None:
    """Reads the number of the network that has won finals; None if none has."""
    found: int | None = study.user_attrs.get(study_store.FINALS, {}).get("champion")
    return found


def are_over(study: optuna.Study) -> bool:
    """Tells whether finals were held to their end."""
    return "champion" in study.user_attrs.get(study_store.FINALS, {})


def count_searched(trials: Sequence[Trial]) -> int:
    """Counts the trials of the search that count; finals are none."""
    return sum(not (trial.is_final or trial.interrupted) for trial in trials)
