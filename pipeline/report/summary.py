"""All that a report is made of, read from the store of trials."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import escaping
from pipeline.clock import now
from pipeline.data import datasets
from pipeline.errors import PipelineError
from pipeline.evaluation import time_used
from pipeline.evaluation.budget import Budget
from pipeline.evaluation.finals import judge_study
from pipeline.evaluation.verdict import Verdict
from pipeline.listening import HOST, UI_PORT
from pipeline.names import DETAILS_FILE, details_folder
from pipeline.paths import Project
from pipeline.report import baseline
from pipeline.report.baseline import Baseline
from pipeline.storage import finals, lease, study_store
from pipeline.storage.importance import constant, importance
from pipeline.storage.studies import StoredStudy
from pipeline.study.finals import Plan
from pipeline.study.rules import RULES
from pipeline.study.spec import StudySpec
from pipeline.study.trial import (
    State,
    Trial,
    champion_of,
    ranking,
    select_counted,
    with_seeds,
)
from pipeline.wording import count_noun

N_FOR_IMPORTANCE = 8  # complete trials; of fewer, importance says nothing


@dataclass(frozen=True)
class StudySummary:
    """All that a report is made of.

    Attributes:
        spec: the study file.
        ended: trials that ended of their own, by number.
        n_interrupted: how many more were interrupted and queued again.
        ranked: networks that have a value, whatever ended them, the best first; at least one.
        importance: share of each hyperparameter, largest first; empty if there are too few trials,
            or none decides anything.
        constant: hyperparameters that had one value in all complete trials that have them.
        minutes: how long supervisors ran.
        n_validation_examples: on which the metric was measured.
        test_looks: every look at the test set.
        about: machine and versions.
        baseline: what the study that is named as `baseline` found, if it has been run.
        changes: of the study file since the study was begun: when, n_trials, what.
        finals_minutes: time of finals, beside `minutes`.
        is_exhausted: whether all that the space has was tried.
        warnings: what a reader has to know of the data, a sentence each.
        winner: of finals, the best run of the network that has won; None without.
        plan: of the finals that were held; None if none were.
        judged: the verdict on them; None if there is none.
        test_details: how the champion errs on the test set, as an export has it; None as long as
            nobody has looked.
        runs_address: what a run's id is put behind, for a link to the run in MLflow's UI; "" if
            that is not known.
        searched_by: who searches the study while this is read; "" if nobody does.
        broken_off: who searched it and was killed, if nobody has gone on since; "" if nobody was.
        read: when this was read.
        data_fingerprint: SHA-256 of the data; "" in stores of versions that did not note it.
    """

    spec: StudySpec
    ended: Sequence[Trial]
    n_interrupted: int
    ranked: Sequence[Trial]
    importance: Mapping[str, float]
    constant: Sequence[str]
    minutes: float
    n_validation_examples: int
    test_looks: Sequence[Mapping[str, Any]]
    about: Mapping[str, str]
    baseline: Baseline | None = None
    changes: Sequence[Mapping[str, Any]] = ()
    finals_minutes: float = 0.0
    is_exhausted: bool = False
    warnings: Sequence[str] = ()
    winner: Trial | None = None
    plan: Plan | None = None
    judged: Verdict | None = None
    test_details: Mapping[str, Any] | None = None
    runs_address: str = ""
    searched_by: str = ""
    broken_off: str = ""
    read: str = ""
    data_fingerprint: str = ""

    @property
    def searched(self) -> Sequence[Trial]:
        """The trials of the search, by number; finals are none."""
        return [trial for trial in self.ended if not trial.is_final]

    @property
    def searched_by_end(self) -> Sequence[Trial]:
        """The same, in the order in which they ended."""
        return sorted(self.searched, key=lambda trial: (trial.ended, trial.number))

    @cached_property
    def minutes_used(self) -> Mapping[int, float]:
        """How many minutes the search had used when each of its trials ended, by number."""
        return time_used.minutes_used(self.searched_by_end, self.minutes)

    @cached_property
    def budget(self) -> Budget | None:
        """What the search had found by when; None if no drawn trial has a value."""
        return Budget.of(self.ended, self.spec.direction, self.minutes_used)

    @property
    def n_independent(self) -> int:
        """Of what intervals are made: validation examples, or the groups in which they come."""
        return self.spec.task.n_validation_groups or self.n_validation_examples

    @property
    def validated_on(self) -> str:
        """On how many examples the metric was measured: "200 rows in 30 groups"."""
        return measured_on(
            self.spec.task.example, self.n_validation_examples, self.spec.task.n_validation_groups
        )

    @property
    def champion(self) -> Trial:
        """The best trial whose weights were kept, or of the winner of finals; else the best."""
        return self.winner or champion_of(self.ranked) or self.ranked[0]

    @property
    def second(self) -> Trial | None:
        """The best of the other networks."""
        return next((trial for trial in self.ranked if trial not in self.with_seeds), None)

    @property
    def with_seeds(self) -> Sequence[Trial]:
        """The champion's network, with each seed that it was trained with."""
        return with_seeds(self.ranked, self.champion)

    @property
    def n_complete(self) -> int:
        """Number of networks that Optuna calls complete: importance is computed from these."""
        return _n_complete(self.ranked)

    @property
    def best_reference(self) -> Trial | None:
        """The best of the references, if there are any."""
        return next((trial for trial in self.ranked if trial.reference), None)


def _n_complete(ranked: Sequence[Trial]) -> int:
    return sum(trial.state == State.COMPLETE and not trial.is_final for trial in ranked)


def measured_on(example: str, n: int, n_groups: int | None) -> str:
    """Says on how many examples something was measured, and in how many groups they come."""
    return count_noun(n, example) + (f" in {count_noun(n_groups, 'group')}" if n_groups else "")


def summarize(stored: StoredStudy) -> StudySummary:
    """Collects what the search recorded, so that a report needs no store.

    Raises:
        PipelineError: no trial has a value yet.
    """
    study, spec = stored.study, stored.spec
    known = study_store.read_trials(study)
    ended = select_counted(known)
    ranked = ranking(ended, spec.direction)
    searched_by = lease.living_holder(study, stored.project.outside)
    if not ranked:
        wait = f"; {searched_by} searches it: wait for a trial to end" * bool(searched_by)
        raise PipelineError(
            f"study {spec.name!r} has no trial with a value yet: nothing to report{wait}"
        )
    held = finals.read_held(study)
    known_champion = study_store.champion_among(study, ended)
    return StudySummary(
        spec=spec,
        ended=ended,
        n_interrupted=len(known) - len(ended),
        ranked=ranked,
        importance=importance(study) if _n_complete(ranked) >= N_FOR_IMPORTANCE else {},
        constant=constant(study),
        minutes=study_store.minutes_searched(study),
        n_validation_examples=datasets.n_validation_examples(spec.data_spec),
        test_looks=study_store.test_looks(study),
        about=study.user_attrs[study_store.VERSIONS],
        baseline=baseline.read(stored.project, spec),
        changes=study.user_attrs.get(study_store.CHANGES, []),
        finals_minutes=float(study.user_attrs.get(study_store.FINALS_SECONDS, 0.0)) / 60,
        is_exhausted=bool(study.user_attrs.get(study_store.EXHAUSTED)),
        warnings=datasets.about(spec.data_spec)[1],
        winner=known_champion if held else None,
        plan=held.plan if held else None,
        judged=judge_study(spec, held, ended),
        test_details=_test_details(stored, known_champion),
        runs_address=_runs_address(stored.project),
        searched_by=searched_by,
        broken_off="" if searched_by else lease.last_holder(study),
        read=now(stored.project.outside.clock),
        data_fingerprint=str(study.user_attrs.get(study_store.DATA_FINGERPRINT, "")),
    )


def _test_details(stored: StoredStudy, champion: Trial | None) -> Mapping[str, Any] | None:
    """Reads how the champion errs, if an export has found that out and MLflow is in reach."""
    if champion is None or not study_store.last_look(stored.study, champion.number, None, None):
        return None
    from pipeline.tracking import looks  # imports MLflow

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "details"
        try:
            run, key = champion.run_id, details_folder(champion.number)
            if not looks.fetch_details(stored.project, run, key, folder):
                return None
        except PipelineError:
            return None
        found: Mapping[str, Any] = json.loads((folder / DETAILS_FILE).read_bytes())
        return found


def _runs_address(project: Project) -> str:
    """Where `make ui`, or the server that the project names, shows a run."""
    uri = project.mlflow_uri
    server = f"http://{HOST}:{UI_PORT}" if uri.is_database else uri.display.rstrip("/")
    is_open = server.startswith(("http://", "https://")) and "@" not in server
    return f"{server}/#/runs/" if is_open else ""


def as_csv(facts: StudySummary) -> str:
    """Writes a row for each trial that ended; hyperparameters come last, by their own names."""
    is_had = {  # columns of what not every study does
        "final_of": any(trial.is_final for trial in facts.ended),
        "pauses": any(trial.pauses for trial in facts.ended),
        "audited_after": any(trial.audited_after for trial in facts.ended),
        "started_from": any(trial.started_from for trial in facts.ended),
    }
    rows = [
        {
            name: escaping.for_csv(value)
            for name, value in _row(trial, facts.spec).items()
            if is_had.get(name, True)
        }
        for trial in facts.ended
    ]
    table = pd.DataFrame(rows, dtype=object)  # else an integer column with gaps becomes floats
    known = [trial.hyperparameters for trial in facts.ended if trial.hyperparameters]
    shown = {name for each in known for name in each.shown(facts.spec.named)}
    names = list(max(known, key=lambda each: each.hidden_layers).flat(shown))
    others = [name for name in table.columns if name not in names and name not in RULES]
    return table[[*others, *names]].to_csv(index=False)


def _row(trial: Trial, spec: StudySpec) -> dict[str, Any]:
    parts = {metric.name: metric.part for metric in spec.task.metrics}
    measured = [name for name in trial.history if name in parts] if trial.best_epoch else []
    measured.sort(key=lambda name: parts[name] == "validation")
    return {
        "trial": trial.number,
        "state": trial.state,
        spec.metric: trial.value,
        "best_epoch": trial.best_epoch,
        "epochs_trained": trial.n_epochs,
        **{name: trial.history[name][trial.best_epoch - 1] for name in measured},
        **trial.scores,
        **{name: v[0] for name, v in trial.history.items() if name.startswith("fold_")},
        "n_parameters": trial.n_parameters or None,
        "train_seconds": round(trial.seconds, 3),
        "seed": trial.seed,
        "reference": trial.reference,
        "final_of": trial.final_of,
        "pauses": " ".join(map(str, trial.pauses)),
        "audited_after": trial.audited_after or None,
        "started_from": trial.started_from,
        "reason": trial.reason,
        "run_id": trial.run_id,
        **(trial.hyperparameters.flat(RULES) if trial.hyperparameters else {}),
    }
