"""Several of a study's best networks as one model: their mean answer, chosen on validation."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.evaluation import selection
from pipeline.evaluation.intervals import Interval
from pipeline.export import champion
from pipeline.export.stored_model import verified_model
from pipeline.storage import study_store
from pipeline.storage.studies import StoredStudy
from pipeline.study.trial import Trial

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    from pipeline.task.source import Examples


@dataclass(frozen=True)
class Ensemble:
    """Networks whose mean answer is better than each alone.

    Attributes:
        members: trials, the best first, and how often each is in the mean.
        champion: value of the best trial alone, by the study's metric.
        value: of the mean.
        gain: 95 % interval of the second less the first, on the examples on which was chosen.
        validation: all that is measured of the mean.
        n_parameters: trainable weights of all members.
        answers: of the mean to the validation examples.
    """

    members: Sequence[tuple[Trial, int]]
    champion: float
    value: float
    gain: Interval
    validation: dict[str, Any]
    n_parameters: int
    answers: "NDArray[Any]"

    @property
    def picks(self) -> dict[str, int]:
        """How often each trial is in the mean, by its number as text, as JSON has it."""
        return {str(trial.number): n for trial, n in self.members}


def build(stored: StoredStudy, examples: "Sequence[Examples]") -> "tuple[Ensemble, keras.Model]":
    """Chooses among the models that a study has kept, and makes one of them.

    Args:
        stored: the study; it has a champion.
        examples: of the validation, by `datasets.validation_sets`.

    Raises:
        PipelineError: a model is missing, or is not what was recorded.
    """
    spec, kept = stored.spec, study_store.with_models(stored.study)
    loaded = [verified_model(stored, trial, examples) for trial in kept]

    import numpy as np

    from pipeline.export import scores

    answers = [each for _, each in loaded]

    def value_of(found: Any, weights: Any = None) -> float:
        return scores.value_of(spec.objective, spec.task, found, examples, weights)

    picks = selection.choose(answers, value_of, spec.direction)
    mean = np.mean([answers[i] for i in picks], axis=0)
    members = [(kept[i], n) for i, n in sorted(Counter(picks).items())]
    ensemble = Ensemble(
        members=members,
        champion=value_of(answers[0]),
        value=value_of(mean),
        gain=selection.paired_difference(
            value_of, mean, answers[0], scores.joined(examples).weights
        ),
        validation=scores.validate(spec.task, mean, examples),
        n_parameters=sum(trial.n_parameters for trial, _ in members),
        answers=mean,
    )
    models = {f"trial_{kept[i].number}": loaded[i][0] for i in sorted(set(picks))}
    return ensemble, _mean_of(models, [f"trial_{kept[i].number}" for i in picks])


def _mean_of(models: "dict[str, keras.Model]", picks: Sequence[str]) -> "keras.Model":
    from pipeline.training.raw_model import average

    first = next(iter(models.values()))
    if len(models) == 1:
        return first
    model = average(models, picks)
    model.compile_from_config(first.get_compile_config())
    return model


def summary(stored: StoredStudy, ensemble: Ensemble) -> dict[str, Any]:
    """Collects what is known of an ensemble, as plain values."""
    spec = stored.spec
    best, _ = ensemble.members[0]
    look = study_store.last_look(stored.study, best.number, ensemble.picks)
    return {
        "study": spec.name,
        "ensemble": [
            {
                "trial": trial.number,
                "picks": n,
                "run_id": trial.run_id,
                "seed": trial.seed,
                "value": trial.value,
                "hyperparameters": trial.hyperparameters.as_dict(),
            }
            for trial, n in ensemble.members
            if trial.hyperparameters
        ],
        "n_parameters": ensemble.n_parameters,
        "validation": champion.validation(spec, ensemble.validation),
        "gain": {
            "of": spec.metric,
            "champion": ensemble.champion,
            "ensemble": ensemble.value,
            "difference_95": [ensemble.gain.low, ensemble.gain.high],
        },
        "test": study_store.scores_of(look) if look else None,
    }
