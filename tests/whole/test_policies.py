"""The comparison of policies, its command line, and the examples of docs/laboratory.md."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import curve_functions, measured, policies
from benchmarks.measured import Run
from pipeline.errors import UsageError
from pipeline.study.load import parse
from pipeline.study.spec import StudySpec
from pipeline.task.task import Metric

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "laboratory.md").read_text()
MODULE, ONE_SEARCH, AGAIN = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
STUDY = """
goal = "test"
dataset = "fashion_mnist"
[budget]
minutes = 4
[sampler]
type = "TPESampler"
n_startup_trials = 3
[pruner]
type = "SuccessiveHalvingPruner"
min_resource = 2
reduction_factor = 3
[fixed]
hidden_layers = 1
units = 8
optimizer = "adam"
batch_size = 64
epochs = 9
[space]
learning_rate = { type = "float", low = 1e-4, high = 1e-1, log = true }
dropout = { type = "float", low = 0.0, high = 0.5 }
[[reference]]
name = "simple"
trainer = "sgd_classifier"
"""
WRONG = """
from pipeline.study.trial import Cause

def number(hyperparameters, seed):
    return 0.9

def loss(hyperparameters, seed):
    return {"val_loss": [0.5], "seconds": [1.0]}

def broken(hyperparameters, seed):
    return {}["no such key"]

def none(hyperparameters, seed):
    return {"val_accuracy": [], "seconds": [1], "failed": "no memory", "cause": Cause.TOO_LARGE}

def misleading(hyperparameters, seed):
    import my_curves
    found = my_curves.curves(hyperparameters, seed)
    return {**found, "val_accuracy": [1 - value for value in found["val_accuracy"]]}
"""

Command = Callable[..., Any]


@pytest.fixture
def folder(project_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a study and two modules of curves, which can be imported."""
    (project_folder / "studies").mkdir()
    (project_folder / "studies" / "small.toml").write_text(STUDY)
    (project_folder / "my_curves.py").write_text(MODULE)
    (project_folder / "wrong_curves.py").write_text(WRONG)
    (project_folder / "half_curves.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(str(project_folder))
    for name in ("my_curves", "wrong_curves", "half_curves"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    curve_functions.find_curves.cache_clear()
    return project_folder


@pytest.fixture
def command(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Command:
    def run(*more: str, **flags: str) -> str:
        flags = {"study": "small", "curves": "my_curves:curves", "seeds": "2", **flags}
        given = [word for name, value in flags.items() for word in (f"--{name}", value)]
        monkeypatch.setattr(sys, "argv", ["policies", *given, *more])
        assert policies.main() == 0
        return str(capsys.readouterr().out)

    return run


def test_each_policy_has_a_row_and_random_search_the_first(command: Command) -> None:
    said = command()
    rows = re.findall(r"^\| (.*?) \|", said, re.MULTILINE)
    assert rows[:4] == ["policy", "---", "random", "default"]
    assert {*rows[2:]} == {*policies.POLICIES}
    assert "2 seeds, 4 virtual minutes, 2 workers" in said
    few = re.findall(r"^\| (.*?) \|", command("--policies", "no pruning"), re.MULTILINE)
    assert few[2:] == ["random", "no pruning"]


def test_json_has_the_values_of_each_seed_and_the_same_ones_again(command: Command) -> None:
    arguments = "--json", "--policies", "default", "random x2", "no pruning"
    said = command(*arguments, minutes="6")
    found = json.loads(said)
    assert (found["study"], found["minutes"], found["seeds"]) == ("small", 6, 2)
    assert list(found["policies"]) == ["random", "default", "random x2", "no pruning"]
    every = [value for each in found["policies"].values() for value in each["final"]]
    assert found["best"] == max(every)
    for each in found["policies"].values():
        regrets = [each["regret"][part]["values"] for part in ("0.1", "0.5", "1")]
        assert [a >= b >= c for a, b, c in zip(*regrets, strict=True)] == [True, True]
        assert each["regret"]["1"]["values"] == [found["best"] - value for value in each["final"]]
    shares = found["policies"]["random"]["share_until_random"]
    assert shares["n_never"] == 0
    assert found["policies"]["random x2"]["share_until_random"]["values"] == shares["values"]
    n = found["policies"]["random"]["n_trials"], found["policies"]["no pruning"]["n_trials"]
    assert all(pruned > whole for pruned, whole in zip(*n, strict=True))
    assert command(*arguments, minutes="6") == said
    best = json.loads(command("--json", "--policies", "random", best="0.95"))
    assert best["best"] == 0.95


def test_references_are_trained_only_if_asked_for(command: Command) -> None:
    arguments = "--json", "--policies", "random"
    without, trained = (
        json.loads(command(*arguments, *more))["policies"]["random"]["n_epochs"]
        for more in ([], ["--references"])
    )
    assert without != trained


def earlier_study(folder: Path) -> None:
    """One of a wider space without dropout, which is searched at random for longer."""
    text = re.sub(r"dropout.*\n", "", STUDY).replace("high = 1e-1", "high = 1.0")
    text = text.replace("minutes = 4", "minutes = 12").replace("n_startup_trials = 3", "")
    (folder / "studies" / "earlier.toml").write_text(text.replace("TPESampler", "RandomSampler"))


def test_what_an_earlier_study_gains_and_misleading_networks_cost_is_shown(
    command: Command, folder: Path
) -> None:
    earlier_study(folder)
    arguments = "--policies", "tpe", "--start-from", "earlier"
    good = json.loads(command("--json", *arguments, seeds="4"))
    misleading = "--start-from-curves", "wrong_curves:misleading"
    bad = json.loads(command("--json", *arguments, *misleading, seeds="4"))
    assert list(good["policies"]) == ["random", "tpe", "tpe, warm start"]
    for name in ("random", "tpe"):
        assert good["policies"][name]["final"] == bad["policies"][name]["final"]
    for part in ("0.1", "0.5"):
        (none, gain), (same, cost) = (
            [
                found["policies"][name]["regret"][part]["mean"]
                for name in ("tpe", "tpe, warm start")
            ]
            for found in (good, bad)
        )
        assert gain < none
        assert cost > same
    start = bad["start_from"]
    assert (start["study"], start["curves"], start["minutes"]) == ("earlier", misleading[1], 12)
    said = command(*arguments, seeds="1")
    assert re.search(
        r"a search of earlier found in 12 virtual minutes, by my_curves:curves, with another seed "
        r"for each\. With seed 0, tried first: 5 networks of earlier: trials .*; drawn, as the "
        r"earlier networks had none: dropout\.",
        said,
    )


@pytest.mark.slow
def test_processes_change_nothing(command: Command, folder: Path) -> None:
    earlier_study(folder)
    arguments = "--policies", "tpe", "--start-from", "earlier"
    assert command(*arguments, "--jobs", "2") == command(*arguments)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"curves": "my_curves"}, '--curves: found "my_curves", allowed is MODULE:FUNCTION'),
        ({"curves": "nowhere:curves"}, '--curves: the module "nowhere" cannot be imported'),
        ({"curves": "half_curves:curves"}, r'"half_curves" cannot be imported .*no_such_library'),
        ({"curves": "my_curves:no"}, '--curves: found no function "no" in the module "my_curves"'),
        ({"curves": "wrong_curves:number"}, "wrong_curves:number for .* found a float, allowed"),
        ({"curves": "wrong_curves:loss"}, "has val_loss, allowed is what has val_accuracy"),
        ({"curves": "wrong_curves:broken"}, "fails for .*KeyError.*; line 11 of .*wrong_curves"),
        ({"minutes": "-1"}, "--minutes: found -1, allowed is a number above 0"),
        ({"minutes": "nan"}, "--minutes: found nan, allowed is a number above 0"),
        ({"seeds": "0"}, "--seeds: found 0, allowed is an integer above 0"),
        ({"policies": "magic"}, '--policies: found "magic", allowed are "default", "random", '),
        ({"start-from": "none"}, "studies/none.toml: no such study file; the studies here are: "),
        ({"start-from": "trials"}, "--minutes: missing, and the study trials has none in its bud"),
        ({"start-from-curves": "a:b"}, "--start-from-curves: found a:b without --start-from, "),
        ({"start-from": "small", "start-from-curves": "nowhere:curves"},
         '--start-from-curves: the module "nowhere" cannot be imported'),
        ({"start-from": "small", "start-from-curves": "wrong_curves:none"},
         "--start-from: found no network with a value in 4 virtual minutes of small with seed "),
        ({"study": "none"}, "studies/none.toml: no such study file; the studies here are: small"),
        ({"study": "trials"}, "--minutes: missing, and the study trials has none in its budget"),
        ({"study": "fixed"}, r"study fixed: found no \[space\], allowed is a study with one"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_a_sentence(
    command: Command, folder: Path, flags: dict[str, str], said: str
) -> None:
    (folder / "studies" / "trials.toml").write_text(STUDY.replace("minutes = 4", "trials = 4"))
    fixed = re.sub(r"\[space\][^\[]*", "", STUDY)
    if flags.get("study") == "fixed":
        (folder / "studies" / "fixed.toml").write_text(fixed)
    with pytest.raises(UsageError, match=said) as caught:
        command(**flags)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def spec_of(**changes: Any) -> StudySpec:
    space = {"learning_rate": {"type": "float", "low": 0.1, "high": 1.0}}
    fixed = {"hidden_layers": 0, "units": 8, "optimizer": "adam", "batch_size": 8, "epochs": 2}
    content = {"goal": "test", "dataset": "fashion_mnist", "budget": {"minutes": 3}}
    return parse("one", {**content, "space": space, "fixed": fixed, **changes})


def test_what_policies_change() -> None:
    spec = spec_of(sampler={"type": "TPESampler", "group": True, "seed": 7})
    found = {name: change(spec) for name, change in policies.POLICIES.items()}
    assert found["default"] == spec
    assert {each.seed for each in found.values()} == {7}
    assert [str(found[name].sampler) for name in ("random", "no pruning", "tpe")] == [
        "RandomSampler(seed=7)", "RandomSampler(seed=7)", "TPESampler(group=True, seed=7)"
    ]  # fmt: skip
    assert found["random"].pruner == found["random x2"].pruner == spec.pruner
    assert found["no pruning"].pruner.type == "NopPruner"
    assert found["random x2"].budget.minutes == 6
    assert "min_resource=2, reduction_factor=3" in str(found["tpe"].pruner)
    other = policies.POLICIES["tpe"](spec_of(sampler={"type": "QMCSampler", "seed": 7}))
    assert str(other.sampler) == "TPESampler(n_startup_trials=12, group=True, seed=7)"


def run_of(*steps: tuple[float, float], seconds: float = 100.0) -> Run:
    return Run(seconds, steps, len(steps), 10)


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_measured(sign: int) -> None:
    direction = "maximize" if sign == 1 else "minimize"
    random = [run_of((10, sign * 0.5), (80, sign * 0.8)), run_of((50, sign * 0.6))]
    twice = [
        run_of((10, sign * 0.5), (80, sign * 0.8), seconds=200.0),
        run_of((50, sign * 0.6), (150, sign * 0.7), seconds=200.0),
    ]
    policy = [run_of((20, sign * 0.9)), run_of((90, sign * 0.5), (101, sign * 1.0))]
    runs = {"random": random, "twice": twice, "policy": policy}
    found = measured.measure(runs, "random", "twice", direction)
    assert found.best == sign * 0.9
    own = found.policies["policy"]
    assert own.shares == [0.2, math.inf]
    assert own.n_never == 1
    assert own.beats_twice == [True, False]
    assert own.regrets[0.1] == [math.inf, math.inf]
    assert own.regrets[0.5] == [0.0, math.inf]
    assert own.regrets[1.0] == pytest.approx([0.0, 0.4])
    assert found.policies["random"].shares == [0.8, 0.5]
    assert found.policies["twice"].regrets[1.0] == pytest.approx([0.1, 0.2])
    given = measured.measure(runs, "random", "twice", direction, best=sign * 1.0)
    assert given.policies["policy"].regrets[1.0] == pytest.approx([0.1, 0.5])
    about = {"study": "s", "metric": "m", "curves": "c", "best": found.best, "seeds": 2,
             "minutes": 1, "workers": 2}  # fmt: skip
    said = measured.as_text(found.policies, Metric("accuracy", "maximize"), about)
    assert "| policy | never (0.20–never) | 1 of 2 | 50% |" in said  # noqa: RUF001
    as_json = json.loads(json.dumps(measured.as_json(found.policies), allow_nan=False))
    assert as_json["policy"]["share_until_random"]["values"] == [0.2, None]


def test_searches_without_any_value_are_measured_too() -> None:
    runs = {"random": [run_of()], "twice": [run_of()]}
    found = measured.measure(runs, "random", "twice", "maximize")
    assert found.best is None
    assert found.policies["random"].regrets[1.0] == [math.inf]
    json.dumps(measured.as_json(found.policies), allow_nan=False)


@pytest.mark.slow
def test_the_examples_of_the_page_run(folder: Path) -> None:
    shutil.copytree(ROOT / "studies", folder / "studies", dirs_exist_ok=True)
    (line,) = re.findall(r"^    \.venv/bin/python (-m benchmarks.*)$", PAGE, re.MULTILINE)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )

    compared = run(*line.replace("--seeds 3", "--seeds 1").split(" "), "--policies", "tpe")
    assert compared.returncode == 0, compared.stderr
    assert "| tpe |" in compared.stdout
    assert compared.stderr == ""
    searched = run("-c", ONE_SEARCH + AGAIN)
    assert searched.returncode == 0, searched.stderr
    assert re.match(r"\d\.\d minutes: 0\.\d{4}\n", searched.stdout)
    sources = [f"given, network {i}" for i in range(1, 6)]
    assert searched.stdout.endswith(f"{sources}\n")
    refused = run(*line.replace("my_curves:", "nowhere:").split(" "))
    assert refused.returncode == 2
    assert refused.stderr.startswith('error: --curves: the module "nowhere" cannot be imported')
    assert refused.stderr.count("\n") == 1
