"""Metrics of predictions, each with how far every row moves it: its influence.

Every formula takes targets, predictions and weights of rows that sum to 1, (n,) each but for
predictions, (n, classes) of classes, and returns the metric and the influences, (n,).
"""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Labels = NDArray[np.intp]
    Answers = NDArray[np.float32] | NDArray[np.float64]
    # A metric, of weights that sum to 1, and how far each row moves it; without, if the targets
    # leave the metric undefined or tell nothing of its error.
    Scored = tuple[float, Numbers | None]


def _accuracy(targets: "Labels", predictions: "Answers", shares: "Numbers") -> "Scored":
    from sklearn.metrics import accuracy_score

    answers = predictions.argmax(axis=1)
    value = float(accuracy_score(targets, answers, sample_weight=shares))
    return value, (targets == answers) - value


def _balanced_accuracy(targets: "Labels", predictions: "Answers", shares: "Numbers") -> "Scored":
    """The mean over classes of the share of their rows that is right: independent binomials."""
    import numpy as np
    from sklearn.metrics import balanced_accuracy_score

    answers = predictions.argmax(axis=1)
    is_right = targets == answers
    of_class = np.bincount(targets, shares)
    recalls = np.bincount(targets, shares * is_right) / np.where(of_class > 0, of_class, 1)
    influence = (is_right - recalls[targets]) / of_class[targets] / (of_class > 0).sum()
    return float(balanced_accuracy_score(targets, answers, sample_weight=shares)), influence


def _macro_f1(targets: "Labels", predictions: "Answers", shares: "Numbers") -> "Scored":
    """The mean over classes of F1; delta method on the confusion matrix.

    F1 of a class is 2 TP / (T + P), of targets T and answers P (Takahashi et al. 2022,
    doi:10.1007/s10489-021-02635-5, without weights).
    """
    import numpy as np
    from sklearn.metrics import f1_score

    answers = predictions.argmax(axis=1)
    is_right, k = targets == answers, predictions.shape[1]
    both = np.bincount(targets, shares, k) + np.bincount(answers, shares, k)
    n_classes = (both > 0).sum()
    both[both == 0] = 1
    f1 = 2 * np.bincount(targets, shares * is_right, k) / both
    per_row = 2 * is_right / both[targets] - (f1 / both)[targets] - (f1 / both)[answers]
    value = f1_score(targets, answers, average="macro", sample_weight=shares)
    return float(value), per_row / n_classes


def _roc_auc(targets: "Labels", predictions: "Answers", shares: "Numbers") -> "Scored":
    """The area under the ROC curve; of many classes, the mean of each one against the rest.

    Classes of which there is no row, or nothing but, are left out.
    """
    import numpy as np
    from sklearn.metrics import roc_auc_score

    counts = np.bincount(targets)
    there = np.flatnonzero((counts > 0) & (counts < len(targets)))
    if not len(there):
        return 0.5, None
    compared = there[-1:] if predictions.shape[1] == 2 else there
    value, influence = 0.0, np.zeros(len(targets))
    for code in compared:
        is_it, scores = targets == code, predictions[:, code]
        value += float(roc_auc_score(is_it, scores, sample_weight=shares))
        influence += _influence_on_auc(is_it, scores, shares)
    is_known = counts[there].min() > 1 and counts[there].max() < len(targets) - 1
    return value / len(compared), influence / len(compared) if is_known else None


def _influence_on_auc(
    is_positive: "NDArray[np.bool_]", scores: "Answers", shares: "Numbers"
) -> "Numbers":
    """Computes how each row moves an AUC: by how many of the other class it outranks.

    DeLong et al. 1988, doi:10.2307/2531595, from sorted scores as Sun and Xu 2014,
    doi:10.1109/LSP.2014.2337313; here with weights.
    """
    import numpy as np

    distinct, place = np.unique(scores, return_inverse=True)
    influence = np.empty(len(scores))
    for is_own, sign in ((is_positive, 1), (~is_positive, -1)):
        others, of_others = ~is_own, shares[~is_own].sum()
        at = np.bincount(place[others], shares[others], len(distinct))
        below = np.cumsum(at) - at / 2  # of equal scores, a half
        outranked = below[place[is_own]] / of_others
        outranked = outranked if sign > 0 else 1 - outranked
        own = shares[is_own]
        mean = float(own @ outranked / own.sum())
        small = math.sqrt(len(own) / max(1, len(own) - 1))  # few positives among many rows
        influence[is_own] = (outranked - mean) / own.sum() * small
    return influence


def _log_loss(targets: "Labels", predictions: "Answers", shares: "Numbers") -> "Scored":
    """The mean of minus the logarithm of the probability of what is right."""
    import numpy as np
    from sklearn.metrics import log_loss

    labels = range(predictions.shape[1])
    value = float(log_loss(targets, predictions, sample_weight=shares, labels=labels))
    least = np.finfo(predictions.dtype).eps  # as scikit-learn clips
    right = predictions[np.arange(len(targets)), targets].clip(least, 1 - least)
    return value, -np.log(right.astype(np.float64)) - value


def _rmse(targets: "Numbers", predictions: "Numbers", shares: "Numbers") -> "Scored":
    """The root of the mean square; delta method on the mean square."""
    from sklearn.metrics import root_mean_squared_error

    value = float(root_mean_squared_error(targets, predictions, sample_weight=shares))
    return value, ((targets - predictions) ** 2 - value**2) / (2 * value or 1)


def _mae(targets: "Numbers", predictions: "Numbers", shares: "Numbers") -> "Scored":
    from sklearn.metrics import mean_absolute_error

    value = float(mean_absolute_error(targets, predictions, sample_weight=shares))
    return value, abs(targets - predictions) - value


def _r2(targets: "Numbers", predictions: "Numbers", shares: "Numbers") -> "Scored":
    """One less the mean square of errors over the variance; delta method on their ratio."""
    from sklearn.metrics import r2_score

    if targets.min() == targets.max():
        return float((targets == predictions).all()), None
    value = float(r2_score(targets, predictions, sample_weight=shares))
    from_mean = (targets - shares @ targets) ** 2
    unexplained = (targets - predictions) ** 2 - (1 - value) * from_mean
    return value, -unexplained / (shares @ from_mean)


OF_CLASSES = {
    each.__name__[1:]: each
    for each in (_accuracy, _balanced_accuracy, _macro_f1, _roc_auc, _log_loss)
}
OF_NUMBERS = {"rmse": _rmse, "mae": _mae, "r2": _r2}
