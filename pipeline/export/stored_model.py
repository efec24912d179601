"""The stored model of a trial, as it is handed over, if it is still what was recorded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.data import pixels
from pipeline.environment import hide_gpus, import_keras
from pipeline.errors import PipelineError, first_line, one_line
from pipeline.storage.studies import StoredStudy
from pipeline.streams import hush_stderr
from pipeline.study.trial import Trial
from pipeline.task.source import Examples
from pipeline.tracking import registry
from pipeline.wording import doctor_command

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray


def verified_model(
    stored: StoredStudy, trial: Trial, examples: Sequence[Examples]
) -> "tuple[keras.Model, NDArray[Any]]":
    """Loads a trial's model, and looks whether it is as good as was recorded.

    Args:
        stored: the study.
        trial: whose model is kept.
        examples: of the validation, by `datasets.validation_sets`.

    Returns:
        The model, which takes raw inputs, and its answers to the examples, as
        `scores.answers_to` has them.

    Raises:
        PipelineError: it is missing, is not as good, or cannot be loaded.
    """
    content = registry.load_model_bytes(stored.project, trial.run_id)
    import_tensorflow()
    try:
        model = as_handed_over(content)
    except Exception as error:  # zipfile's, h5py's, and Keras's, whose safe mode refuses code
        raise PipelineError(
            f"the stored model of trial {trial.number} cannot be loaded: {one_line(str(error))}"
        ) from None
    from pipeline.export import scores

    score = stored.spec.task.score
    answers = scores.answers_to(model, examples)
    value = scores.validate(stored.spec.task, answers, examples)[score.quantity]
    recorded = trial.history[score.name][trial.best_epoch - 1]
    if not scores.is_as_recorded(stored.spec.task, value, recorded):
        raise PipelineError(
            f"the stored model of trial {trial.number} has {score.words} {score.show(value)}, "
            f"not its recorded {score.show(recorded)}; if its run's model.keras was changed, what "
            f"was trained is restored with: {doctor_command()}"
        )
    return model, answers


def import_tensorflow() -> None:
    """Imports TensorFlow, without what it says of itself.

    Raises:
        PipelineError: it cannot be imported.
    """
    hide_gpus()
    try:
        with hush_stderr():  # what its libraries say when they are loaded
            import_keras()
            from pipeline.training import loop  # noqa: F401
    except Exception as error:  # whatever is wrong with an installation
        raise PipelineError(
            f"TensorFlow cannot be imported: {type(error).__name__}: {first_line(error)}"
        ) from None


def as_handed_over(content: bytes) -> "keras.Model":
    """Loads a `.keras` file as a model that takes raw inputs of any scale.

    `import_tensorflow` has been called.
    """
    from pipeline.training import loop

    return pixels.accept_any_scale(loop.from_bytes(content))
