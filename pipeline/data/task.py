"""What is learned and how it is scored, as values: everything else asks them.

To add a metric: one row in `CLASSIFICATION` or `REGRESSION`, with the formula that derives it from
what the training graph computes (`IN_GRAPH`). `docs/extending.md` has an example.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

VALIDATION_SHARE = 0.2  # of the training file: the chapter's train_test_split
LOSS = "loss"  # the quantity that every task has and every optimizer descends
IN_GRAPH = (LOSS, "accuracy")  # quantities that one execution of the training graph returns

Direction = Literal["maximize", "minimize"]
Part = Literal["training", "validation"]


class Kind(Enum):
    """What kind of answer is learned."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"  # no trainer here computes its loss yet


@dataclass(frozen=True)
class Metric:
    """A quantity that is measured on one part of the data after every epoch.

    Attributes:
        quantity: what is measured, such as "accuracy".
        direction: which way it gets better.
        of: derives it from the quantities in `IN_GRAPH` of the same part; None if it is one.
        interval: "binomial" if it is a share of right answers, whose 95 % interval follows from
            the number of examples (`evaluation.intervals`); None if none is known.
        digits: behind the point, in a report.
        part: of the data.
    """

    quantity: str
    direction: Direction
    of: Callable[[Mapping[str, float]], float] | None = None
    interval: Literal["binomial"] | None = None
    digits: int = 4
    part: Part = "validation"

    @property
    def name(self) -> str:
        """As in a study file, a history and MLflow: "val_accuracy", or "accuracy" in training."""
        return f"val_{self.quantity}" if self.part == "validation" else self.quantity

    @property
    def words(self) -> str:
        """As a sentence says it: "validation accuracy"."""
        return f"{self.part} {self.quantity}"

    def show(self, value: float) -> str:
        """Formats a value with the metric's digits."""
        return f"{value:.{self.digits}f}"


CLASSIFICATION = (
    Metric("accuracy", "maximize", interval="binomial"),
    Metric(LOSS, "minimize"),
)
REGRESSION = (Metric(LOSS, "minimize"),)
OBJECTIVES = tuple(dict.fromkeys((*CLASSIFICATION, *REGRESSION)))  # what a study may optimize
METRICS = (*OBJECTIVES, *(replace(metric, part="training") for metric in OBJECTIVES))


@dataclass(frozen=True)
class Task:
    """What is learned from a data set.

    Attributes:
        kind: of answer.
        input_shape: of one example, such as (28, 28).
        class_names: what the labels mean; empty for a regression.
        input_dtype: of the examples as they are read.
        n_examples: in the training file, before the split; None if only loading tells.
        n_test: number of test examples; None if only loading tells.
    """

    kind: Kind
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...] = ()
    input_dtype: str = "uint8"
    n_examples: int | None = None
    n_test: int | None = None

    def __post_init__(self) -> None:
        """Refuses a kind of answer that does not go with the number of classes.

        Raises:
            ValueError: the text says what was found.
        """
        n = len(self.class_names)
        if self.kind is not {0: Kind.REGRESSION, 2: Kind.BINARY}.get(n, Kind.MULTICLASS):
            raise ValueError(f"kind: found {self.kind.value!r} with {n} class names")

    @property
    def n_outputs(self) -> int:
        """Outputs of a network: one for each of more than two classes, else one."""
        return len(self.class_names) if self.kind is Kind.MULTICLASS else 1

    @property
    def n_validation(self) -> int | None:
        """Number of validation examples, if it is known without loading them."""
        return None if self.n_examples is None else n_validation(self.n_examples)

    @property
    def objectives(self) -> tuple[Metric, ...]:
        """What a study may optimize: each metric on the validation set."""
        return REGRESSION if self.kind is Kind.REGRESSION else CLASSIFICATION

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All that an epoch measures: the objectives, then the same in training."""
        training = (replace(metric, part="training") for metric in self.objectives)
        return *self.objectives, *training

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
