"""Metrics that are computed from predictions, by scikit-learn, and their standard errors.

A standard error is that of the infinitesimal jackknife (Efron 1982, The Jackknife, the Bootstrap
and Other Resampling Plans, chapter 6): each metric is a smooth function of weighted means over the
rows, so that a row moves it by its weight times its influence, and the standard error is the root
of the sum of squares of these. It is what a bootstrap of the rows would find, without the draws.
Where rows come in groups, whose rows err alike, each group moves it by the sum of its rows'. The
products of what rows do to two models are the covariance of both in the same way.
"""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.task.formulas import OF_CLASSES, OF_NUMBERS
from pipeline.task.task import LOSS, Target, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.task.formulas import Numbers, Scored

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

    found = score(task, *join_parts(parts))
    telling = [part for part in parts if len(parts) > 1 and len(np.unique(part[0])) > 1]
    if "roc_auc" in found and telling:
        sizes = [len(part[0]) if part[2] is None else part[2].sum() for part in telling]
        each = [score(task, *part)["roc_auc"] for part in telling]
        found["roc_auc"] = float(np.average(each, weights=sizes))
    return found


def join_parts(
    parts: "Sequence[tuple[Any, Any, Any, Any]]",
) -> tuple[Any, Any, Any, Any]:
    """Joins what `score_folds` takes to what `score` takes, in the order of the parts."""
    import numpy as np

    targets, predictions, weights, groups = (
        None if each[0] is None else np.concatenate(each) for each in zip(*parts, strict=True)
    )
    return targets, predictions, weights, groups


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


def influences(
    task: Task,
    quantity: str,
    targets: Any,
    predictions: Any,
    weights: Any = None,
    groups: Any = None,
) -> "Numbers | None":
    """Computes how far each example, or group of them, moves a metric.

    Args:
        task: what is learned.
        quantity: of a metric, such as "accuracy", or the loss.
        targets: as `score` takes them, as all others.
        predictions: of one model.
        weights: of each row.
        groups: numbers of each row's.

    Returns:
        So that the sum of squares is the squared standard error of the metric, and the sum of
        products with those of another model the covariance of both, (n,) or (groups,); None if
        that is not known.
    """
    found = _movements(task, quantity, targets, predictions, weights, groups)
    return None if found is None else found[0] * math.sqrt(found[1] / (found[1] - 1))


def values_of_parts(
    task: Task,
    quantity: str,
    targets: Any,
    predictions: Any,
    weights: Any,
    groups: Any,
    n_parts: int,
    n_divisions: int,
) -> "Numbers | None":
    """Computes by how far a metric of a part of the examples is off that of all of them.

    Args:
        task: what is learned; with it all as in `influences`.
        quantity: of a metric, such as "accuracy", or the loss.
        targets: as `score` takes them, as all others.
        predictions: of one model.
        weights: of each row.
        groups: numbers of each row's, which are not divided.
        n_parts: into so many the examples are divided, at random but always alike.
        n_divisions: how often they are divided.

    Returns:
        Of each part of each division, (n_divisions * n_parts,); None if that is not known.
    """
    import numpy as np

    found = _movements(task, quantity, targets, predictions, weights, groups)
    if found is None or len(found[0]) < n_parts:
        return None
    rng = np.random.default_rng(0)
    divided = [rng.permutation(len(found[0])) % n_parts for _ in range(n_divisions)]
    return np.concatenate([np.bincount(part, found[0], n_parts) for part in divided]) * n_parts


def _movements(
    task: Task, quantity: str, targets: Any, predictions: Any, weights: Any, groups: Any
) -> "tuple[Numbers, int] | None":
    """Computes how far each example, or group, moves a metric, and how many there are."""
    import numpy as np

    known, answers, shares, units, n = _prepare(task, targets, predictions, weights, groups)
    if quantity == LOSS:
        seen = known, answers
        if task.is_regression:
            seen = transform(task.target, known), transform(task.target, answers)
        each = losses(task, *seen).astype(np.float64)
        influence: Any = each - shares @ each
    else:
        formula = (OF_NUMBERS if task.is_regression else OF_CLASSES).get(quantity)
        if formula is None:
            return None
        with _quietly():
            influence = formula(known, answers, shares)[1]
    if influence is None or n < 2 or not np.isfinite(influence).all():
        return None
    return np.bincount(units, shares * influence).astype(np.float64), n


def _scores(
    task: Task, quantities: list[str], targets: Any, predictions: Any, weights: Any, groups: Any
) -> dict[str, float]:
    import numpy as np

    formulas: Mapping[str, Callable[..., Scored]] = (
        OF_NUMBERS if task.is_regression else OF_CLASSES
    )
    known, answers, shares, units, n = _prepare(task, targets, predictions, weights, groups)
    is_finite, found = bool(np.isfinite(answers).all()), {}
    with _quietly():
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


def _prepare(
    task: Task, targets: Any, predictions: Any, weights: Any, groups: Any
) -> tuple[Any, Any, Any, Any, int]:
    """Makes of what `score` takes what formulas take: targets, predictions, weights of sum 1.

    Returns:
        With it the number of each row's group, and how many groups there are.
    """
    import numpy as np

    known: Any = np.asarray(targets, np.float64 if task.is_regression else np.intp).ravel()
    answers: Any = np.asarray(predictions)
    if task.is_regression:
        answers = answers.astype(np.float64).ravel()
    elif answers.shape[1] == 1:
        answers = np.hstack([1 - answers, answers])
    shares = np.ones(len(known)) if weights is None else np.asarray(weights, np.float64)
    units: Any = np.arange(len(known)) if groups is None else groups
    if not shares.all():  # what weighs nothing does not count, as a row of its class neither
        known, answers, units, shares = (x[shares > 0] for x in (known, answers, units, shares))
    n = int(np.count_nonzero(np.bincount(units)))
    return known, answers, shares / shares.sum(), units, n


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Drops what scikit-learn says of classes that nothing is, or that nothing is taken for."""
    from sklearn import config_context

    with config_context(assume_finite=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
