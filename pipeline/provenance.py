"""Where and with what this runs: machine, versions, commit. Noted beside every result."""

import contextlib
import functools
import getpass
import importlib.metadata
import platform
import subprocess
from pathlib import Path

from pipeline.cores import n_cores

_PACKAGES = ("tensorflow", "keras", "optuna", "mlflow", "numpy")


@functools.cache
def collect_provenance() -> dict[str, str]:
    """Collects machine, versions of what matters (`version.<package>`), git commit and user."""
    known = {f"version.{name}": importlib.metadata.version(name) for name in _PACKAGES}
    known |= {"version.python": platform.python_version(), "machine": machine()}
    with contextlib.suppress(OSError, KeyError):
        known["mlflow.user"] = getpass.getuser()
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        known["git_commit"] = described  # ends in -dirty if there were changes
        known["mlflow.source.git.commit"] = described.removesuffix("-dirty")
    known |= {"mlflow.source.name": "pipeline.search", "mlflow.source.type": "LOCAL"}
    return known


@functools.cache
def machine() -> str:
    """Describes processor, cores that may be used, and memory in a line."""
    import psutil

    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), name)
    memory = round(psutil.virtual_memory().total / 2**30)
    return f"{name}, {n_cores()} cores, {memory} GiB, {platform.system()}"
