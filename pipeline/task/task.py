"""What is learned and how it is scored, as values: everything else asks them.

To add a metric: one row in `CLASSIFICATION` or `REGRESSION`, with the formula that derives it from
what the training graph computes. `docs/extending.md` has an example.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

from pipeline.task.features import Features

VALIDATION_SHARE = 0.2  # of the training file: the chapter's train_test_split
LOSS = "loss"  # the quantity that every task has and every optimizer descends
N_DIGITS = 5  # significant ones of a metric in units of its own

Direction = Literal["maximize", "minimize"]
Part = Literal["training", "validation"]


class Kind(Enum):
    """What kind of answer is learned."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


@dataclass(frozen=True)
class Metric:
    """A quantity that is measured on one part of the data after every epoch.

    Attributes:
        quantity: what is measured, such as "accuracy".
        direction: which way it gets better.
        of: derives it from what the training graph computes of the same part; None if it is
            computed there, or scored.
        interval: which 95 % interval it has: "binomial" if it is a share of right answers
            (Wilson's, from the number of examples). All others need a standard error: "positive"
            if the metric has none below 0, "share" if it lies between 0 and 1, "below one" if
            none above 1. None if no interval is known.
        digits: behind the point, in a report; None if it is in units of its own.
        part: of the data.
        label: as a sentence says it; the quantity, if not given.
        is_scored: whether it is computed from predictions, outside the graph, by
            `task.scoring`; of the training part it is not, then.
    """

    quantity: str
    direction: Direction
    of: Callable[[Mapping[str, float]], float] | None = None
    interval: Literal["binomial", "positive", "share", "below one"] | None = None
    digits: int | None = 4
    part: Part = "validation"
    label: str = ""
    is_scored: bool = False

    @property
    def name(self) -> str:
        """As in a study file, a history and MLflow: "val_accuracy", or "accuracy" in training."""
        return f"val_{self.quantity}" if self.part == "validation" else self.quantity

    @property
    def error_name(self) -> str:
        """Under which a history has the standard error of a scored metric."""
        return f"{self.name}_se"

    @property
    def error_quantity(self) -> str:
        """Under which its standard error stands beside a value of its quantity."""
        return f"{self.quantity}_se"

    @property
    def noun(self) -> str:
        """What it is called in a sentence: "ROC AUC"."""
        return self.label or self.quantity

    @property
    def words(self) -> str:
        """As a sentence says it: "validation accuracy"."""
        return f"{self.part} {self.noun}"

    def show(self, value: float) -> str:
        """Formats a value with the metric's digits, or so that its first five are seen."""
        if self.digits is not None:
            return f"{value:.{self.digits}f}"
        if not math.isfinite(value) or value == 0:
            return str(value)
        before = math.floor(math.log10(abs(value))) + 1
        return f"{value:,.{max(0, N_DIGITS - before)}f}"


# Computed from predictions, by `task.scoring`. Of classes only the one that a study optimizes.
SCORED_CLASSIFICATION = (
    Metric(
        "balanced_accuracy",
        "maximize",
        interval="share",
        label="balanced accuracy",
        is_scored=True,
    ),
    Metric("macro_f1", "maximize", interval="share", label="macro F1", is_scored=True),
    Metric("roc_auc", "maximize", interval="share", label="ROC AUC", is_scored=True),
    Metric("log_loss", "minimize", interval="positive", label="log loss", is_scored=True),
)
SCORED_REGRESSION = (
    Metric("rmse", "minimize", interval="positive", digits=None, label="RMSE", is_scored=True),
    Metric("mae", "minimize", interval="positive", digits=None, label="MAE", is_scored=True),
    Metric("r2", "maximize", interval="below one", label="R²", is_scored=True),
)
CLASSIFICATION = (
    Metric("accuracy", "maximize", interval="binomial"),
    Metric(LOSS, "minimize"),
)
REGRESSION = (Metric(LOSS, "minimize"),)
OBJECTIVES = tuple(  # what a study may optimize
    dict.fromkeys((*CLASSIFICATION, *REGRESSION, *SCORED_CLASSIFICATION, *SCORED_REGRESSION))
)
METRICS = (
    *OBJECTIVES,
    *(replace(each, part="training") for each in OBJECTIVES if not each.is_scored),
)


@dataclass(frozen=True)
class Target:
    """What a regression answers, and how a network sees it: (transformed - mean) / scale.

    Attributes:
        name: of the column; "" if it has none.
        mean: of the training part, after the transform.
        scale: standard deviation of the training part, after the transform.
        transform: "none", or "log" of a target that is positive.
    """

    name: str = ""
    mean: float = 0.0
    scale: float = 1.0
    transform: Literal["none", "log"] = "none"


@dataclass(frozen=True)
class Task:
    """What is learned from a data set.

    Attributes:
        kind: of answer.
        input_shape: of one example as it is trained on, such as (28, 28); the width of the
            encoded matrix of a table.
        class_names: what the labels mean; empty for a regression.
        input_dtype: of the examples as they are trained on: "uint8" of pictures, else "float32".
        n_examples: in the training file, before the split; None if only loading tells.
        n_test: number of test examples; None if only loading tells.
        n_validation_rows: of data of one's own; None if it follows from `n_examples`.
        features: how the encoded matrix of a table is made; None of pictures and other arrays.
        target: of a regression.
        loss: what training descends.
        scored: metrics that are computed from predictions after each epoch.
        n_folds: of a cross-validation, in which every validation row is predicted by the network
            that has not seen it; 1 if there is one split.
        example: what one is called: "image" or "row".
        n_validation_groups: in which validation rows come; None if they err independently.
    """

    kind: Kind
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...] = ()
    input_dtype: str = "uint8"
    n_examples: int | None = None
    n_test: int | None = None
    n_validation_rows: int | None = None
    features: Features | None = None
    target: Target = Target()
    loss: Literal["squared", "absolute", "huber", "cross-entropy"] = "cross-entropy"
    scored: tuple[Metric, ...] = ()
    n_folds: int = 1
    example: str = "image"
    n_validation_groups: int | None = None

    def __post_init__(self) -> None:
        """Refuses a kind of answer that does not go with the number of classes.

        Raises:
            ValueError: the text says what was found.
        """
        n = len(self.class_names)
        if self.kind is not {0: Kind.REGRESSION, 2: Kind.BINARY}.get(n, Kind.MULTICLASS):
            raise ValueError(f"kind: found {self.kind.value!r} with {n} class names")

    def scored_by(self, metric: str) -> "Task":
        """The same task, with what has to be computed of predictions for a study of that metric.

        Args:
            metric: name of the study's metric, such as "val_roc_auc".
        """
        if self.kind is Kind.REGRESSION:
            chosen = [each for each in SCORED_REGRESSION if each.name == metric]
            others = [each for each in SCORED_REGRESSION if each.name != metric]
            return replace(self, scored=(*chosen, *others))
        chosen = [each for each in SCORED_CLASSIFICATION if each.name == metric]
        return replace(self, scored=tuple(chosen))

    @property
    def is_regression(self) -> bool:
        """Whether numbers are answered, and not classes."""
        return self.kind is Kind.REGRESSION

    @property
    def is_table(self) -> bool:
        """Whether an example is a row of numbers and codes."""
        return self.features is not None and len(self.input_shape) == 1

    @property
    def is_picture(self) -> bool:
        """Whether an example is a picture: (height, width) or (height, width, channels)."""
        return len(self.input_shape) in (2, 3)

    @property
    def in_graph(self) -> tuple[str, ...]:
        """Quantities that one execution of the training graph returns of a part of the data."""
        return (LOSS,) if self.is_regression else (LOSS, "accuracy")

    @property
    def n_outputs(self) -> int:
        """Outputs of a network: one for each of more than two classes, else one."""
        return len(self.class_names) if self.kind is Kind.MULTICLASS else 1

    @property
    def n_validation(self) -> int | None:
        """Number of validation examples, if it is known without loading them."""
        if self.n_validation_rows is not None:
            return self.n_validation_rows
        return None if self.n_examples is None else n_validation(self.n_examples)

    @property
    def allowed_objectives(self) -> tuple[Metric, ...]:
        """What a study of this data may optimize, the default first."""
        if self.is_regression:
            return *SCORED_REGRESSION, *REGRESSION
        return *CLASSIFICATION, *SCORED_CLASSIFICATION

    @property
    def objectives(self) -> tuple[Metric, ...]:
        """What is measured on the validation set: what a report says first, first.

        That is the metric of the study if it has to be scored; of classes otherwise accuracy.
        """
        return *self.scored, *(REGRESSION if self.is_regression else CLASSIFICATION)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All that an epoch measures: the objectives, then those in training."""
        training = (replace(each, part="training") for each in self.objectives)
        return *self.objectives, *(each for each in training if not each.is_scored)

    @property
    def score(self) -> Metric:
        """What a report says first of a model, whichever metric the study optimizes."""
        return self.objectives[0]

    @property
    def quantities(self) -> tuple[str, ...]:
        """What is drawn over the epochs, the loss first."""
        return LOSS, *(each.quantity for each in self.objectives if each.quantity != LOSS)

    def metric(self, name: str) -> Metric:
        """Finds the metric of that name.

        Raises:
            KeyError: the task has none.
        """
        return {metric.name: metric for metric in self.metrics}[name]

    def quantities_of(self, in_graph: Mapping[str, float]) -> dict[str, float]:
        """Adds the derived quantities to those that a training graph has computed."""
        derived = {each.quantity: each.of(in_graph) for each in self.objectives if each.of}
        return {**in_graph, **derived}

    def epoch_metrics(
        self, training: Mapping[str, float], validation: Mapping[str, float]
    ) -> dict[str, float]:
        """Names the metrics of an epoch, from what was computed on either part of the data."""
        return {
            **self.quantities_of(training),
            **{f"val_{name}": value for name, value in self.quantities_of(validation).items()},
        }


def n_validation(n_examples: int) -> int:
    """Computes how many examples of a training file the split takes for validation."""
    return math.ceil(n_examples * VALIDATION_SHARE)
