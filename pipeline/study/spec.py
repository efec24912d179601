"""A study file as a frozen, validated value: `StudySpec` and the tables in it."""

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.data import datasets
from pipeline.names import normalize
from pipeline.study.budget import FROZEN as _FROZEN
from pipeline.study.budget import Budget, Positive
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.ranges import EntryTable
from pipeline.study.resources import Resources
from pipeline.study.space import Space
from pipeline.study.trainers import Trainer
from pipeline.task.settings import DataSettings
from pipeline.task.source import DataSpec
from pipeline.task.task import METRICS, Direction, Metric, Task

MOST_REPEATS = 10_000  # of a reference
MOST_SEEDS, MOST_NETWORKS = 1_000, 1_000  # in finals
PAUSES = "FreezeThawSampler"  # the sampler that pauses trials, and goes on with them
_METRICS = {metric.name: metric for metric in METRICS}


class Training(BaseModel):
    """What holds for every trial.

    Attributes:
        patience: epochs without improvement of the metric before a trial stops itself.
        trial_minutes: wall time after which a trial is stopped; it counts with its best epoch.
        retries: how often a trial is tried again that failed for want of memory and the like.
        stop_after_failures: so many failed trials in a row end the search. One that diverged, or
            was too slow or too large, is none of them: its hyperparameters are to blame.
    """

    model_config = _FROZEN
    patience: Annotated[int, Field(gt=0)] = 3
    trial_minutes: Positive = 10
    retries: Annotated[int, Field(ge=0)] = 2
    stop_after_failures: Annotated[int, Field(gt=0)] = 5


class Finals(BaseModel):
    """How a search ends: the best networks and the best reference once more, with fresh seeds.

    Attributes:
        share: of the budget that is kept for them.
        networks: how many of the best take part, at most; each round halves them.
        seeds: with how many in all the last of them are trained, their first run included.
    """

    model_config = _FROZEN
    share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    networks: Annotated[int, Field(gt=0, le=MOST_NETWORKS)] = 10
    seeds: Annotated[int, Field(ge=2, le=MOST_SEEDS)] = 5


class Component(BaseModel):
    """A class of Optuna by name; all other keys are its arguments."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    type: str

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that the study file gives."""
        return dict(self.model_extra or {})

    def __str__(self) -> str:
        """Writes it as a call: `ThresholdPruner(lower=0.9)`."""
        listed = ", ".join(f"{key}={value}" for key, value in self.arguments.items())
        return f"{self.type}({listed})"


class Reference(BaseModel):
    """A known model that is trained first, to its end, and compared with what was claimed of it.

    In a file, `study = "other"` takes the reference of that name from another study's file.

    Attributes:
        trainer: "keras", or one of scikit-learn's (see `study.trainers`).
        hyperparameters: all of them; they may lie outside the search space. None but for "keras".
        patience: instead of the study's.
        repeats: how often it is trained, each time with a fresh seed.
        claim: what somebody has published of it, by name of a measure (see `MEASURES`), and
            under `source` where.
    """

    model_config = _FROZEN
    name: Annotated[str, Field(min_length=1)]
    trainer: Trainer = "keras"
    hyperparameters: dict[str, Any] = {}
    patience: Annotated[int, Field(gt=0)] | None = None
    repeats: Annotated[int, Field(gt=0, le=MOST_REPEATS)] = 1
    claim: dict[str, float | str] = {}

    @property
    def network(self) -> Hyperparameters | None:
        """Its hyperparameters as those of a network; None if its trainer trains none."""
        if self.trainer != "keras":
            return None
        return Hyperparameters.from_mapping(self.hyperparameters)


class Comparison(BaseModel):
    """A claim about two references: how a measure of the first differs from the second's.

    Attributes:
        claim: what is claimed, in a sentence.
        first: name of a reference.
        second: name of another.
        measure: what is compared (see `MEASURES`).
        difference: what first less second is if the claim holds: "positive", "negative", "none",
            or, if one side alone matters, "not positive" or "not negative".
        margin: the largest difference that does not matter.
        published: the difference somebody has published.
        source: where.
    """

    model_config = _FROZEN
    claim: Annotated[str, Field(min_length=1)]
    first: str
    second: str
    measure: str
    difference: Literal["positive", "negative", "not positive", "not negative", "none"]
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    published: Annotated[float, Field(allow_inf_nan=False)] | None = None
    source: str = ""


class StudySpec(BaseModel):
    """A whole study file.

    Attributes:
        name: of the file; everything else stands in the file.
        goal: what the study is to find out.
        dataset: name of a data set, or path of a file or folder, from the study file's folder.
        target: column of a table that is to be answered.
        data: how data of one's own are read, split and weighed.
        folder: of the study file, from the project's folder.
        metric: what is optimized, on the validation set.
        budget: when the study is done.
        training: what holds for every trial.
        resources: what each training may use of a machine.
        sampler: draws hyperparameters; "TPESampler" where a pruner is named, and no sampler.
        pruner: ends trials that are not promising (see `own_pruner`).
        audit: share of the trials that would be pruned, or paused, that are trained to their own
            end instead, to see what pruning loses.
        fixed: hyperparameters that are not searched, by name.
        space: ranges and choices of those that are, by name.
        reference: known models that are trained first.
        comparison: claims about two references each.
        baseline: name of a study that the report sets beside this one.
        start_from: names of earlier studies, whose best networks are tried first.
        finals: how the search ends; None, in a file `finals = false`, if it just ends.
    """

    model_config = _FROZEN
    name: str
    goal: Annotated[str, Field(min_length=1)]
    dataset: Annotated[str, Field(min_length=1)]
    target: str = ""
    data: DataSettings = DataSettings()
    folder: str = "studies"
    metric: str = "val_accuracy"
    budget: Budget
    training: Training = Training()
    resources: Resources = Resources()
    sampler: Component = Component(type=PAUSES)
    pruner: Component = Component(type="MedianPruner")
    audit: Annotated[float, Field(ge=0, lt=1)] = 0.0
    fixed: dict[str, Any] = {}
    space: dict[str, EntryTable] = {}
    reference: Annotated[tuple[Reference, ...], Field(strict=False)] = ()
    comparison: Annotated[tuple[Comparison, ...], Field(strict=False)] = ()
    baseline: str = ""
    start_from: Annotated[tuple[str, ...], Field(strict=False)] = ()
    finals: Finals | None = Finals()

    @model_validator(mode="before")
    @classmethod
    def _sampler_beside_pruner(cls, content: Any) -> Any:
        """What ends trials goes with a sampler of Optuna: its own default."""
        if isinstance(content, dict) and "pruner" in content and "sampler" not in content:
            return {**content, "sampler": {"type": "TPESampler"}}
        return content

    @field_validator("baseline", "start_from")
    @classmethod
    def _composed(cls, value: Any) -> Any:
        return normalize(value) if isinstance(value, str) else tuple(map(normalize, value))

    @field_validator("finals", mode="before")
    @classmethod
    def _none_if_false(cls, value: Any) -> Any:
        if value is False or value is None or isinstance(value, Finals | dict):
            return None if value is False else value
        raise ValueError(f"found {value!r}, allowed is a table, or false")

    @property
    def data_spec(self) -> DataSpec:
        """Which data, and how they are read: the same in every process."""
        dataset = self.dataset
        if not is_known(dataset):
            path = Path.cwd() / self.folder / Path(dataset).expanduser()
            is_name = path.name == dataset and not path.suffix and not path.exists()
            dataset = dataset if is_name else os.path.normpath(path)
        return DataSpec.of(dataset, self.target, self.data)

    @property
    def task(self) -> Task:
        """What is learned, and how it is scored."""
        return datasets.task_of(self.data_spec).scored_by(self.metric)

    @property
    def objective(self) -> Metric:
        """The metric as a value; its name says all, whatever the data are."""
        return _METRICS[self.metric]

    @property
    def direction(self) -> Direction:
        """Which way the metric gets better."""
        return self.objective.direction

    @property
    def own_pruner(self) -> Component:
        """The pruner; of a study whose sampler pauses trials, none unless the file names one."""
        is_named = self.pruner != StudySpec.model_fields["pruner"].default
        pauses = self.sampler.type == PAUSES
        return self.pruner if is_named or not pauses else Component(type="NopPruner")

    @property
    def seed(self) -> int:
        """The seed from which all others are derived: `[sampler] seed`, 0 unless given."""
        return int(self.sampler.arguments.get("seed", 0))

    @property
    def named(self) -> frozenset[str]:
        """Names of the hyperparameters that the study fixes or searches."""
        return frozenset([*self.fixed, *self.space])

    @property
    def searched(self) -> Space:
        """The search space; checked when the file was loaded."""
        return Space(self.fixed, self.space)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what decides how trials turn out.

        That is everything but the name, the goal, the budget, finals, resources, when to give up,
        and what only a report reads.
        Settings at their defaults are left out, so that a new setting changes no old study.
        """
        asked = self.model_dump(
            mode="json",
            exclude_defaults=True,
            exclude={
                "name": True,
                "goal": True,
                "folder": True,
                "budget": True,
                "comparison": True,
                "baseline": True,
                "finals": True,
                "resources": True,
                "training": {"retries", "stop_after_failures"},
                "reference": {"__all__": {"claim"}},
            },
        )
        asked = {key: value for key, value in asked.items() if value != {}}
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def is_known(dataset: str) -> bool:
    """Tells whether a data set is known by name, and is not a path."""
    return dataset in datasets.names()
