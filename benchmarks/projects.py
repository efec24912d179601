"""Where a benchmark runs a command: a folder of its own, with none of the user's stores."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent


@contextlib.contextmanager
def fresh() -> Iterator[Path]:
    """A new project with the studies of this repository; removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="benchmark.") as folder:
        studies = Path(folder) / "studies"
        studies.mkdir()
        for file in (ROOT / "studies").glob("*.toml"):
            shutil.copy(file, studies)
        yield Path(folder)


def environment() -> dict[str, str]:
    """Of a command in another project: no settings of the user's, and Python may keep bytecode."""
    own = ("PIPELINE_STORAGE", "MLFLOW_TRACKING_URI", "PYTHONDONTWRITEBYTECODE")
    kept = {key: value for key, value in os.environ.items() if key not in own}
    return kept | {"PYTHONPATH": str(ROOT)}
