"""A model that is handed over gives the right answer or nan, never a wrong one without a word."""

from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.data import pixels
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.task import Kind, Task
from pipeline.training import fitting
from pipeline.training.model import build_model

DENSE = Hyperparameters(1, (16,), "adam", 0.01, 32, 1)
CONVOLUTIONAL = Hyperparameters(1, (4,), "sgd", 0.01, 32, 1, layer_kind="convolutional")
IMAGES = np.random.default_rng(5).integers(0, 256, (40, 28, 28)).astype("uint8")
IMAGES[0] = 0  # black
IMAGES[1] = np.arange(28 * 28).reshape(28, 28) % 2  # nearly so


def task_of(n_classes: int) -> Task:
    kind = Kind.BINARY if n_classes == 2 else Kind.MULTICLASS
    return Task(kind, (28, 28), tuple(map(str, range(n_classes))))


@pytest.fixture(
    scope="module",
    params=[(DENSE, 10), (CONVOLUTIONAL, 10), (DENSE, 2)],
    ids=["dense", "conv", "two"],
)
def network(request: pytest.FixtureRequest) -> keras.Model:
    hyperparameters, n_classes = request.param
    keras.utils.set_random_seed(3)
    return build_model(hyperparameters, task_of(n_classes))


def handed_over(network: keras.Model, folder: Path) -> keras.Model:
    """As somebody loads it who has Keras alone, after another process has loaded the network."""
    network.optimizer.build(network.trainable_variables)  # as training does
    network.save(folder / "network.keras")
    keras.backend.clear_session()  # so that names of layers and operations begin anew
    stored = keras.saving.load_model(folder / "network.keras")
    pixels.accept_any_scale(stored).save(folder / "model.keras")
    keras.backend.clear_session()
    return keras.saving.load_model(folder / "model.keras", safe_mode=True)


@pytest.fixture(scope="module")
def model(network: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> keras.Model:
    return handed_over(network, tmp_path_factory.mktemp("handed_over"))


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return np.asarray(model.predict(images, verbose=0))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "float64"])
def test_raw_pixels_of_any_dtype_get_the_networks_answers(
    network: keras.Model, model: keras.Model, dtype: str
) -> None:
    np.testing.assert_array_equal(predict(model, IMAGES.astype(dtype)), predict(network, IMAGES))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_images_divided_by_255_get_the_same_answers(
    network: keras.Model, model: keras.Model, dtype: str
) -> None:
    divided = (IMAGES / 255).astype(dtype)
    np.testing.assert_allclose(predict(model, divided), predict(network, IMAGES), atol=1e-5)


def test_an_answer_does_not_depend_on_the_other_images(model: keras.Model) -> None:
    mixed = IMAGES.astype("float32")
    mixed[::2] /= 255
    np.testing.assert_allclose(predict(model, mixed), predict(model, IMAGES), atol=1e-5)


@pytest.mark.parametrize(
    "images", [IMAGES[2:] / 127.5 - 1, (IMAGES[2:] - 73.0) / 90.0, IMAGES[2:] * 256.0]
)
def test_other_scales_give_nan(model: keras.Model, images: np.ndarray) -> None:
    assert np.isnan(predict(model, images)).all()


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, -1.0, 255.5, 256.0])
@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_one_pixel_that_is_none_gives_nan_for_its_image_alone(
    model: keras.Model, number: float, scale: float
) -> None:
    images = (IMAGES / scale).astype("float32")
    expected = predict(model, images)
    images[3, 5, 7] = images[39, 27, 27] = number
    expected[[3, 39]] = np.nan
    np.testing.assert_array_equal(predict(model, images), expected)


def test_it_is_compiled_as_the_network_is(network: keras.Model, model: keras.Model) -> None:
    labels = (np.arange(len(IMAGES)) % 2).astype("uint8")
    task = task_of(network.output_shape[1])
    expected = fitting.evaluate(network, task, IMAGES, labels)
    assert fitting.evaluate(model, task, IMAGES, labels) == pytest.approx(expected, rel=1e-5)
    loss, accuracy = model.evaluate(IMAGES / 255, labels, verbose=0)
    assert loss == pytest.approx(expected["loss"], rel=1e-4)
    assert accuracy == pytest.approx(expected["accuracy"])
    model.fit(IMAGES, labels, verbose=0)


@pytest.mark.parametrize(
    "name", ["reshape", "reshape_1", "where", "logical_and_1", "images", "pixels", "answer"]
)
def test_layers_may_have_any_names(name: str, tmp_path: Path) -> None:
    network = keras.Sequential(
        [
            keras.Input((4, 4), dtype="uint8"),
            keras.layers.Flatten(name=name),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    network.compile(loss="sparse_categorical_crossentropy")
    images = IMAGES[:, :4, :4]
    expected = predict(network, images)
    model = handed_over(network, tmp_path)
    np.testing.assert_array_equal(predict(model, images), expected)
    np.testing.assert_allclose(predict(model, images / 255), expected, atol=1e-5)


def test_a_model_of_other_inputs_stays_as_it_is() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    assert pixels.accept_any_scale(model) is model
