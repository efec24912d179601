"""Which GPUs are there, which of them trainings may use, and how they are shared out."""

import os
import subprocess
import sys
from pathlib import Path

import pretend
import pytest

from pipeline.errors import UsageError
from pipeline.execution import devices
from pipeline.execution.devices import Devices, find_devices, n_installed, n_workers, visible
from pipeline.study.resources import Resources

ROOT = Path(__file__).parents[2]
VARIABLE = "CUDA_VISIBLE_DEVICES"


@pytest.fixture(autouse=True)
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def allow(names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, names)


def test_each_training_has_whole_gpus_for_itself() -> None:
    shared = Devices(["0", "1", "2", "3"], 2)
    assert shared.n_places == 2
    assert [shared.take(trial) for trial in (5, 6)] == ["0,1", "2,3"]
    shared.release(5)
    assert shared.take(7) == "0,1"


def test_a_part_is_of_the_gpu_that_the_fewest_others_have() -> None:
    shared = Devices(["1", "GPU-ab"], 0.5)
    assert shared.n_places == 4
    assert [shared.take(trial) for trial in range(4)] == ["1", "GPU-ab", "1", "GPU-ab"]
    for trial in (1, 3, 3, 99):  # one is given back twice, another was never taken
        shared.release(trial)
    assert [shared.take(trial) for trial in (4, 5)] == ["GPU-ab", "GPU-ab"]


def test_what_a_trial_takes_again_it_has_once() -> None:
    shared = Devices(["0", "1"], 1)
    assert [shared.take(trial) for trial in (0, 0, 1)] == ["0", "0", "1"]


def test_more_trainings_than_places_share() -> None:
    shared = Devices(["0", "1", "2"], 2)
    assert [shared.take(trial) for trial in range(3)] == ["0,1", "2,0", "1,2"]


@pytest.mark.parametrize(
    ("gpus", "n_places"), [(0.1, 20), (0.3, 6), (0.5, 4), (0.7, 2), (1.0, 2), (2.0, 1)]
)
def test_the_places(gpus: float, n_places: int) -> None:
    assert Devices(["0", "1"], gpus).n_places == n_places


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        (None, ["0", "1", "2"]),
        ("1", ["1"]),
        ("2, 0", ["2", "0"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
        ("1,7,0", ["1"]),  # CUDA stops at a number of none
        ("1,1", ["1"]),
        ("GPU-8932f937,MIG-2a", ["GPU-8932f937", "MIG-2a"]),
    ],
)
def test_what_cuda_would_see(
    allowed: str | None, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if allowed is not None:
        allow(allowed, monkeypatch)
    assert visible(3) == names
    assert visible(0) == []


def test_who_has_shared_gpus_out_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    allow("6,7", monkeypatch)
    assert Devices.of_environment(2).take(0) == "6,7"


def test_gpus_are_counted_by_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend.gpus(3, tmp_path / "bin", monkeypatch)
    assert n_installed(tmp_path) == 3


@pytest.mark.parametrize("n_listed", [None, 0])
def test_gpus_are_counted_by_linux_where_the_driver_does_not_answer(
    n_listed: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend.gpus(n_listed, tmp_path / "bin", monkeypatch)
    assert n_installed(tmp_path) == 0
    for bus in ("0000:3b:00.0", "0000:d8:00.0"):
        (tmp_path / "proc/driver/nvidia/gpus" / bus).mkdir(parents=True)
    assert n_installed(tmp_path) == 2


def test_without_gpus_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "n_installed", pytest.fail)
    assert find_devices(Resources(cpus=2)) is None


@pytest.mark.parametrize(
    ("n_there", "allowed", "gpus", "said"),
    [
        (0, None, 0.5, "gpus: found 0.5, but this machine has no GPU"),
        (0, "0", 1.0, "gpus: found 1, but this machine has no GPU"),
        (1, None, 2.0, "gpus: found 2, but this machine has 1 GPU"),
        (2, "1", 2.0, "gpus: found 2, but CUDA_VISIBLE_DEVICES='1' leaves 1 of 2 GPUs"),
        (2, "-1", 0.5, "gpus: found 0.5, but CUDA_VISIBLE_DEVICES='-1' leaves 0 of 2 GPUs"),
    ],
)
def test_fewer_than_a_training_is_to_have(
    n_there: int, allowed: str | None, gpus: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "n_installed", lambda: n_there)
    if allowed is not None:
        allow(allowed, monkeypatch)
    with pytest.raises(UsageError) as caught:
        n_workers(Resources(gpus=gpus))
    assert str(caught.value) == f"[resources] {said}"


@pytest.mark.parametrize(
    ("cpus", "gpus", "n"),
    [(1, 0, 8), (3, 0, 2), (9, 0, 1), (1, 1, 2), (1, 0.25, 8), (2, 0.25, 4), (4, 0.5, 2)],
)
def test_so_many_are_trained_at_a_time(
    cpus: int, gpus: float, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "n_cores", lambda: 8)
    monkeypatch.setattr(devices, "n_installed", lambda: 2)
    assert n_workers(Resources(cpus=cpus, gpus=gpus)) == n
    assert VARIABLE not in os.environ


@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
def test_a_search_that_asks_for_gpus_that_are_not_there_does_not_begin(
    workers: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend.gpus(0, tmp_path / "bin", monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    quick = (ROOT / "studies" / "quick.toml").read_text()
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "quick.toml").write_text(f"{quick}\n[resources]\ngpus = 0.5\n")
    command = [sys.executable, "-m", "pipeline.search", "quick", *workers]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.stdout == ""
    assert ended.stderr == ("error: [resources] gpus: found 0.5, but this machine has no GPU\n")
    assert ended.returncode == 2
    assert not (tmp_path / "mlruns" / "optuna.db").exists()
