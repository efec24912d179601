"""The model card of an export: what the model is and how far to trust it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.data import datasets
from pipeline.escaping import for_markdown
from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Interval
from pipeline.evaluation.sentences import describe_verdict
from pipeline.export import champion, errors_section
from pipeline.export.formats_section import formats_section
from pipeline.export.use_section import use
from pipeline.formats.parity import Format
from pipeline.storage import study_store
from pipeline.storage.studies import StoredStudy
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.spec import StudySpec
from pipeline.study.trial import select_counted
from pipeline.wording import count_noun, inflect, wrap

WIDTH = 110  # of what is said of finals


def text(
    stored: StoredStudy,
    found: dict[str, Any],
    row: Mapping[str, Any] | None = None,
    files: Path | None = None,
    formats: Mapping[str, Format] | None = None,
) -> str:
    """Writes the card in Markdown, from recorded facts alone.

    Args:
        stored: the study.
        found: the champion's `champion.summary`, or an ensemble's, test score included.
        row: of a table, an example of each column's values.
        files: folder with what shows how the model errs; None if that is not known.
        formats: by `writing.write_formats`.
    """
    study, spec = stored.study, stored.spec
    test, validation = found["test"], found["validation"]
    task = spec.task
    trust = ""
    score, value, source = task.score, test[task.score.quantity], Path(spec.data_spec.dataset)
    noted = test.get(score.error_quantity)
    groups = test.get("n_groups")
    interval = intervals.interval_of(score, value, groups or test["n_examples"], noted)
    error = intervals.error_of(score, test)
    if interval and error is not None:
        trust = (
            f"- The test score has a standard error of {intervals.show(score, error, value)}. "
            f"With 95 % confidence the {score.noun} on such\n  {inflect(task.example, 2)} is "
            f"{interval.show(score, value)}.\n"
        )
        if groups:
            example = inflect(task.example, 2)
            trust += (
                f"  Both are by group: these {example} come in {count_noun(groups, 'group')}.\n"
            )
    n_trials = count_noun(len(select_counted(study_store.read_trials(study))), "trial")
    n_looks = len(study_store.test_looks(study))
    looks = "once" if n_looks == 1 else f"{n_looks} times"
    facts = study.user_attrs[study_store.VERSIONS]
    versions = ", ".join(f"{k[8:]} {v}" for k, v in facts.items() if k.startswith("version."))
    metrics = [each for each in task.objectives if each.quantity in {*test} & {*validation}]
    scores = "\n".join(
        f"| {name} | {' | '.join(m.show(part[m.quantity]) for m in metrics)} "
        f"| {part['n_examples']:,} |"
        for name, part in (("test", test), ("validation", validation))
    )
    is_ensemble = "ensemble" in found
    title = f"the champion, trial {found['trial']}" if not is_ensemble else "an ensemble"
    selected = f"selected as the best of {n_trials}, at its\n  best epoch"
    judged = None if is_ensemble else champion.judge(stored)
    if judged:
        selected = f"of {n_trials}, it is the best\n  run of the network that has won the finals"
    if is_ensemble:
        selected = f"of {n_trials}, these networks were\n  chosen by it"
    verdict = "".join(
        f"{wrap(f'- {for_markdown(said)}', WIDTH)}\n"
        for said in (describe_verdict(judged, task, spec.metric) if judged else ())
    )
    return f"""# {spec.name}: {title}

{for_markdown(spec.goal)}

## Use

{use(task, row, is_folder=source.is_absolute() and source.is_dir())}
{formats_section(task, formats or {})}\
## How good it is

| {inflect(task.example, 2)} | {" | ".join(metric.noun for metric in metrics)} | number |
|---|{"---|" * len(metrics)}---|
{scores}

{trust}- The test set was sealed during the search. For this study it has been looked at {looks}.
- The validation score is optimistically biased: {selected}. The test score is not.
{_refitted(spec, found)}{_gain(spec, found) if is_ensemble else _trained(spec, found)}
{verdict}
{_errors(spec, found, files)}{_data(spec)}## What it is

{_members(found) if is_ensemble else _network(spec, found)}

## Where it comes from

| | |
|---|---|
| data | {spec.dataset}, fingerprint {study.user_attrs[study_store.DATA_FINGERPRINT][:12]} |
| study | {spec.name}, fingerprint {spec.fingerprint[:12]} |
| MLflow run | {", ".join(each["run_id"] for each in found.get("ensemble", [found]))} |
| machine | {facts["machine"]} |
| versions | {versions} |
| commit | {facts.get("git_commit", "unknown")} |
"""


def _errors(spec: StudySpec, found: Mapping[str, Any], files: Path | None) -> str:
    """Tells how the model errs; "" if that is not known."""
    if files is None or "test_details" not in found:
        return ""
    return errors_section.write(spec.task, found["test"], found["test_details"], files) + "\n"


def _trained(spec: StudySpec, found: Mapping[str, Any]) -> str:
    seed = f"seed {found['seed']}. Another seed gives another score."
    n_folds = spec.task.n_folds
    if n_folds == 1:
        once = f"- The network was trained once, with {seed}"
        return _over_seeds(spec, found) if "seeds" in found else once
    others = f"\n{_over_seeds(spec, found)}" if "seeds" in found else ""
    return (
        f"- The model is the mean of {n_folds} networks, each trained once on all rows "
        f"but one fold and the test\n  rows, with {seed} Each validation row was answered by "
        f"the network\n  that had not seen it.{others}"
    )


def _refitted(spec: StudySpec, found: Mapping[str, Any]) -> str:
    """Says that a network was trained again on more data; "" of others."""
    if "refit" not in found:
        return ""
    n, epochs = found["refit"]["n_examples"], count_noun(found["refit"]["epochs"], "epoch")
    return (
        f"- **Trained again** on training and validation data together, {n:,} "
        f"{inflect(spec.task.example, n)}, for\n  {epochs}: the validation score is that of the "
        "network before, the test score its own.\n"
    )


def _over_seeds(spec: StudySpec, found: Mapping[str, Any]) -> str:
    """Tells what the same network came to with several seeds."""
    score, seeds = spec.task.score, found["seeds"]
    said = [
        f"{part} {score.noun} {score.show(known['mean'])} (95 % interval "
        f"{Interval(*known['mean_95']).show(score, known['mean'])})"
        for part in ("test", "validation")
        if (known := seeds.get(part))
    ]
    return (
        f"- This model was trained with seed {found['seed']}. The same network was trained with "
        f"{len(seeds['trials'])} seeds;\n  their mean {' and '.join(said)}."
    )


def _network(spec: StudySpec, found: Mapping[str, Any]) -> str:
    n_parameters = count_noun(found["n_parameters"], "parameter")
    n_epochs = count_noun(found["epochs_trained"], "epoch")
    ended = f" What ended the training: {found['ended']}." if found["ended"] else ""
    trained = (
        f"Trained for {n_epochs}; the weights are\nthose of epoch {found['best_epoch']}.{ended}"
    )
    if "refit" in found:
        n_epochs = count_noun(found["refit"]["epochs"], "epoch")
        trained = f"Trained again for {n_epochs}; the\nweights are those of the last one."
    hyperparameters = "\n".join(
        f"| {name} | {value} |"
        for name, value in Hyperparameters(**found["hyperparameters"]).shown(spec.named).items()
    )
    return f"""{n_parameters}. {trained}

| hyperparameter | value |
|---|---|
{hyperparameters}"""


def _gain(spec: StudySpec, found: Mapping[str, Any]) -> str:
    """Says what the mean is better by than the best network alone."""
    metric, gain = spec.objective, found["gain"]
    like = gain["champion"]
    more = intervals.show(metric, gain["ensemble"] - like, like, is_signed=True)
    interval = Interval(*gain["difference_95"]).show(metric, like, is_signed=True)
    return (
        f"- By {metric.words} the best network alone has {metric.show(like)}, the mean of all "
        f"{more}\n  (95 % interval {interval}, from a bootstrap of the\n  "
        f"{inflect(spec.task.example, 2)} on which they were chosen)."
    )


def _members(found: Mapping[str, Any]) -> str:
    """Lists the networks of an ensemble."""
    members = found["ensemble"]
    n_picks = sum(each["picks"] for each in members)
    rows = "\n".join(
        f"| {each['trial']} | {each['picks']} of {n_picks} | {each['seed']} "
        f"| {Hyperparameters.from_mapping(each['hyperparameters'])} |"
        for each in members
    )
    return f"""The mean answer of {count_noun(len(members), "network")}, with
{count_noun(found["n_parameters"], "parameter")} in all. They are the best of the study, and were
chosen one after the other, each as the one with which the mean is best; one may come again
(Caruana et al. 2004).

| trial | share | seed | network |
|---|---|---|---|
{rows}"""


def _data(spec: StudySpec) -> str:
    """Lists what was found out of the data; "" of a data set that is known by name."""
    remarks, warnings = datasets.about(spec.data_spec)
    lines = [f"- {for_markdown(remark)}" for remark in remarks]
    lines += [f"- **Note:** {for_markdown(warning)}" for warning in warnings]
    listed = "\n".join(lines)
    return f"## Data\n\n{listed}\n\n" if lines else ""
