"""What the forkserver imports, in a process of its own, as the forkserver does."""

import os
import subprocess
import sys

OPTIONAL = ("matplotlib", "pandas", "sklearn")


def test_keras_is_imported_without_what_no_trial_uses() -> None:
    script = f"""
import sys
import pipeline.execution.preload
print("keras" in sys.modules, [name for name in {OPTIONAL} if name in sys.modules])
import pandas
from sklearn.linear_model import SGDClassifier  # as logistic regression does
print(pandas.__name__, SGDClassifier.__name__)
"""
    # without what executors of other tests have told their forkserver
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PIPELINE_")}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines() == ["True []", "pandas SGDClassifier"]
