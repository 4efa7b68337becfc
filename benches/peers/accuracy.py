"""How far each precision is from f64, beside peers in theirs: on random weights, and on those of models.

    python benches/peers/accuracy.py --setup                          once: a virtual environment with packages
    python benches/peers/accuracy.py                                  all cases, as tables
    python benches/peers/accuracy.py --cases digits --peers torch,ort
    python benches/peers/accuracy.py --cases random --hidden 256 --input 128

What: every worker of compare.py gets the same weights and inputs in f32 and computes in its precision; the truth
is the same layer in f64, in NumPy, on the same numbers. Of all outputs up to step T: the root mean square of the
error, and its largest magnitude.

random   weights as PyTorch begins, inputs from -1 to 1, one row of 1000 steps; every cell
digits   the classifier of examples/fit, an LSTM of 128 units over 64 pixels, trained on the first four fifths of
         the digits in f32 and in bf16; also the share of the others that it tells right, and PyTorch's when it
         trains in bf16
silero   the LSTM of Silero VAD (package silero-vad) on the features of its own convolutions, of tones in noise

Timings play no part: any machine will do. Needs what compare.py needs; a peer that is missing is named.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import environment

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE / "workers")]
OWN = ["f32", "bf16_weights", "bf16", "int8"]
STEPS = [1, 10, 100, 1000]


def arguments():
    parser = argparse.ArgumentParser(
        description="Errors against f64, beside peers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--cases", default="random,digits,silero", help="with commas")
    parser.add_argument("--cells", default="lstm,gru,gru_before,rnn_tanh,rnn_relu", help="of the case random")
    parser.add_argument("--input", type=int, default=64, help="of the case random")
    parser.add_argument("--hidden", type=int, default=128, help="of the case random")
    parser.add_argument("--peers", help="names with commas; without it all")
    parser.add_argument("--level", help="pins this crate's SIMD level")
    parser.add_argument("--epochs", type=int, default=10, help="of the case digits")
    environment.arguments(parser)
    return parser.parse_args()


def sigmoid(x):
    import numpy as np

    return 1 / (1 + np.exp(-x))


def truth(shape, x, parameters):
    """The outputs (T, B, H) of one layer in f64."""
    import numpy as np

    w, r, b, rb = (np.asarray(p, np.float64) for p in parameters)
    xw = x.astype(np.float64) @ w.T + b
    h = np.zeros((shape.batch, shape.hidden))
    c, y = h, np.empty((shape.steps, shape.batch, shape.hidden))
    for t in range(shape.steps):
        if shape.cell == "lstm":
            i, f, g, o = np.split(xw[t] + h @ r.T + rb, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        elif shape.cell in ("gru", "gru_before"):
            last = 2 * shape.hidden
            gates = xw[t][:, :last] + h @ r[:last].T + rb[:last]
            reset, z = np.split(sigmoid(gates), 2, axis=1)
            if shape.cell == "gru":
                n = np.tanh(xw[t][:, last:] + reset * (h @ r[last:].T + rb[last:]))
            else:
                n = np.tanh(xw[t][:, last:] + (reset * h) @ r[last:].T + rb[last:])
            h = (1 - z) * n + z * h
        else:
            h = xw[t] + h @ r.T + rb
            h = np.tanh(h) if shape.cell == "rnn_tanh" else np.maximum(h, 0)
        y[t] = h
    return y


class Asked:
    """All workers, each asked for the outputs of a layer."""

    def __init__(self, args):
        from session import build_all
        from workers_list import BUILD, check_names

        self.folder = tempfile.TemporaryDirectory(prefix="fused-rnn-accuracy-")
        self.logs = BUILD / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        names = check_names(args.peers)
        self.commands = []
        for precision in OWN:
            # Peers in f32 are not asked, and bf16_weights has the peers of bf16: none is built for these.
            asked = [] if precision in ("f32", "bf16_weights") else names
            own, peers, missing = build_all(asked, args.level, precision)
            self.commands.append((f"this crate, {precision}", precision, own(1), None))
            for name, (peer, command) in peers.items():
                if "fwd" in peer.modes.split():
                    for variant in VARIANTS.get((name, precision), [None]):
                        label = f"{name}, {precision}" + (f", {variant}" if variant else "")
                        self.commands.append((label, precision, command(1), variant))
            for name, reason in missing.items():
                print(f"{name}: skipped: {reason}", flush=True)

    def outputs(self, shape, x, parameters):
        """(name, outputs or why there are none) of each worker."""
        import numpy as np
        from as_onnx import onnx_model, quantized
        from worker import Died, Worker
        from workers_list import peer_environment

        data, out, model = (Path(self.folder.name) / name for name in ("data", "out", "model.onnx"))
        np.concatenate([np.ravel(part).astype("<f4") for part in (x, *parameters)]).tofile(data)
        plain = onnx_model(shape, [parameters], False)
        for label, precision, command, variant in self.commands:
            model.write_bytes(quantized(plain) if precision == "int8" and shape.cell == "lstm" else plain)
            request = {"cmd": "prepare", "shape": str(shape), "mode": "fwd", "variant": variant}
            request |= {"data": str(data), "model": str(model), "out": str(out)}
            worker = None
            try:
                log = self.logs / f"accuracy-{label}.log"
                worker = Worker(label, command, log, peer_environment(1, precision))
                reply = worker.ask(900, **{key: value for key, value in request.items() if value})
            except (Died, OSError, json.JSONDecodeError) as reason:
                reply = {"error": str(reason)}
            finally:
                if worker is not None:
                    worker.close()
            if "ok" not in reply:
                yield label, reply.get("skip") or reply.get("error")
                continue
            yield label, np.fromfile(out, "<f4").reshape(shape.steps, shape.batch, shape.hidden)


# Ways of a peer that are told apart here; compare.py takes the faster.
VARIANTS = {("ort", "int8"): ["a scale for each matrix", "a scale for each row"]}


def table(title, asked, shape, x, parameters, more=None):
    """Prints the errors of all workers at this layer."""
    import numpy as np

    want = truth(shape, x, parameters)
    steps = [t for t in STEPS if t < shape.steps] + [shape.steps]
    heads = [f"T = {t}" for t in steps] + ([more[0]] if more else [])
    print(f"\n{title}: {shape}\n\n| | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}", flush=True)
    if more:
        print(f"| f64 | {'| ' * len(steps)}{more[1](want)} |")
    refused = []
    for label, got in asked.outputs(shape, x, parameters):
        if isinstance(got, str):
            refused.append(f"{label}: {got}")
            continue
        errors = [got[:t].astype(np.float64) - want[:t] for t in steps]
        cells = [f"{np.sqrt(np.mean(e**2)):.1e}, {np.abs(e).max():.1e}" for e in errors]
        print(f"| {label} | {' | '.join(cells + ([more[1](got)] if more else []))} |", flush=True)
    print("".join(f"\n{line}" for line in refused), flush=True)


def random_case(args, asked):
    import numpy as np
    from protocol import Shape

    for cell in args.cells.split(","):
        shape = Shape.parse(f"{cell} B1 T{STEPS[-1]} I{args.input} H{args.hidden} L1")
        rng = np.random.default_rng(3)
        x = rng.uniform(-1, 1, (shape.steps, 1, shape.input)).astype("<f4")
        limit = 1 / np.sqrt(shape.hidden)
        parameters = rng.uniform(-limit, limit, shape.parameters()).astype("<f4")
        table("random", asked, shape, x, shape.split(parameters)[0])


def fitted(precision, epochs):
    """The tensors of the digits' classifier, trained in this precision."""
    from safetensors.numpy import load_file
    from workers_list import BUILD, run

    folder = BUILD / f"digits-{precision}"
    command = ["cargo", "run", "--release", "--quiet", "--example", "fit", "--"]
    options = ["--scale", "0.0625", "--validation-split", "0.2", "--epochs", str(epochs)]
    run([*command, *options, "--precision", precision, "--save", str(folder)], cwd=ROOT)
    return load_file(next(folder.glob("*.safetensors")))


def digits_case(args, asked):
    import numpy as np
    from protocol import Shape

    data = ROOT / "examples" / "fit" / "data"
    pixels, labels = np.load(data / "digits_data.npy"), np.load(data / "digits_labels.npy")
    # The last fifth, as examples/fit keeps from training.
    held = len(labels) - round(0.2 * len(labels))
    x = pixels.reshape(len(pixels), -1)[held:].T[:, :, None].astype("<f4") * np.float32(0.0625)
    for precision in ("f32", "bf16"):
        tensors = fitted(precision.replace("_", "-"), args.epochs)
        parameters = [tensors[f"rnn.{n}_l0"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        shape = Shape("lstm", x.shape[1], x.shape[0], 1, parameters[1].shape[1], 1, 1)

        def right(y):
            logits = y[-1].astype(np.float64) @ tensors["head.weight"].T.astype(np.float64)
            share = np.mean((logits + tensors["head.bias"]).argmax(1) == labels[held:])
            return f"{share:.4f}"

        table(f"digits, trained in {precision}", asked, shape, x, parameters, ("told right", right))
    for precision in ("f32", "bf16"):
        command = [sys.executable, str(HERE / "torch_fit.py"), "--scale", "--precision", precision]
        command += ["--validation-split", "0.2", "--epochs", str(args.epochs), "--threads", "1"]
        done = subprocess.run(command, capture_output=True, text=True)
        said = json.loads(done.stdout)["validation_accuracy"] if done.returncode == 0 else done.stderr[-200:]
        print(f"PyTorch, trained in {precision}: told right {said}", flush=True)


def silero_features(tensors, samples):
    """The features (T, 1, 128) of frames of 512 samples: Silero VAD's spectrum and convolutions."""
    import numpy as np

    def convolution(x, name, stride, pad):
        weight = tensors[f"{name}.weight"].astype(np.float64)
        x = np.pad(x, ((0, 0), (pad, pad)))
        places = range(0, x.shape[1] - weight.shape[2] + 1, stride)
        y = np.stack([np.tensordot(weight, x[:, p : p + weight.shape[2]], 2) for p in places], axis=1)
        return y + (tensors[f"{name}.bias"][:, None] if pad else 0)

    before, features = np.zeros(64), []
    for frame in samples.reshape(-1, 512):
        x = np.concatenate([before, frame, frame[-65:-1][::-1]])
        before = frame[-64:]
        real, imaginary = np.split(convolution(x[None], "stft_conv", 128, 0), 2)
        x = np.hypot(real, imaginary)
        for name, stride in (("conv1", 1), ("conv2", 2), ("conv3", 2), ("conv4", 1)):
            x = np.maximum(convolution(x, name, stride, 1), 0)
        features.append(x[:, 0])
    return np.stack(features)[:, None].astype("<f4")


def silero_case(args, asked):
    import numpy as np
    from protocol import Shape
    from safetensors.numpy import load_file

    try:
        import importlib.util

        package = Path(importlib.util.find_spec("silero_vad").origin).parent
    except AttributeError:
        print("silero: skipped: no package silero-vad (pip install --no-deps silero-vad)")
        return
    tensors = load_file(package / "data" / "silero_vad_16k.safetensors")
    # Vowels of a moving pitch that come and go, in noise: 32 s at 16 kHz.
    rng, t = np.random.default_rng(7), np.arange(STEPS[-1] * 512) / 16000
    pitch = 2 * np.pi * np.cumsum(120 + 40 * np.sin(2 * np.pi * 0.7 * t)) / 16000
    voice = sum(np.sin(k * pitch) / k * (1 + np.cos(0.4 * k - 3 * t)) for k in range(1, 12))
    heard = np.clip(np.sin(2 * np.pi * 0.4 * t) * 3, 0, 1)
    x = silero_features(tensors, 0.1 * heard * voice + 0.005 * rng.standard_normal(len(t)))
    parameters = [tensors[f"lstm_cell.{n}"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    table("Silero VAD", asked, Shape("lstm", 1, len(x), 128, 128, 1, 1), x, parameters)


CASES = {"random": random_case, "digits": digits_case, "silero": silero_case}


def main():
    args = arguments()
    cases = args.cases.split(",")
    if not set(cases) <= set(CASES):
        sys.exit(f"--cases: expected some of {', '.join(CASES)}, got {args.cases}")
    environment.need(args)
    asked = Asked(args)
    for case in cases:
        CASES[case](args, asked)


if __name__ == "__main__":
    main()
