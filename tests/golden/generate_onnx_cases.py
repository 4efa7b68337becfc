"""Small ONNX models of what exporters and people make, with ONNX Runtime's results, in
tests/golden/onnx_cases/.

What: NAME/model.onnx with NAME/test_data_set_0/{input,output}_*.pb, in the form of ONNX's own tests:
recurrent nodes whose weights and states are made by other nodes, lie in branches or other files, are of other
types than float (onnx_weights.py); every attribute that ONNX Runtime takes; stacks of nodes; bytes as
weights. And cells that were taken apart, NAME.onnx (onnx_taken_apart.py).
Why: a model that ONNX Runtime runs has to run here with the same numbers, however its constants were written.

usage: python tests/golden/generate_onnx_cases.py
needs: numpy, onnx with its ml_dtypes, onnxruntime (versions: benches/peers/requirements.txt)
"""

import shutil

import numpy as np
import onnx
from onnx import helper

import onnx_taken_apart
import onnx_weights
from onnx_models import FOLDER, B, F, R, W, X, constants, info, lstm, model, node, random, run, write


def attributes():
    """What ONNX Runtime takes, and what it makes of it."""
    base, bi = constants(W=W, R=R, B=B), constants(W=np.concatenate([W, -W]), R=np.concatenate([R, R]))
    rnn = constants(W=W[:, :1], R=R[:, :1])
    rnn2 = constants(W=np.concatenate([W[:, :1], W[:, 1:2]]), R=np.concatenate([R[:, :1], R[:, 2:3]]))

    def one(op, tensors, **given):
        inputs = "X,W,R,B" if any(tensor.name == "B" for tensor in tensors) else "X,W,R"
        return model([node(op, inputs, "Y", hidden_size=1, **given)], tensors)

    yield "rnn_forward_default_activations", one("RNN", rnn, activations=["Tanh", "Tanh"])
    yield "rnn_reverse_two_activations", one("RNN", rnn, activations=["Relu", "Tanh"], direction="reverse")
    yield (
        "lstm_affine_alpha_only",
        one("LSTM", base, activations=["Sigmoid", "Affine", "Affine"], activation_alpha=[1.0, 1.0]),
    )
    yield (
        "lstm_defaults_written_out",
        one(
            "LSTM",
            base,
            activations=["Sigmoid", "Tanh", "Tanh"],
            clip=3.4028234663852886e38,
            direction="forward",
            input_forget=0,
            layout=0,
        ),
    )
    yield "lstm_other_case", one("LSTM", base, activations=["SIGMOID", "tanh", "softSign"])
    yield "lstm_alpha_without_activations", one("LSTM", base, activation_alpha=[0.5], activation_beta=[2.0])
    yield "rnn_alpha_without_activations", one("RNN", rnn, activation_alpha=[0.5])
    yield (
        "lstm_alpha_longer_than_needed",
        one(
            "LSTM",
            base,
            activations=["HardSigmoid", "Elu", "Tanh"],
            activation_alpha=[0.25, 0.5, 7.0, 8.0],
            activation_beta=[0.4, 9.0],
        ),
    )
    yield "lstm_input_forget_2", one("LSTM", base, input_forget=2)
    yield "gru_linear_before_reset_5", one(
        "GRU", constants(W=W[:, :3], R=R[:, :3], B=B[:, :6]), linear_before_reset=5
    )
    yield "lstm_infinite_clip", one("LSTM", base, clip=float("inf"))
    yield (
        "lstm_bidirectional_alphas",
        one(
            "LSTM",
            bi,
            direction="bidirectional",
            activations=["Sigmoid", "Tanh", "LeakyRelu", "Sigmoid", "Elu", "Tanh"],
            activation_alpha=[0.5, 0.75],
        ),
    )
    yield (
        "rnn_bidirectional_alphas",
        one(
            "RNN",
            rnn2,
            direction="bidirectional",
            activations=["Tanh", "LeakyRelu"],
            activation_alpha=[0.5, 0.25],
        ),
    )
    for name in ("Affine", "ScaledTanh", "ThresholdedRelu", "LeakyRelu", "HardSigmoid", "Elu"):
        for given in (
            {},
            {"activation_alpha": [0.75]},
            {"activation_beta": [0.375]},
            {"activation_alpha": [0.75], "activation_beta": [0.375]},
        ):
            which = "_".join(key.split("_")[1] for key in given) or "none"
            yield f"rnn_{name.lower()}_{which}", one("RNN", rnn, activations=[name], **given)
            if which in ("none", "beta"):
                low = name.lower()
                yield (
                    f"gru_{low}_{which}",
                    one(
                        "GRU",
                        constants(W=W[:, :3], R=R[:, :3], B=B[:, :6]),
                        activations=["Sigmoid", low],
                        **given,
                    ),
                )


def chains():
    """Nodes above each other."""

    def layers(name, op, gates, count, d, i, h):
        tensors = {}
        for k in range(count):
            wide = i if k == 0 else d * h
            tensors |= {
                f"W{k}": random(f"{name}W{k}", d, gates * h, wide),
                f"R{k}": random(f"{name}R{k}", d, gates * h, h),
                f"B{k}": random(f"{name}B{k}", d, 2 * gates * h),
            }
        return tensors

    x = {"X": random("chain x", 5, 2, 3, limit=1.5)}
    dynamic = [info("X", F, ["steps", "batch", 3])]
    one = layers("one", "LSTM", 4, 3, 1, 3, 4)
    yield (
        "chain_lstm_squeeze",
        model(
            [
                node("LSTM", "X,W0,R0,B0", "Y0,h0,c0", hidden_size=4),
                node("Squeeze", "Y0,d", "X1"),
                node("LSTM", "X1,W1,R1,B1,,s,s", "Y1,h1,c1", hidden_size=4),
                node("Dropout", "Y1", "Z1"),
                node("Reshape", "Z1,to", "X2"),
                node("LSTM", "X2,W2,R2,B2", "Y2,h2,c2", hidden_size=4),
                node("Squeeze", "Y2,d", "Y"),
                node("Concat", "h0,h1,h2", "h", axis=0),
                node("Concat", "c0,c1,c2", "c", axis=0),
            ],
            constants(
                **one, d=np.array([1]), to=np.array([0, -1, 4]), s=np.full((1, 2, 4), 0.25, np.float32)
            ),
            "Y,h,c",
            inputs=dynamic,
        ),
        x,
    )
    both = layers("both", "GRU", 3, 2, 2, 3, 4)
    gru = {"hidden_size": 4, "direction": "bidirectional", "linear_before_reset": 1}
    yield (
        "chain_gru_bidirectional",
        model(
            [
                node("GRU", "X,W0,R0,B0", "Y0,h0", **gru),
                node("Transpose", "Y0", "T0", perm=[0, 2, 1, 3]),
                node("Reshape", "T0,to", "X1"),
                node("GRU", "X1,W1,R1,B1", "Y1,h1", **gru),
                node("Transpose", "Y1", "T1", perm=[0, 2, 1, 3]),
                node("Reshape", "T1,to", "Y"),
                node("Concat", "h0,h1", "h", axis=0),
            ],
            constants(**both, to=np.array([0, 0, -1])),
            "Y,h",
            inputs=dynamic,
        ),
        x,
    )
    yield (
        "chain_batch_first_between",
        model(
            [
                node("LSTM", "X,W0,R0,B0", "Y0,h0,c0", hidden_size=4),
                node("Squeeze", "Y0,d", "S0"),
                node("Transpose", "S0", "T0", perm=[1, 0, 2]),
                node("Transpose", "T0", "X1", perm=[1, 0, 2]),
                node("LSTM", "X1,W1,R1,B1", "Y1,h1,c1", hidden_size=4),
                node("Squeeze", "Y1,d", "Y"),
                node("Concat", "h0,h1", "h", axis=0),
                node("Concat", "c0,c1", "c", axis=0),
            ],
            constants(**{k: v for k, v in one.items() if "2" not in k}, d=np.array([1])),
            "Y,h,c",
            inputs=dynamic,
        ),
        x,
    )
    # As exporters of Keras join directions: each cut out and turned, then side by side.
    directions = []
    for k in (0, 1):
        directions += [
            node("Slice", f"Y0,i{k},i{k + 1},d", f"cut{k}"),
            node("Squeeze", f"cut{k},d", f"one{k}"),
        ]
        directions += [node("Transpose", f"one{k}", f"turned{k}", perm=[1, 0, 2])]
    joined = [
        node("Concat", "turned0,turned1", "both", axis=-1),
        node("Transpose", "both", "X1", perm=[1, 0, 2]),
    ]
    last = [node("Gather", "Y1,zero", "f", axis=1), node("Gather", "Y1,one", "b", axis=1)]
    last += [node("Concat", "f,b", "Y", axis=2), node("Concat", "h0,h1", "h", axis=0)]
    layer = [node("GRU", f"X{k or ''},W{k},R{k},B{k}", f"Y{k},h{k}", **gru) for k in (0, 1)]
    numbers = {f"i{k}": np.array([k]) for k in range(3)} | {
        "d": np.array([1]),
        "zero": np.int64(0),
        "one": np.int64(1),
    }
    tensors = constants(**both, **numbers)
    yield (
        "chain_of_joined_directions",
        model([layer[0], *directions, *joined, layer[1], *last], tensors, "Y,h", inputs=dynamic),
        x,
    )
    joined = [
        node("Concat", "turned1,turned0", "both", axis=-1),
        node("Transpose", "both", "X1", perm=[1, 0, 2]),
    ]
    yield (
        "not_a_chain_directions_exchanged",
        model([layer[0], *directions, *joined, layer[1], *last], tensors, "Y", inputs=dynamic),
        x,
    )
    sizes = [
        node("Shape", "X", "sx"),
        node("Slice", "sx,zero,two", "tb"),
        node("Concat", "tb,width", "to", axis=0),
    ]
    shapes = both | {"zero": np.array([0]), "two": np.array([2]), "width": np.array([8])}
    turned = [node("Transpose", "Y0", "T0", perm=[0, 2, 1, 3]), node("Reshape", "T0,to", "X1")]
    last = [node("Transpose", "Y1", "T1", perm=[0, 2, 1, 3]), node("Reshape", "T1,to", "Y")]
    nodes = [
        node("GRU", "X,W0,R0,B0", "Y0,h0", **gru),
        *sizes,
        *turned,
        node("GRU", "X1,W1,R1,B1", "Y1,h1", **gru),
        *last,
    ]
    yield "chain_by_the_shape_of_x", model(nodes, constants(**shapes), "Y", inputs=dynamic), x
    yield (
        "not_a_chain_directions_above_each_other",
        model(
            [
                node("GRU", "X,W0,R0,B0", "Y0", **gru),
                node("Transpose", "Y0", "T0", perm=[0, 2, 3, 1]),
                node("Reshape", "T0,to", "X1"),
                node("GRU", "X1,W1,R1,B1", "Y1", **gru),
                node("Identity", "Y1", "Y"),
            ],
            constants(**both, to=np.array([0, 0, -1])),
            "Y",
            inputs=dynamic,
        ),
        x,
    )
    yield (
        "not_a_chain_batch_and_steps_turned",
        model(
            [
                node("LSTM", "X,W0,R0,B0", "Y0", hidden_size=4),
                node("Squeeze", "Y0,d", "S0"),
                node("Transpose", "S0", "X1", perm=[1, 0, 2]),
                node("LSTM", "X1,W1,R1,B1", "Y", hidden_size=4),
            ],
            constants(**{k: v for k, v in one.items() if "2" not in k}, d=np.array([1])),
            "Y",
            inputs=dynamic,
        ),
        x,
    )
    mixed = layers("mixed", "LSTM", 4, 1, 1, 3, 4) | {
        "V": random("mixed V", 1, 9, 4),
        "U": random("mixed U", 1, 9, 3),
        "C": random("mixed C", 1, 18),
    }
    yield (
        "not_a_chain_two_cells",
        model(
            [
                node("LSTM", "X,W0,R0,B0", "Y0", hidden_size=4),
                node("Squeeze", "Y0,d", "X1"),
                node("GRU", "X1,V,U,C", "Y", hidden_size=3),
            ],
            constants(**mixed, d=np.array([1])),
            "Y",
            inputs=dynamic,
        ),
        x,
    )


def external():
    """Weights in another file, which lies beside the model."""
    made = model([lstm()], constants(W=W, R=R, B=B))
    inputs = {"X": X}
    write("weights_in_another_file", made, inputs, run(made, inputs))
    folder = FOLDER / "weights_in_another_file"
    onnx.save_model(
        made,
        folder / "model.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location="weights.bin",
        size_threshold=0,
    )


def dynamic_quantized():
    """DynamicQuantizeLSTM: what is right here is the LSTM with dequantised weights."""
    d, i, h = 2, 3, 4
    for name, signed, per_row in (("tensor", True, False), ("rows", False, True)):
        stream = np.random.RandomState(7)
        low, high = (-128, 128) if signed else (0, 256)
        kind = np.int8 if signed else np.uint8
        wq, rq = (stream.randint(low, high, (d, k, 4 * h)).astype(kind) for k in (i, h))
        shape = (d, 4 * h) if per_row else (d,)
        ws, rs = (stream.uniform(0.002, 0.006, shape).astype(np.float32) for _ in range(2))
        wz, rz = (np.full(shape, zero, kind) for zero in ((3, -2) if signed and not per_row else (120, 131)))
        spread = [np.broadcast_to(p.reshape(d, 1, -1), (d, 1, 4 * h)) for p in (ws, wz, rs, rz)]
        w = (wq.astype(np.float32) - spread[1].astype(np.float32)) * spread[0]
        r = (rq.astype(np.float32) - spread[3].astype(np.float32)) * spread[2]
        b = random("dynamic B", d, 8 * h)
        floats = model(
            [node("LSTM", "X,W,R,B", "Y,Y_h,Y_c", hidden_size=h, direction="bidirectional")],
            constants(
                W=np.ascontiguousarray(w.transpose(0, 2, 1)),
                R=np.ascontiguousarray(r.transpose(0, 2, 1)),
                B=b,
            ),
            "Y,Y_h,Y_c",
            (5, 2, i),
        )
        inputs = {"X": random("dynamic x", 5, 2, i, limit=1.5)}
        quantized = helper.make_node(
            "DynamicQuantizeLSTM",
            ["X", "Wq", "Rq", "B", "", "", "", "", "ws", "wz", "rs", "rz"],
            ["Y", "Y_h", "Y_c"],
            domain="com.microsoft",
            hidden_size=h,
            direction="bidirectional",
        )
        made = model(
            [quantized],
            constants(Wq=wq, Rq=rq, B=b, ws=ws, wz=wz, rs=rs, rz=rz),
            "Y,Y_h,Y_c",
            (5, 2, i),
            extra=["com.microsoft"],
        )
        want, bytes_ = run(floats, inputs), run(made, inputs)
        apart = max(np.abs(x - y).max() for x, y in zip(want, bytes_, strict=True))
        print(f"dynamic_quantized_{name}: ONNX Runtime's own bytes are {apart:.1e} off")
        write(f"dynamic_quantized_{name}", made, inputs, want)


def main():
    for old in FOLDER.iterdir() if FOLDER.exists() else ():
        # (Those of generate_onnx_operators.py stay.)
        (
            shutil.rmtree(old)
            if old.is_dir()
            else old.unlink() if not old.name.startswith("operators_") else None
        )
    count = 0
    parts = (onnx_weights.weights, onnx_weights.states, onnx_weights.branches, onnx_weights.functions)
    for cases in (*parts, attributes, chains):
        for name, *rest in cases():
            made, *given = rest[0] if isinstance(rest[0], tuple) else rest
            inputs = given[0] if given else {"X": X}
            write(name, made, inputs, run(made, inputs))
            count += 1
    external()
    dynamic_quantized()
    onnx_taken_apart.write_all()
    print(f"{count} models and those with names above")


if __name__ == "__main__":
    main()
