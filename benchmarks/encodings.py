"""What encodings of numbers bring: one network on R's diamonds, with each of them.

Gorishniy et al. 2022 (arXiv:2203.05556) measured such gains. The error is that of the logarithm of
the price on the validation rows, at the best epoch.
"""

import math
import subprocess
import sys
from pathlib import Path

from benchmarks import projects, real_tables, results
from benchmarks.results import Section, spread
from pipeline.report.document import Paragraph, Table
from pipeline.study.hyperparameters import RULES, Hyperparameters

NETWORK = Hyperparameters(
    hidden_layers=2,
    units=(256, 256),
    dropout=0.1,
    optimizer="adamw",
    learning_rate=1e-3,
    batch_size=256,
    epochs=5,
)
N_EPOCHS_FULL, N_SEEDS_FULL = 40, 5


def measure(full: bool) -> Section:
    """Five epochs of one seed; in full 40 of five, in turns."""
    n_epochs, n_seeds = (N_EPOCHS_FULL, N_SEEDS_FULL) if full else (NETWORK.epochs, 1)
    errors: dict[str, list[float]] = {name: [] for name in RULES["numeric_encoding"].choices}
    with projects.fresh() as folder:
        file = real_tables.write("diamonds", folder / "data")
        for seed in range(n_seeds):
            for encoding, found in errors.items():
                found.append(_error(folder, file, encoding, n_epochs, seed))
    return Section(
        "Encodings of numbers",
        [
            Paragraph(
                f"Root mean square error of the logarithm of the price of R's diamonds, on the "
                f"validation rows, at the best of {n_epochs} epochs; seeds: {n_seeds}. Network: "
                f"{NETWORK.units[0]}-{NETWORK.units[1]} relu, dropout {NETWORK.dropout:g}, AdamW "
                f"at {NETWORK.learning_rate:g}, batch size {NETWORK.batch_size}, 16 bins."
            ),
            Table(
                ["numeric_encoding", "RMSE of log price"],
                [[f"`{name}`", spread(found, 4)] for name, found in errors.items()],
            ),
        ],
    )


def _error(folder: Path, file: Path, encoding: str, n_epochs: int, seed: int) -> float:
    code = "import sys; from benchmarks import encodings; encodings.train(*sys.argv[1:])"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(file), encoding, str(n_epochs), str(seed)],
        cwd=folder,
        env=projects.environment() | {"PIPELINE_DATA_DIR": str(folder / "cache")},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return float(ran.stdout)


def train(file: str, encoding: str, n_epochs: str, seed: str) -> None:
    """Trains a network in this process, and prints its error."""
    from dataclasses import replace

    from pipeline.environment import hide_gpus, import_keras

    hide_gpus()
    import_keras()
    from pipeline.data import datasets
    from pipeline.task.settings import DataSettings
    from pipeline.task.source import DataSpec
    from pipeline.training import loop
    from pipeline.training.job import EpochEnd, Job

    data = DataSpec.of(file, "price", DataSettings(target_transform="log"))
    job = Job(
        trial=0,
        data=data,
        hyperparameters=replace(NETWORK, numeric_encoding=encoding, epochs=int(n_epochs)),
        seed=int(seed),
        metric="val_loss",
        direction="minimize",
        patience=int(n_epochs),
        incumbent=-math.inf,  # whose model is not wanted
    )
    lowest = min(
        event.metrics["val_loss"] for event in loop.train(job) if isinstance(event, EpochEnd)
    )
    print(math.sqrt(lowest) * datasets.task_of(data).target.scale)


if __name__ == "__main__":
    sys.exit(results.main(measure, "encodings"))
