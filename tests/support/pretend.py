"""A machine with GPUs, as far as their driver's program tells."""

import os
from pathlib import Path

import pytest


def gpus(n: int | None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts an `nvidia-smi` that lists so many GPUs before all programs; None for one that fails.

    Args:
        n: how many.
        folder: for that program, and in PATH the first.
        monkeypatch: sets PATH.
    """
    listed = "".join(
        f"GPU {i}: NVIDIA H100 (UUID: GPU-{i})\n  MIG 1g.10gb Device 0: (UUID: MIG-{i})\n"
        for i in range(n or 0)
    )
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{listed}'\nexit {9 if n is None else 0}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
