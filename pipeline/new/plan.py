"""What suits data: metric, split, budget and ranges, by rules of thumb that a study file says."""

import math
from dataclasses import dataclass

from pipeline.cores import n_cores
from pipeline.new.survey import Survey
from pipeline.preparation.encoding import N_VOCABULARY
from pipeline.task.settings import DataSettings
from pipeline.task.task import Kind

# Rows; of fewer, one split's validation part says too little, and the mean of several networks is
# mostly better than one.
SMALL = 6_000
N_FOLDS = 5
RARE = 0.2  # share of the rarer of two classes, below which accuracy says little
IMBALANCED = 5  # times as many rows as the rarest class has
LEAST_STEPS = 10  # of an epoch
MANY_VALUES = 8  # of a category, above which an embedding is tried
SLOW_ROWS, SLOW_WIDTH = 50_000, 500  # of both, above which one-hot categories are not tried
WIDE = 200  # numbers, above which each gets no vector of its own
N_TRIALS = 60  # for which the budget should do
MINUTES = (5, 10, 15, 20, 30, 45, 60)
_FLOPS, _STEP_SECONDS, _START_SECONDS = 5e9, 3e-4, 4.0  # of one core; of a step; of a trial
# Of gradient boosting, for a row, a column and a class: 5.5e-7 to 9e-7 were measured.
_TREES_SECONDS = 7e-7
_TYPICAL_SHARE = 0.3  # of the epochs that a trial may have, what with pruning and early stopping


@dataclass(frozen=True)
class Plan:
    """What suits data.

    Attributes:
        metric: that the study optimizes.
        folds: None for one split.
        is_balanced: whether classes weigh the same in training.
        minutes: of the budget.
        patience: epochs without improvement.
        trial_minutes: at most.
        epochs: at most.
        hidden_layers: fewest and most.
        units: fewest and most.
        batch_sizes: to choose among.
        learning_rates: lowest and highest.
        encodings: of numbers, to choose among; empty if there is no choice.
        embedding_sizes: to choose among; empty if there is no choice.
        has_convolutions: whether they are tried beside dense layers.
        trees_minutes: that gradient boosting takes.
    """

    metric: str
    folds: int | None
    is_balanced: bool
    minutes: int
    patience: int
    trial_minutes: int
    epochs: int
    hidden_layers: tuple[int, int]
    units: tuple[int, int]
    batch_sizes: tuple[int, ...]
    learning_rates: tuple[float, float]
    encodings: tuple[str, ...]
    embedding_sizes: tuple[int, ...]
    has_convolutions: bool
    trees_minutes: float

    @property
    def has_trees(self) -> bool:
        """Whether gradient boosting comes to its end within a trial's time."""
        return self.trees_minutes <= self.trial_minutes


def plan(data: Survey, settings: DataSettings) -> Plan:
    """Chooses what suits data.

    Args:
        data: what they are like.
        settings: that are given.
    """
    folds = _folds(data, settings)
    share = 1.0 if data.has_test else 1 - settings.test
    share = share * (1 - 1 / folds) if folds else share - settings.validation
    n_training = max(1, int(share * data.n_rows))
    epochs, patience = _epochs(n_training)
    metric = _metric(data)
    encodings: tuple[str, ...] = ()
    if data.is_table and data.n_numbers:
        encodings = ("standard", "piecewise_linear" if data.n_numbers <= WIDE else "quantile")
    units, batch_sizes = _units(data, n_training), _batch_sizes(data, n_training)
    seconds = _trial_seconds(data, n_training, units[1], batch_sizes, epochs) * (folds or 1)
    wanted = N_TRIALS * (seconds + _START_SECONDS) / n_cores() / 60
    minutes = next((each for each in MINUTES if each >= wanted), MINUTES[-1])
    return Plan(
        metric=metric,
        folds=folds,
        is_balanced=metric == "val_balanced_accuracy",
        minutes=minutes,
        patience=patience,
        trial_minutes=max(2, minutes // 4),
        epochs=epochs,
        hidden_layers=(1, 3 if n_training < 10_000 else 4),
        units=units,
        batch_sizes=batch_sizes,
        learning_rates=(3e-4, 1e-2) if data.is_table else (1e-4, 1e-2),
        encodings=encodings,
        embedding_sizes=_embedding_sizes(data, n_training),
        has_convolutions=data.is_picture,
        trees_minutes=_trees_seconds(data, n_training) * (folds or 1) / 60,
    )


def _metric(data: Survey) -> str:
    if data.kind is Kind.REGRESSION:
        return "val_rmse"
    fewest, most = min(data.class_counts), max(data.class_counts)
    if data.kind is Kind.BINARY:
        return "val_roc_auc" if fewest < RARE * data.n_rows else "val_accuracy"
    return "val_balanced_accuracy" if most > IMBALANCED * fewest else "val_accuracy"


def _folds(data: Survey, settings: DataSettings) -> int | None:
    """Chooses how many folds small data get: no more than the rarest class has rows for."""
    if settings.folds or settings.time or "validation" in settings.model_fields_set:
        return settings.folds
    if data.n_rows >= SMALL or not data.has_settings:
        return None
    n_most = min(data.class_counts, default=data.n_rows)
    n_most = min(n_most, data.n_groups or n_most) - (not data.has_test)
    return min(N_FOLDS, n_most) if n_most >= 2 else None


def _epochs(n_training: int) -> tuple[int, int]:
    """Chooses epochs at most, and patience: fewer where an epoch is more steps."""
    if n_training < 2_000:
        return 200, 20
    if n_training < 20_000:
        return 100, 15
    return (60, 10) if n_training < 200_000 else (30, 4)


def _units(data: Survey, n_training: int) -> tuple[int, int]:
    if not data.is_table:  # filters of convolutions, too
        return (8, 64) if n_training * math.prod(data.shape) < 1e7 else (8, 32)
    if n_training < 1_000:
        return 8, 64
    return (16, 256) if n_training < 20_000 else (32, 512)


def _batch_sizes(data: Survey, n_training: int) -> tuple[int, ...]:
    """Chooses three powers of two, so that an epoch has some steps in any case."""
    most = 256 if not data.is_table else 1024 if n_training < 200_000 else 4096
    exponent = int(math.log2(min(most, max(8, n_training / LEAST_STEPS))))
    return tuple(2**each for each in range(max(2, exponent - 2), exponent + 1))


def _embedding_sizes(data: Survey, n_training: int) -> tuple[int, ...]:
    """Chooses dimensions, of which 0 is one-hot: much slower where there are many values."""
    if max(data.categories, default=0) <= MANY_VALUES:
        return ()
    is_slow = n_training >= SLOW_ROWS and _one_hot_width(data) > SLOW_WIDTH
    return (4, 16) if is_slow else (0, 4, 16)


def _one_hot_width(data: Survey) -> int:
    return sum(min(each, N_VOCABULARY) for each in data.categories)


def _trees_seconds(data: Survey, n_training: int) -> float:
    n_outputs = len(data.class_counts) if data.kind is Kind.MULTICLASS else 1
    return _TREES_SECONDS * n_training * math.prod(data.shape) * n_outputs


def _trial_seconds(
    data: Survey, n_training: int, units: int, batch_sizes: tuple[int, ...], epochs: int
) -> float:
    """Estimates how long a trial of a middling network takes, forward and backward."""
    width = math.prod(data.shape) + _one_hot_width(data) + 8 * data.n_numbers
    units //= 2
    products: float = width * units + units * units
    if data.is_picture:
        height, wide = data.shape[:2]
        channels = (*data.shape, 1)[2]
        products = 9 * units * height * wide * (channels + units / 4) / 2  # of half the trials
    steps = n_training / batch_sizes[len(batch_sizes) // 2]
    seconds = 6 * n_training * products / _FLOPS + steps * _STEP_SECONDS
    return seconds * epochs * _TYPICAL_SHARE
