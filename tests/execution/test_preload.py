"""What the forkserver imports, in a process of its own, as the forkserver does."""

import os
import subprocess
import sys

OPTIONAL = ("matplotlib", "pandas", "sklearn")


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
    # without what executors of other tests have told their forkserver
    left_out = ("PIPELINE_", "CUDA_", "KERAS_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines() == ["True []", "pandas SGDClassifier", "-1 tensorflow"]
