"""What is said when a search has used its budget."""

from typing import Any

import pytest
from scripted import REFERENCE, make_spec

from pipeline.search.ending import notes_on, say_what_came, say_what_next, why_no_champion
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.trial import Cause, State, Trial

NETWORK = Hyperparameters.from_mapping(REFERENCE)
PRUNER = {"type": "ThresholdPruner", "lower": 0.99}


def ended(n: int, state: State = State.FAIL, **changes: Any) -> list[Trial]:
    known: dict[str, Any] = {"value": None, "best_epoch": 0, "hyperparameters": NETWORK, "seed": 1}
    return [Trial(number=i, state=state, **{**known, **changes}) for i in range(n)]


@pytest.mark.parametrize(
    ("trials", "helps"),
    [
        (ended(3, cause=Cause.DIVERGED, reason="val_loss became nan"),
         ["3 diverged", "val_loss became nan", "[space] learning_rate", "0.1", "copy"]),
        (ended(3, cause=Cause.TOO_SLOW, reason="stopped after 10 minutes"),
         ["3 came to no epoch", "after 10 minutes; raise [training] trial_minutes", "units"]),
        (ended(3, cause=Cause.TOO_LARGE, reason="MemoryError"), ["memory", "units", "--workers"]),
        (ended(3, reason="no disk"), ["3 failed", "no disk", "mend that", "raise [budget]"]),
        (ended(3, State.PRUNED, value=0.5, keeps_weights=False),
         ["ThresholdPruner(lower=0.99)", "kept no weights"]),
        ([], ["ended within the budget", "raise [budget]"]),
    ],
)  # fmt: skip
def test_why_there_is_no_champion_names_the_cause_and_what_helps(
    trials: list[Trial], helps: list[str]
) -> None:
    said = why_no_champion(make_spec(pruner=PRUNER), trials)
    assert all(each in said for each in helps), said
    may_help = "raise [budget]" in said
    is_known = any(trial.cause for trial in trials)
    assert may_help is not is_known, "a larger budget helps none of these"


def test_where_all_were_simple_models_it_is_said_whether_networks_are_missing_or_had_no_room() -> (
    None
):
    simple = ended(3, State.COMPLETE, value=0.5, hyperparameters=None)
    linear = {"name": "linear", "trainer": "linear"}
    network = {"name": "net", "hyperparameters": REFERENCE}
    for spec, helps in (
        (make_spec(budget={"trials": 3}), "took the whole budget; raise [budget] trials"),
        (make_spec(budget={"minutes": 9}), "took the whole budget; raise [budget] minutes"),
        (
            make_spec(budget={"trials": 3}, space={}, reference=[linear, network]),
            "[budget] trials",
        ),
        (make_spec(budget={"trials": 3}, space={}, reference=[linear]), "add a [space], or a ref"),
    ):
        said = why_no_champion(spec, simple)
        assert helps in said
        assert ("add a [space]" in said) is not ("raise [budget]" in said)
    diverged = ended(1, cause=Cause.DIVERGED, reason="nan")
    assert "whole budget" not in why_no_champion(make_spec(), [*simple, *diverged])


def test_a_fixed_learning_rate_is_named_where_it_stands() -> None:
    spec = make_spec(
        fixed={"batch_size": 32, "epochs": 3, "optimizer": "adam", "learning_rate": 0.5},
        space={
            "hidden_layers": {"type": "int", "low": 0, "high": 2},
            "units": {"type": "int", "low": 8, "high": 64, "per": "hidden_layers"},
        },
    )
    drawn = ended(2, cause=Cause.DIVERGED, reason="nan")
    assert "[fixed] learning_rate, 0.5" in why_no_champion(spec, drawn)
    reference = ended(2, cause=Cause.DIVERGED, reason="nan", reference="a")
    assert "learning_rate of the reference 'a'" in why_no_champion(spec, reference)


def test_that_all_were_pruned_names_the_pruner_and_what_it_asked() -> None:
    spec = make_spec(pruner=PRUNER)
    (note,) = notes_on(spec, ended(4, State.PRUNED, value=0.5))
    assert "ThresholdPruner(lower=0.99)" in note
    assert "all 4" in note
    pruned, diverged = ended(4, State.PRUNED, value=0.5), ended(1, cause=Cause.DIVERGED)
    (note,) = notes_on(spec, [*pruned, *diverged])
    assert "4 of 5" in note
    assert notes_on(spec, [*pruned, *ended(1, State.COMPLETE, value=0.5)]) == []


def test_that_half_broke_off_says_why() -> None:
    broken = ended(2, State.COMPLETE, value=0.5, reason="RuntimeError: x")
    good = ended(2, State.COMPLETE, value=0.5)
    (note,) = notes_on(make_spec(), [*good, *broken])
    assert note == (
        "note: 2 of 4 were ended before their own end, the last one because: RuntimeError: x"
    )
    assert notes_on(make_spec(), [*good, *broken[:1]]) == []


def test_that_half_diverged_says_what_to_lower() -> None:
    diverged = ended(2, cause=Cause.DIVERGED, reason="val_loss became nan")
    good = ended(2, State.COMPLETE, value=0.5)
    (note,) = notes_on(make_spec(), [*diverged, *good])
    assert "2 of 4 diverged" in note
    assert "[space] learning_rate" in note
    assert notes_on(make_spec(), [*diverged[:1], *good]) == []


def test_what_waits_for_a_larger_budget_is_said() -> None:
    good = ended(3, State.COMPLETE, value=0.5)
    (note,) = notes_on(make_spec(), good, 2)
    assert note == (
        "note: 2 trials wait in the queue, and the budget is used: raise [budget], and the same "
        "command trains them"
    )


def test_what_is_said_at_the_end_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    (champion,) = ended(1, State.PRUNED, value=0.5, best_epoch=1)
    say_what_came(make_spec(pruner=PRUNER), champion, [champion], 2)
    say_what_next("a_study")
    said = capsys.readouterr().out
    assert said.count("note: ") == 2
    assert max(map(len, said.splitlines())) <= 80
