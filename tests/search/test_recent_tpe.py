"""TPE that looks at the best and the latest trials."""

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from pipeline.search import recent_tpe
from pipeline.search.recent_tpe import RecentTPE, select_recent


def trial(
    number: int, value: float | None, state: TrialState = TrialState.COMPLETE
) -> FrozenTrial:
    frozen = create_trial(state=state, value=value)
    frozen.number = number
    return frozen


def draws(
    kind: type[optuna.samplers.TPESampler],
    n: int,
    pruner: optuna.pruners.BasePruner | None = None,
) -> list[dict[str, float]]:
    """What is drawn in turns of ask and tell, in a space with a condition."""
    study = optuna.create_study(study_name="drawn", direction="maximize", pruner=pruner)
    for i in range(n):
        with pytest.warns(optuna.exceptions.ExperimentalWarning):
            study.sampler = kind(seed=i, n_startup_trials=5, group=True)
        asked = study.ask()
        x = asked.suggest_float("x", 0, 1)
        y = asked.suggest_float("y", 0, 1) if x > 0.5 else 0.0
        asked.report(x, 1)
        asked.should_prune()  # Hyperband makes its brackets when it is first asked
        study.tell(asked, None if i % 3 else x - y, TrialState.PRUNED if i % 3 else None)
    return [each.params for each in study.get_trials()]


def test_a_short_search_draws_as_tpe_does() -> None:
    assert draws(RecentTPE, 30) == draws(optuna.samplers.TPESampler, 30)


def test_under_hyperband_too() -> None:
    pruners = [optuna.pruners.HyperbandPruner(max_resource=9) for _ in range(2)]
    ours = draws(RecentTPE, 30, pruners[0])
    assert ours == draws(optuna.samplers.TPESampler, 30, pruners[1])


def test_a_long_search_goes_on_from_what_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    long = draws(RecentTPE, 30)
    monkeypatch.setattr(recent_tpe, "N_BEST", 3)
    monkeypatch.setattr(recent_tpe, "N_LATEST", 12)
    bounded = draws(RecentTPE, 30)
    assert bounded[:15] == long[:15], "all 15 trials are seen, the one that is drawn included"
    assert bounded[15:] != long[15:]


def test_the_best_complete_and_the_latest_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_tpe, "N_BEST", 2)
    monkeypatch.setattr(recent_tpe, "N_LATEST", 3)
    known = [
        trial(0, 0.7),
        trial(1, 0.9),
        trial(2, 0.95, TrialState.PRUNED),
        trial(3, None, TrialState.FAIL),
        trial(4, 0.8),
        trial(5, 0.1),
        trial(6, 0.99),
        trial(7, 0.2),
        trial(8, None, TrialState.RUNNING),
    ]

    def numbers(direction: StudyDirection, n: int = 9) -> list[int]:
        return [each.number for each in select_recent(known[:n], direction)]

    assert numbers(StudyDirection.MAXIMIZE) == [1, 4, 6, 7, 8]
    assert numbers(StudyDirection.MINIMIZE) == [0, 5, 6, 7, 8]
    assert numbers(StudyDirection.MAXIMIZE, 5) == [0, 1, 2, 3, 4]
