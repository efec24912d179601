"""MLflow in memory: what the pipeline asks of a client, one transaction after the other.

As MLflow 3.17 with a database: `log_batch` writes params, metrics and tags each by itself, and an
artifact is a file that may be torn.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from mlflow.entities import ViewType


@dataclass
class Run:
    """A run, as MLflow holds it.

    Attributes:
        metrics: values of each, as (step, timestamp, value), each once.
        artifacts: content by path.
    """

    id: str
    number: int
    experiment: str
    name: str
    started: int
    status: str = "RUNNING"
    ended: int | None = None
    is_deleted: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, set[tuple[int, int, float]]] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    inputs: list[Any] = field(default_factory=list)

    @property
    def view(self) -> int:
        """What shows it, besides what shows all."""
        return int(ViewType.DELETED_ONLY if self.is_deleted else ViewType.ACTIVE_ONLY)

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.status in ("RUNNING", "SCHEDULED")

    def shown(self) -> SimpleNamespace:
        """As a client returns it."""
        last = {key: max(values) for key, values in self.metrics.items()}
        return SimpleNamespace(
            info=SimpleNamespace(
                run_id=self.id,
                run_name=self.name,
                experiment_id=self.experiment,
                status=self.status,
                start_time=self.started,
                end_time=self.ended,
                lifecycle_stage="deleted" if self.is_deleted else "active",
                artifact_uri=f"simulated:/{self.id}",
            ),
            data=SimpleNamespace(
                tags=dict(self.tags),
                params=dict(self.params),
                metrics={key: value for key, (_, _, value) in last.items()},
                _metric_objs=[
                    SimpleNamespace(key=key, step=step) for key, (step, _, _) in last.items()
                ],
            ),
            inputs=SimpleNamespace(dataset_inputs=list(self.inputs)),
        )


@dataclass
class Version:
    """A version of a registered model."""

    number: int
    run: str
    tags: dict[str, str] = field(default_factory=dict)

    def shown(self) -> SimpleNamespace:
        """As a client returns it."""
        return SimpleNamespace(
            version=str(self.number),
            run_id=self.run,
            tags=dict(self.tags),
            source=f"simulated:/{self.run}",
        )


class Page(list[Any]):
    """What a search returns; there is no other page behind it."""

    token = None


@dataclass
class MlflowStore:
    """What processes share.

    Attributes:
        experiments: id by name.
        runs: by id, the earliest first.
        versions: of each registered model.
        aliases: the number of a version, by model and alias.
        out_until: moment until which nobody reaches it.
        flaky_until: moment until which every third request finds nobody.
        n_asked: requests in that time.
        n_made: runs that were ever made.
    """

    experiments: dict[str, str] = field(default_factory=lambda: {"Default": "0"})
    runs: dict[str, Run] = field(default_factory=dict)
    versions: dict[str, list[Version]] = field(default_factory=dict)
    aliases: dict[tuple[str, str], int] = field(default_factory=dict)
    out_until: float = 0.0
    flaky_until: float = 0.0
    n_asked: int = 0
    n_made: int = 0

    def make(self, experiment: str, started: int, tags: dict[str, str], name: str) -> Run:
        """Makes a run, whose id no other has had."""
        run = Run(f"r{self.n_made}", self.n_made, experiment, name, started, tags=tags)
        self.runs[run.id] = run
        self.n_made += 1
        return run
