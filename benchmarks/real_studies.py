"""Do the verdict's intervals hold for real networks? Small studies, many fresh seeds: `Coverage`.

Each study has 8,000 images of Fashion-MNIST's training file of its own, and is searched, with its
finals, by the command that a user types. The truth is what the champion's network, and the
reference's, come to with many fresh seeds on images that the study has never seen: all others of
that file. The sealed test set is not touched.

A study's validation images may be easier or harder than the others, which says nothing of the
verdict and is the larger part of what an announced value is off by. How much easier they are is
seen from networks for which nothing was chosen by them.
"""

import json
import math
import os
import statistics as stats
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import projects
from benchmarks.results import Section, main
from pipeline.report.document import Paragraph, Table

N_STUDIES, N_STUDIES_IN_SHORT = 24, 2
N_SEEDS = 24  # fresh ones, that stand for the truth
N_CONTROLS = 8  # networks for which no validation image has chosen anything
N_TRAIN, N_VALIDATION = 6_000, 2_000
STUDY = """
goal = "See whether the verdict on a small study holds."
dataset = "../images.npz"

[data]
validation = {validation}
test = 0.05

[budget]
trials = {trials}

[finals]
share = {share}
networks = 6

[training]
patience = 2

[sampler]
type = "RandomSampler"
seed = {seed}

[pruner]
type = "NopPruner"

[fixed]
hidden_layers = 1
batch_size = 64
epochs = 6

[space]
units = {{ type = "int", low = 32, high = 256, log = true }}
activation = {{ type = "categorical", choices = ["relu", "tanh"] }}
optimizer = {{ type = "categorical", choices = ["adam", "rmsprop"] }}
learning_rate = {{ type = "float", low = 5e-4, high = 8e-3, log = true }}

[[reference]]
name = "chapter 7"
repeats = 2
hyperparameters = {{ hidden_layers = 1, units = 100, optimizer = "adam", learning_rate = 0.001, batch_size = 32, epochs = 6 }}
"""  # noqa: E501
N_TRIALS, SHARE = 50, 0.5


@dataclass(frozen=True)
class Truth:
    """What was announced of a study, and what many fresh seeds came to.

    Attributes:
        value: announced, of the champion's network.
        interval: its 95 % interval.
        worth: mean over fresh seeds on images that the study has not seen.
        ease: how much easier the validation images are than those.
        first_run: value of the best first run.
        best_epochs: mean of the champion's fresh runs, each at its own best epoch.
        lead: announced, over the reference; None of a champion that is a reference.
        lead_interval: its 95 % interval.
        true_lead: from fresh seeds.
        is_better: whether the champion was said to be better.
    """

    value: float
    interval: tuple[float, float]
    worth: float
    ease: float
    first_run: float
    best_epochs: float
    lead: float | None
    lead_interval: tuple[float, float]
    true_lead: float
    is_better: bool


def study(number: int) -> Truth:
    """Searches a study, and trains its champion's network and its reference with fresh seeds."""
    with projects.fresh() as folder:
        _write_images(folder, number)
        text = STUDY.format(
            seed=number, trials=N_TRIALS, share=SHARE,
            validation=N_VALIDATION / (N_TRAIN + N_VALIDATION) * 0.95,
        )  # fmt: skip
        (folder / "studies" / "small.toml").write_text(text)
        _run(folder, "pipeline.search", "small", "--workers", "1")
        found = json.loads(_run(folder, "pipeline.best", "small", "--json"))
        _run(folder, "benchmarks.real_studies", "--truth")
        worth = json.loads((folder / "worth.json").read_bytes())
    verdict, reference = found["verdict"], found["verdict"].get("reference")
    truth = Truth(
        verdict["expected"], tuple(verdict["expected_95"]), worth["champion"], worth["ease"],
        worth["first_run"], worth["best_epochs"],
        reference["lead"] if reference else None,
        tuple(reference["lead_95"]) if reference else (math.nan, math.nan),
        worth["champion"] - worth["reference"],
        bool(reference and reference["is_better"]),
    )  # fmt: skip
    print(f"study {number}: {truth}", file=sys.stderr, flush=True)
    return truth


def _write_images(folder: Path, number: int) -> None:
    """Writes the study's images, and all others apart."""
    from pipeline.data import datasets

    images, labels = datasets.load_training_file("fashion_mnist")
    order = np.random.default_rng(number).permutation(len(images))
    own, others = order[: N_TRAIN + N_VALIDATION], order[N_TRAIN + N_VALIDATION :]
    np.savez(folder / "images.npz", x=images[own], y=labels[own])
    np.savez(folder / "others.npz", x=images[others], y=labels[others])


def _run(folder: Path, module: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={**projects.environment(), "PIPELINE_DATA_DIR": str(folder / "data")},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def write_truth() -> None:
    """Trains both networks with fresh seeds, as a search does, and scores them on other images."""
    import keras

    from pipeline.data.datasets import load_members
    from pipeline.paths import Project
    from pipeline.storage import finals, studies, study_store
    from pipeline.study.finals import networks_of
    from pipeline.study.hyperparameters import Hyperparameters
    from pipeline.training import loop
    from pipeline.training.job import EpochEnd, Job
    from pipeline.training.members import Member, as_one_model, measure

    stored = studies.stored_study(Project.here(), "small")
    networks = networks_of(study_store.read_trials(stored.study))
    number = finals.champion_of(stored.study)
    champion = next(each for each in networks if each.number == number)
    reference = next(each for each in networks if each.reference)
    with np.load("others.npz") as file:
        images, labels = file["x"], file["y"]
    loop.use_threads(1)

    def job_of(given: Hyperparameters, seed: int) -> Job:
        spec = stored.spec
        patience = spec.training.patience
        return Job(0, spec.data_spec, given, seed, spec.metric, spec.direction, patience)

    def accuracy(model: keras.Model) -> float:
        answers = model.predict(images, batch_size=1_000, verbose=0)
        return float((answers.argmax(axis=1) == labels).mean())

    def worth(given: Hyperparameters) -> float:
        found = []
        for seed in range(1_000_000, 1_000_000 + N_SEEDS):
            events = loop.train(job_of(given, seed))
            contents = [each.model for each in events if isinstance(each, EpochEnd) and each.model]
            found.append(accuracy(loop.from_bytes(contents[-1])))
        return stats.fmean(found)

    def ease(given: Hyperparameters) -> float:
        found = []
        for seed in range(2_000_000, 2_000_000 + N_CONTROLS):
            keras.utils.set_random_seed(seed)
            job = job_of(given, seed)
            members = [Member(each, job, given) for each in load_members(job.data)]
            for _ in range(given.epochs):
                metrics = measure([member.train_epoch() for member in members], members)
            found.append(metrics[job.metric] - accuracy(as_one_model(members)))
        return stats.fmean(found)

    firsts = [each.first.value or 0.0 for each in networks if not each.reference]
    best, known_before = champion.first.hyperparameters, reference.first.hyperparameters
    assert best is not None
    assert known_before is not None
    known = {
        "champion": worth(best),
        "reference": worth(known_before),
        "ease": ease(known_before),
        "first_run": max(firsts),
        "best_epochs": stats.fmean(run.value for run in champion.fresh if run.value is not None),
    }
    Path("worth.json").write_text(json.dumps(known), encoding="utf-8")


def measure(full: bool) -> Section:
    """Runs 24 studies, two at a time; in short two."""
    n = N_STUDIES if full else N_STUDIES_IN_SHORT
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        found = list(pool.map(study, range(n)))
    return Section("Coverage of real studies", _blocks(found))


def _blocks(found: Sequence[Truth]) -> list[Paragraph | Table]:
    leads = [each for each in found if each.lead is not None]
    n_values = sum(low <= each.worth <= high for each in found for low, high in [each.interval])
    n_leads = sum(
        low <= each.true_lead <= high for each in leads for low, high in [each.lead_interval]
    )
    lead_off = [(each.lead or 0.0) - each.true_lead for each in leads]
    false = sum(each.is_better and each.true_lead < 0 for each in leads)
    rows = [
        [
            "intervals of the champion's value with the truth in them",
            f"{n_values} of {len(found)}",
        ],
        ["announced value less the truth, mean", _mean([x.value - x.worth for x in found])],
        ["how much easier the validation images are, mean", _mean([x.ease for x in found])],
        *(
            [f"{name} less the truth and that, mean", _mean(values)]
            for name, values in (
                ("announced value", [x.value - x.worth - x.ease for x in found]),
                (
                    "its fresh runs at their own best epochs",
                    [x.best_epochs - x.worth - x.ease for x in found],
                ),
                ("best first run", [x.first_run - x.worth - x.ease for x in found]),
            )
        ),
        ["intervals of its lead over the reference", f"{n_leads} of {len(leads)}"],
        ["announced lead less the truth, mean", _mean(lead_off)],
        ["said to be better than the reference", f"{sum(x.is_better for x in leads)}"],
        ["of these falsely", f"{false}"],
    ]
    return [
        Paragraph(
            f"{len(found)} searches of dense networks, each on {N_TRAIN + N_VALIDATION:,} images "
            f"of its own, {N_VALIDATION:,} of which validate: {round(N_TRIALS * (1 - SHARE))} "
            f"trials and finals of six networks. The truth is the mean over {N_SEEDS} fresh seeds "
            f"on the {60_000 - N_TRAIN - N_VALIDATION:,} images that the study has not seen; in "
            "brackets the standard error of a mean over studies. How much easier the validation "
            f"images are than those is seen from {N_CONTROLS} networks with the reference's "
            "hyperparameters, trained for all epochs."
        ),
        Table(["", "found"], rows),
    ]


def _mean(values: Sequence[float]) -> str:
    error = stats.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{stats.fmean(values):+.4f} ({error:.4f})"


if __name__ == "__main__":
    if "--truth" in sys.argv:
        write_truth()
    else:
        raise SystemExit(main(measure, "real_studies"))
