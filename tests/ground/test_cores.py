"""How many cores may be used, of a machine of which a container or a service gets a part."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.cores import n_cores


@pytest.fixture(autouse=True)
def large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cpu_count", "process_cpu_count"):
        monkeypatch.setattr(os, name, lambda: 64, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


VERSION_1 = "3:cpuset:/\n2:cpu,cpuacct:/docker/ab\n1:name=systemd:/x\n0::/\n"


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("", {}, 64),
        ("0::/\n", {"cpu.max": "200000 100000"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000"}, 1),
        ("0::/\n", {"cpu.max": "max 100000"}, 64),
        ("0::/\n", {"cpu.max": "50000 0"}, 64),
        ("0::/\n", {"cpu.max": "nonsense"}, 64),
        ("0::/a.slice/b.service\n", {"a.slice/b.service/cpu.max": "300000 100000"}, 3),
        (
            "0::/a.slice/b.service\n",
            {
                "a.slice/cpu.max": "500000 100000",
                "a.slice/b.service/cpu.max": "max 100000",
                "cpu.max": "max 100000",
            },
            5,
        ),
        (
            VERSION_1,
            {"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"},
            4,
        ),
        (
            VERSION_1,
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
                "cpu,cpuacct/docker/ab/cpu.cfs_quota_us": "75000",
                "cpu,cpuacct/docker/ab/cpu.cfs_period_us": "25000",
            },
            3,
        ),
    ],
)
def test_the_smallest_quota_counts(
    tmp_path: Path, groups: str, files: Mapping[str, str], cores: int
) -> None:
    for name, content in {
        "proc/self/cgroup": groups,
        **{f"sys/fs/cgroup/{name}": content for name, content in files.items()},
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    assert n_cores(tmp_path) == cores


def test_what_python_was_told_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: 7, raising=False)
    assert n_cores(tmp_path) == 7


def test_nothing_known_is_one_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cpu_count", "process_cpu_count"):
        monkeypatch.setattr(os, name, lambda: None, raising=False)
    assert n_cores(tmp_path) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="macOS pins no process")
def test_taskset_decides_how_many_trials_run_at_a_time() -> None:
    script = """
import os
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
from pipeline.execution.devices import n_workers
from pipeline.search.__main__ import _parse
from pipeline.study.resources import Resources
print(n_workers(Resources()))
_parse(["--workers", "5"])
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.stdout == "1\n"
    assert ended.returncode == 2
    assert "found 5, allowed are at most 4, four for each core" in ended.stderr
