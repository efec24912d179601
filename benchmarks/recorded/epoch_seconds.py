"""How long epochs take of networks that nobody has trained.

The first epoch has the compilation of the graph in it. A model is kept at every epoch that sets a
record, which may take longer than to train it.
"""

from collections.abc import Sequence

import numpy as np

from benchmarks.recorded.gaussian_process import Functions, fit_kernel

SHORTEST = 1e-3  # seconds of an epoch
MOST = 5.0  # times as long as expected, that a single epoch may take


class EpochSeconds:
    """Seconds of epochs: logarithms of the others' and of the first one's are Gaussian processes.

    Args:
        x: encoded networks, shape (networks, numbers).
        seconds: of each network's epochs.
        values: of the metric by which a model is kept, at each of these epochs.
        rng: of the draw.
    """

    def __init__(
        self,
        x: np.ndarray,
        seconds: Sequence[Sequence[float]],
        values: Sequence[Sequence[float]],
        rng: np.random.Generator,
    ) -> None:
        later = [np.array(each[1:]) for each in seconds]
        records = [_are_records(each)[1:] for each in values]
        usual = np.array([_median(s, ~r, s) for s, r in zip(later, records, strict=True)])
        kept = np.array([_median(s, r, [np.nan]) for s, r in zip(later, records, strict=True)])
        has_both = np.array([r.any() and not r.all() for r in records])
        extra = (kept - usual)[has_both]
        self._of_record = max(float(np.median(extra)), 0.0) if len(extra) else 0.0
        # of a network that sets records all the time it is not known how long others would take
        always = np.array([bool(r.all()) and len(r) > 0 for r in records])
        usual = np.where(always, np.maximum(usual - self._of_record, usual / 5), usual)
        first = np.array([each[0] for each in seconds])
        logs = np.log(np.maximum(np.stack([usual, first], axis=1), SHORTEST))
        none = np.zeros_like(logs)
        own = fit_kernel(x, logs[:, 0] - logs[:, 0].mean(), none[:, 0])
        of_first = fit_kernel(x, logs[:, 1] - logs[:, 1].mean(), none[:, 1], own.length_scales)
        self._logs = Functions([own, of_first], x, logs, none, rng)
        # epochs differ from what is expected of them as the recorded ones do
        self._ratios = [
            np.clip(s / (u + self._of_record * r), 1 / MOST, MOST)
            for s, u, r in zip(later, usual, records, strict=True)
            if len(s)
        ] or [np.ones(1)]

    def draw(self, x: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draws the seconds of a network's epochs.

        Args:
            x: encoded, shape (numbers,).
            values: of the metric by which a model is kept, shape (epochs,).
            rng: of the seed.
        """
        usual, first = np.exp(self._logs.draw(x))
        ratios = self._ratios[rng.integers(len(self._ratios))]
        seconds = usual + self._of_record * _are_records(values)
        seconds = seconds * ratios[rng.integers(len(ratios), size=len(values))]
        seconds[:1] = first
        return np.asarray(np.maximum(seconds, SHORTEST))


def _are_records(values: Sequence[float] | np.ndarray) -> np.ndarray:
    values = np.asarray(values, float)
    return np.concatenate([[True], values[1:] > np.maximum.accumulate(values)[:-1]])


def _median(values: np.ndarray, where: np.ndarray, otherwise: np.ndarray | list[float]) -> float:
    chosen = values[where] if where.any() else np.asarray(otherwise)
    return float(np.median(chosen)) if len(chosen) else SHORTEST
