"""How a model errs, from its answers to examples: per class, in its confidence, in its residuals.

All are plain values that JSON can hold: what is undefined, such as the precision of a class that
is never answered, is None. Rows with weights count by them, but for `n`, `support` and confusions,
which are numbers of rows.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.evaluation import conformal
from pipeline.task.task import Kind, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

N_BINS = 15  # of equal width, of confidence (Guo et al. 2017, arXiv:1706.04599)
MOST_IN_MATRIX = 100  # classes, of whose confusions all are listed
N_CONFUSIONS = 10  # that are named
N_TENTHS = 10  # parts of the rows, by the number that is answered


def of_classes(
    task: Task,
    targets: "NDArray[Any]",
    answers: "NDArray[Any]",
    weights: "NDArray[Any] | None" = None,
) -> dict[str, Any]:
    """Describes how a classifier errs.

    Args:
        task: whose classes.
        targets: integers of classes, (n,).
        answers: probabilities, (n, classes), or those of the second of two classes, (n, 1).
        weights: of the rows, (n,); None if all are 1.

    Returns:
        `classes`: for each its name, `precision`, `recall`, `f1`, and `support`, its rows.
        `confusion_matrix`: numbers of rows, a list for each class that was right, in the order of
        `classes`, of how often each class was answered; None of more than `MOST_IN_MATRIX`.
        `confusions`: the most frequent, `class`, what was `answered` instead, and `n`, rows.
        `calibration`: `ece`, the expected calibration error with `N_BINS` bins of equal width
        (Guo et al. 2017); `brier` (1950), of two classes (p - y)² of the second, of more the sum
        of (p - y)² over the classes; and `reliability`, of each bin that has rows `low` and
        `high`, `n`, mean `confidence` and `accuracy`.
    """
    probabilities = of_all_classes(answers)
    targets = np.asarray(targets, np.intp)
    shares = np.ones(len(targets)) if weights is None else np.asarray(weights, np.float64)
    chosen = chosen_classes(answers)
    k = len(task.class_names)
    right = np.bincount(targets, shares * (chosen == targets), k)
    of_class, of_answer = np.bincount(targets, shares, k), np.bincount(chosen, shares, k)
    support = np.bincount(targets, minlength=k)
    return {
        "classes": [
            {
                "class": name,
                "precision": _ratio(right[i], of_answer[i]),
                "recall": _ratio(right[i], of_class[i]),
                "f1": _ratio(2 * right[i], of_class[i] + of_answer[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(task.class_names)
        ],
        **_confusions(task.class_names, targets, chosen),
        "calibration": _calibration(task, targets, probabilities, chosen, shares),
    }


def _confusions(
    names: Sequence[str], targets: "NDArray[np.intp]", chosen: "NDArray[np.intp]"
) -> dict[str, Any]:
    k = len(names)
    cells, counts = np.unique(targets * k + chosen, return_counts=True)
    matrix = None
    if k <= MOST_IN_MATRIX:
        matrix = np.zeros((k, k), np.intp)
        matrix[cells // k, cells % k] = counts
    order = [i for i in np.argsort(-counts, kind="stable") if cells[i] // k != cells[i] % k]
    return {
        "confusion_matrix": None if matrix is None else matrix.tolist(),
        "confusions": [
            {"class": names[cells[i] // k], "answered": names[cells[i] % k], "n": int(counts[i])}
            for i in order[:N_CONFUSIONS]
        ],
    }


def of_all_classes(answers: "NDArray[Any]") -> "Numbers":
    """Returns probabilities of all classes, (n, classes), also of what answers the second's alone.

    What is no number counts as 0.
    """
    known = np.nan_to_num(np.asarray(answers, np.float64))
    return np.hstack([1 - known, known]) if known.shape[1] == 1 else known


def chosen_classes(answers: "NDArray[Any]") -> "NDArray[np.intp]":
    """Returns the class that is answered, (n,): as accuracy counts, one half is the first."""
    if answers.shape[1] == 1:
        return (answers[:, 0] > 0.5).astype(np.intp)
    chosen: NDArray[np.intp] = answers.argmax(axis=1)
    return chosen


def _calibration(
    task: Task,
    targets: "NDArray[np.intp]",
    probabilities: "Numbers",
    chosen: "NDArray[np.intp]",
    shares: "Numbers",
) -> dict[str, Any]:
    rows = np.arange(len(targets))
    confidence = probabilities[rows, chosen].clip(0, 1)
    is_right = (chosen == targets).astype(np.float64)
    # a bin has its upper end, as in Guo et al.
    bins = (np.ceil(confidence * N_BINS) - 1).clip(0, N_BINS - 1).astype(np.intp)
    total, error, points = float(shares.sum()), 0.0, []
    for i in range(N_BINS):
        inside = bins == i
        weight = float(shares[inside].sum())
        if not weight:
            continue
        mean = float(shares[inside] @ confidence[inside]) / weight
        accuracy = float(shares[inside] @ is_right[inside]) / weight
        error += weight / total * abs(accuracy - mean)
        points.append(
            {
                "low": i / N_BINS,
                "high": (i + 1) / N_BINS,
                "n": int(inside.sum()),
                "confidence": mean,
                "accuracy": accuracy,
            }
        )
    off = probabilities.copy()
    off[rows, targets] -= 1
    squares = off[:, 1] ** 2 if task.kind is Kind.BINARY else (off**2).sum(axis=1)
    return {
        "ece": error if points else None,
        "n_bins": N_BINS,
        "brier": _ratio(float(shares @ squares), total),
        "reliability": points,
    }


def of_numbers(
    targets: "NDArray[Any]",
    answers: "NDArray[Any]",
    weights: "NDArray[Any] | None" = None,
    known_errors: "NDArray[Any] | None" = None,
) -> dict[str, Any]:
    """Describes how a regression errs; a residual is the answer less the target.

    Args:
        targets: in units of their own, (n,).
        answers: in the same, (n,) or (n, 1).
        weights: of the rows, (n,); None if all are 1.
        known_errors: residuals on the validation rows, which the model was not trained on, (m,);
            None if there are none.

    Returns:
        `residuals`: `mean`, `median`, `standard_deviation`.
        `tenths`: the rows by the number that is answered, which whoever uses a model knows, in
        ten parts (fewer of fewer rows): of each `low` and `high` answer, `n`, mean `answer` and
        `target`, and `bias`, `mae` and `rmse`.
        `coverage`: `half_width`, within which 95 % of the validation residuals lie (as split
        conformal prediction has it: Lei et al. 2018, doi:10.1080/01621459.2017.1307116), what it
        `promised`, and the share of these rows that are within; None without `known_errors`.
    """
    targets = np.asarray(targets, np.float64)
    numbers = np.asarray(answers, np.float64).reshape(-1)
    shares = np.ones(len(targets)) if weights is None else np.asarray(weights, np.float64)
    residuals = numbers - targets
    order = np.argsort(numbers, kind="stable")
    return {
        "residuals": {
            "mean": (mean := _mean(residuals, shares)),
            "median": _median(residuals, shares),
            "standard_deviation": _root(_mean((residuals - (mean or 0.0)) ** 2, shares)),
        },
        "tenths": [
            _of_part(targets[rows], numbers[rows], shares[rows])
            for rows in np.array_split(order, N_TENTHS)
            if len(rows)
        ],
        "coverage": _coverage(residuals, shares, known_errors),
    }


def _of_part(targets: "Numbers", numbers: "Numbers", shares: "Numbers") -> dict[str, Any]:
    residuals = numbers - targets
    return {
        "low": _finite(numbers.min()),
        "high": _finite(numbers.max()),
        "n": len(targets),
        "answer": _mean(numbers, shares),
        "target": _mean(targets, shares),
        "bias": _mean(residuals, shares),
        "mae": _mean(abs(residuals), shares),
        "rmse": _root(_mean(residuals**2, shares)),
    }


def _coverage(
    residuals: "Numbers", shares: "Numbers", known_errors: "NDArray[Any] | None"
) -> dict[str, Any] | None:
    if known_errors is None or not len(known_errors):
        return None
    half_width = conformal.bound(abs(np.asarray(known_errors, np.float64)).reshape(-1))
    if half_width is None:
        return None  # of so few nothing is known of the largest of twenty errors
    inside = (abs(residuals) <= half_width).astype(np.float64)
    return {"half_width": half_width, "promised": conformal.LEVEL, "found": _mean(inside, shares)}


def most_confident_mistakes(
    targets: "NDArray[Any]", answers: "NDArray[Any]", n: int
) -> "NDArray[np.intp]":
    """Finds the rows that a classifier answered wrongly and was most sure of, the surest first.

    Args:
        targets: integers of classes, (n_rows,).
        answers: as `of_classes` takes them.
        n: how many at most.
    """
    chosen = chosen_classes(answers)
    rows = np.flatnonzero(chosen != targets)
    confidence = of_all_classes(answers)[rows, chosen[rows]]
    return rows[np.argsort(-confidence, kind="stable")[:n]]


def largest_errors(targets: "NDArray[Any]", answers: "NDArray[Any]", n: int) -> "NDArray[np.intp]":
    """Finds the rows with a regression's largest errors, the largest first, n at most."""
    sizes = abs(np.asarray(answers, np.float64).reshape(-1) - targets)
    return np.argsort(-np.nan_to_num(sizes, nan=np.inf), kind="stable")[:n]


def _ratio(part: float, whole: float) -> float | None:
    return _finite(part / whole) if whole else None


def _mean(values: "Numbers", shares: "Numbers") -> float | None:
    return _ratio(float(shares @ values), float(shares.sum()))


def _median(values: "Numbers", shares: "Numbers") -> float | None:
    """The value with half of the weight on either side, or midway between two such."""
    total = float(shares.sum())
    if not total or not np.isfinite(values).all():
        return None
    order = np.argsort(values)
    values, shares = values[order][shares[order] > 0], shares[order][shares[order] > 0]
    below = np.cumsum(shares) / total
    at = int(np.searchsorted(below, 0.5 - 1e-12))
    if abs(below[at] - 0.5) < 1e-12:
        return float(values[at] + values[at + 1]) / 2
    return float(values[at])


def _root(value: float | None) -> float | None:
    return None if value is None else float(np.sqrt(value))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
