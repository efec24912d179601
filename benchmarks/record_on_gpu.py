"""Records the metrics of pictures' networks on a GPU that many processes share.

python -m benchmarks.record_on_gpu --write-data FOLDER SPACE...   # here: SPACE.npz for each
python -m benchmarks.record_on_gpu --data FOLDER SPACE... [--workers N] [--minutes M]   # there

There it needs JAX and Keras, and neither TensorFlow nor whatever reads study files. A network is
the one that the pipeline builds; its epoch, validation included, is one compiled function, and all
its seeds are trained at a time. Rows are those of `record`, but for the seconds, which
`python -m benchmarks.record SPACE --seconds` measures. A recording that was broken off is gone on
with. Networks come in the order of their numbers, so that what is there is a fair sample always.
"""

import argparse
import json
import math
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

DIGITS = 5  # that are kept of a number
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
PARTS = ("train_inputs", "train_targets", "validation_inputs", "validation_targets")

Job = tuple[str, int, list[int]]  # a space, a network, and the seeds that are still to be trained


def write_data(name: str, folder: Path) -> None:
    """Writes what a machine without the pipeline's libraries needs to record a space."""
    from benchmarks import record
    from pipeline.data import datasets

    record.prepare(name)
    recording, (spec, drawn) = record.RECORDINGS[name], record.drawn_of(name)
    data = datasets.load(spec.data_spec)
    assert data.task.input_dtype == "uint8"
    assert data.train_weights is None
    runs: dict[int, dict[int, int]] = {}
    for i, seed in recording.runs:
        runs.setdefault(i, {})[seed] = record.seed_of(spec, i, seed)
    about = {
        "input_shape": data.task.input_shape,
        "class_names": data.task.class_names,
        "networks": [record.own(each) for each in drawn],
        "runs": list(runs.values()),
    }
    arrays = {part: getattr(data, part).astype(np.uint8) for part in PARTS}
    np.savez_compressed(folder / f"{name}.npz", about=np.array(json.dumps(about)), **arrays)


class Space:
    """What is trained, and on what.

    Args:
        file: that `write_data` has written.
    """

    def __init__(self, file: Path) -> None:
        with np.load(file) as content:
            self.about = json.loads(str(content["about"]))
            self.arrays = {part: content[part] for part in PARTS}

    def jobs(self, name: str, known: set[tuple[int, int]]) -> list[Job]:
        """Lists what is not yet recorded, a network at a time."""
        left = [
            (name, i, [int(s) for s in seeds if (i, int(s)) not in known])
            for i, seeds in enumerate(self.about["runs"])
        ]
        return [job for job in left if job[2]]

    def train(self, number: int, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Trains a network, with each of the seeds, and yields a row for each."""
        from pipeline.study.hyperparameters import Hyperparameters
        from pipeline.task.task import Kind, Task

        own = self.about["networks"][number]
        given = Hyperparameters.from_mapping(own)
        task = Task(
            Kind.MULTICLASS, tuple(self.about["input_shape"]), tuple(self.about["class_names"])
        )
        derived = [self.about["runs"][number][str(seed)] for seed in seeds]
        # Convolutions of several networks at a time are slow; here they share the compilation.
        n = 1 if given.layer_kind == "convolutional" else len(seeds)
        curves: list[tuple[int, np.ndarray]] = []
        epoch: Callable[..., Any] | None = None
        for start in range(0, len(seeds), n):
            some = derived[start : start + n]
            epoch, states, n_parameters = _start(given, task, some, epoch)
            found = self._epochs(epoch, states, some, given.epochs)
            curves += [(n_parameters, each) for each in found]
        for seed, (n_parameters, curve) in zip(seeds, curves, strict=True):
            yield _row(number, seed, own, n_parameters, curve)

    def _epochs(
        self, epoch: Callable[..., Any], state: Any, seeds: Sequence[int], n_epochs: int
    ) -> np.ndarray:
        """Returns the metrics of all epochs, shape (seeds, epochs, metrics)."""
        orders = [np.random.default_rng(seed) for seed in seeds]
        curves: list[np.ndarray] = []
        data = self._on_device
        while len(curves) < n_epochs and (not curves or np.isfinite(curves[-1]).all(1).any()):
            n_examples = len(self.arrays["train_targets"])
            order = np.stack([each.permutation(n_examples) for each in orders]).astype(np.int32)
            state, metrics = epoch(state, order, *data)
            curves.append(np.asarray(metrics, np.float64))
        return np.stack(curves, axis=1)

    @property
    def _on_device(self) -> list[Any]:
        import jax

        for part, array in self.arrays.items():
            if isinstance(array, np.ndarray):
                is_target = part.endswith("targets")
                self.arrays[part] = jax.device_put(array.astype(np.int32) if is_target else array)
        return list(self.arrays.values())


def _row(
    number: int, seed: int, own: Mapping[str, Any], n_parameters: int, curve: np.ndarray
) -> dict[str, Any]:
    """Makes a row of one training: up to the epoch in which it broke off, if it did."""
    found: dict[str, Any] = {"network": number, "seed": seed}
    broken = np.flatnonzero(~np.isfinite(curve).all(axis=1))
    n = broken[0] if broken.size else len(curve)
    if n:
        found["n_parameters"] = n_parameters
    if broken.size:
        name, value = next(
            (name, value)
            for name, value in zip(METRICS, curve[n], strict=True)
            if not math.isfinite(value)
        )
        found["failed"] = f"{name} became {value} in epoch {n + 1}"
    metrics = {
        name: [float(f"{value:.{DIGITS}g}") for value in values]
        for name, values in zip(METRICS, curve[:n].T, strict=True)
        if n
    }
    return found | {"hyperparameters": own, "seconds": [], **metrics}


def _start(given: Any, task: Any, seeds: Sequence[int], epoch: Any) -> tuple[Any, Any, int]:
    """Builds a network for each seed; returns an epoch of all, their state and their size."""
    import jax
    import keras

    from pipeline.training.model import build_model

    def uniform(key: Any, shape: Any, dtype: Any, minval: float, maxval: float) -> Any:
        return np.random.default_rng(np.asarray(key)).uniform(minval, maxval, shape).astype(dtype)

    states = []
    # JAX would compile what draws initial weights, for each shape: half a second and more.
    drawn_by_numpy = mock.patch.object(jax.random, "uniform", uniform)
    with drawn_by_numpy, jax.default_device(jax.devices("cpu")[0]):
        for seed in seeds:
            keras.utils.set_random_seed(seed)
            model = build_model(given, task)
            model.optimizer.build(model.trainable_variables)
            kinds = (
                model.trainable_variables, model.non_trainable_variables, model.optimizer.variables
            )  # fmt: skip
            states.append([[np.asarray(each.value) for each in kind] for kind in kinds])
    n_parameters = sum(math.prod(each.shape) for each in model.trainable_variables)
    # TensorFlow's cross-entropy is of the logits, which JAX's does not see behind a softmax.
    model.layers[-1].activation = keras.activations.linear
    epoch = epoch or _compiled(model, given.batch_size)
    return epoch, jax.tree.map(lambda *each: np.stack(each), *states), n_parameters


def _compiled(model: Any, batch_size: int) -> Any:
    """Compiles an epoch of several networks of the same layers: states and orders come first."""
    import jax
    import jax.numpy as jnp
    import keras

    def measured(targets: Any, logits: Any) -> tuple[Any, Any]:
        losses = keras.losses.sparse_categorical_crossentropy(
            targets[:, None], logits, from_logits=True
        )
        correct = jnp.argmax(logits, axis=-1) == targets
        return losses.mean(), jnp.stack([losses.sum(), correct.sum().astype(losses.dtype)])

    def epoch(state: Any, order: Any, inputs: Any, targets: Any, *validation: Any) -> Any:
        def loss(trained: Any, others: Any, batch: Any) -> tuple[Any, Any]:
            logits, others = model.stateless_call(trained, others, inputs[batch], training=True)
            mean, sums = measured(targets[batch], logits)
            return mean, (others, sums)

        def step(carried: Any, batch: Any) -> tuple[Any, None]:
            (trained, others, optimizer), total = carried
            gradients, (others, sums) = jax.grad(loss, has_aux=True)(trained, others, batch)
            trained, optimizer = model.optimizer.stateless_apply(optimizer, gradients, trained)
            return ([*map(list, (trained, others, optimizer))], total + sums), None

        n, n_whole = len(targets), len(targets) // batch_size
        whole = order[: n_whole * batch_size].reshape(n_whole, batch_size)
        carried, _ = jax.lax.scan(step, (state, jnp.zeros(2)), whole)
        if n % batch_size:
            carried, _ = step(carried, order[n_whole * batch_size :])
        state, total = carried
        logits, _ = model.stateless_call(*state[:2], validation[0], training=False)
        _, sums = measured(validation[1], logits)
        return state, jnp.concatenate([total / n, sums / len(validation[1])])

    return jax.jit(jax.vmap(epoch, in_axes=(0, 0, None, None, None, None)))


def _work(given: argparse.Namespace, jobs: Sequence[Job], next_job: "Synchronized[int]") -> None:
    """Takes jobs, one after the other, until there are none or the time is over."""
    os.environ["KERAS_BACKEND"] = "jax"  # before Keras is imported; the pipeline has set another
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "-1":  # by the benchmarks, for TensorFlow
        del os.environ["CUDA_VISIBLE_DEVICES"]
    import jax

    jax.config.update("jax_default_matmul_precision", "float32")  # a GPU's default is TF32
    spaces = {name: Space(given.data / f"{name}.npz") for name in given.spaces}
    while time.time() < given.deadline:
        with next_job.get_lock():
            i, next_job.value = next_job.value, next_job.value + 1
        if i >= len(jobs):
            break
        name, number, seeds = jobs[i]
        before = time.monotonic()
        try:
            rows = list(spaces[name].train(number, seeds))
        except Exception:
            print(f"{name}, network {number}:\n{traceback.format_exc()}", file=sys.stderr)
            continue
        text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        with (given.out / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(text)
        took = time.monotonic() - before
        done = f"{name}, network {number} ({i + 1} of {len(jobs)}), {len(seeds)} seeds"
        print(f"{done}: {took:.1f} s on {jax.devices()[0].platform}", file=sys.stderr, flush=True)


def _record(given: argparse.Namespace) -> None:
    given.deadline = time.time() + 60 * given.minutes
    ranked: list[tuple[float, Job]] = []
    for name in given.spaces:
        file = given.out / f"{name}.jsonl"
        rows = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        known = {(row["network"], row["seed"]) for row in map(json.loads, rows)}
        jobs = Space(given.data / f"{name}.npz").jobs(name, known)[: given.limit]
        ranked += [(i / len(jobs), job) for i, job in enumerate(jobs)]  # spaces end together
    jobs = [job for _, job in sorted(ranked)]
    context = multiprocessing.get_context("spawn")
    next_job: Synchronized[int] = context.Value("i", 0)
    workers = [
        context.Process(target=_work, args=(given, jobs, next_job)) for _ in range(given.workers)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def main() -> int:
    """Writes data, or records."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.record_on_gpu", description=__doc__
    )
    parser.add_argument("spaces", nargs="+", choices=("dense", "convolutional"))
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--write-data", type=Path, metavar="FOLDER", help="and no more")
    where.add_argument("--data", type=Path, metavar="FOLDER", help="that holds what was written")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "recorded")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=math.inf, help="then begin no more")
    parser.add_argument("--limit", type=int, help="networks of each space")
    given = parser.parse_args()
    if given.write_data:
        for name in given.spaces:
            write_data(name, given.write_data)
    else:
        _record(given)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
