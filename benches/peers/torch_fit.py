"""The tutorial program by hand in PyTorch: what `cargo run --release --example fit` is compared with.

What: nn.LSTM(1, 128) over the 64 pixels of a digit, its last output, Linear(128, 10), cross-entropy, Adam
with Keras's settings (rate 1e-3, eps 1e-7); 10 epochs in batches of 32, shuffled each epoch, on all 1797
digits. As in keras_fit.py, pixels are as they are (divided by 16: --scale), loss and accuracy of an epoch are
the means over its batches as they are trained, and one JSON line is printed on stdout, progress on stderr.
Why: the fastest that a person gets from PyTorch without a framework above it.
Times: `seconds_fit` is the wall time of the epochs; `seconds_total` counts from the first line of this
script, so it has the imports, and the final evaluation, in it.
Init: `keras` is Glorot-uniform kernel, orthogonal recurrent kernel, zero biases but forget gate 1, and
Glorot-uniform Dense; `torch` is PyTorch's own, uniform in 1 / sqrt(128).

usage: python benches/peers/torch_fit.py [--init keras|torch] [--threads 2] [--epochs 10] ...
needs: numpy and torch, see requirements.txt beside this file
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
        description="Train the tutorial program in PyTorch; print one JSON line.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", default=DATA / "digits_data.npy", help="pixels, (N, T) or (N, T, 1)")
    parser.add_argument("--labels", default=DATA / "digits_labels.npy", help="classes, (N,)")
    parser.add_argument("--scale", action="store_true", help="divide pixels by 16")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32", help="of the whole model")
    parser.add_argument("--validation-split", type=float, default=0.0, help="share, the last rows, not trained")
    parser.add_argument("--init", choices=["keras", "torch"], default="keras", help="initial weights")
    return parser.parse_args()


def main():
    args = arguments()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    import numpy as np
    import torch
    from torch import nn

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(1, 128, batch_first=True)
            self.dense = nn.Linear(128, 10)

        def forward(self, x):
            return self.dense(self.lstm(x)[0][:, -1])

    def keras_init(model):
        """Keras draws one (I, 4H) kernel and one (H, 4H) recurrent kernel; its limits are those of the
        whole."""
        lstm, dense = model.lstm, model.dense
        nn.init.xavier_uniform_(lstm.weight_ih_l0)
        with torch.no_grad():
            lstm.weight_hh_l0.copy_(nn.init.orthogonal_(torch.empty(4 * 128, 128)))
        nn.init.zeros_(lstm.bias_ih_l0)
        nn.init.zeros_(lstm.bias_hh_l0)
        nn.init.ones_(lstm.bias_ih_l0[128:256].detach())  # gates are i, f, g, o
        nn.init.xavier_uniform_(dense.weight)
        nn.init.zeros_(dense.bias)

    pixels, labels = np.load(args.data), np.load(args.labels)
    x = pixels.reshape(len(pixels), -1, 1).astype("float32") / (16.0 if args.scale else 1.0)
    x, y = torch.from_numpy(x), torch.from_numpy(labels.astype("int64"))
    held = round(args.validation_split * len(x))
    x, held_x = x[: len(x) - held], x[len(x) - held :]
    y, held_y = y[: len(y) - held], y[len(y) - held :]

    model = Model()
    if args.init == "keras":
        keras_init(model)
    if args.precision == "bf16":
        model, x, held_x = model.to(torch.bfloat16), x.to(torch.bfloat16), held_x.to(torch.bfloat16)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)
    criterion = nn.CrossEntropyLoss()

    seconds, losses, accuracies = [], [], []
    for epoch in range(args.epochs):
        begin = time.perf_counter()
        loss_sum, correct = 0.0, 0
        for rows in torch.randperm(len(x)).split(args.batch_size):
            logits = model(x[rows])
            loss = criterion(logits, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(rows)
            correct += (logits.argmax(1) == y[rows]).sum().item()
        seconds.append(time.perf_counter() - begin)
        losses.append(loss_sum / len(x))
        accuracies.append(correct / len(x))
        print(
            f"epoch {epoch + 1}: {seconds[-1]:.3f} s, loss {losses[-1]:.4f}, accuracy {accuracies[-1]:.4f}",
            file=sys.stderr,
        )
    with torch.inference_mode():
        logits = torch.cat([model(rows) for rows in x.split(args.batch_size)])
        final_loss = criterion(logits, y).item()
        final_accuracy = (logits.argmax(1) == y).float().mean().item()
        right = (model(held_x).argmax(1) == held_y).float().mean().item() if held else None

    result = {
        "program": "torch_fit",
        "backend": "torch",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "threads": args.threads,
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        "seed": args.seed,
        "scale": args.scale,
        "init": args.init,
        "seconds_fit": round(sum(seconds), 3),
        "seconds_total": round(time.perf_counter() - START, 3),
        "epoch_seconds": [round(value, 3) for value in seconds],
        "epoch_loss": [round(value, 5) for value in losses],
        "epoch_accuracy": [round(value, 5) for value in accuracies],
        "final_loss": round(final_loss, 5),
        "final_accuracy": round(final_accuracy, 5),
        "precision": args.precision,
        "validation_accuracy": right and round(right, 5),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
