"""Models of every kind in every format, asked by their own runtimes in fresh processes."""

import importlib.util
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from pipeline.errors import PipelineError
from pipeline.formats import ask, convert, numpy_script, writing
from pipeline.formats.fresh import Asked, ask_fresh, write_examples
from pipeline.formats.parity import Format
from pipeline.study.hyperparameters import DEFAULTS, Hyperparameters
from pipeline.study.rules import RULES
from pipeline.task.features import Category, Features, Number, RawInput
from pipeline.task.task import Kind, Target, Task
from pipeline.training import loop
from pipeline.training.model import build_model
from pipeline.training.raw_model import accept_raw, average

N = 300
KNOTS = (-2.0, -1.0, 0.0, 1.0, 2.0)
IMAGES = Task(Kind.MULTICLASS, (9, 7), ("blue", "green", "rosé"))
_NUMBERS = tuple(Number(f"n {i}/m²", 3.0 + i, 2.0, 2.5, i < 2, KNOTS) for i in range(4))
ARRAY = Task(
    Kind.REGRESSION, (6,), input_dtype="float32", features=Features((), _NUMBERS),
    loss="squared", target=Target("price", 2.0, 0.5, "log"), example="row",
)  # fmt: skip
COLUMNS = tuple(RawInput(each.name, "number") for each in _NUMBERS)
TABLE = replace(ARRAY, features=Features(COLUMNS, _NUMBERS))
_TEXTS = Features(
    (*COLUMNS, RawInput("to wn/é", "category"), RawInput("from", "date", "%d.%m.%Y", ("days",))),
    (*_NUMBERS, Number("from: days", 12_000.0, 900.0, 12_000.0, True, KNOTS)),
    (Category("to wn/é", ("Köln", "Bonn")),),
)
TEXTS = Task(
    Kind.BINARY, (_TEXTS.width,), ("no", "yes"), input_dtype="float32", features=_TEXTS,
    example="row",
)  # fmt: skip


def given(**changes: Any) -> Hyperparameters:
    needed = {"hidden_layers": 2, "units": [9, 8], "optimizer": "sgd", "learning_rate": 0.1}
    return Hyperparameters.from_mapping(
        {**DEFAULTS, **needed, "batch_size": 32, "epochs": 1, **changes}
    )


def model_for(task: Task, **changes: Any) -> keras.Model:
    """A network whose weights are all random, those of normalisations too."""
    network = build_model(given(**changes), task)
    rng = np.random.default_rng(len(network.weights))
    for weight in network.weights:
        low = 0.2 if "variance" in weight.path else -1.0
        weight.assign(rng.uniform(low, 1, weight.shape))
    return accept_raw(network, task)


def images(n: int = N) -> Any:
    return np.random.default_rng(0).integers(0, 256, (n, 9, 7)).astype(np.uint8)


def numbers(n: int = N) -> Any:
    return np.random.default_rng(0).normal(3, 2, (n, 4))


def table(n: int = N, *, has_texts: bool = False) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    columns = {each.name: numbers(n)[:, i] for i, each in enumerate(COLUMNS)}
    if has_texts:
        columns["to wn/é"] = rng.choice(np.array(["Köln", "Bonn", "Ulm", ""], object), n)
        days = [f"{day:02}.03.20{year:02}" for day, year in rng.integers(1, 29, (n, 2))]
        columns["from"] = np.array(days, object)
    return columns


def written(model: keras.Model, task: Task, inputs: Any, folder: Path) -> dict[str, Format]:
    (folder / "model.keras").write_bytes(loop.to_bytes(model))
    return writing.write_formats(model, task, inputs, folder)


def there(found: Mapping[str, Format]) -> list[str]:
    return [name for name, each in found.items() if not each.why_not]


def left_out(found: Mapping[str, Format]) -> dict[str, str]:
    return {name: each.why_not for name, each in found.items() if each.why_not}


@pytest.fixture
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Spares the seconds of importing TensorFlow afresh, of which two tests have enough."""

    def asked(name: str, path: Path, examples: Path) -> Asked:
        everything = ask._read(examples)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "When providing `inputs`")  # of names with a slash
            answer = ask.RUNTIMES[name][0](path)
        return Asked(answer(everything), name, 0.1, 0.1)

    monkeypatch.setattr(writing, "ask_fresh", asked)
    yield
    sys.modules.pop("predict_numpy", None)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, keras.Model, dict[str, Format]]:
    """The mean of two networks, one of them twice: normalised and dropped out, and plain."""
    folder = tmp_path_factory.mktemp("dense")
    members = {
        "trial_1": model_for(IMAGES, batch_normalization=True, dropout=0.5, activation="gelu"),
        "trial_2": model_for(IMAGES, hidden_layers=1, units=[8]),
    }
    model = average(members, ["trial_1", "trial_2", "trial_1"])
    model.compile(loss="sparse_categorical_crossentropy")
    return folder, model, written(model, IMAGES, images(), folder)


def test_a_dense_network_is_there_in_every_format(
    dense: tuple[Path, keras.Model, dict[str, Format]],
) -> None:
    folder, _, found = dense
    assert {*there(found)} >= {"keras", "saved_model", "litert", "onnx", "numpy"}
    files = {file for name in there(found) for file in found[name].files}
    assert {path.name for path in folder.iterdir()} == files
    for name in there(found):
        each = found[name]
        assert (each.n_examples, each.n_different) == (N, 0)
        assert each.largest_difference is not None
        assert each.largest_difference < (1e-2 if each.note else 1e-5)
        assert each.runtime.split()[0] in ask.RUNTIMES[name.removesuffix("_quantized")][1]
        assert each.n_bytes
        assert each.latency_seconds
        assert each.cold_start_seconds
        assert each.cold_start_seconds > each.latency_seconds


@pytest.mark.parametrize("kind", ["integers", "divided", "no images"])
def test_all_formats_tell_images_on_any_scale(
    kind: str, dense: tuple[Path, keras.Model, dict[str, Format]]
) -> None:
    """Here by hand: the runtimes as a user calls them."""
    folder, model, _ = dense
    asked = images(40).astype(np.float32)
    if kind == "divided":
        asked = asked / np.float32(255)
    if kind == "no images":
        asked[::2, 4, 4] = [256.0, -1.0, np.nan, np.inf] * 5
    right = np.asarray(model(asked, training=False))
    assert np.isnan(right).any() == (kind == "no images")
    served = tf.saved_model.load(str(folder / "saved_model"))
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    for answers in (
        served.serve(asked).numpy(),
        session.run(None, {session.get_inputs()[0].name: asked})[0],
        by_litert(folder / "model.tflite", asked),
        by_script(folder, asked),
    ):
        np.testing.assert_allclose(answers, right, rtol=1e-3, atol=1e-5)


def by_litert(path: Path, asked: Any) -> Any:
    runner = Interpreter(str(path)).get_signature_runner()
    ((name, _),) = runner.get_input_details().items()
    ((_, answers),) = runner(**{name: asked}).items()
    return answers


def by_script(folder: Path, asked: Any) -> Any:
    """In a process that has no other packages than NumPy."""
    np.save(folder.parent / "asked.npy", asked)
    code = (
        "import sys; import numpy as np; sys.path.insert(0, '.'); import predict_numpy\n"
        "np.save('../answers.npy', predict_numpy.answer(np.load('../asked.npy')))\n"
        "print([name for name in ('tensorflow', 'keras', 'pipeline') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
    return np.load(folder.parent / "answers.npy")


def test_the_script_is_short_and_prints_classes(
    dense: tuple[Path, keras.Model, dict[str, Format]], tmp_path: Path
) -> None:
    folder, model, _ = dense
    script = folder / numpy_script.SCRIPT_FILE
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 60
    np.save(tmp_path / "images.npy", images(5))
    printed = subprocess.run(
        [sys.executable, "-I", script, tmp_path / "images.npy"],
        capture_output=True,
        encoding="utf-8",
        check=True,
        env={"PYTHONUTF8": "1"},
    ).stdout.split()
    answers = np.asarray(model(images(5).astype(np.float32), training=False))
    assert printed[1::2] == [IMAGES.class_names[i] for i in answers.argmax(axis=1)]
    np.testing.assert_allclose(np.array(printed[::2], float), answers.max(axis=1), atol=1e-4)


@pytest.mark.parametrize("activation", RULES["activation"].choices)
@pytest.mark.parametrize("normalizes", [False, True])
def test_the_script_knows_every_activation(
    activation: str, normalizes: bool, tmp_path: Path
) -> None:
    model = model_for(IMAGES, activation=activation, batch_normalization=normalizes)
    right = np.asarray(model(images().astype(np.float32), training=False))
    numpy_script.write_numpy(model, IMAGES, tmp_path)
    np.testing.assert_allclose(script_in(tmp_path).answer(images()), right, rtol=1e-3, atol=2e-6)


def script_in(folder: Path) -> Any:
    """Imports the script of a folder, whichever was imported before."""
    spec = importlib.util.spec_from_file_location("script", folder / numpy_script.SCRIPT_FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_logistic_regression_is_a_script_too(tmp_path: Path) -> None:
    model = model_for(IMAGES, hidden_layers=0, units=[])
    numpy_script.write_numpy(model, IMAGES, tmp_path)
    right = np.asarray(model(images().astype(np.float32), training=False))
    np.testing.assert_allclose(script_in(tmp_path).answer(images()), right, atol=1e-5)


@pytest.mark.usefixtures("_in_this_process")
def test_a_convolutional_network_has_no_script(tmp_path: Path) -> None:
    model = model_for(IMAGES, layer_kind="convolutional", batch_normalization=True)
    found = written(model, IMAGES, images(), tmp_path)
    assert {*there(found)} >= {"keras", "saved_model", "litert", "onnx"}
    said = left_out(found)["numpy"]
    assert said == "the network is not dense layers alone: it has Conv2D"
    assert not (tmp_path / "model.npz").exists()


@pytest.mark.usefixtures("_in_this_process")
def test_numbers_are_missing_in_every_format_alike(tmp_path: Path) -> None:
    """The test set has none that is missing: the probes have."""
    found = written(model_for(ARRAY), ARRAY, numbers(), tmp_path)
    assert there(found) == ["keras", "saved_model", "onnx", "numpy"]
    said = "it computes with float64, for which LiteRT has no operations"
    assert left_out(found) == {"litert": said, "litert_quantized": said}
    asked = numbers(40)
    asked[::2, 1] = [np.nan, np.inf, -np.inf, 30.0] * 5
    right = np.asarray(model_for(ARRAY)(asked, training=False))
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    np.testing.assert_allclose(session.run(None, {"inputs": asked})[0], right, rtol=1e-4)
    np.testing.assert_allclose(by_script(tmp_path, asked), right, rtol=1e-4)


def test_a_script_that_would_standardise_wrongly_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="each fold"):
        numpy_script.write_numpy(model_for(ARRAY), replace(ARRAY, n_folds=3), tmp_path)
    encoded = model_for(ARRAY, numeric_encoding="quantile")
    with pytest.raises(PipelineError, match="not dense layers alone"):
        numpy_script.write_numpy(encoded, ARRAY, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_in_this_process")
def test_a_table_of_numbers(tmp_path: Path) -> None:
    found = written(model_for(TABLE), TABLE, table(), tmp_path)
    assert there(found) == ["keras", "saved_model", "onnx"]
    assert left_out(found)["numpy"].startswith("it takes columns by name")


def test_a_table_with_texts_and_dates(tmp_path: Path) -> None:
    model = model_for(TEXTS)
    found = written(model, TEXTS, table(has_texts=True), tmp_path)
    assert there(found) == ["keras", "saved_model"]
    assert "ONNX has no operations" in left_out(found)["onnx"]
    columns = {name: each[:, None] for name, each in table(50, has_texts=True).items()}
    columns["to wn/é"][3] = "never seen"
    tensors = {name: tf.constant(each) for name, each in columns.items()}
    served = tf.saved_model.load(str(tmp_path / "saved_model"))
    right = np.asarray(model(tensors, training=False))
    np.testing.assert_allclose(served.serve(tensors).numpy(), right, rtol=1e-5)
    assert right.std() > 0.01


# What is left out


@pytest.mark.usefixtures("_in_this_process")
def test_a_format_that_answers_otherwise_or_cannot_be_had_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX has other weights, LiteRT's converter fails, and so on: nothing of it is there."""
    right, wrong = model_for(IMAGES), model_for(IMAGES, activation="tanh")
    write_onnx = convert.write_onnx

    def fail(*_: Any) -> None:
        raise ValueError("no such operation:\n the details")

    monkeypatch.setattr(
        convert, "write_onnx", lambda _, path, **given: write_onnx(wrong, path, **given)
    )
    monkeypatch.setattr(convert, "write_litert", fail)
    found = written(right, IMAGES, images(), tmp_path)
    said = left_out(found)
    assert said["onnx"].startswith("it answers otherwise to ")
    assert said["onnx"].endswith(f" of {N} images of the test set")
    assert said["litert"] == "it cannot be converted: no such operation:"
    assert {path.name for path in tmp_path.iterdir()} == {
        "model.keras", "saved_model", "model.npz", "predict_numpy.py"
    }  # fmt: skip
    assert found["onnx"].n_different
    assert found["litert"].n_bytes is None


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if "o" in name else None)
    with pytest.raises(PipelineError, match=r"^not installed: a-b and ai-edge-litert$"):
        convert.refuse_unless_installed("onnx", "a_b", "ai_edge_litert")


def test_a_model_that_does_not_answer_in_a_fresh_process_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"no model")
    with pytest.raises(PipelineError, match=r"^model\.keras gives no answer in a fresh process: "):
        writing.write_formats(model_for(IMAGES), IMAGES, images(3), tmp_path)


def test_the_fresh_process_cannot_import_this_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it is started where the package lies, and PYTHONPATH names it."""
    monkeypatch.chdir(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    (tmp_path / "predict_numpy.py").write_text("import pipeline\n")
    write_examples(images(3), tmp_path / "examples")
    with pytest.raises(PipelineError, match=r"No module named 'pipeline'$"):
        ask_fresh("numpy", tmp_path / "predict_numpy.py", tmp_path / "examples")
