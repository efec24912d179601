"""The model card of an export: what the model is and how far to trust it."""

from typing import Any

from pipeline.data import pixels
from pipeline.data.task import Kind, Task
from pipeline.escaping import for_markdown
from pipeline.evaluation import intervals
from pipeline.storage import study_store
from pipeline.storage.studies import StoredStudy
from pipeline.study.trial import select_counted
from pipeline.wording import count_noun, inflect


def text(stored: StoredStudy, found: dict[str, Any]) -> str:
    """Writes the card in Markdown, from recorded facts alone.

    Args:
        stored: the study.
        found: the champion's `champion.summary`, test score included.
    """
    study, spec = stored.study, stored.spec
    test, validation = found["test"], found["validation"]
    task = spec.task
    trust = ""
    score, value = task.score, test[task.score.quantity]
    noted = test.get(f"{score.quantity}_se")
    interval = intervals.interval_of(score, value, test["n_images"], noted)
    error = intervals.error_of(score, test)
    if interval and error is not None:
        trust = (
            f"- The test score has a standard error of {intervals.show(score, error, value)}. "
            f"With 95 % confidence the {score.noun} on such\n  {inflect(task.example, 2)} is "
            f"{interval.show(score, value)}.\n"
        )
    n_trials = count_noun(len(select_counted(study_store.read_trials(study))), "trial")
    n_parameters = count_noun(found["n_parameters"], "parameter")
    n_epochs = count_noun(found["epochs_trained"], "epoch")
    n_looks = len(study_store.test_looks(study))
    looks = "once" if n_looks == 1 else f"{n_looks} times"
    facts = study.user_attrs[study_store.VERSIONS]
    versions = ", ".join(f"{k[8:]} {v}" for k, v in facts.items() if k.startswith("version."))
    is_image = task.input_dtype == "uint8"
    takes = pixels.RANGE if is_image else f"raw {task.input_dtype}"
    care = f"{pixels.CARE}\n\n" if is_image else ""
    shape = ", ".join(map(str, task.input_shape))
    answers, examples = "numbers" if task.is_regression else "probabilities", f"{task.example}s"
    classes = "".join(f"{i}. {name}\n" for i, name in enumerate(task.class_names))
    classes += "\n" if classes else ""
    hyperparameters = "\n".join(
        f"| {name} | {value} |" for name, value in found["hyperparameters"].items()
    )
    ended = f" What ended the training: {found['ended']}." if found["ended"] else ""
    metrics = [each for each in task.objectives if each.quantity in {*test} & {*validation}]
    scores = "\n".join(
        f"| {name} | {' | '.join(m.show(part[m.quantity]) for m in metrics)} "
        f"| {part['n_images']:,} |"
        for name, part in (("test", test), ("validation", validation))
    )
    return f"""# {spec.name}: the champion, trial {found["trial"]}

{for_markdown(spec.goal)}

## Use

```python
import os

os.environ["KERAS_BACKEND"] = "tensorflow"
import keras

model = keras.saving.load_model("model.keras")
{answers} = model.predict({examples})  # {examples}: (n, {shape}){", 0 to 255" if is_image else ""}
```

It takes {takes}, scales them itself, and gives {_gives(task)}

{classes}{care}## How good it is

| {inflect(task.example, 2)} | {" | ".join(metric.noun for metric in metrics)} | number |
|---|{"---|" * len(metrics)}---|
{scores}

{trust}- The test set was sealed during the search. For this study it has been looked at {looks}.
- The validation score is optimistically biased: selected as the best of {n_trials}, at its
  best epoch. The test score is not.
- The network was trained once, with seed {found["seed"]}. Another seed gives another score.

## What it is

{n_parameters}. Trained for {n_epochs}; the weights are
those of epoch {found["best_epoch"]}.{ended}

| hyperparameter | value |
|---|---|
{hyperparameters}

## Where it comes from

| | |
|---|---|
| data | {spec.dataset}, fingerprint {study.user_attrs[study_store.DATA_FINGERPRINT][:12]} |
| study | {spec.name}, fingerprint {spec.fingerprint[:12]} |
| MLflow run | {found["run_id"]} |
| machine | {facts["machine"]} |
| versions | {versions} |
| commit | {facts.get("git_commit", "unknown")} |
"""


def _gives(task: Task) -> str:
    """Says what a model answers."""
    if task.is_regression:
        return f"{for_markdown(task.target.name) or 'its target'} in units of its own."
    if task.kind is Kind.BINARY:
        return "the probability of the second class:"
    return "one probability for each class:"
