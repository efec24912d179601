"""Metrics that are computed from predictions, by scikit-learn, and their standard errors.

A standard error is that of the infinitesimal jackknife (Efron 1982, The Jackknife, the Bootstrap
and Other Resampling Plans, chapter 6): each metric is a smooth function of weighted means over the
rows, so that a row moves it by its weight times its influence, and the standard error is the root
of the sum of squares of these. It is what a bootstrap of the rows would find, without the draws.
Where rows come in groups, whose rows err alike, each group moves it by the sum of its rows'.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.task.task import Target, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Labels = NDArray[np.intp]
    Answers = NDArray[np.float32] | NDArray[np.float64]
    # A metric, of weights that sum to 1, and how far each row moves it; without, if the targets
    # leave the metric undefined or tell nothing of its error.
    Scored = tuple[float, Numbers | None]

LEAST_PROBABILITY = 1e-7  # of which Keras takes a logarithm
_LARGEST_LOG = 80.0  # e**80 is what float32 holds, and its square what float64 does


def score(
    task: Task, targets: Any, predictions: Any, weights: Any = None, groups: Any = None
) -> dict[str, float]:
    """Scores predictions by every metric in `task.scored`.

    Args:
        task: what is learned.
        targets: of classes integers from 0, (n,); of a regression numbers in units of its own.
        predictions: probabilities of class 1, (n, 1), of two classes; of each class, (n, k), of
            more; of a regression (n,) or (n, 1) in units of its own.
        weights: of each row, (n,); None if all are 1.
        groups: numbers of each row's, (n,); None if rows err independently.

    Returns:
        The value of each by its quantity, such as "rmse", and its standard error by "rmse_se".
        Of classes with weights or groups also "accuracy_se", which does not follow from n then.
        A metric that the targets leave undefined says that nothing was learned, and has no
        standard error: a ROC AUC is 0.5 if all are of one class, an R² 0 if all are equal.
        Which errors there are is decided by the targets alone, and so the same in every epoch.
        Predictions that are not finite make all of them NaN.
    """
    quantities = [metric.quantity for metric in task.scored]
    if not task.is_regression and (weights is not None or groups is not None):
        quantities.append("accuracy")  # the value itself is computed in the training graph
    found = _scores(task, quantities, targets, predictions, weights, groups)
    return {name: value for name, value in found.items() if name != "accuracy"}


def score_folds(task: Task, parts: "Sequence[tuple[Any, Any, Any, Any]]") -> dict[str, float]:
    """Scores what several models answered, each to rows of its own, as if it were of one.

    A ROC AUC is the mean of theirs, for each has a scale of its own (Forman and Scholz 2010,
    doi:10.1145/1882471.1882479). Each part is what `score` takes: targets, predictions, weights,
    groups.
    """
    import numpy as np

    given = zip(*parts, strict=True)
    found = score(task, *(None if each[0] is None else np.concatenate(each) for each in given))
    telling = [part for part in parts if len(parts) > 1 and len(np.unique(part[0])) > 1]
    if "roc_auc" in found and telling:
        sizes = [len(part[0]) if part[2] is None else part[2].sum() for part in telling]
        each = [score(task, *part)["roc_auc"] for part in telling]
        found["roc_auc"] = float(np.average(each, weights=sizes))
    return found


def all_scores(
    task: Task, targets: Any, predictions: Any, weights: Any = None, groups: Any = None
) -> dict[str, float]:
    """Scores predictions as `score` does, by every metric that a task of this kind may have.

    Of classes that is accuracy too; without weights and groups it has no standard error, since
    the number of rows alone gives a better interval.
    """
    quantities = [metric.quantity for metric in task.allowed_objectives if metric.is_scored]
    quantities += [] if task.is_regression else ["accuracy"]
    found = _scores(task, quantities, targets, predictions, weights, groups)
    if weights is None and groups is None:
        found.pop("accuracy_se", None)
    return found


def losses(task: Task, targets: "NDArray[Any]", answers: "NDArray[Any]") -> "NDArray[Any]":
    """Computes the loss of each row, (n,), as Keras does.

    Args:
        task: says which loss.
        targets: integers of classes, (n,), or numbers as `transform` returns them, (n,).
        answers: probabilities of all classes, (n, classes), or numbers of the same kind, (n,).
    """
    import numpy as np

    if task.is_regression:
        off: NDArray[Any] = np.abs(answers - targets)
        if task.loss == "huber":
            return np.where(off <= 1, off**2 / 2, off - 0.5)
        return off**2 if task.loss == "squared" else off
    right = answers[np.arange(len(targets)), targets]
    found: NDArray[Any] = -np.log(np.clip(right, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))
    return found


def transform(target: Target, values: "NDArray[np.floating]") -> "NDArray[np.float32]":
    """Turns a regression's numbers in their own units into what a network is trained on."""
    import numpy as np

    known = np.asarray(values, np.float64)
    if target.transform == "log":
        known = np.log(known)
    return ((known - target.mean) / target.scale).astype(np.float32)


def restore(target: Target, values: "NDArray[Any]") -> "Numbers":
    """Turns what a network answers into a regression's own units: undoes `transform`."""
    import numpy as np

    known = np.asarray(values, np.float64) * target.scale + target.mean
    return np.exp(np.minimum(known, _LARGEST_LOG)) if target.transform == "log" else known


def _scores(
    task: Task, quantities: list[str], targets: Any, predictions: Any, weights: Any, groups: Any
) -> dict[str, float]:
    import numpy as np
    from sklearn import config_context

    formulas: Mapping[str, Callable[..., Scored]] = _OF_NUMBERS
    known: Any = np.asarray(targets, np.float64 if task.is_regression else np.intp).ravel()
    answers: Any = np.asarray(predictions)
    if task.is_regression:
        answers = answers.astype(np.float64).ravel()
    else:
        formulas = _OF_CLASSES
        if answers.shape[1] == 1:
            answers = np.hstack([1 - answers, answers])
    shares = np.ones(len(known)) if weights is None else np.asarray(weights, np.float64)
    units: Any = np.arange(len(known)) if groups is None else groups
    if not shares.all():  # what weighs nothing does not count, as a row of its class neither
        known, answers, units, shares = (x[shares > 0] for x in (known, answers, units, shares))
    shares, n = shares / shares.sum(), int(np.count_nonzero(np.bincount(units)))
    is_finite, found = bool(np.isfinite(answers).all()), {}
    with config_context(assume_finite=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of classes that nothing is or answers
        for quantity in quantities:
            if not is_finite:
                found[quantity] = found[f"{quantity}_se"] = math.nan
                continue
            found[quantity], influence = formulas[quantity](known, answers, shares)
            if influence is not None and n > 1:
                moved = np.bincount(units, shares * influence)
                error = np.linalg.norm(moved) * math.sqrt(n / (n - 1))
                found[f"{quantity}_se"] = float(error)
    return found


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


_OF_CLASSES = {
    each.__name__[1:]: each
    for each in (_accuracy, _balanced_accuracy, _macro_f1, _roc_auc, _log_loss)
}
_OF_NUMBERS = {"rmse": _rmse, "mae": _mae, "r2": _r2}
