from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.rules import RULES
from pipeline.task.task import Kind, Task
from pipeline.training.model import build_model, build_optimizer

IMAGE, N_CLASSES = (28, 28), 10
IMAGES = Task(Kind.MULTICLASS, IMAGE, tuple("0123456789"))
TWO = Task(Kind.BINARY, IMAGE, ("no", "yes"))
NUMBERS = Task(Kind.REGRESSION, (8, 8), input_dtype="float32", loss="huber")

PLAIN = Hyperparameters(
    hidden_layers=0, units=(), optimizer="rmsprop", learning_rate=0.001, batch_size=32, epochs=1
)
HIDDEN = replace(PLAIN, hidden_layers=1, units=(100,))


@pytest.fixture
def images() -> NDArray[np.uint8]:
    """Uint8, (32, 28, 28), 0 to 255."""
    return np.random.default_rng(0).integers(0, 256, (32, *IMAGE), np.uint8)


@pytest.fixture
def labels() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, N_CLASSES, 32, np.uint8)


def kinds(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


def test_one_dense_layer_has_7850_parameters() -> None:
    assert build_model(PLAIN, IMAGES).count_params() == 7_850


def test_a_hidden_layer_of_100_has_78500_parameters_and_the_output_1010() -> None:
    model = build_model(HIDDEN, IMAGES)
    counts = [
        layer.count_params() for layer in model.layers if isinstance(layer, keras.layers.Dense)
    ]
    assert counts == [78_500, 1_010]
    assert model.count_params() == 79_510


def test_ten_classes_give_softmax_and_a_loss_for_integer_labels(
    images: NDArray[np.uint8],
) -> None:
    model = build_model(HIDDEN, IMAGES)
    probabilities = model.predict(images, verbose=0)
    assert model.layers[-1].activation is keras.activations.softmax
    assert model.loss == "sparse_categorical_crossentropy"
    assert probabilities.shape == (32, N_CLASSES)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_two_classes_give_sigmoid_and_binary_crossentropy(images: NDArray[np.uint8]) -> None:
    model = build_model(HIDDEN, TWO)
    probabilities = model.predict(images, verbose=0)
    assert model.layers[-1].activation is keras.activations.sigmoid
    assert model.loss == "binary_crossentropy"
    assert probabilities.shape == (32, 1)
    assert ((probabilities > 0) & (probabilities < 1)).all()


@pytest.mark.parametrize("loss", ["squared", "absolute", "huber"])
def test_a_regression_has_one_linear_output_and_the_loss_that_is_asked(loss: Any) -> None:
    model = build_model(HIDDEN, replace(NUMBERS, loss=loss))
    inputs = np.random.default_rng(0).normal(size=(9, 8, 8)).astype(np.float32)
    targets = np.random.default_rng(1).normal(0, 5, 9).astype(np.float32)
    error = model.predict(inputs, verbose=0)[:, 0] - targets
    expected = {
        "squared": error**2,
        "absolute": abs(error),
        "huber": np.where(abs(error) < 1, error**2 / 2, abs(error) - 0.5),
    }
    assert model.layers[-1].activation is keras.activations.linear
    found = model.evaluate(inputs, targets, verbose=0)
    assert found == pytest.approx(expected[loss].mean(), rel=1e-5)


def test_arrays_of_numbers_are_not_rescaled_and_may_be_convolved() -> None:
    assert kinds(build_model(HIDDEN, NUMBERS)) == ["Flatten", "Dense", "Dense"]
    convolutional = build_model(replace(HIDDEN, layer_kind="convolutional"), NUMBERS)
    assert kinds(convolutional)[:3] == ["Reshape", "Conv2D", "MaxPooling2D"]
    assert convolutional.inputs[0].dtype == "float32"


@pytest.mark.parametrize("shape", [(8,), (2, 2, 2, 2)])
def test_what_is_no_picture_cannot_be_convolved(shape: tuple[int, ...]) -> None:
    task, given = replace(NUMBERS, input_shape=shape), replace(HIDDEN, layer_kind="convolutional")
    with pytest.raises(ValueError, match=r"^layer_kind: found .* allowed is \"dense\"$"):
        build_model(given, task)
    assert build_model(HIDDEN, task).output_shape == (None, 1)


def test_dropout_follows_each_hidden_layer() -> None:
    model = build_model(replace(HIDDEN, hidden_layers=2, units=(20, 10), dropout=0.3), IMAGES)
    assert kinds(model) == [
        "Rescaling",
        "Flatten",
        "Dense",
        "Dropout",
        "Dense",
        "Dropout",
        "Dense",
    ]
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [
        0.3,
        0.3,
    ]


def test_dropout_follows_each_convolutional_layer() -> None:
    hyperparameters = replace(HIDDEN, layer_kind="convolutional", units=(4,), dropout=0.5)
    model = build_model(hyperparameters, IMAGES)
    assert kinds(model) == [
        "Rescaling", "Reshape", "Conv2D", "MaxPooling2D", "Dropout", "Flatten", "Dense",
    ]  # fmt: skip


def test_a_convolutional_network_has_pools_and_a_head_as_it_is_told() -> None:
    hyperparameters = replace(
        HIDDEN, layer_kind="convolutional", hidden_layers=3, units=(4, 5, 6), kernel_size=5,
        pooling="average", pool_every=2, dense_units=7, dropout=0.2, activation="tanh",
    )  # fmt: skip
    model = build_model(hyperparameters, IMAGES)
    assert kinds(model) == [
        "Rescaling", "Reshape", "Conv2D", "Dropout", "Conv2D", "AveragePooling2D", "Dropout",
        "Conv2D", "Dropout", "Flatten", "Dense", "Dropout", "Dense",
    ]  # fmt: skip
    maps = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [(layer.filters, layer.kernel_size) for layer in maps] == [
        (4, (5, 5)), (5, (5, 5)), (6, (5, 5)),
    ]  # fmt: skip
    assert model.layers[-3].units == 7
    assert {layer.activation for layer in (*maps, model.layers[-3])} == {keras.activations.tanh}
    assert model.layers[-4].output.shape[1:] == (14 * 14 * 6,)


def test_maps_may_stay_whole_and_become_their_means() -> None:
    hyperparameters = replace(
        HIDDEN, layer_kind="convolutional", units=(4,), pooling="none", global_pooling=True
    )
    model = build_model(hyperparameters, IMAGES)
    assert kinds(model) == [
        "Rescaling", "Reshape", "Conv2D", "GlobalAveragePooling2D", "Dense",
    ]  # fmt: skip


@pytest.mark.parametrize("layer_kind", ["dense", "convolutional"])
def test_normalisation_stands_before_the_activation(layer_kind: str) -> None:
    hyperparameters = replace(
        HIDDEN, layer_kind=layer_kind, units=(4,), batch_normalization=True, activation="tanh",
        dropout=0.5,
    )  # fmt: skip
    model = build_model(hyperparameters, IMAGES)
    layer, *rest = model.layers[2:6]
    if layer_kind == "convolutional":  # the maximum first, which leaves less to be normalised
        assert isinstance(rest.pop(0), keras.layers.MaxPooling2D)
    normalisation, activation = rest[:2]
    assert (layer.use_bias, layer.activation) == (False, keras.activations.linear)
    assert isinstance(normalisation, keras.layers.BatchNormalization)
    assert activation.activation is keras.activations.tanh
    assert kinds(model).count("BatchNormalization") == 1
    assert kinds(model).count("Dropout") == 1


def test_a_mean_is_taken_of_what_is_activated() -> None:
    hyperparameters = replace(
        HIDDEN, layer_kind="convolutional", units=(4,), batch_normalization=True, pooling="average"
    )
    assert kinds(build_model(hyperparameters, IMAGES))[2:6] == [
        "Conv2D", "BatchNormalization", "Activation", "AveragePooling2D",
    ]  # fmt: skip


def test_no_dropout_means_no_dropout_layer() -> None:
    assert "Dropout" not in kinds(build_model(HIDDEN, IMAGES))


def test_units_are_in_the_order_of_the_layers() -> None:
    model = build_model(replace(HIDDEN, hidden_layers=3, units=(30, 20, 15)), IMAGES)
    units = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert units == [30, 20, 15, N_CLASSES]


def test_raw_pixels_give_what_a_network_without_rescaling_gives_for_pixels_over_255(
    images: NDArray[np.uint8],
) -> None:
    model = build_model(HIDDEN, IMAGES)
    bare = chapter_network()
    bare.set_weights(model.get_weights())
    np.testing.assert_allclose(
        model.predict(images, verbose=0),
        bare.predict(images.astype(np.float32) / 255, verbose=0),
        rtol=1e-5,
        atol=1e-7,
    )


def chapter_network() -> keras.Sequential:
    """The chapter's first hidden layer; takes float32 (batch, 28, 28), 0 to 1."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(IMAGE),
            layers.Flatten(),
            layers.Dense(100, activation="relu"),
            layers.Dense(N_CLASSES, activation="softmax"),
        ]
    )


@pytest.mark.parametrize(("shape", "n_layers"), [((28, 28), 1), ((28, 28), 6), ((32, 32, 3), 2)])
def test_convolutional_layers_run_and_learn(shape: tuple[int, ...], n_layers: int) -> None:
    hyperparameters = replace(
        HIDDEN, layer_kind="convolutional", hidden_layers=n_layers, units=(3,) * n_layers
    )
    model = build_model(hyperparameters, replace(IMAGES, input_shape=shape))
    images = np.random.default_rng(0).integers(0, 256, (8, *shape), np.uint8)
    before = model.get_weights()
    loss, _ = model.train_on_batch(images, np.arange(8, dtype=np.uint8))
    assert kinds(model).count("Conv2D") == n_layers
    assert model.predict_on_batch(images).shape == (8, N_CLASSES)
    assert np.isfinite(loss)
    assert any((old != new).any() for old, new in zip(before, model.get_weights(), strict=True))


def test_convolutional_network_has_the_parameters_of_its_filters() -> None:
    hyperparameters = replace(HIDDEN, layer_kind="convolutional", hidden_layers=2, units=(32, 64))
    first, second, output = 32 * (9 + 1), 64 * (32 * 9 + 1), 10 * (7 * 7 * 64 + 1)
    assert build_model(hyperparameters, IMAGES).count_params() == first + second + output


@pytest.mark.parametrize("name", RULES["activation"].choices)
def test_every_activation_is_that_of_the_hidden_layers(name: str) -> None:
    model = build_model(replace(HIDDEN, activation=name), IMAGES)
    hidden, output = (layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
    assert hidden.activation is keras.activations.get(name)
    assert output.activation is keras.activations.softmax


@pytest.mark.parametrize("name", RULES["optimizer"].choices)
def test_every_optimizer_is_built_and_trains(
    name: str, images: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> None:
    model = build_model(replace(PLAIN, optimizer=name, learning_rate=0.01), IMAGES)
    before = model.get_weights()
    model.train_on_batch(images, labels)
    assert type(model.optimizer) is type(keras.optimizers.get(name))
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    assert all((old != new).any() for old, new in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("name", RULES["optimizer"].choices)
def test_what_is_no_hyperparameter_is_as_in_keras(name: str) -> None:
    built = build_optimizer(replace(PLAIN, optimizer=name, learning_rate=0.25)).get_config()
    stock = keras.optimizers.get(name).get_config()
    assert {key for key in built if built[key] != stock[key]} == {"name", "learning_rate"}


def test_momentum_and_nesterov_reach_sgd() -> None:
    optimizer = build_optimizer(replace(PLAIN, optimizer="sgd", momentum=0.9, nesterov=True))
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, True)


def as_list() -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(IMAGE, dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(100, activation="relu"),
            layers.Dense(N_CLASSES, activation="softmax"),
        ]
    )


def one_by_one() -> keras.Model:
    layers = keras.layers
    model = keras.Sequential()
    model.add(keras.Input(IMAGE, dtype="uint8"))
    model.add(layers.Rescaling(1 / 255))
    model.add(layers.Flatten())
    model.add(layers.Dense(100, activation="relu"))
    model.add(layers.Dense(N_CLASSES, activation="softmax"))
    return model


def functional() -> keras.Model:
    layers = keras.layers
    inputs = keras.Input(IMAGE, dtype="uint8")
    hidden = layers.Dense(100, activation="relu")(
        layers.Flatten()(layers.Rescaling(1 / 255)(inputs))
    )
    return keras.Model(inputs, layers.Dense(N_CLASSES, activation="softmax")(hidden))


@pytest.mark.parametrize("build", [as_list, one_by_one, functional])
def test_three_ways_to_build_it_give_the_same_network(
    build: "type[keras.Model]", images: NDArray[np.uint8]
) -> None:
    keras.utils.set_random_seed(42)
    built = build()
    keras.utils.set_random_seed(42)
    model = build_model(HIDDEN, IMAGES)
    assert built.count_params() == model.count_params()
    assert [w.shape for w in built.get_weights()] == [w.shape for w in model.get_weights()]
    np.testing.assert_array_equal(
        built.predict(images, verbose=0), model.predict(images, verbose=0)
    )


def test_weights_saved_and_loaded_into_a_fresh_model_predict_the_same(
    tmp_path: Path, images: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> None:
    model = build_model(HIDDEN, IMAGES)
    model.train_on_batch(images, labels)
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = build_model(HIDDEN, IMAGES)
    assert (fresh.predict(images, verbose=0) != model.predict(images, verbose=0)).any()
    fresh.optimizer.build(fresh.trainable_variables)  # the file has the optimizer's state too
    fresh.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(
        fresh.predict(images, verbose=0), model.predict(images, verbose=0)
    )


@pytest.mark.parametrize("layer_kind", RULES["layer_kind"].choices)
def test_model_saved_and_loaded_predicts_and_trains_the_same(
    tmp_path: Path, layer_kind: str, images: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> None:
    hyperparameters = replace(HIDDEN, layer_kind=layer_kind, units=(8,))
    model = build_model(hyperparameters, IMAGES)
    model.train_on_batch(images, labels)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )
    for each in (model, loaded):  # the optimizer's state came along
        each.train_on_batch(images, labels)
    np.testing.assert_allclose(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0), rtol=1e-6
    )


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAIN, layer_kind="convolutional", activation="tanh", dropout=0.5, momentum=0.9),
        replace(HIDDEN, momentum=0.9, nesterov=True),
        replace(HIDDEN, optimizer="sgd", nesterov=True),
    ],
    ids=str,
)
def test_what_is_said_to_have_no_effect_has_none(
    other: Hyperparameters, images: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> None:
    assert other != other.effective
    trained = []
    for given in (other, other.effective):
        keras.utils.set_random_seed(1)
        model = build_model(given, IMAGES)
        for _ in range(3):
            model.train_on_batch(images, labels)
        trained.append(np.asarray(model(images)))
    np.testing.assert_array_equal(trained[0], trained[1])
