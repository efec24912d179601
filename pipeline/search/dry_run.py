"""What a search would do, shown without doing it: `python -m pipeline.search --dry-run`."""

import inspect
from collections.abc import Mapping
from typing import Any

from pipeline.data import datasets
from pipeline.errors import UsageError
from pipeline.escaping import for_screen
from pipeline.search import known_space, samplers
from pipeline.search.distinct import Untried
from pipeline.search.pausing import build_policy
from pipeline.search.warm_start import WarmStart
from pipeline.study.budget import Budget
from pipeline.study.halving import affordable
from pipeline.study.network_input import layer_parameters
from pipeline.study.ranges import Choices, Entry
from pipeline.study.resources import Resources
from pipeline.study.spec import Component, StudySpec
from pipeline.wording import count_noun, inflect, join_names, wrap

N_SAMPLES = 5
WIDTH = 100  # of what is said of data


def preview(spec: StudySpec, start: WarmStart | None = None) -> str:
    """Describes space, network sizes, rungs and sample draws as text, without searching.

    Args:
        spec: the study file.
        start: networks of earlier studies, which are tried first.

    Raises:
        UsageError: the sampler or the pruner cannot do it; the text says which and why.
    """
    draws = _draws(spec)  # first, since what follows relies on arguments that Optuna has taken
    budget, n_combinations = spec.budget, Untried(spec).n_combinations
    is_either = bool(budget.trials and budget.minutes)
    said = known_space.remark(spec)
    ends = []
    if n_combinations is not None and n_combinations <= (budget.trials or n_combinations):
        counted = count_noun(n_combinations, "possible combination")
        ends = [f"          the space has {counted}: the search ends when all are tried"]
    lines = [
        f"study {spec.name}: {spec.goal}",
        "",
        f"data      {spec.dataset}, fingerprint {datasets.fingerprint(spec.data_spec)[:12]}",
        *_about(spec),
        f"metric    {spec.metric}, {spec.direction}",
        f"budget    {_amount(budget)}{', whichever comes first' * is_either}",
        *ends,
        *_finals(spec),
        f"training  patience {count_noun(spec.training.patience, 'epoch')}, "
        f"at most {count_noun(spec.training.trial_minutes, 'minute')} a trial",
        *_resources(spec),
        f"sampler   {spec.sampler.type} {_arguments(spec.sampler.arguments)}".rstrip(),
        *([f"          {said}"] if said else []),
        f"pruner    {spec.own_pruner.type} {_arguments(spec.own_pruner.arguments)}".rstrip(),
        f"          {rungs(spec)}",
        *_audit(spec),
    ]
    shown = "\n".join(
        [*lines, *_space(spec), *_sizes(spec), *_references(spec), *_earlier(start), *draws]
    )
    return for_screen(shown)


def _finals(spec: StudySpec) -> list[str]:
    finals = spec.finals
    if finals is None or not spec.space:
        return []
    searched, kept = spec.budget.split(finals.share)
    if kept is None:
        return ["finals    none: of so few trials nothing is left for them"]
    first, *others = affordable([0] * finals.networks, finals.seeds, kept.trials)
    steps = [f"{count_noun(first.n_networks, 'network')} with {first.n_fresh + 1} seeds"]
    steps += [f"{each.n_networks} with {each.n_fresh + 1}" for each in others]
    beside = "; and the best reference" if spec.reference else ""
    return [
        f"finals    {_amount(kept)} of it, after {_amount(searched)} of search",
        f"          at most {', '.join(steps)}{beside}",
    ]


def _resources(spec: StudySpec) -> list[str]:
    return [] if spec.resources == Resources() else [f"          {spec.resources} a trial"]


def _audit(spec: StudySpec) -> list[str]:
    if not spec.audit:
        return []
    share = f"{100 * spec.audit:.4g} %"
    return [f"          audit: {share} of what it would drop is trained to its end all the same"]


def _amount(budget: Budget) -> str:
    trials = [count_noun(budget.trials, "trial")] if budget.trials else []
    minutes = [count_noun(budget.minutes, "minute")] if budget.minutes else []
    return " or ".join(trials + minutes)


def _about(spec: StudySpec) -> list[str]:
    remarks, warnings = datasets.about(spec.data_spec)
    indent = " " * 10
    said = (*remarks, *(f"warning: {each}" for each in warnings))
    return [wrap(each, WIDTH, indent) for each in said]


def rungs(spec: StudySpec) -> str:
    """Says in a line after which epochs the pruner may prune a trial."""
    epochs = samplers.most_epochs(spec)
    if epochs is None:
        return "never prunes: references are trained to their end"
    looks = _looks(spec.own_pruner, epochs)
    if policy := build_policy(spec):
        after = join_names([*map(str, policy.rungs(epochs))])
        return f"{looks}; trials may be paused after epoch {after}, and go on later"
    return looks


def _looks(pruner: Component, epochs: int) -> str:
    """Says when a pruner looks at a trial.

    Args:
        pruner: the table of a study file, or one inside it.
        epochs: the most that a trial may have.
    """
    arguments = samplers.resources(pruner, epochs)
    taken = inspect.signature(type(samplers.build_pruner(pruner, epochs))).parameters
    match pruner.type:
        case "SuccessiveHalvingPruner":
            return _halving(arguments, epochs)
        case "HyperbandPruner":
            return _hyperband(arguments)
        case "NopPruner":
            return "never prunes"
        case "PatientPruner":
            waits = f"after {count_noun(arguments['patience'], 'epoch')} without a gain"
            if not isinstance(inner := arguments.get("wrapped_pruner"), dict):
                return f"may prune {waits}"
            return f"{_looks(Component.model_validate(inner), epochs)}; {waits} at the earliest"
    if "n_warmup_steps" not in taken:
        return "may prune after every epoch"
    first = max(1, arguments.get("n_warmup_steps", 0))
    interval = arguments.get("interval_steps", 1)
    every = "every epoch" if interval == 1 else f"every {count_noun(interval, 'epoch')}"
    text = f"may prune after epoch {first} and {every} from then on"
    if "n_startup_trials" not in taken:
        return text
    n_trials = arguments.get("n_startup_trials", 5)
    needed = f"{count_noun(n_trials, 'trial')} {inflect('is', n_trials, 'are')}"
    return f"{text}, once {needed} complete"


def _halving(arguments: Mapping[str, Any], epochs: int) -> str:
    epoch, factor = arguments["min_resource"], arguments.get("reduction_factor", 4)
    found = _powers(epoch * factor ** arguments.get("min_early_stopping_rate", 0), factor, epochs)
    kept = f"the best 1/{factor} go on"
    return f"rungs after epoch {', '.join(found)}: {kept}" if found else "no rung in reach"


def _hyperband(arguments: Mapping[str, Any]) -> str:
    first, last = arguments.get("min_resource", 1), arguments["max_resource"]
    factor = arguments.get("reduction_factor", 3)
    found = _powers(first, factor, last)
    if not found:
        return "no bracket in reach"
    starts = " or ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)
    n_brackets = count_noun(len(found), "bracket")
    return f"{n_brackets}, rungs from epoch {starts}, each {factor} times the last"


def _powers(epoch: float, factor: float, last: float) -> list[str]:
    """Lists an epoch times each power of a factor, up to the last; none if they do not rise."""
    found = []
    while 0 < epoch <= last and factor >= 2:
        found.append(str(epoch))
        epoch *= factor
    return found


def _space(spec: StudySpec) -> list[str]:
    lines = ["", "space"]
    width = max(14, *map(len, (*spec.space, *spec.fixed)), 0)
    for name, entry in spec.space.items():
        lines.append(f"  {name:<{width}} {_values(entry)}")
    for name, value in spec.fixed.items():
        lines.append(f"  {name:<{width}} {value} (fixed)")
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
    task, lines = spec.task, ["", "networks"]
    for label, largest in (("smallest", False), ("largest", True)):
        hyperparameters = spec.searched.corner(largest)
        n_parameters = sum(
            layer_parameters(hyperparameters, task.input_shape, task.n_outputs, task.features)
        )
        units = "-".join(map(str, hyperparameters.units)) or "no hidden layer"
        lines.append(f"  {label:<9} {n_parameters:>11,} parameters: {units}")
    return lines


def _references(spec: StudySpec) -> list[str]:
    lines = ["", "references, tried first"] if spec.reference else []
    for reference in spec.reference:
        times = f" ({reference.repeats} times)" if reference.repeats > 1 else ""
        lines.append(f"  {reference.name}{times}")
        lines.append(wrap(reference.network or reference.trainer, WIDTH, "    "))
    return lines


def _earlier(start: WarmStart | None) -> list[str]:
    if start is None or not start.networks:
        return []
    listed = [wrap(f"{e.source}: {e.hyperparameters}", WIDTH, "  ") for e in start.networks]
    said = [wrap(each, WIDTH, "  ") for each in start.said]
    return ["", "from earlier studies", *said, *listed]


def _draws(spec: StudySpec) -> list[str]:
    """Draws from the sampler in memory, which shows what it makes of the space."""
    try:
        drawn = samplers.rehearse(spec, N_SAMPLES)
    except UsageError as error:
        raise UsageError(f"study {spec.name}: {error}") from None
    if not drawn:
        return []
    return ["", "sample draws", *(wrap(each, WIDTH, "  ") for each in drawn)]


def _arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in arguments.items())
