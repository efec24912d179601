"""What the forkserver imports once, so that a worker process starts in hundredths of a second.

TensorFlow and Keras, and the data set by NumPy. No TensorFlow operation runs here: a process that
has run one cannot be forked safely. Named to the forkserver by `local.LocalExecutor`, which also
sets the environment. Whatever goes wrong is kept in `worker.preload_failure`, for the server's
first child to tell: the forkserver itself drops an ImportError, and ends at others.
"""

import json
import os
import signal
import tempfile
import traceback
from pathlib import Path

from pipeline.environment import hide_gpus, import_keras, set_defaults
from pipeline.execution import worker
from pipeline.execution.worker import PRELOAD_DATASET, WORKER_LOG, WORKER_SCRATCH
from pipeline.masking import mask_output
from pipeline.streams import print_to

set_defaults()  # for who uses an executor without a command
hide_gpus()
signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor, which tells us

if log := os.environ.get(WORKER_LOG):
    print_to(Path(log))
mask_output()  # the log is for people, too
scratch = os.environ.get(WORKER_SCRATCH)
if scratch and "\\" not in scratch:  # which Keras takes for a slash, and would write elsewhere
    tempfile.tempdir = scratch


def _import_all() -> None:
    """Imports TensorFlow, and loads the data set; here, so that a failure can be told."""
    import_keras()
    from pipeline.data import datasets
    from pipeline.task.source import DataSpec
    from pipeline.training import loop  # noqa: F401

    if data := os.environ.get(PRELOAD_DATASET):
        datasets.load_members(DataSpec(*json.loads(data)))


try:
    _import_all()
except BaseException as error:  # SystemExit, too: the server is to live, and to tell
    traceback.print_exc()
    worker.preload_failure = worker.describe(error)
else:
    worker.preload_failure = None
