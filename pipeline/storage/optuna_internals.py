"""What is used of Optuna that Optuna does not promise, with the reason for each."""

import optuna


def let_sampler_stop(study: optuna.Study) -> None:
    """Some samplers call `study.stop`, which Optuna allows in `optimize` alone."""
    study._thread_local.in_optimize_loop = True


def has_sampler_stopped(study: optuna.Study) -> bool:
    """Whether a sampler has called `study.stop`, for it has drawn all there is."""
    return bool(study._stop_flag)
