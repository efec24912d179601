"""What the forkserver imports, in a process of its own, as the forkserver does."""

import os
import subprocess
import sys
from pathlib import Path

from pipeline.execution.worker import WORKER_SCRATCH

OPTIONAL = ("matplotlib", "pandas", "sklearn")


def environment() -> dict[str, str]:
    """This process's, without what executors of other tests have told their forkserver."""
    left_out = ("PIPELINE_", "CUDA_", "KERAS_")
    return {k: v for k, v in os.environ.items() if not k.startswith(left_out)}


def test_keras_is_imported_without_what_no_trial_uses() -> None:
    script = f"""
import os, sys
import pipeline.execution.preload
print("keras" in sys.modules, [name for name in {OPTIONAL} if name in sys.modules])
import pandas
from sklearn.linear_model import SGDClassifier  # as logistic regression does
print(pandas.__name__, SGDClassifier.__name__)
print(os.environ["CUDA_VISIBLE_DEVICES"], os.environ["KERAS_BACKEND"])
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines() == ["True []", "pandas SGDClassifier", "-1 tensorflow"]


def test_models_are_saved_inside_a_folder_whose_name_has_a_backslash(tmp_path: Path) -> None:
    scratch = tmp_path / "back\\slash"
    scratch.mkdir()
    code = """
import pipeline.execution.preload
import keras
from pipeline.training import loop
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
assert loop.from_bytes(loop.to_bytes(model)).count_params() == 6
"""
    told = {**environment(), WORKER_SCRATCH: str(scratch)}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=told, check=True)
    assert list(tmp_path.rglob("*")) == [scratch]
