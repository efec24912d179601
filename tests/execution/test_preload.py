"""What the forkserver imports, in a process of its own, as the forkserver does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("variables", "settings"),
    [
        ({"KERAS_BACKEND": "torch"}, None),
        ({"KERAS_BACKEND": "jax", "KERAS_NNX_ENABLED": "true"}, {"nnx_enabled": True}),
        ({"KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "many"}, None),
        (
            {},
            {
                "backend": "jax",
                "floatx": "float16",
                "image_data_format": "channels_first",
                "epsilon": 0.5,
            },
        ),
        ({}, {"floatx": "bfloat16", "epsilon": 1}),  # Keras itself refuses both
    ],
    ids=str,
)
def test_keras_is_as_this_program_wants_it(
    tmp_path: Path, variables: dict[str, str], settings: dict[str, object] | None
) -> None:
    if settings is not None:
        (tmp_path / "keras.json").write_text(json.dumps(settings))
    script = """
import os
import pipeline.execution.preload
from pipeline.execution import worker
from keras import config
print(worker.preload_failure, config.backend(), config.floatx(), config.image_data_format(),
      config.epsilon(), config.max_epochs(), config.is_nnx_enabled(), os.environ["KERAS_HOME"])
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PIPELINE_")}
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env={**environment, "KERAS_HOME": str(tmp_path), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = f"None tensorflow float32 channels_last 1e-07 None False {tmp_path}"
    assert ended.stdout.strip() == wanted, ended.stderr
    assert settings is not None or not list(tmp_path.iterdir())


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
