"""The tutorial program in Keras: what `cargo run --release --example fit` is compared with.

What: LSTM(128) over the 64 pixels of a digit, one pixel a step, then Dense(10, softmax); categorical
cross-entropy, Adam with Keras's defaults, accuracy; 10 epochs in batches of 32, shuffled each epoch, on all
1797 digits.
Pixels: as they are, 0 to 16. Divided by 16 (--scale, as `--scale 0.0625` of the example) the same model
learns more slowly: an accuracy of 0.71 to 0.74 in the tenth epoch instead of 0.92.
Why: time and accuracy of the same program elsewhere. Prints ONE JSON line on stdout; progress goes to stderr.
Times: `seconds_fit` is the wall time of model.fit, compilation of the first epoch included; `seconds_total`
counts from the first line of this script, so it has the imports, and the final evaluation, in it.

usage: python benches/peers/keras_fit.py [--backend tensorflow|jax|torch] [--threads 2] [--epochs 10] ...
needs: see requirements.txt beside this file (for a backend, only that backend)
"""
import time

START = time.perf_counter()

import argparse
import json
import os
import platform
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "examples" / "fit" / "data"


def arguments():
    parser = argparse.ArgumentParser(
        description="Train the tutorial program in Keras; print one JSON line.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", default=DATA / "digits_data.npy", help="pixels, (N, T) or (N, T, 1)")
    parser.add_argument("--labels", default=DATA / "digits_labels.npy", help="classes, (N,)")
    parser.add_argument("--scale", action="store_true", help="divide pixels by 16")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backend", choices=["tensorflow", "jax", "torch"], default="tensorflow")
    return parser.parse_args()


def set_threads(backend, threads):
    """Before Keras is imported: each backend reads its number of threads once."""
    os.environ["KERAS_BACKEND"] = backend
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if backend == "tensorflow":
        import tensorflow

        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
    elif backend == "torch":
        import torch

        torch.set_num_threads(threads)
    elif hasattr(os, "sched_setaffinity"):  # JAX has no option: it makes as many threads as it may use cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def main():
    args = arguments()
    set_threads(args.backend, args.threads)
    import keras
    import numpy as np

    keras.utils.set_random_seed(args.seed)
    pixels, labels = np.load(args.data), np.load(args.labels)
    x = pixels.reshape(len(pixels), -1, 1).astype("float32") / (16.0 if args.scale else 1.0)
    y = keras.utils.to_categorical(labels, 10)

    model = keras.Sequential(
        [keras.Input((None, 1)), keras.layers.LSTM(128), keras.layers.Dense(10, activation="softmax")]
    )
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])

    class Log(keras.callbacks.Callback):
        seconds = []

        def on_epoch_begin(self, epoch, logs=None):
            self.begin = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds.append(round(time.perf_counter() - self.begin, 3))
            print(f"epoch {epoch + 1}: {self.seconds[-1]} s, {logs}", file=sys.stderr)

    log = Log()
    begin = time.perf_counter()
    history = model.fit(
        x, y, epochs=args.epochs, batch_size=args.batch_size, shuffle=True, verbose=0, callbacks=[log]
    ).history
    seconds_fit = time.perf_counter() - begin
    loss, accuracy = model.evaluate(x, y, batch_size=args.batch_size, verbose=0)

    versions = {"python": platform.python_version(), "keras": keras.__version__, "numpy": np.__version__}
    versions[args.backend] = sys.modules[args.backend].__version__
    result = {
        "program": "keras_fit",
        "backend": args.backend,
        "versions": versions,
        "threads": args.threads,
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        "seed": args.seed,
        "scale": args.scale,
        "seconds_fit": round(seconds_fit, 3),
        "seconds_total": round(time.perf_counter() - START, 3),
        "epoch_seconds": log.seconds,
        "epoch_loss": [round(value, 5) for value in history["loss"]],
        "epoch_accuracy": [round(value, 5) for value in history["accuracy"]],
        "final_loss": round(loss, 5),
        "final_accuracy": round(accuracy, 5),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
