"""What seeds do to the curves of a network: noise that is lent by recorded trainings."""

import numpy as np

from benchmarks.gaussian_process import Functions, fit_kernel

N_ALIKE = 12  # trainings, of which one lends its noise
SMALLEST = 1e-3  # root mean square of noise, so that there is a logarithm


class LentNoise:
    """Noise whose form is that of a recorded training, and whose size fits the network.

    Noise depends on the level, on the epoch and on the hyperparameters: small batches at high
    rates jump, others do not. Its form comes from a training of a network that learns alike; the
    logarithm of its size is a Gaussian process.

    Args:
        x: encoded networks, shape (networks, numbers).
        owners: network of each training, shape (trainings,).
        levels: by which networks learn alike, shape (networks, components).
        noise: of each training, shape (trainings, values).
        rng: of the draw.
    """

    def __init__(
        self,
        x: np.ndarray,
        owners: np.ndarray,
        levels: np.ndarray,
        noise: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        own, owners = np.unique(owners, return_inverse=True)
        squares = (noise**2).mean(axis=1)
        sizes = np.sqrt(np.bincount(owners, squares) / np.bincount(owners))
        logs = np.log(np.maximum(sizes, SMALLEST))
        none = np.zeros(len(own))
        kernel = fit_kernel(x[own], logs - logs.mean(), none)
        self._logs = Functions([kernel], x[own], logs[:, None], none[:, None], rng)
        self._levels = levels[own][owners]
        self._forms = noise / np.exp(logs)[owners, None]

    def draw(self, x: np.ndarray, level: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draws noise, shape (values,).

        Args:
            x: encoded network, shape (numbers,).
            level: of it, shape (components,).
            rng: of the seed.
        """
        off = self._levels - level
        distances = np.einsum("ij,ij->i", off, off)
        n = min(N_ALIKE, len(distances))
        lender = np.argpartition(distances, n - 1)[:n][rng.integers(n)]
        return np.asarray(self._forms[lender] * np.exp(self._logs.draw(x)))
