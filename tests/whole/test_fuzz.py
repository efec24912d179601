"""Whatever somebody writes or types is done, or refused in a sentence: tried at random.

300 examples of each kind, always the same; `make fuzz` draws 10,000 others. What fails is printed
as it was written to disk.
"""

import contextlib
import copy
import inspect
import io
import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import optuna
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from pipeline import best, paths, serve, ui
from pipeline.data import __main__ as data_command
from pipeline.data import datasets, fashion_mnist
from pipeline.doctor import __main__ as doctor_command
from pipeline.errors import BAD_USAGE, DONE, FAILED, PipelineError, UsageError, run_command
from pipeline.paths import Project
from pipeline.predict import __main__ as predict_command
from pipeline.report import __main__ as report_command
from pipeline.search import __main__ as search_command
from pipeline.search import session
from pipeline.study import space
from pipeline.study.load import load
from pipeline.study.spec import StudySpec
from pipeline.tracking.run_writer import RunWriter

ROOT = Path(__file__).parents[2]
NAME = "mutated"
N_EXAMPLES = os.environ.get("FUZZ_EXAMPLES")
FUZZED = settings(
    max_examples=int(N_EXAMPLES or 300),
    derandomize=not N_EXAMPLES,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

TEXTS = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "studies").glob("*.toml"))
}
(TEXTS["docs"],) = re.findall(
    r"```toml\n(.*?)```", (ROOT / "docs" / "studies.md").read_text(encoding="utf-8"), re.DOTALL
)
BASES = [tomllib.loads(text) for text in TEXTS.values()]

# One of these says what is allowed, or where it has to stand.
_ALLOWED = re.compile(
    r"allowed|missing|without|not a TOML file|no such key|never is|no study here|(sampl|prun)er\]"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with the studies of this repository and nothing searched; the current folder."""
    folder = tmp_path_factory.mktemp("fuzz") / "project"
    shutil.copytree(ROOT / "studies", folder / "studies", ignore=lambda *_: {*TEXTS} - {"docs"})
    (folder / "data").mkdir()
    rows = "".join(f"{i % 97},{'abc'[i % 3]},{i % 97 + i % 7}.5\n" for i in range(300))
    (folder / "data" / "diamonds.csv").write_text(f"carat,cut,price\n{rows}")
    with contextlib.chdir(folder):
        yield folder


def run(main: Callable[[], int], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["command", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = run_command(main)
        except SystemExit as end:  # argparse's
            code = end.code if isinstance(end.code, int) else FAILED
    return code, out.getvalue(), err.getvalue()


def sentence(complaints: str) -> str:
    """The one line of a refusal."""
    (line,) = complaints.splitlines()
    assert line.startswith("error: ")
    assert line.isprintable()
    return line


# Study files

Key = str | int
INF, NAN = float("inf"), float("nan")
WORDS = st.sampled_from(
    ["hidden_layers", "units", "dropout", "momentum", "nesterov", "optimizer", "epochs", "type",
     "low", "high", "step", "log", "per", "when", "choices", "seed", "adam", "sgd", "relu", "int",
     "float", "bool", "categorical", "val_loss", "source", "study", "name", "RandomSampler",
     "NopPruner", "", "a\nb", "a.b", "\x00", "\x1b[2J", "\x7f", "둘", "🙂", "x" * 300]
)  # fmt: skip
HUGE = st.sampled_from(
    [2**31, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30, 10**400, 16**5000]
)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-2, 200),
    st.integers(),
    HUGE,
    st.sampled_from([0.0, -0.0, 0.1, 0.3, 0.5, 1.0, -1.0, 1e-300, 5e-324, 1e308, INF, -INF, NAN]),
    st.floats(),
    st.just(date(2026, 1, 2)),
    st.text(max_size=4),
    WORDS,
)
CONDITIONS = st.dictionaries(WORDS, st.lists(SCALARS, max_size=3), max_size=2)
ENTRIES = st.fixed_dictionaries(
    {"type": st.sampled_from(["int", "float", "categorical"])},
    optional={
        "low": SCALARS,
        "high": SCALARS,
        "step": SCALARS,
        "log": SCALARS,
        "choices": st.lists(SCALARS, max_size=4),
        "when": CONDITIONS,
    },
)
RANGES = st.fixed_dictionaries(  # of which many are allowed
    {
        "type": st.just("float"),
        "low": st.sampled_from([0.0, 0.1, 0.3]),
        "high": st.sampled_from([0.3, 0.5, 0.9]),
    },
    optional={
        "step": st.sampled_from([0.1, 0.2, 0.3, 1e-5, 1e-12]),
        "when": st.dictionaries(
            st.sampled_from(["hidden_layers", "optimizer", "dropout", "epochs"]),
            st.lists(st.sampled_from([1, 2, 6, "adam", 0.1, 0.3]), min_size=1, max_size=2),
            max_size=2,
        ),
    },
)


def nested(depth: int) -> Any:
    return {"a": nested(depth - 1)} if depth % 2 else [nested(depth - 1)] if depth else 1


VALUES = st.one_of(
    SCALARS,
    SCALARS,
    st.lists(SCALARS, max_size=4),
    st.dictionaries(WORDS, SCALARS | st.lists(SCALARS, max_size=2), max_size=3),
    CONDITIONS,
    ENTRIES,
    st.integers(1, 60).map(nested),
)
ALIKE: Mapping[type, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(0, 300),
    float: st.floats(0, 1) | st.sampled_from([0.1, 0.2, 0.3]),
    str: WORDS,
    list: st.lists(WORDS | st.integers(1, 300), max_size=4),
    dict: ENTRIES,
}


def components(module: ModuleType) -> st.SearchStrategy[dict[str, Any]]:
    """Tables with a class of Optuna and up to three of the arguments that any of its kind has."""
    kinds = {name: kind for name, kind in vars(module).items() if isinstance(kind, type)}
    names = sorted(
        {name for kind in kinds.values() for name in inspect.signature(kind).parameters}
    )
    argument = st.one_of(
        st.integers(-2, 30),
        st.sampled_from([0, 1, 100_000, 0.5, True, "auto", "x", {"units": [1]}, {"units": 1}, []]),
        st.sampled_from(sorted(kinds)).map(lambda name: {"type": name}),
        VALUES,
    )
    return st.builds(
        lambda name, arguments: {"type": name, **arguments},
        st.sampled_from(sorted(kinds)),
        st.dictionaries(st.sampled_from(names), argument, max_size=3),
    )


COMPONENTS = {
    "sampler": components(optuna.samplers),
    "pruner": components(optuna.pruners),
}


def places(value: Any) -> Iterator[tuple[Any, Key]]:
    """Every table and list in a study file, with each of its keys."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A valid study after up to five changes."""
    content: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(BASES)))
    if draw(st.booleans()):
        entries = content.setdefault("space", {})
        entries[draw(st.sampled_from(["dropout", "momentum"]))] = draw(RANGES)
    for table, tables in COMPONENTS.items():
        if draw(st.integers(0, 4)) == 4:
            content[table] = draw(tables)
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 3]))):
        change(draw, content)
        if not content:
            break
    return content


def change(draw: st.DrawFn, content: dict[str, Any]) -> None:
    """Does one thing that a slip of the hand, or somebody with bad intentions, does to a file."""
    container, key = draw(st.sampled_from(list(places(content))))
    value = container[key]
    another, its_key = draw(st.sampled_from(list(places(content))))
    actions = ["delete", "replace", "vary", "vary", "swap", "copy", "wrap"]
    actions += ["add", "rename"] * isinstance(container, dict)
    match draw(st.sampled_from(actions)):
        case "delete":
            del container[key]
        case "replace":
            container[key] = draw(VALUES)
        case "vary":
            container[key] = draw(ALIKE.get(type(value), VALUES))
        case "add":
            container[draw(WORDS)] = draw(VALUES)
        case "rename":
            container[draw(WORDS)] = container.pop(key)
        case "swap":
            container[key], another[its_key] = (
                copy.deepcopy(another[its_key]),
                copy.deepcopy(value),
            )
        case "copy" if isinstance(another, list):
            another.append(copy.deepcopy(value))
        case "copy":
            another[str(key)] = copy.deepcopy(value)
        case "wrap":
            wrapped = [value], [value, value], {"a": value}
            container[key] = copy.deepcopy(draw(st.sampled_from(wrapped)))


def toml(content: Mapping[str, Any]) -> str:
    """A study file with that content."""
    return "".join(f"{string(key)} = {inline(each)}\n" for key, each in content.items())


def inline(value: Any) -> str:
    match value:
        case dict():
            pairs = (f"{string(key)} = {inline(each)}" for key, each in value.items())
            return f"{{ {', '.join(pairs)} }}"
        case list():
            return f"[{', '.join(map(inline, value))}]"
        case str():
            return string(value)
        case bool():
            return str(value).lower()
        case int() if value >= 2**63:
            return hex(value)  # in decimal Python writes no more than 4,300 digits
    return str(value)


def string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


@pytest.mark.parametrize("base", BASES, ids=list(TEXTS))
def test_what_is_mutated_is_valid(folder: Path, base: dict[str, Any]) -> None:
    written = toml(base)
    assert tomllib.loads(written) == base
    (folder / "studies" / f"{NAME}.toml").write_text(written, encoding="utf-8")
    assert run(search_command.main, "--dry-run", NAME)[0] == DONE


@FUZZED
@given(mutated())
def test_a_study_file_at_random_is_searched_or_refused(
    folder: Path, content: dict[str, Any]
) -> None:
    examine(folder, toml(content).encode())


@st.composite
def garbled(draw: st.DrawFn) -> bytes:
    """The text of a valid study after up to three changes that know nothing of TOML."""
    lines = draw(st.sampled_from(list(TEXTS.values()))).splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 3))):
        numbers = st.integers(0, len(lines) - 1)
        line = draw(numbers)
        column = draw(st.integers(0, len(lines[line])))
        match draw(st.sampled_from(["delete", "double", "move", "cut", "insert"])):
            case "delete":
                del lines[line]
            case "double":
                lines.insert(draw(numbers), lines[line])
            case "move":
                lines.insert(draw(numbers), lines.pop(line))
            case "cut":
                lines[line] = lines[line][:column]
            case "insert":
                junk = draw(st.text(max_size=3) | st.sampled_from(["[", "]", '"', "=", "'", "{"]))
                lines[line] = lines[line][:column] + junk + lines[line][column:]
    written = "".join(lines).encode()
    if draw(st.integers(0, 4)) == 4:
        place = draw(st.integers(0, len(written)))
        written = written[:place] + draw(st.binary(max_size=3)) + written[place:]
    return written


@FUZZED
@given(garbled())
def test_a_garbled_study_file_is_searched_or_refused(folder: Path, written: bytes) -> None:
    examine(folder, written)


def examine(folder: Path, written: bytes) -> None:
    """Holds that a study file is refused in a sentence, or can be drawn from and stored."""
    note(written.decode(errors="backslashreplace"))
    (folder / "studies" / f"{NAME}.toml").write_bytes(written)
    code, _, complaints = run(search_command.main, "--dry-run", NAME)
    if code == BAD_USAGE:
        line = sentence(complaints)
        assert NAME in line
        assert _ALLOWED.search(line)
        return
    assert code == DONE
    spec = load(Project(folder), NAME)
    stored = StudySpec.model_validate_json(spec.model_dump_json(), strict=False)
    assert stored.fingerprint == spec.fingerprint
    # What the study's own sampler makes of the space, the command has just shown.
    source = optuna.create_study(
        direction=spec.direction, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    for hyperparameters in [network for each in spec.reference if (network := each.network)]:
        source.enqueue_trial(space.params_of(spec.searched, hyperparameters))
        space.register(source.ask(), spec.searched, hyperparameters)
    for _ in range(5 if spec.space else 0):
        trial = source.ask()
        drawn = space.suggest(trial, spec.searched)
        params = dict(trial.params)
        if not drawn.units:
            params.pop("units", None)  # one draw for all layers, of which there are none
        assert space.params_of(spec.searched, drawn) == params


# Arguments

COMMANDS: Mapping[str, Callable[[], int]] = {
    "search": search_command.main,
    "report": report_command.main,
    "best": best.main,
    "doctor": doctor_command.main,
    "data": data_command.main,
    "predict": predict_command.main,
    "serve": serve.main,
    "ui": ui.main,
}
ARGUMENTS = st.lists(
    st.one_of(
        st.sampled_from(
            ["--trials", "--minutes", "--workers", "--dry-run", "--json", "--export",
             "--force", "--fix", "--port", "--invert", "--request", "studies", "--picture",
             "--help", "-h", "--", "-", "-x", "--no",
             "--trials=5", "--trials=", "--minutes=nan", "--port=0", "--ex", "local", "ray",
             "--engine", "--engine=rya", "mlflow", "optuna", "fashion_mnist", "quick", "chapter7",
             "absent", "./quick.toml",
             "studies/quick.toml", "0", "1", "5", "-1", "1.5", "1e5", "1e999", "nan", "9" * 300,
             "9" * 5000, "65536", "5000", "٣", "", " ", "a\nb", "\0", "x" * 300]
        ),
        st.text(max_size=4),
    ),
    max_size=6,
)  # fmt: skip


@FUZZED
@given(st.sampled_from(sorted(COMMANDS)), ARGUMENTS)
def test_arguments_at_random_are_obeyed_or_refused(
    folder: Path, command: str, arguments: list[str]
) -> None:
    first = ["--dry-run"] if command == "search" else []  # an option, wherever `--` stands
    with (
        mock.patch.object(session, "search", side_effect=AssertionError("this was no dry run")),
        mock.patch.object(datasets, "load", no_data),
        mock.patch.object(os, "execv", side_effect=AssertionError("there is nothing to serve")),
    ):
        code, _, complaints = run(COMMANDS[command], *first, *arguments)
    assert code in (DONE, FAILED, BAD_USAGE)
    if code == FAILED or not complaints.startswith("usage: "):  # argparse's
        assert bool(complaints) == bool(code)
        if code:
            sentence(complaints)


def no_data(name: str) -> None:
    datasets.fingerprint(name)  # which refuses an unknown one
    raise PipelineError("no data here")


# Names that try to leave their folders

LEAVING = [
    "../x", "../../x", "..", ".", "", "/", "/etc/passwd", "/etc/passwd.toml", "a/../b",
    "studies/../../x", "../outside", "../studies", "a\0b", "a\nb", "a\u2028b", "x" * 300,
    "x" * 5000, "~", "~root/x", "$HOME", ".hidden", "a\\b", "*", " ", "%2e%2e", "a:b", "naïve!",
    "\x1b[2J",
]  # fmt: skip
TAKING_A_STUDY: Mapping[str, tuple[Callable[[], int], list[str]]] = {
    "search": (search_command.main, ["--dry-run"]),
    "report": (report_command.main, []),
    "best": (best.main, []),
    "export": (best.main, ["--export"]),
    "doctor": (doctor_command.main, ["--fix"]),
    "serve": (serve.main, ["--port", "5001"]),
}


@pytest.mark.parametrize("command", TAKING_A_STUDY)
@pytest.mark.parametrize("name", LEAVING, ids=lambda name: ascii(name)[:20])
def test_a_name_that_is_no_studys_is_refused_and_nothing_is_written(
    command: str, name: str, project_folder: Path
) -> None:
    if (command, name) == ("doctor", ""):
        return  # examines all there are
    (project_folder / "studies").mkdir()
    outside = project_folder.parent
    (outside / "outside.toml").write_text(TEXTS["quick"])
    before = sorted(outside.rglob("*"))
    main, options = TAKING_A_STUDY[command]
    code, said, complaints = run(main, name, *options)
    assert (code, said) == (
        FAILED if name.endswith(".toml") and main != search_command.main else 2,
        "",
    )
    sentence(complaints)
    assert sorted(outside.rglob("*")) == before


@pytest.mark.parametrize("name", [name for name in LEAVING if not Path(name[:99]).exists()])
def test_what_is_neither_study_nor_file_is_refused(name: str, project_folder: Path) -> None:
    (project_folder / "studies").mkdir()
    code, said, complaints = run(predict_command.main, name)
    assert (code, said) == (BAD_USAGE, "")
    sentence(complaints)


@FUZZED
@given(st.text() | st.from_regex(r"(\.\.|/|\.|a|-|~)*(\.toml)?", fullmatch=True))
def test_a_name_that_is_taken_stays_in_the_project(text: str) -> None:
    project = Project(Path("/somewhere/project"))
    try:
        name = paths.parse_study_name(text)
    except UsageError as error:
        sentence(f"error: {error}")
        return
    owned = (
        project.report_dir(name),
        project.export_dir(name),
        project.supervisor_lock(name),
        project.outbox(name),
    )
    for path in owned:
        assert ".." not in path.parts
        assert path.parent in (
            project.root / "studies", project.root / "exports", project.runs_dir
        )  # fmt: skip


# The environment

NO_STORE = [
    "junk", "/tmp/optuna.db", "://", "nope://x", "sqlite:///.", "sqlite:////no/such/folder/x.db",
    "sqlite:///" + "x" * 5000, "postgresql://host:port/x", "redis://x", "sqlite:///a\nb",
    "\x1b[2Jsqlite:///x",
]  # fmt: skip


@pytest.mark.parametrize("command", ["report", "best", "doctor", "predict", "serve", "ui"])
@pytest.mark.parametrize("url", NO_STORE, ids=lambda url: ascii(url)[:20])
def test_a_storage_url_that_is_none_is_refused(
    command: str, url: str, project_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command == "ui" and not url.startswith("sqlite") and url.isprintable() and "://" in url[1:]:
        return  # for Optuna's dashboard to refuse
    monkeypatch.setenv("PIPELINE_STORAGE", url)
    monkeypatch.setattr(os, "execv", mock.Mock(side_effect=SystemExit(FAILED)))
    arguments = ["optuna", "--port", "5000"] if command == "ui" else ["quick"]
    code, said, complaints = run(COMMANDS[command], *arguments)
    if command == "ui" and url == "sqlite:///.":
        return  # a folder is there, which the dashboard refuses
    assert code in (FAILED, BAD_USAGE)
    if command != "doctor":  # which tells what it finds on stdout, too
        assert said == ""
        sentence(complaints)


@pytest.mark.parametrize(
    "uri", ["sqlite:///" + "x" * 5000, "a\nb", "\x1b[2J"], ids=lambda uri: ascii(uri)[:20]
)
def test_a_tracking_uri_that_is_none_is_refused(
    uri: str, project_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    code, said, complaints = run(ui.main, "mlflow", "--port", "5000")
    assert code in (FAILED, BAD_USAGE)
    assert said == ""
    sentence(complaints)


def test_a_tracking_uri_that_mlflow_does_not_know_is_refused(
    project_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nope://x")
    with pytest.raises(
        UsageError, match=r"^MLFLOW_TRACKING_URI: found 'nope://x', allowed is a URL such as "
    ) as caught:
        RunWriter.open(Project(project_folder), "small")
    sentence(f"error: {caught.value}")


@pytest.mark.parametrize(
    "chosen",
    ["/dev/null", "/dev/null/below", "~nobody-has-this-name/x", "x" * 300, "a\nb", "\x1b[2J"],
    ids=lambda chosen: ascii(chosen)[:20],
)
def test_a_data_folder_that_is_none_is_refused(
    chosen: str, project_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch() -> int:
        datasets.fetch("fashion_mnist")
        return DONE

    monkeypatch.setenv("PIPELINE_DATA_DIR", chosen)
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {})
    code, said, complaints = run(fetch)
    assert code in (FAILED, BAD_USAGE)
    assert said == ""
    sentence(complaints)


def test_the_current_folder_may_be_gone(project_folder: Path) -> None:
    project_folder.rmdir()
    code, _, complaints = run(report_command.main, "quick")
    assert code == FAILED
    assert sentence(complaints) == "error: the current folder is gone; go to the project's folder"
