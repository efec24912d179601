"""What `pipeline.best` prints of a champion, or of an ensemble."""

import os
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.data import datasets
from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Interval
from pipeline.evaluation.sentences import describe_verdict
from pipeline.evaluation.verdict import Verdict
from pipeline.masking import mask
from pipeline.paths import DEFAULT_STUDY
from pipeline.reading.column import Dialect
from pipeline.reading.tables import PARQUET
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial
from pipeline.wording import count_noun, wrap


def ensemble_text(spec: StudySpec, found: Mapping[str, Any]) -> str:
    """Shows an ensemble, by `ensemble.summary`."""
    members, gain, objective = found["ensemble"], found["gain"], spec.objective
    n_picks = sum(each["picks"] for each in members)
    lines = [f"study {spec.name}: the mean answer of {count_noun(len(members), 'network')}"]
    for each in members:
        given = Hyperparameters.from_mapping(each["hyperparameters"])
        share = f"{each['picks']} of {n_picks}"
        said = f"{share:>8}  trial {each['trial']}: {objective.show(each['value'])}, {given}"
        lines.append(wrap(said, indent="  "))
    like, more = gain["champion"], gain["ensemble"] - gain["champion"]
    interval = Interval(*gain["difference_95"]).show(objective, like, is_signed=True)
    return "\n".join(
        [
            *lines,
            f"  {count_noun(found['n_parameters'], 'parameter')} in all",
            "",
            *_scores(spec, found),
            "",
            f"  {objective.words} of the champion alone: {objective.show(like)}",
            f"  the mean of all: {intervals.show(objective, more, like, is_signed=True)} "
            f"(95 % interval {interval},",
            "  from a bootstrap of the examples on which they were chosen: somewhat too good)",
        ]
    )


def champion_text(
    spec: StudySpec, champion: Trial, found: Mapping[str, Any], judged: Verdict | None = None
) -> str:
    """Shows the champion, by `champion.summary`, and the commands that hand over its model."""
    name = "" if spec.name == DEFAULT_STUDY else f" {spec.name}"
    lines = [
        f"study {spec.name}: champion is trial {champion.number}",
        wrap(champion.hyperparameters, indent="  "),
        f"  {champion.n_parameters:,} parameters, weights of epoch {champion.best_epoch} of "
        f"{champion.n_epochs}, seed {champion.seed}",
        *([f"  ended before its own end: {champion.ending}"] if champion.ending else []),
        *_refitted(spec, found),
        "",
        *_scores(spec, found),
        *_over_seeds(spec, found),
        *_verdict(spec, judged),
        "",
        "hyperparameters",
    ]
    assert champion.hyperparameters is not None
    shown = champion.hyperparameters.shown(spec.named)
    width, again = max(map(len, shown)), " --refit" if "refit" in found else ""
    lines += [f"  {key:<{width}} {value}" for key, value in shown.items()]
    lines += [
        "",
        f"the model: .venv/bin/python -m pipeline.best{name}{again} --export",
        *_from_mlflow(spec),
    ]
    return "\n".join(lines)


def _verdict(spec: StudySpec, judged: Verdict | None) -> Iterator[str]:
    """Says what finals have shown, if there were any."""
    if judged:
        yield "\nverdict"
        for said in describe_verdict(judged, spec.task, spec.metric):
            yield wrap(said, indent="  ")


def _refitted(spec: StudySpec, found: Mapping[str, Any]) -> Iterator[str]:
    if "refit" in found:
        n, epochs = found["refit"]["n_examples"], count_noun(found["refit"]["epochs"], "epoch")
        yield f"  trained again for {epochs} on {count_noun(n, spec.task.example)}, which are"
        yield "  all but the test set; the validation score is of the network before that"


def _scores(spec: StudySpec, found: Mapping[str, Any]) -> Iterator[str]:
    validation, test, score = found["validation"], found["test"], spec.task.score
    value = score.show(validation[score.quantity])
    if f"{score.quantity}_95" in validation:
        interval = Interval(*validation[f"{score.quantity}_95"])
        value += f" (95 % interval {interval.show(score, validation[score.quantity])})"
    yield f"  {score.words}  {value}{_others(spec, validation)}"
    said = "sealed; --export opens the test set, once"
    if test:
        said = score.show(test[score.quantity])
        if (error := intervals.error_of(score, test)) is not None:
            said += f" (standard error {intervals.show(score, error, test[score.quantity])})"
        said += _others(spec, test)
    yield f"  {f'test {score.noun}':<{len(score.words)}}  {said}"


def _over_seeds(spec: StudySpec, found: Mapping[str, Any]) -> Iterator[str]:
    """Shows what the champion's network came to with several seeds, by `champion.summary`."""
    seeds, score = found.get("seeds", {}), spec.task.score
    for part, words in (("validation", score.words), ("test", f"test {score.noun}")):
        if part in seeds:
            mean, values = seeds[part]["mean"], seeds[part]["values"]
            interval = Interval(*seeds[part]["mean_95"]).show(score, mean)
            if part == "validation":
                yield f"  the same network with {len(values)} seeds, means:"
            shown = f"{score.show(mean)} (95 % interval {interval})"
            yield f"  {words:<{len(score.words)}}  {shown}"


def _from_mlflow(spec: StudySpec) -> list[str]:
    """Spells the command that loads the model from MLflow, as pasted into any shell here.

    Of a table that is one which answers the rows of a file.

    A store with a secret in its URL is not named: whoever has its variable has it again.
    """
    store = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlruns/mlflow.db"
    is_secret = mask(store, store) != store
    features, model = spec.task.features, f"'models:/{spec.name}@champion'"
    needed, use = "mlflow", f"mlflow.keras.load_model({model}).summary()"
    if features and features.inputs:
        reading = _reading(datasets.dialect(spec.data_spec))
        if spec.dataset.lower().endswith(PARQUET):
            reading = "pandas.read_parquet('rows.parquet')"
        needed, use = (
            "mlflow, pandas",
            f"print(mlflow.pyfunc.load_model({model}).predict({reading}))",
        )
    given = "" if is_secret else f"MLFLOW_TRACKING_URI={shlex.quote(store)} "
    return [
        "or from MLflow, where it is registered when a search ends"
        f"{', with MLFLOW_TRACKING_URI as now' if is_secret else ''}:",
        f'KERAS_BACKEND=tensorflow {given}.venv/bin/python -c "import {needed}; {use}"',
    ]


def _reading(dialect: Dialect) -> str:
    """Spells how pandas reads rows as they were for the training: as text, which a model reads."""
    sign = dialect.delimiter
    sep = f"'\\x{ord(sign):02x}'" if sign in "$`'!\\" else repr(sign)  # which a shell would obey
    given = f"'rows.csv', sep={sep}, encoding='{dialect.encoding}'"
    if dialect.n_skipped:
        given += f", skiprows={dialect.n_skipped}"
    if dialect.names:
        given += ", header=None"
    given += f", decimal='{dialect.decimal}', dtype=str, keep_default_na=False"
    named = ".rename(columns=lambda i: f'column {i + 1}')" if dialect.names else ""
    return f"pandas.read_csv({given}){named}"


def _others(spec: StudySpec, found: Mapping[str, Any]) -> str:
    """Lists what else was measured, behind the score."""
    others = [each for each in spec.task.objectives[1:] if each.quantity in found]
    return "".join(f", {each.noun} {each.show(found[each.quantity])}" for each in others)
