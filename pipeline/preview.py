"""What a search would do, shown without doing it: `python -m pipeline.search --dry-run`."""

from collections.abc import Mapping
from typing import Any

from pipeline import data, space, trials
from pipeline.hyperparameters import Hyperparameters
from pipeline.space import Choices, Entry
from pipeline.study import StudySpec

N_SAMPLES = 5


def preview(spec: StudySpec) -> str:
    """The space, the size of its networks, the rungs of the pruner and sample draws, as text.

    Raises:
        UsageError: the sampler or the pruner cannot be built.
    """
    budget = spec.budget
    parts = [f"{budget.trials} trials"] if budget.trials else []
    parts += [f"{budget.minutes:g} minutes"] if budget.minutes else []
    lines = [
        f"study {spec.name}: {spec.goal}",
        "",
        f"data      {spec.dataset}, fingerprint {data.fingerprint(spec.dataset)[:12]}",
        f"metric    {spec.metric}, {spec.direction}",
        f"budget    {' or '.join(parts)}{', whichever comes first' * (len(parts) == 2)}",
        f"training  patience {spec.training.patience} epochs, "
        f"at most {spec.training.trial_minutes:g} minutes a trial",
        f"sampler   {spec.sampler.type} {_arguments(spec.sampler.arguments)}",
        f"pruner    {spec.pruner.type} {_arguments(spec.pruner.arguments)}",
        f"          {rungs(spec)}",
    ]
    return "\n".join([*lines, *_space(spec), *_sizes(spec), *_references(spec), *_draws(spec)])


def rungs(spec: StudySpec) -> str:
    """When the pruner looks at a trial, in a line."""
    pruner, arguments = trials.build_pruner(spec.pruner), spec.pruner.arguments
    epochs = _most_epochs(spec)
    if spec.pruner.type == "SuccessiveHalvingPruner":
        first = arguments.get("min_resource", "auto")
        if not isinstance(first, int):
            return "rungs: set by the first complete trial"
        factor = arguments.get("reduction_factor", 4)
        epoch = first * factor ** arguments.get("min_early_stopping_rate", 0)
        found = []
        while epoch <= epochs:
            found.append(str(epoch))
            epoch *= factor
        kept = f"the best 1/{factor} go on"
        return f"rungs after epoch {', '.join(found)}: {kept}" if found else "no rung in reach"
    if hasattr(pruner, "_n_warmup_steps"):
        first = arguments.get("n_warmup_steps", 0) + 1
        every = arguments.get("interval_steps", 1)
        after = arguments.get("n_startup_trials", 5)
        return f"looks from epoch {first}, every {every}, once {after} trials are complete"
    return "never looks" if spec.pruner.type == "NopPruner" else "looks after every epoch"


def _space(spec: StudySpec) -> list[str]:
    lines = ["", "space"]
    for name, entry in spec.space.items():
        lines.append(f"  {name:<14} {_values(entry)}")
    for name, value in spec.fixed.items():
        lines.append(f"  {name:<14} {value} (fixed)")
    return lines


def _values(entry: Entry) -> str:
    if isinstance(entry, Choices):
        text = "one of " + ", ".join(map(str, entry.choices))
    else:
        step = f" by {entry.step:g}" if entry.step and "step" in entry.model_fields_set else ""
        text = f"{entry.low:g} to {entry.high:g}{step}{', log' * entry.log}"
    for name, allowed in entry.when.items():
        text += f", if {name} is {' or '.join(map(str, allowed))}"
    return text + (f", one for each of {entry.per}" if entry.per else "")


def _sizes(spec: StudySpec) -> list[str]:
    if not spec.space:
        return []
    lines = ["", "networks"]
    for label, largest in (("smallest", False), ("largest", True)):
        hyperparameters = spec.searched.corner(largest)
        units = "-".join(map(str, hyperparameters.units)) or "no hidden layer"
        lines.append(
            f"  {label:<9} {_n_parameters(spec, hyperparameters):>11,} parameters: {units}"
        )
    return lines


def _n_parameters(spec: StudySpec, hyperparameters: Hyperparameters) -> int:
    """Trainable weights, counted without Keras; a test compares with `count_params`."""
    height, width = data.INPUT_SHAPE
    n_classes = len(data.CLASS_NAMES)
    n_outputs = 1 if n_classes == 2 else n_classes
    total, n_inputs = 0, height * width
    if hyperparameters.layer_kind == "convolutional":
        channels = 1
        for filters in hyperparameters.units:
            total += (9 * channels + 1) * filters
            height, width, channels = -(-height // 2), -(-width // 2), filters
        n_inputs = height * width * channels
    else:
        for units in hyperparameters.units:
            total += (n_inputs + 1) * units
            n_inputs = units
    return total + (n_inputs + 1) * n_outputs


def _references(spec: StudySpec) -> list[str]:
    lines = ["", "references, tried first"] if spec.reference else []
    for reference, hyperparameters in spec.references:
        times = f" ({reference.repeats} times)" if reference.repeats > 1 else ""
        lines += [f"  {reference.name}{times}", f"    {hyperparameters}"]
    return lines


def _draws(spec: StudySpec) -> list[str]:
    """The first draws of the sampler, in memory; they show what it makes of the space."""
    if not spec.space:
        return []
    import optuna

    study = optuna.create_study(direction=spec.direction)
    lines = ["", "sample draws"]
    for i in range(N_SAMPLES):
        study.sampler = trials.build_sampler(spec.sampler, spec.seed, i)
        lines.append(f"  {space.suggest(study.ask(), spec.searched)}")
    return lines


def _arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in arguments.items())


def _most_epochs(spec: StudySpec) -> int:
    corner = [spec.searched.corner(largest=True)] if spec.space else []
    return max(each.epochs for each in [*corner, *(h for _, h in spec.references)])
