"""LSTMs whose weights are bytes, DynamicQuantizeLSTM, with ONNX Runtime's results, in
tests/golden/onnx_quantized/.

What: NAME/model.onnx with NAME/test_data_set_0/{input,output}_*.pb, in the form of ONNX's own tests: bytes with
a sign and without, a scale for all rows or for each, zero points in the middle and elsewhere, both directions,
two nodes above each other, and what quantize_dynamic makes of an LSTM.
Why: where the bytes fit, the crate multiplies the same integers as ONNX Runtime does.

It prints how far ONNX Runtime is from its own LSTM with the dequantised weights, and what its rows depend on.

usage: python tests/golden/generate_onnx_quantized.py
needs: numpy, onnx, onnxruntime (versions: benches/peers/requirements.txt)
"""

import logging
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

import onnx_models
from onnx_models import constants, model, node, random, run

FOLDER = Path(__file__).resolve().parent / "onnx_quantized"
T, B, I, H = 12, 3, 16, 24


def matrices(name, kind, low, high, zero, per_row, directions, inputs):
    """Bytes (D, K, 4 H) of W and R, scales and zero points."""
    stream = np.random.RandomState(sum(map(ord, name)))
    shape = (directions, 4 * H) if per_row else (directions,)
    made = {}
    for letter, depth in (("W", inputs), ("R", H)):
        made[letter] = stream.randint(low, high + 1, (directions, depth, 4 * H)).astype(kind)
        made[f"{letter}s"] = stream.uniform(0.002, 0.004, shape).astype(np.float32)
        made[f"{letter}z"] = np.full(shape, zero, kind)
    made["B"] = random(f"B of {name}", directions, 8 * H, limit=0.3)
    return made


def floats(made):
    """W and R as LSTM has them."""

    def one(letter):
        scale, zero = (
            np.broadcast_to(made[f"{letter}{end}"].reshape(len(made[letter]), 1, -1), made[letter].shape)
            for end in "sz"
        )
        return np.ascontiguousarray(
            ((made[letter].astype(np.float32) - zero.astype(np.float32)) * scale).transpose(0, 2, 1)
        )

    return {"W": one("W"), "R": one("R"), "B": made["B"]}


def pair(name, kind, low, high, zero, per_row=False, direction="forward"):
    """The model, and the LSTM with the dequantised weights."""
    directions = 2 if direction == "bidirectional" else 1
    made = matrices(name, kind, low, high, zero, per_row, directions, I)
    settings = dict(hidden_size=H, direction=direction)
    inputs = "X,W,R,B,,,,,Ws,Wz,Rs,Rz"
    quantized = node("DynamicQuantizeLSTM", inputs, "Y,Y_h,Y_c", domain="com.microsoft", **settings)
    shape = (T, B, I)
    return (
        model([quantized], constants(**made), "Y,Y_h,Y_c", shape, extra=["com.microsoft"]),
        model([node("LSTM", "X,W,R,B", "Y,Y_h,Y_c", **settings)], constants(**floats(made)), "Y,Y_h,Y_c", shape),
    )


def two():
    """Two nodes above each other."""
    below = matrices("below", np.int8, -127, 127, 0, True, 1, I)
    above = matrices("above", np.int8, -127, 127, 0, True, 1, H)
    both = [(below, "0"), (above, "1")]

    def nodes(operator, names, **more):
        made = [
            node(operator, ",".join([x, *(n and n + k for n in names)]), f"Y{k}", hidden_size=H, **more)
            for x, k in (("X", "0"), ("below", "1"))
        ]
        squeeze = node("Squeeze", "Y0,one", "below")
        return [made[0], squeeze, made[1]]

    def named(arrays):
        return {name + k: array for (_, k), one in zip(both, arrays) for name, array in one.items()}

    one = {"one": np.array([1], np.int64)}
    names = ["W", "R", "B", "", "", "", "", "Ws", "Wz", "Rs", "Rz"]
    return (
        model(
            nodes("DynamicQuantizeLSTM", names, domain="com.microsoft"),
            constants(**named([below, above]), **one),
            "Y1",
            (T, B, I),
            extra=["com.microsoft"],
        ),
        model(nodes("LSTM", "WRB"), constants(**named(map(floats, [below, above])), **one), "Y1", (T, B, I)),
    )


def by_the_tool(per_channel):
    """What quantize_dynamic makes of an LSTM, and that LSTM."""
    tensors = constants(
        W=random("tool W", 1, 4 * H, I, limit=0.4),
        R=random("tool R", 1, 4 * H, H, limit=0.3),
        B=random("tool B", 1, 8 * H, limit=0.3),
    )
    made = model([node("LSTM", "X,W,R,B", "Y,Y_h,Y_c", hidden_size=H)], tensors, "Y,Y_h,Y_c", (T, B, I))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(made, path)
        quantize_dynamic(path, path, weight_type=QuantType.QInt8, per_channel=per_channel)
        return onnx.load(path), made


CASES = {
    "tensor": pair("tensor", np.int8, -127, 127, 0),
    "rows_bidirectional": pair("rows", np.int8, -128, 127, 0, True, "bidirectional"),
    "unsigned_reverse": pair("unsigned", np.uint8, 0, 255, 128, False, "reverse"),
    "small_zero_point": pair("small", np.int8, -100, 100, 5),
    "other_zero_point": pair("other", np.uint8, 0, 255, 120),
    "two_nodes": two(),
    "quantize_dynamic": by_the_tool(False),
    "quantize_dynamic_rows": by_the_tool(True),
}


def main():
    logging.disable(logging.WARNING)
    shutil.rmtree(FOLDER, ignore_errors=True)
    onnx_models.FOLDER = FOLDER
    x = random("quantized x", T, B, I, limit=1.5)
    for name, (made, plain) in CASES.items():
        # (The first output of the tool's model may be called otherwise.)
        inputs = {"X": x}
        got, want = run(made, inputs), run(plain, inputs)
        apart = [np.abs(a - b).max() for a, b in zip(got, want, strict=True)]
        onnx_models.write(name, made, inputs, got)
        print(f"{name}: ONNX Runtime's bytes are {max(apart):.1e} off its floats")
    made = CASES["tensor"][0]
    before = run(made, {"X": x})[0]
    for what, at, own in (("another row", np.s_[:, 1], np.s_[:, :, 0]), ("the last step", np.s_[-1], np.s_[:-1])):
        other = x.copy()
        other[at] *= 50
        moved = np.abs(run(made, {"X": other})[0][own] - before[own]).max()
        print(f"a row depends on {what}: with 50 times its values it moves by {moved:.1e}")


if __name__ == "__main__":
    main()
