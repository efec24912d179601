"""What the networks of finals answer to the validation set: kept, and compared.

Networks that err on the same examples can be compared more sharply than their values alone tell.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.evaluation.covariances import covariances
from pipeline.paths import Project
from pipeline.study.finals import Plan, networks_of
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial

MOST_RUNS = 4  # of a network, whose answers are compared


def runs_to_compare(trials: Sequence[Trial], plan: Plan) -> list[tuple[int, str]]:
    """Lists finals whose models are kept: the number of their network, and the MLflow run.

    Args:
        trials: all that ended.
        plan: of the finals.
    """
    taking = {*plan.networks, plan.reference}
    found: list[tuple[int, str]] = []
    for network in networks_of(trials):
        runs = [run for run in network.runs if run.is_final and run.keeps_weights and run.run_id]
        if network.number in taking:
            found += [(network.number, run.run_id) for run in runs[:MOST_RUNS]]
    return found


def compare_answers(
    project: Project, spec: StudySpec, runs: Sequence[tuple[int, str]], file: Path
) -> None:
    """Asks stored models about the validation set, keeps their answers, and compares the errors.

    Imports TensorFlow: meant for `Executor.call`.

    Args:
        project: in whose MLflow the models are, and the answers are kept: an artifact
            `validation_answers.npz` of each run, with answers of float32, (n, outputs).
        spec: the study file.
        runs: by `runs_to_compare`.
        file: is written: a list of covariances, each after the numbers of two networks; none if
            the metric tells nothing of single examples.

    Raises:
        PipelineError: a model is missing, or MLflow cannot be used.
    """
    from pipeline.data import datasets
    from pipeline.export import scores, stored_model
    from pipeline.task.scoring import influences
    from pipeline.tracking import answers, registry

    examples = datasets.validation_sets(spec.data_spec)
    _, targets, weights, groups = scores.joined(examples)
    moved: dict[int, list[Any]] = {}
    for number, run in runs:
        known = answers.load_answers(project, run)
        if known is None or len(known) != len(targets):
            model = stored_model.as_handed_over(registry.load_model_bytes(project, run))
            known = scores.answers_to(model, examples)
            answers.keep_answers(project, run, known)
        each = influences(spec.task, spec.objective.quantity, targets, known, weights, groups)
        if each is not None:
            moved.setdefault(number, []).append(each)
    found = [[i, j, value] for (i, j), value in covariances(moved).items()]
    if not found and runs:
        raise PipelineError(f"{spec.objective.noun} tells nothing of single examples")
    file.write_text(json.dumps(found), encoding="utf-8")
