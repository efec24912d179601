"""What seeds do to the curves of a network: noise that is lent by recorded trainings."""

import numpy as np

from benchmarks.recorded.gaussian_process import Functions, fit_kernel

N_ALIKE = 6  # trainings, of which one lends its noise
SHARE_OF_SIZE = 2.0  # of the logarithm of size, beside standardised levels, in who is alike
SMALLEST = 1e-3  # size of noise, so that there is a logarithm


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
        sizes: of that noise, shape (trainings,).
        rng: of the draw.
    """

    def __init__(
        self,
        x: np.ndarray,
        owners: np.ndarray,
        levels: np.ndarray,
        noise: np.ndarray,
        sizes: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        own, owners = np.unique(owners, return_inverse=True)
        sizes = np.sqrt(np.bincount(owners, sizes**2) / np.bincount(owners))
        logs = np.log(np.maximum(sizes, SMALLEST))
        none = np.zeros(len(own))
        kernel = fit_kernel(x[own], logs - logs.mean(), none)
        self._logs = Functions([kernel], x[own], logs[:, None], none[:, None], rng)
        self._scale = levels.std(axis=0)
        alike = np.hstack([levels[own] / self._scale, SHARE_OF_SIZE * logs[:, None]])
        self._alike = alike[owners]
        self._forms = noise / np.exp(logs)[owners, None]

    def draw(self, x: np.ndarray, level: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draws noise, shape (values,).

        Args:
            x: encoded network, shape (numbers,).
            level: of it, shape (components,).
            rng: of the seed.
        """
        log = self._logs.draw(x)
        off = self._alike - np.concatenate([level / self._scale, SHARE_OF_SIZE * log])
        distances = np.einsum("ij,ij->i", off, off)
        n = min(N_ALIKE, len(distances))
        lender = np.argpartition(distances, n - 1)[:n][rng.integers(n)]
        return np.asarray(self._forms[lender] * np.exp(log))
