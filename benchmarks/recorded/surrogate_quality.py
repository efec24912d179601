"""How far the curves of networks that are not recorded are true, on networks held out."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from benchmarks import recorded_curves
from benchmarks.record import RECORDINGS
from benchmarks.recorded.curve_components import padded
from benchmarks.recorded.surrogate import Network, Surrogate
from benchmarks.recorded_curves import METRIC
from benchmarks.results import Section
from pipeline.report.document import Block, Paragraph, Table

N_FOLDS = 10
QUANTILES = (1, 10, 50, 90, 99)
N_NEIGHBOURS = 5
N_OF_BEST, N_DRAWS = 100, 500
OURS = "Gaussian processes"
Regression = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class HeldOut:
    """What was predicted of networks by others alone.

    Attributes:
        true: recorded values of the first repeat, shape (networks, epochs).
        predicted: of each model the same.
        drawn: three seeds of each network, shape (networks, 3, epochs).
        seconds: of whole trainings, recorded and drawn, shape (networks, 2).
        repeats: recorded ones of those networks that have three, shape (repeated, 3, epochs).
        is_repeated: which those are.
    """

    true: np.ndarray
    predicted: Mapping[str, np.ndarray]
    drawn: np.ndarray
    seconds: np.ndarray
    repeats: np.ndarray
    is_repeated: np.ndarray


def measure(full: bool) -> Section:
    """Holds the surrogate against recorded curves; in full beside what else there might be."""
    found = {name: recorded_curves.read(name) for name in RECORDINGS}
    enough = {k: nets for k, nets in found.items() if len(nets) >= recorded_curves.MINIMUM}
    held_out = {name: hold_out(nets, _others() if full else {}) for name, nets in enough.items()}
    return Section(
        "Recorded curves",
        [
            Paragraph(
                "Recorded by `python -m benchmarks.record SPACE`, for the laboratory of policies; "
                "the metrics of `dense` and `convolutional` on a GPU, by "
                "`benchmarks.record_on_gpu`. Seconds are of one core of a CPU, by the pipeline."
            ),
            Table(
                ["space", "networks", "trainings", "failed", "epochs", "hours"],
                [_recorded(name, nets) for name, nets in found.items()],
            ),
            Paragraph(
                f"What a network gets that is not recorded, by {N_FOLDS}-fold cross-validation. "
                "Spearman's rank correlation of predicted and true validation accuracy, after a "
                "tenth, a third and all of the epochs and at the best of them, and the mean "
                "absolute error at the end:"
            ),
            Table(
                ["space", "model", "a tenth", "a third", "the end", "the best", "error"],
                [row for name, each in held_out.items() for row in _accuracy(name, each)],
            ),
            *_draws(held_out),
        ],
    )


def hold_out(recorded: Sequence[Network], others: Mapping[str, Regression]) -> HeldOut:
    """Predicts each network from others, fold by fold.

    Args:
        recorded: networks.
        others: models of the amounts of components, beside the surrogate's own.
    """
    recorded = [each for each in recorded if all(run.n_epochs for run in each.runs)]
    order = np.random.default_rng(0).permutation(len(recorded))
    n_epochs = max(run.n_epochs for each in recorded for run in each.runs)
    true = np.array([padded(each.runs[0].metrics[METRIC], n_epochs) for each in recorded])
    predicted = {name: np.empty_like(true) for name in (OURS, *others)}
    drawn = np.empty((len(recorded), 3, n_epochs))
    seconds = np.empty((len(recorded), 2))
    for test in (order[i::N_FOLDS] for i in range(N_FOLDS)):
        known = [recorded[i] for i in np.setdiff1d(order, test)]
        surrogate = Surrogate(known, METRIC)
        for i in test:
            given = recorded[i].given
            predicted[OURS][i] = surrogate.predict(given)[METRIC][:n_epochs]
            for seed in range(3):
                found = surrogate.draw(given, seed)
                drawn[i, seed] = padded(found.metrics[METRIC], n_epochs)
            seconds[i] = sum(recorded[i].runs[0].seconds), sum(found.seconds)
        # neighbours are near by what matters to the curves; trees do not care
        scales = surrogate.length_scales
        x = np.array([surrogate.encode(each.given) for each in known]) / scales
        x_of_test = np.array([surrogate.encode(recorded[i].given) for i in test]) / scales
        for name, regression in others.items():
            for i, row in zip(test, regression(x, surrogate.amounts, x_of_test), strict=True):
                predicted[name][i] = surrogate.components.curves(row)[METRIC]
    is_repeated = np.array([len(each.runs) >= 3 for each in recorded])
    repeats = [
        [padded(run.metrics[METRIC], n_epochs) for run in each.runs[:3]]
        for each in recorded
        if len(each.runs) >= 3
    ]
    repeated = np.array(repeats).reshape(-1, 3, n_epochs)
    return HeldOut(true, predicted, drawn, seconds, repeated, is_repeated)


def _recorded(name: str, found: Sequence[Network]) -> list[str]:
    runs = [run for each in found for run in each.runs]
    return [
        f"`{name}`",
        str(len(found)),
        str(len(runs)),
        str(sum(bool(run.failed) for run in runs)),
        str(max((run.n_epochs for run in runs), default=0)),
        f"{sum(sum(run.seconds) for run in runs) / 3600:.2f}",
    ]


def _accuracy(name: str, found: HeldOut) -> list[list[str]]:
    n = found.true.shape[1]
    rows = []
    for model, predicted in found.predicted.items():
        pairs = [(found.true[:, i - 1], predicted[:, i - 1]) for i in _epochs(n)]
        pairs.append((found.true.max(axis=1), predicted.max(axis=1)))
        error = abs(predicted[:, -1] - found.true[:, -1]).mean()
        correlations = [f"{spearmanr(*pair)[0]:.3f}" for pair in pairs]
        rows.append([f"`{name}`", model, *correlations, f"{error:.4f}"])
    return rows


def _draws(found: Mapping[str, HeldOut]) -> list[Block]:
    rows, errors, noise, foresight, times = [], [], [], [], []
    for name, each in found.items():
        for what, best in (("recorded", each.true), ("drawn", each.drawn[:, 0])):
            rows.append([f"`{name}`", what, *_quantiles(best.max(axis=1))])
            foresight.append([f"`{name}`", what, *_foresight(best)])
        predicted = each.predicted[OURS]
        for what, curves in (("recorded", each.true), ("drawn", each.drawn[:, 0])):
            off = curves[:, -1] - predicted[:, -1]
            spread = np.percentile(off, (5, 25, 50, 75, 95))
            errors.append([f"`{name}`", what, *(f"{value:+.4f}" for value in spread)])
        ratios = each.seconds[:, 1] / each.seconds[:, 0]
        times.append(
            [
                f"`{name}`",
                f"{spearmanr(*each.seconds.T)[0]:.3f}",
                *(f"{value:.2f}" for value in np.percentile(ratios, (10, 50, 90))),
                f"{each.seconds[:, 1].sum() / each.seconds[:, 0].sum():.2f}",
            ]
        )
        seeds = each.drawn[each.is_repeated]
        for what, repeats in (("recorded", each.repeats), ("drawn", seeds)):
            noise.append([f"`{name}`", what, *_noise(repeats)])
    return [
        Paragraph(
            "What is drawn for held-out networks is distributed as their true curves are. Best "
            f"values: quantiles, and the mean of the best of {N_OF_BEST} networks:"
        ),
        Table(["space", "", *(f"{q} %" for q in QUANTILES), f"best of {N_OF_BEST}"], rows),
        Paragraph(
            "How much early epochs tell: rank correlation of what is reached after a tenth and a "
            "third of them with the best in the end, and the share of epochs that set a record:"
        ),
        Table(["space", "", "a tenth", "a third", "records"], foresight),
        Paragraph("Final values minus what was predicted:"),
        Table(["space", "", "5 %", "25 %", "50 %", "75 %", "95 %"], errors),
        Paragraph(
            "Standard deviation of three seeds of one network, and of the difference of one epoch "
            "and the next in the last third, in points of accuracy (medians of networks):"
        ),
        Table(["space", "", "a third", "the end", "the best", "next epoch"], noise),
        Paragraph(
            "Seconds of a whole training: rank correlation of drawn and recorded ones, quantiles "
            "of their ratio, and the ratio of the sums:"
        ),
        Table(["space", "correlation", "10 %", "50 %", "90 %", "sum"], times),
    ]


def _quantiles(best: np.ndarray) -> list[str]:
    rng = np.random.default_rng(0)
    n = min(N_OF_BEST, len(best))
    of_many = [best[rng.permutation(len(best))[:n]].max() for _ in range(N_DRAWS)]
    return [f"{value:.4f}" for value in (*np.percentile(best, QUANTILES), np.mean(of_many))]


def _foresight(curves: np.ndarray) -> list[str]:
    n = curves.shape[1]
    best = np.maximum.accumulate(curves, axis=1)
    correlations = [spearmanr(best[:, i - 1], best[:, -1])[0] for i in _epochs(n)[:2]]
    share = (np.diff(best, axis=1) > 0).mean()
    return [*(f"{value:.3f}" for value in correlations), f"{100 * share:.0f} %"]


def _epochs(n: int) -> tuple[int, int, int]:
    """A tenth, a third and all of `n` epochs."""
    return max(round(n / 10), 1), round(n / 3), n


def _noise(repeats: np.ndarray) -> list[str]:
    if not len(repeats):
        return ["", "", "", ""]
    n = repeats.shape[2]
    spreads = [
        100 * values.std(axis=1, ddof=1)
        for values in (repeats[:, :, _epochs(n)[1] - 1], repeats[:, :, -1], repeats.max(axis=2))
    ]
    steps = 100 * np.diff(repeats[:, :, -(n // 3) :], axis=2).std(axis=(1, 2))
    return [f"{statistics.median(map(float, values)):.2f}" for values in (*spreads, steps)]


def _others() -> dict[str, Regression]:
    from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
    from sklearn.neighbors import KNeighborsRegressor

    def by(model: object) -> Regression:
        return lambda x, y, wanted: model.fit(x, y).predict(wanted)  # type: ignore[attr-defined]

    trees = {"n_estimators": 300, "max_features": 0.5, "random_state": 0}
    return {
        "extra trees": by(ExtraTreesRegressor(**trees)),
        "random forest": by(RandomForestRegressor(**trees)),
        f"{N_NEIGHBOURS} nearest neighbours": by(
            KNeighborsRegressor(N_NEIGHBOURS, weights="distance")
        ),
    }
