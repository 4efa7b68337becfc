"""ncnn: its recurrent layers, one row at a time; f32, or weights of int8 with a scale for each row of a matrix.
(With bf16 storage its recurrent layers on x86 give the bits of f32.)

A model is text (layers and blobs) and bytes: of each layer the weights of the input, biases, the weights of the
state, and where they are int8 the scales of both, 127 over the largest of a row. Gates are i, f, o, g of an LSTM,
as a GRU's r, z, n, with the recurrent bias of n apart.
"""
import argparse

arguments = argparse.ArgumentParser()
arguments.add_argument("--threads", type=int, required=True)
args = arguments.parse_args()

import tempfile
from pathlib import Path

import ncnn
import numpy as np
from protocol import PRECISION, Skip, Variant, blocks, serve

KINDS = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN"}
ORDER = {"lstm": [0, 1, 3, 2], "gru": [0, 1, 2], "rnn_tanh": [0]}
# What stands before floats, and before bytes.
FLOATS, BYTES = (0).to_bytes(4, "little"), (0x000D4B38).to_bytes(4, "little")


def matrices(cells, which, order):
    """The bytes of a matrix of all directions, and of its scales."""
    rows = np.concatenate([blocks(cell[which], order) for cell in cells])
    if PRECISION != "int8":
        return FLOATS + rows.astype("<f4").tobytes(), b""
    scales = 127 / np.abs(rows).max(axis=1)
    whole = np.rint(rows * scales[:, None]).clip(-127, 127).astype(np.int8).tobytes()
    return BYTES + whole + bytes(-len(whole) % 4), scales.astype("<f4").tobytes()


def biases(shape, cells, order):
    def one(cell):
        ih, hh = (blocks(cell[k], order) for k in (2, 3))
        if shape.cell != "gru":
            return ih + hh
        last = 2 * shape.hidden
        return np.concatenate([ih[:last] + hh[:last], ih[last:], hh[last:]])

    return FLOATS + np.concatenate([one(cell) for cell in cells]).astype("<f4").tobytes()


def model(shape, parameters, folder, step):
    """Writes a model; gives the names of its states before and after."""
    order, states = ORDER[shape.cell], ["h", "c"] if shape.cell == "lstm" else ["h"]
    names = [f"{kind}{layer}" for layer in range(shape.layers) for kind in states] if step else []
    lines = [f"Input {name} 0 1 {name}" for name in ["x0", *names]]
    blobs = 1 + len(names)
    with open(folder / "model.bin", "wb") as file:
        for layer in range(shape.layers):
            cells = parameters[layer * shape.directions : (layer + 1) * shape.directions]
            before = [f"{kind}{layer}" for kind in states] if step else []
            after = [f"{name}_after" for name in before]
            size = sum(cell[0].size for cell in cells)
            inputs, outputs = [f"x{layer}", *before], [f"x{layer + 1}", *after]
            lines.append(
                f"{KINDS[shape.cell]} layer{layer} {len(inputs)} {len(outputs)} {' '.join(inputs + outputs)} "
                f"0={shape.hidden} 1={size} 2={2 if shape.directions == 2 else 0} 3={shape.hidden} "
                f"8={2 if PRECISION == 'int8' else 0}"
            )
            blobs += len(outputs)
            (w, of_w), (r, of_r) = (matrices(cells, which, order) for which in (0, 1))
            file.write(w + biases(shape, cells, order) + r + of_w + of_r)
    text = "\n".join(["7767517", f"{len(lines)} {blobs}", *lines, ""])
    (folder / "model.param").write_text(text)
    return names


def prepare(shape, mode, x, parameters, request):
    if mode == "train":
        raise Skip("inference only")
    if mode == "step" and shape.directions == 2:
        raise Skip("a stream has no end to start from")
    if shape.cell not in KINDS:
        raise Skip(f"has no {shape.cell}")
    if shape.batch > 1:
        raise Skip("has one row at a time")
    net = ncnn.Net()
    net.opt.num_threads = args.threads
    net.opt.use_vulkan_compute = False
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
        setattr(net.opt, option, False)
    with tempfile.TemporaryDirectory() as folder:
        names = model(shape, parameters, Path(folder), mode == "step")
        if net.load_param(str(Path(folder) / "model.param")) or net.load_model(str(Path(folder) / "model.bin")):
            raise RuntimeError("the model is refused")
    last = f"x{shape.layers}"
    zero = {name: ncnn.Mat(np.zeros((1, shape.hidden), np.float32)).clone() for name in names}
    state = dict(zero)

    def run(rows):
        extractor = net.create_extractor()
        extractor.input("x0", rows)
        for name in names:
            extractor.input(name, state[name])
        failed, y = extractor.extract(last)
        if failed:
            raise RuntimeError(f"extract gave {failed}")
        for name in names:
            state[name] = extractor.extract(f"{name}_after")[1]
        return y

    rows = [ncnn.Mat(np.ascontiguousarray(part[:, 0])).clone() for part in ([x] if mode == "fwd" else x[:, None])]

    def results():
        state.update(zero)
        return [np.array(run(row)) for row in rows]

    return [Variant("an extractor for each call", lambda: run(rows[0]), results)]


SETTINGS = {"f32": "f32", "int8": "weights of int8, a scale for each row"}
serve("ncnn", ncnn.__version__, f"{SETTINGS[PRECISION]}; one row; the Python call included", prepare)
