"""The search of Keras Tuner's own tutorial on Fashion-MNIST, and nothing else.

After https://www.tensorflow.org/tutorials/keras/keras_tuner: Hyperband over one hidden layer and
the learning rate, `validation_split=0.2`, early stopping with patience 5. Its second training of
the winner is left out. Started by `time_to_quality` with a seed; writes `curve.csv`.
"""

import sys
import time
from pathlib import Path

import keras
import keras_tuner

from benchmarks.curves import append
from pipeline.data import datasets


class Curve(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes the validation accuracy of every epoch of every trial."""

    n_trials = 0  # of the class, since Keras Tuner copies callbacks for each trial

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Counts the trials."""
        Curve.n_trials += 1

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes a row."""
        accuracy = (logs or {})["val_accuracy"]
        append(Path("curve.csv"), time.time(), str(Curve.n_trials), accuracy)


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """The tutorial's `model_builder`."""
    model = keras.Sequential()
    model.add(keras.layers.Flatten(input_shape=(28, 28)))
    hp_units = hp.Int("units", min_value=32, max_value=512, step=32)
    model.add(keras.layers.Dense(units=hp_units, activation="relu"))
    model.add(keras.layers.Dense(10))
    hp_learning_rate = hp.Choice("learning_rate", values=[1e-2, 1e-3, 1e-4])
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=hp_learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def main() -> None:
    """Runs the tutorial's search in the current folder."""
    images, labels = datasets.load_training_file("fashion_mnist")
    tuner = keras_tuner.Hyperband(
        build,
        objective="val_accuracy",
        max_epochs=10,
        factor=3,
        seed=int(sys.argv[1]),
        directory="keras_tuner",
        project_name="intro_to_kt",
    )
    stop_early = keras.callbacks.EarlyStopping(monitor="val_loss", patience=5)
    tuner.search(
        images.astype("float32") / 255.0,
        labels,
        epochs=50,
        validation_split=0.2,
        callbacks=[stop_early, Curve()],
        verbose=0,
    )


if __name__ == "__main__":
    main()
