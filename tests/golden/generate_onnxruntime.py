"""Golden files from ONNX Runtime: the operators LSTM, GRU and RNN in ONNX's own convention, in
tests/golden/onnx/.

What: the three directions, sequence_lens (0 too), initial_h and initial_c, peepholes P, clip, input_forget,
linear_before_reset 0 and 1, and the eleven activations, with and without activation_alpha and
activation_beta.
Why: ONNX leaves much of this to the implementation, and ONNX Runtime is the implementation that models are
checked with. It computes in f32: expect differences of some 1e-6. Two of its choices are not ours to follow
blindly: for rows with sequence_lens 0 it returns zeros in Y_h and Y_c, not the initial state; and without
activation_alpha its ThresholdedRelu has the threshold 0, where ONNX's operator of that name says 1 (so no
file has that default). ThresholdedRelu jumps: a draw whose result depends on 1e-4 more or less of the
threshold is drawn again.
Form of the files: README.md beside this script.

usage: python tests/golden/generate_onnxruntime.py
needs: numpy, onnx, onnxruntime (versions: benches/peers/requirements.txt)
"""
import json

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

import golden

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
OPSET = 14
IR_VERSION = 8
ALL_ACTIVATIONS = [  # name, alpha, beta
    ("Sigmoid", [], []),
    ("Tanh", [], []),
    ("Relu", [], []),
    ("Affine", [0.75], [0.125]),
    ("LeakyRelu", [0.25], []),
    ("ThresholdedRelu", [0.25], []),
    ("ScaledTanh", [1.25], [0.75]),
    ("HardSigmoid", [0.3], [0.4]),
    ("Elu", [0.5], []),
    ("Softsign", [], []),
    ("Softplus", [], []),
]


def case(name, op, b=3, t=5, i=4, h=5, inputs="B", lens=None, **attributes):
    """`inputs`: which optional ones are there, of B, P, initial_h, initial_c."""
    return name, op, (b, t, i, h), inputs.split(), lens, attributes


def cases():
    for op in GATES:
        state = "B initial_h initial_c" if op == "LSTM" else "B initial_h"
        low = op.lower()
        yield case(f"{low}_plain", op)
        yield case(f"{low}_nobias", op, inputs="")
        for direction in ("reverse", "bidirectional"):
            yield case(f"{low}_{direction}", op, inputs=state, direction=direction)
        for direction in ("forward", "reverse", "bidirectional"):
            yield case(
                f"{low}_{direction}_lens", op, b=4, h=7, inputs=state, lens=[2, 5, 0, 1], direction=direction
            )
        yield case(f"{low}_one_step", op, b=1, t=1, i=1, h=1, inputs=state)
        yield case(f"{low}_h17", op, b=2, t=3, i=7, h=17, inputs=state)
        yield case(f"{low}_clip", op, inputs=state, clip=0.3, direction="bidirectional")
    # GRU: the other place of the reset, and both places with clip and lengths.
    yield case("gru_lbr", "GRU", inputs="B initial_h", linear_before_reset=1)
    yield case("gru_lbr_nobias", "GRU", inputs="", linear_before_reset=1)
    yield case(
        "gru_lbr_h17", "GRU", h=17, inputs="B initial_h", linear_before_reset=1, direction="bidirectional"
    )
    yield case("gru_lbr_clip", "GRU", inputs="B initial_h", linear_before_reset=1, clip=0.3)
    yield case("gru_lbr_lens", "GRU", b=4, inputs="B initial_h", lens=[2, 5, 0, 1], linear_before_reset=1,
               direction="bidirectional")  # fmt: skip
    # LSTM: peepholes and coupled gates, alone and with the rest.
    state = "B initial_h initial_c"
    yield case("lstm_peephole", "LSTM", inputs=state + " P")
    yield case("lstm_peephole_reverse", "LSTM", inputs=state + " P", direction="reverse")
    yield case("lstm_input_forget", "LSTM", inputs=state, input_forget=1)
    yield case(
        "lstm_input_forget_peephole", "LSTM", inputs=state + " P", input_forget=1, direction="bidirectional"
    )
    yield case("lstm_everything", "LSTM", b=4, h=7, inputs=state + " P", lens=[2, 5, 0, 1], input_forget=1,
               clip=0.4, direction="bidirectional")  # fmt: skip
    # Activations: each as the RNN's, with parameters and with ONNX's defaults of them.
    for name, alpha, beta in ALL_ACTIVATIONS:
        given = {
            key: value for key, value in (("activation_alpha", alpha), ("activation_beta", beta)) if value
        }
        yield case(f"rnn_{name.lower()}", "RNN", inputs="B initial_h", activations=[name], **given)
        if name in ("LeakyRelu", "HardSigmoid", "Elu"):
            yield case(f"rnn_{name.lower()}_default", "RNN", inputs="B initial_h", activations=[name])
    yield case("lstm_activations", "LSTM", inputs=state, activations=["HardSigmoid", "Softsign", "Elu"],
               activation_alpha=[0.25, 0.5], activation_beta=[0.375])  # fmt: skip
    yield case("lstm_activations_bidirectional", "LSTM", inputs=state, direction="bidirectional",
               activations=["Sigmoid", "ScaledTanh", "Softsign", "HardSigmoid", "Tanh", "LeakyRelu"],
               activation_alpha=[1.25, 0.25, 0.0625], activation_beta=[0.75, 0.375])  # fmt: skip
    for lbr in (0, 1):
        yield case(f"gru_activations_lbr{lbr}", "GRU", inputs="B initial_h", linear_before_reset=lbr,
                   activations=["HardSigmoid", "Affine"], activation_alpha=[0.25, 0.75],
                   activation_beta=[0.375, 0.125])  # fmt: skip


def draw(stream, op, sizes, inputs, lens, attributes):
    b, t, i, h = sizes
    d = 2 if attributes.get("direction") == "bidirectional" else 1
    shapes = {
        "X": (t, b, i), "W": (d, GATES[op] * h, i), "R": (d, GATES[op] * h, h), "B": (d, 2 * GATES[op] * h),
        "initial_h": (d, b, h), "initial_c": (d, b, h), "P": (d, 3 * h),
    }  # fmt: skip
    tensors = {
        name: golden.uniform(
            stream, *shape, limit=1.5 if name == "X" else 1.0 if "_" in name else min(0.7, h**-0.5)
        )
        for name, shape in shapes.items()
        if name in ("X", "W", "R", *inputs)
    }
    if lens:
        tensors["sequence_lens"] = np.array(lens, np.int32)
    return tensors


def run(op, tensors, attributes):
    """One node in a model, run on one thread."""
    order = ["X", "W", "R", "B", "sequence_lens", "initial_h"] + (["initial_c", "P"] if op == "LSTM" else [])
    outputs = ["Y", "Y_h"] + (["Y_c"] if op == "LSTM" else [])
    names = [name if name in tensors else "" for name in order]
    while not names[-1]:
        names.pop()
    node = helper.make_node(op, names, outputs, hidden_size=tensors["R"].shape[2], **attributes)
    types = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32}
    graph = helper.make_graph(
        [node],
        "golden",
        [helper.make_tensor_value_info(n, types[str(a.dtype)], a.shape) for n, a in tensors.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return dict(zip(outputs, session.run(outputs, tensors)))


def steady(op, tensors, attributes, results):
    """Whether the result stays when the threshold of ThresholdedRelu moves a little."""
    if "ThresholdedRelu" not in attributes.get("activations", []):
        return True
    (alpha,) = attributes["activation_alpha"]
    moved = [run(op, tensors, attributes | {"activation_alpha": [alpha + by]}) for by in (-1e-4, 1e-4)]
    return all((other["Y"] == results["Y"]).all() for other in moved)


def main():
    directory = golden.clean("onnx")
    for name, op, sizes, inputs, lens, attributes in cases():
        path = directory / f"{name}.safetensors"
        assert not path.exists(), f"two cases are named {name}"
        for attempt in range(100):
            tensors = draw(golden.random(name, attempt), op, sizes, inputs, lens, attributes)
            results = run(op, tensors, attributes)
            if steady(op, tensors, attributes, results):
                break
        else:
            raise SystemExit(f"{name}: no draw stays clear of the threshold")
        metadata = {
            "convention": "onnx",
            "source": f"onnxruntime {onnxruntime.__version__}",
            "precision": "float32",
            "op": op,
            "opset": str(OPSET),
            "hidden_size": str(sizes[3]),
        }
        metadata |= {
            key: json.dumps(value) if isinstance(value, list) else str(value)
            for key, value in attributes.items()
        }
        golden.save(path, metadata, tensors | results)
    files = list(directory.glob("*.safetensors"))
    print(f"{len(files)} files, {sum(file.stat().st_size for file in files)} bytes in {directory.name}/")


if __name__ == "__main__":
    main()
