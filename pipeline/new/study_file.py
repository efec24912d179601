"""The text of a study file, with comments that say why: TOML that a person goes on with."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from pipeline.cores import n_cores
from pipeline.errors import printable
from pipeline.new.plan import MANY_VALUES, SMALL, Plan
from pipeline.new.survey import Survey
from pipeline.study import toml
from pipeline.study.trainers import CONSTANT, GRADIENT_BOOSTING, SIMPLE
from pipeline.task.settings import DataSettings
from pipeline.task.task import Kind
from pipeline.wording import count_noun

N_LEFT_OUT = 20  # columns that are left out, each in a line of its own
_LONGEST, _MOST_LINES = 96, 4  # characters of a line of a comment, and lines
_BALANCED = 'class_weights = "balanced"'
_WORDS_OF_METRIC = {
    "val_rmse": "typical error, in units of the target; or val_mae, val_r2",
    "val_accuracy": "or val_balanced_accuracy, val_macro_f1, val_roc_auc, val_log_loss",
    "val_roc_auc": "one class is rare, so accuracy would say little; or val_balanced_accuracy",
    "val_balanced_accuracy": "some classes are rare: each counts the same; or val_macro_f1",
}


def text_of(
    data: Survey, plan: Plan, dataset: str, name: str, found: str, settings: DataSettings
) -> str:
    """Writes a study file.

    Args:
        data: what they are like.
        plan: what suits them.
        dataset: as the file says it: a name, or a path from the study file's folder.
        name: of the file, folder or data set.
        found: a sentence on the data.
        settings: of `[data]` that are given.
    """
    blocks = (
        _head(data, plan, dataset, name, found, settings.loss),
        _data(data, plan, settings) if data.has_settings else (),
        _budget(plan),
        _training(plan),
        _sampler(),
        _space(data, plan),
    )
    return "\n".join("".join(f"{line}\n" for line in block) for block in blocks if block)


def _head(
    data: Survey, plan: Plan, dataset: str, name: str, found: str, loss: str | None
) -> list[str]:
    what = f" that answers {data.target}" if data.target else ""
    lines = [
        *_comment(found),
        f"goal = {toml.quote(f'Find the best small network{what}, from {name}.')}",
        f"dataset = {toml.quote(dataset)}",
        *([f"target = {toml.quote(data.target)}"] if data.target else []),
        f'metric = "{plan.metric}"  # {_WORDS_OF_METRIC[plan.metric]}',
        "reference = [  # simple models, trained first: what a network has to beat",
    ]
    for trainer, words in SIMPLE.items():
        if trainer == CONSTANT:
            words = "median" if loss == "absolute" else "mean"  # which has the least loss
            words = words if data.kind is Kind.REGRESSION else "majority class"
        if trainer == GRADIENT_BOOSTING and not plan.has_trees:
            lines.append(
                f"  # {trainer} is left out: it would take about {plan.trees_minutes:,.0f} "
                "minutes, more than trial_minutes"
            )
        else:
            lines.append(f'  {{ name = "{words}", trainer = "{trainer}" }},')
    return [*lines, "]"]


def _data(data: Survey, plan: Plan, settings: DataSettings) -> Iterator[str]:
    yield "[data]  # how the data are read and split"
    if data.read_as:
        yield from _comment(f"found: {'; '.join(data.read_as)}")
    for said in data.left_out[:N_LEFT_OUT]:
        yield from _comment(said)
    if len(data.left_out) > N_LEFT_OUT:
        yield f"# and {len(data.left_out) - N_LEFT_OUT} more, see python -m pipeline.data FILE"
    given = settings.model_dump(exclude_unset=True)
    for key, value in given.items():
        yield f"{key} = {toml.inline(value)}"
    for key, line in _chosen(data, plan):
        if key not in given:
            yield line


def _chosen(data: Survey, plan: Plan) -> Iterator[tuple[str, str]]:
    """Yields keys of `[data]`, each with its line."""
    if data.is_guess:
        other = "classification" if data.kind is Kind.REGRESSION else "regression"
        task = "regression" if data.kind is Kind.REGRESSION else "classification"
        yield "task", f'task = "{task}"  # or "{other}"'
    if data.is_skewed:
        yield (
            "target_transform",
            'target_transform = "log"  # the target is skewed, and much less so on a logarithmic '
            'scale; or "none"',
        )
    if plan.folds:
        yield (
            "folds",
            f"# fewer than {SMALL:,} {data.example}s, so a trial trains {plan.folds} networks, "
            f"which takes {plan.folds} times as long; its value\n# is of all {data.example}s but "
            "the test's, each answered by the network that has not seen it\n"
            f"folds = {plan.folds}  # or instead validation = 0.2, one network",
        )
    else:
        share = f"validation = 0.2  # share of all {data.example}s that chooses among networks"
        yield "validation", share
    if not data.has_test:
        share = f"test = 0.2  # share of all {data.example}s that stays sealed until an export"
        yield "test", share
    if plan.is_balanced:
        yield "class_weights", f"{_BALANCED}  # in training each class weighs the same"
    elif plan.metric == "val_roc_auc":
        yield "class_weights", f"# {_BALANCED}  # in training each class would weigh the same"
    for column in data.groups:
        text = f"# group = {toml.quote(column)}  # would keep all rows of one value in one part"
        yield "group", text
    for column in data.dates:
        others = " (without folds)" if plan.folds else ""
        would = f"would validate and test on the latest rows{others}"
        yield "time", f"# time = {toml.quote(column)}  # {would}"
    if data.kinds:
        yield "drop", "# drop = []  # columns that are not known when an answer is wanted"


def _budget(plan: Plan) -> list[str]:
    return [
        "[budget]  # over all reruns, a fifth for finals; trials = N ends it after so many",
        f"minutes = {plan.minutes}  # estimated for {count_noun(n_cores(), 'core')}",
    ]


def _training(plan: Plan) -> list[str]:
    return [
        "[training]",
        f"patience = {plan.patience}  # epochs without improvement before a trial stops itself",
        f"trial_minutes = {plan.trial_minutes}  # wall limit of one trial",
    ]


def _sampler() -> list[str]:
    return [
        "[sampler]",
        'type = "FreezeThawSampler"  # pauses trials that fall behind; or one of optuna.samplers',
        "seed = 42",
    ]


def _space(data: Survey, plan: Plan) -> Iterator[str]:
    yield "[fixed]  # hyperparameters that are not searched"
    yield f"epochs = {plan.epochs}  # at most"
    if not plan.has_convolutions:
        yield 'layer_kind = "dense"'
    yield ""
    yield "[space]  # ranges and choices of those that are"
    yield "# others, such as weight decay, are off unless they are named: docs/hyperparameters.md"
    if plan.has_convolutions:
        yield f"layer_kind = {_choices(['dense', 'convolutional'])}"
    yield f"hidden_layers = {_range('int', *plan.hidden_layers)}"
    per_layer = 'log = true, per = "hidden_layers"'
    yield f"units = {_range('int', *plan.units, per_layer)}"
    yield f"activation = {_choices(['relu', 'silu', 'tanh'])}"
    yield f"dropout = {_range('float', 0.0, 0.5)}"
    if plan.encodings:
        yield f"numeric_encoding = {_choices(plan.encodings)}"
        when = f"when = {{ numeric_encoding = {_list(plan.encodings[1:])} }}"
        yield f"numeric_bins = {_range('int', 4, 32, when)}"
    if plan.embedding_sizes:
        sizes = _choices(plan.embedding_sizes)
        slow = "" if 0 in plan.embedding_sizes else "; 0, one-hot, would be slow"
        yield f"embedding_size = {sizes}  # a category has over {MANY_VALUES} values{slow}"
    yield f"optimizer = {_choices(['adam', 'adamw'])}"
    yield f"learning_rate = {_range('float', *plan.learning_rates, 'log = true')}"
    yield f"batch_size = {_choices(plan.batch_sizes)}"


def _range(kind: str, low: float, high: float, more: str = "") -> str:
    more = f", {more}" if more else ""
    return f'{{ type = "{kind}", low = {low}, high = {high}{more} }}'


def _choices(values: Sequence[str | int]) -> str:
    return f'{{ type = "categorical", choices = {_list(values)} }}'


def _list(values: Iterable[str | int]) -> str:
    return f"[{', '.join(json.dumps(value) for value in values)}]"


def _comment(text: str) -> list[str]:
    """Makes a comment of a text in which anything may stand, of a few lines at most."""
    lines = textwrap.wrap(
        printable(" ".join(text.split())),
        _LONGEST - 2,
        subsequent_indent="  ",
        max_lines=_MOST_LINES,
        placeholder=" ...",
        break_on_hyphens=False,
    )
    return [f"# {line}" for line in lines]
