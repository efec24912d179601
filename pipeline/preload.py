"""What the forkserver imports once, so that a worker process starts in hundredths of a second.

Imports and NumPy only: a process that has run a TensorFlow operation cannot be forked safely.
Named to the forkserver by `executors.LocalExecutor`, which also sets the environment.
"""

import os
import signal
import tempfile

from pipeline.executors import PRELOAD_DATASET, WORKER_LOG, WORKER_SCRATCH

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor, which tells us

if log := os.environ.get(WORKER_LOG):
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
if scratch := os.environ.get(WORKER_SCRATCH):
    tempfile.tempdir = scratch

from pipeline import data, study, training  # noqa: E402, F401

if name := os.environ.get(PRELOAD_DATASET):
    data.load(name)
