"""Where Keras' EarlyStopping stops: tests/train/golden/early_stopping.safetensors.

What: 40 values, and for some options the epoch of the stop, the best epoch and the best value.
Form: as in generate.py; values are f32, epochs int64. Options are in the test.

usage: python tests/train/generate_keras.py
needs: numpy, keras, tensorflow-cpu (versions: benches/peers/requirements.txt)
"""
import sys
from pathlib import Path

import keras
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "golden"))
import golden  # noqa: E402


class Model:
    stop_training = False


def stop(values, **options):
    callback, model = keras.callbacks.EarlyStopping(monitor="value", **options), Model()
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"value": float(value)})
        if model.stop_training:
            return epoch, callback.best_epoch, callback.best
    return len(values), callback.best_epoch, callback.best


if __name__ == "__main__":
    stream = golden.random("early stopping")
    values = np.exp(-np.arange(40) / 8.0) + 0.15 * stream.uniform(size=40)
    values = values.astype(np.float32)
    tensors = {"values": values}
    for name, options in {
        "impatient": dict(mode="min", patience=0),
        "two": dict(mode="min", patience=2),
        "coarse": dict(mode="min", patience=3, min_delta=0.05),
        "patient": dict(mode="min", patience=8, min_delta=0.01),
        "maximize": dict(mode="max", patience=4),
    }.items():
        epoch, best_epoch, best = stop(values, **options)
        tensors[f"{name}.epochs"] = np.array([epoch, best_epoch], dtype=np.int64)
        tensors[f"{name}.best"] = np.array([best], dtype=np.float32)
    metadata = {"source": f"Keras {keras.__version__}"}
    golden.save(HERE / "golden" / "early_stopping.safetensors", metadata, tensors)
