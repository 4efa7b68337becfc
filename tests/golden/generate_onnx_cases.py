"""Small ONNX models of what exporters and people make, with ONNX Runtime's results, in tests/golden/onnx_cases/.

What: NAME/model.onnx with NAME/test_data_set_0/{input,output}_*.pb, in the form of ONNX's own tests: recurrent nodes
whose weights and states are made by other nodes, lie in branches or other files, are of other types than float; every
attribute that ONNX Runtime takes; stacks of nodes; bytes as weights. And operators_VERSION.onnx: nodes that make
constants of constants, in the forms of that version of the operator set; the model has ONNX Runtime's value of each
output NAME as the initialiser want.NAME.
Why: a model that ONNX Runtime runs has to run here with the same numbers, however its constants were written.

usage: python tests/golden/generate_onnx_cases.py
needs: ml_dtypes, numpy, onnx, onnxruntime (versions: benches/peers/requirements.txt)
"""

import shutil
import zlib
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "onnx_cases"
F, I64 = TensorProto.FLOAT, TensorProto.INT64

# One unit over one input: an LSTM in ONNX's order (i, o, f, c).
W = np.array([0.5, -0.25, 1.0, 0.75], np.float32).reshape(1, 4, 1)
R = np.array([0.125, 0.25, -0.5, 1.0], np.float32).reshape(1, 4, 1)
B = np.array([0.1, 0.2, 0.3, 0.4, -0.1, -0.2, 0.5, 0.05], np.float32).reshape(1, 8)
X = np.array([1, -0.5, 0.25], np.float32).reshape(3, 1, 1)
TORCH = [0, 2, 3, 1]  # the same rows in PyTorch's order (i, f, g, o)


def random(name, *shape, limit=0.7):
    stream = np.random.RandomState(zlib.crc32(name.encode()))
    return stream.uniform(-limit, limit, shape).astype(np.float32)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(
        op,
        inputs.split(",") if isinstance(inputs, str) else inputs,
        outputs.split(",") if isinstance(outputs, str) else outputs,
        **attributes,
    )


def constants(**arrays):
    return [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]


def info(name, kind=F, shape=None):
    return helper.make_tensor_value_info(name, kind, shape)


def graph(name, nodes, inputs, outputs, tensors=()):
    return helper.make_graph(nodes, name, inputs, outputs, tensors)


def model(nodes, tensors=(), outputs="Y", x=(3, 1, 1), opset=17, inputs=None, extra=()):
    inputs = [info("X", F, list(x))] if inputs is None else inputs
    domains = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in extra)]
    outputs = [
        info(output) if isinstance(output, str) else output
        for output in (outputs.split(",") if isinstance(outputs, str) else outputs)
    ]
    return helper.make_model(graph("g", nodes, inputs, outputs, tensors), opset_imports=domains, ir_version=8)


def lstm(inputs="X,W,R,B", outputs="Y", **attributes):
    return node("LSTM", inputs, outputs, **{"hidden_size": 1, **attributes})


def weights():
    """Models whose weights other nodes make."""
    i = {f"i{k}": np.array([k]) for k in range(5)}
    cut = []
    for name, short in (("weight_ih", "W"), ("weight_hh", "R"), ("bias_ih", "bi"), ("bias_hh", "bh")):
        for k, (a, b) in enumerate(((0, 1), (3, 4), (1, 3))):
            cut.append(node("Slice", f"{name},i{a},i{b},z", f"{short}{k}"))
        cut.append(node("Concat", f"{short}0,{short}1,{short}2", f"{short}c", axis=0))
    joined = [
        node("Unsqueeze", "Wc,ax", "W"),
        node("Unsqueeze", "Rc,ax", "R"),
        node("Concat", "bic,bhc", "bc", axis=0),
        node("Unsqueeze", "bc,ax", "B"),
    ]
    torch = constants(weight_ih=W[0][TORCH], weight_hh=R[0][TORCH], bias_ih=B[0, :4][TORCH], bias_hh=B[0, 4:][TORCH])
    places = constants(**i, z=np.array([0]), ax=np.array([0]))
    yield "weights_by_slice_concat_unsqueeze", model([*cut, *joined, lstm()], torch + places)
    yield (
        "weights_by_cast_f16",
        model([node("Cast", "Wh", "W", to=F), lstm()], constants(Wh=W.astype(np.float16), R=R, B=B)),
    )
    yield (
        "weights_by_transpose_reshape_identity",
        model(
            [
                node("Transpose", "Wt", "Wa", perm=[2, 0, 1]),
                node("Identity", "Wa", "W"),
                node("Reshape", "flat,shape", "R"),
                lstm(),
            ],
            constants(Wt=W.transpose(1, 2, 0), flat=R.ravel(), shape=np.array([1, -1, 1]), B=B),
        ),
    )
    yield (
        "weights_by_constant_nodes",
        model(
            [
                node("Constant", [], "W", value=numpy_helper.from_array(W)),
                node("Constant", [], "Rf", value_floats=R.ravel()),
                node("Constant", [], "s", value_ints=[1, 4, 1]),
                node("Reshape", "Rf,s", "R"),
                node("Constant", [], "b", value_float=0.25),
                node("Constant", [], "bs", value_ints=[1, 8]),
                node("Expand", "b,bs", "B"),
                lstm(),
            ]
        ),
    )
    yield (
        "weights_of_bf16_and_f64",
        model(
            [node("Cast", "Wb", "W", to=F), node("Cast", "Rd", "R", to=F), lstm()],
            [
                helper.make_tensor(
                    "Wb", TensorProto.BFLOAT16, [1, 4, 1], W.astype(ml_dtypes.bfloat16).tobytes(), raw=True
                ),
                *constants(Rd=R.astype(np.float64), B=B),
            ],
        ),
    )
    quantized = np.array([64, -32, 127, 96], np.int8).reshape(1, 4, 1)
    yield (
        "weights_by_dequantize",
        model(
            [node("DequantizeLinear", "Wq,ws,wz", "W", axis=1), node("DequantizeLinear", "Rq,rs,rz", "R"), lstm()],
            constants(
                Wq=quantized,
                ws=np.array([0.0078125, 0.01, 0.005, 0.0078], np.float32),
                wz=np.array([0, 1, -2, 3], np.int8),
                Rq=np.array([140, 200, 20, 255], np.uint8).reshape(1, 4, 1),
                rs=np.float32(0.01),
                rz=np.uint8(128),
                B=B,
            ),
        ),
    )
    yield (
        "weights_by_quantize_dequantize",
        model(
            [node("QuantizeLinear", "Wf,s,z", "Wq"), node("DequantizeLinear", "Wq,s,z", "W"), lstm()],
            constants(Wf=W, s=np.float32(0.0079), z=np.int8(3), R=R, B=B),
        ),
    )
    yield (
        "weights_by_split_squeeze",
        model(
            [
                node("Split", "both,sizes", "Wa,Ra", axis=3),
                node("Squeeze", "Wa,last", "W"),
                node("Squeeze", "Ra,last", "R"),
                lstm(),
            ],
            constants(both=np.stack([W, R], -1), sizes=np.array([1, 1]), last=np.array([-1]), B=B),
        ),
    )
    yield (
        "weights_by_weight_norm",
        model(
            [
                node("ReduceL2", "v", "n", axes=[1, 2], keepdims=1),
                node("Div", "v,n", "u"),
                node("Mul", "u,g", "W"),
                lstm(),
            ],
            constants(v=W * 3, g=np.float32(1.25).reshape(1, 1, 1), R=R, B=B),
            opset=13,
        ),
    )
    yield (
        "biases_by_arithmetic",
        model(
            [
                node("Add", "B0,B1", "Ba"),
                node("Mul", "Ba,half", "Bb"),
                node("Neg", "Bb", "Bc"),
                node("Sub", "Bc,B1", "Bd"),
                node("Sqrt", "four", "two"),
                node("Div", "Bd,two", "B"),
                lstm(),
            ],
            constants(B0=B, B1=B[:, :1], half=np.float32(0.5), four=np.float32(4), W=W, R=R),
        ),
    )
    yield (
        "weights_by_gather_of_a_table",
        model(
            [node("Gather", "table,order", "Wg", axis=0), node("Unsqueeze", "Wg,z", "W"), lstm()],
            constants(table=W[0][TORCH], order=np.array([0, -1, 1, 2]), z=np.array([0]), R=R, B=B),
        ),
    )
    yield (
        "peepholes_by_concat",
        model(
            [node("Concat", "p,p,q", "P0", axis=0), node("Unsqueeze", "P0,z", "P"), lstm("X,W,R,B,,,,P", "Y,Y_h,Y_c")],
            constants(p=np.array([0.5], np.float32), q=np.array([-0.25], np.float32), z=np.array([0]), W=W, R=R, B=B),
            "Y,Y_h,Y_c",
        ),
    )
    yield (
        "weights_of_sizes_from_shapes",
        model(
            [
                node("Shape", "W", "s"),
                node("Gather", "s,one", "rows"),
                node("Mul", "rows,two", "count"),
                node("Unsqueeze", "count,z", "c"),
                node("Concat", "u,c", "bs", axis=0),
                node("ConstantOfShape", "bs", "B", value=helper.make_tensor("v", F, [1], [0.125])),
                lstm(),
            ],
            constants(W=W, R=R, one=np.int64(1), two=np.int64(2), z=np.array([0]), u=np.array([1])),
        ),
    )
    yield (
        "gru_weights_by_range_and_where",
        model(
            [
                node("Range", "zero,three,step", "r"),
                node("Greater", "r,half", "mask"),
                node("Where", "mask,a,b", "w"),
                node("Reshape", "w,s", "W"),
                node("GRU", "X,W,Rg,Bg", "Y", hidden_size=1, linear_before_reset=1),
            ],
            constants(
                zero=np.float32(0),
                three=np.float32(3),
                step=np.float32(1),
                half=np.float32(0.5),
                a=np.array([0.5, -0.75, 1.0], np.float32),
                b=np.array([-1, -1, -1], np.float32),
                s=np.array([1, 3, 1]),
                Rg=R[:, :3],
                Bg=B[:, :6],
            ),
        ),
    )


def states():
    """Initial states that nodes make, of constants and of inputs."""
    dynamic = [info("X", F, ["steps", "batch", 1])]
    shape = [
        node("Shape", "X", "sx"),
        node("Gather", "sx,one", "n", axis=0),
        node("Unsqueeze", "n,ax", "n1"),
        node("Concat", "d,n1,d", "sh", axis=0),
    ]
    base = dict(W=W, R=R, B=B, one=np.int64(1), d=np.array([1]), ax=np.array([0]))
    yield (
        "initial_h_by_expand",
        model([*shape, node("ConstantOfShape", "sh", "h0"), lstm("X,W,R,B,,h0,h0")], constants(**base)),
    )
    two = np.concatenate([X, -2 * X], 1)
    yield (
        "zeros_of_a_dynamic_batch",
        model(
            [
                *shape,
                node("ConstantOfShape", "sh", "z"),
                node("Slice", "z,d0,d1,d0", "h0"),
                node("Expand", "zero,sh", "c0"),
                lstm("X,W,R,B,,h0,c0", "Y,Y_h,Y_c"),
            ],
            constants(**base, d0=np.array([0]), d1=np.array([1]), zero=np.float32(0)),
            "Y,Y_h,Y_c",
            inputs=dynamic,
        ),
        {"X": two},
    )
    yield (
        "learned_state_expanded_to_the_batch",
        model(
            [
                *shape,
                node("Expand", "h,sh", "h0"),
                node("Identity", "h0", "h1"),
                node("Tile", "c,sh", "c0"),
                lstm("X,W,R,B,,h1,c0", "Y,Y_h"),
            ],
            constants(**base, h=np.array([[[0.5]]], np.float32), c=np.array([[[-0.75]]], np.float32)),
            "Y,Y_h",
            inputs=dynamic,
        ),
        {"X": two},
    )
    wide = constants(
        W=random("wide W", 1, 6, 1),
        R=random("wide R", 1, 6, 2),
        h=np.array([[[0.5, -0.25]]], np.float32),
        one=np.int64(1),
        ax=np.array([0]),
        d=np.array([1]),
        two=np.array([2]),
    )
    yield (
        "learned_state_of_two_units",
        model(
            [
                *shape[:3],
                node("Concat", "d,n1,two", "sh", axis=0),
                node("Expand", "h,sh", "h0"),
                node("GRU", "X,W,R,,,h0", "Y,Y_h", hidden_size=2),
            ],
            wide,
            "Y,Y_h",
            inputs=dynamic,
        ),
        {"X": two},
    )
    yield (
        "state_from_one_input",
        model(
            [
                node("Gather", "state,zero", "h", axis=0),
                node("Gather", "state,one", "c", axis=0),
                node("Unsqueeze", "h,ax", "h0"),
                node("Unsqueeze", "c,ax", "c0"),
                lstm("X,W,R,B,,h0,c0", "Y,Y_h,Y_c"),
                node("Concat", "Y_h,Y_c", "next", axis=0),
            ],
            constants(**base, zero=np.int64(0)),
            "Y,next",
            inputs=[*dynamic, info("state", F, [2, "batch", 1])],
        ),
        {"X": two, "state": random("state", 2, 2, 1)},
    )
    yield (
        "lengths_from_the_shape",
        model(
            [
                node("Shape", "X", "sx"),
                node("Slice", "sx,d0,d1,d0", "t"),
                node("Cast", "t", "t32", to=TensorProto.INT32),
                node("Slice", "sx,d1,d2,d0", "n"),
                node("Expand", "t32,n", "lens"),
                lstm("X,W,R,B,lens", "Y,Y_h"),
            ],
            constants(W=W, R=R, B=B, d0=np.array([0]), d1=np.array([1]), d2=np.array([2])),
            "Y,Y_h",
            inputs=dynamic,
        ),
        {"X": two},
    )
    yield (
        "batch_first_by_transpose",
        model(
            [
                node("Transpose", "X", "Xt", perm=[1, 0, 2]),
                lstm("Xt,W,R,B", "Yt,Y_h"),
                node("Squeeze", "Yt,d1", "Ys"),
                node("Transpose", "Ys", "Y", perm=[1, 0, 2]),
            ],
            constants(W=W, R=R, B=B, d1=np.array([1])),
            "Y,Y_h",
            inputs=[info("X", F, ["batch", "steps", 1])],
        ),
        {"X": np.ascontiguousarray(two.transpose(1, 0, 2))},
    )


def branches():
    """Nodes and weights in and across branches of If."""
    inside = graph(
        "then", [node("Mul", "W,two", "W2"), node("LSTM", "X,W2,R,B", "Y1", hidden_size=1)], [], [info("Y1")]
    )
    other = graph(
        "else",
        [node("Constant", [], "W3", value=numpy_helper.from_array(-W)), node("LSTM", "X,W3,R,B", "Y2", hidden_size=1)],
        [],
        [info("Y2")],
    )
    tensors = constants(W=W, R=R, B=B, two=np.float32(2))
    for name, flag in (("then", True), ("else", False)):
        yield (
            f"if_of_an_input_{name}",
            model(
                [node("If", "flag", "Y", then_branch=inside, else_branch=other)],
                tensors,
                inputs=[info("X", F, [3, 1, 1]), info("flag", TensorProto.BOOL, [])],
            ),
            {"X": X, "flag": np.array(flag)},
        )
    yield (
        "if_of_a_constant",
        model(
            [node("Equal", "a,b", "flag"), node("If", "flag", "Y", then_branch=inside, else_branch=other)],
            tensors + constants(a=np.int64(8000), b=np.int64(16000)),
        ),
    )
    choose = [
        graph(name, [node("Identity", source, f"{name}W")], [], [info(f"{name}W", F, [1, 4, 1])])
        for name, source in (("t", "W"), ("e", "V"))
    ]
    yield (
        "weights_chosen_by_a_constant",
        model(
            [
                node("Not", "no", "yes"),
                node("If", "yes", "C", then_branch=choose[0], else_branch=choose[1]),
                lstm("X,C,R,B"),
            ],
            tensors + constants(V=-W, no=np.array(False)),
        ),
    )
    squeeze = [
        graph(name, [node(op, inputs, f"{name}X")], [], [info(f"{name}X")])
        for name, op, inputs in (("t", "Squeeze", "X4,one"), ("e", "Identity", "X4"))
    ]
    yield (
        "if_of_a_rank",
        model(
            [
                node("Shape", "X4", "s"),
                node("Size", "s", "axes"),
                node("Equal", "axes,four", "flag"),
                node("If", "flag", "X", then_branch=squeeze[0], else_branch=squeeze[1]),
                lstm(),
            ],
            tensors + constants(one=np.array([1]), four=np.int64(4)),
            inputs=[info("X4", F, [3, 1, 1, 1])],
        ),
        {"X4": X[:, None]},
    )


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
    yield "gru_linear_before_reset_5", one("GRU", constants(W=W[:, :3], R=R[:, :3], B=B[:, :6]), linear_before_reset=5)
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
        one("RNN", rnn2, direction="bidirectional", activations=["Tanh", "LeakyRelu"], activation_alpha=[0.5, 0.25]),
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
                    one("GRU", constants(W=W[:, :3], R=R[:, :3], B=B[:, :6]), activations=["Sigmoid", low], **given),
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
            constants(**one, d=np.array([1]), to=np.array([0, -1, 4]), s=np.full((1, 2, 4), 0.25, np.float32)),
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


def operators(opset):
    """Nodes that make constants of constants, in the forms of a version of the operator set."""
    a = random("a", 2, 3, 4, limit=2)
    tensors = {
        "a": a,
        "n": np.arange(-6, 6, dtype=np.int64).reshape(3, 4),
        "b": np.array([True, False, True]),
        "h": a.astype(np.float16),
        "d": a.astype(np.float64),
        "i8": np.array([-128, -3, 0, 5, 127], np.int8),
        "u8": np.array([0, 3, 128, 255], np.uint8),
        "i32": np.array([7, -7, 2**31 - 1], np.int32),
        "one": np.float32(1),
        "p": np.abs(a) + 0.5,
        "row": a[0, 0],
        "col": a[0, :, :1],
    }
    tensors |= {"i4": np.array([-8, -1, 0, 7, 3], ml_dtypes.int4)}
    nodes, outputs = [], []

    def make(op, inputs, count=1, **attributes):
        """A node; inputs that are arrays become constants."""
        names = []
        for value in inputs:
            if not isinstance(value, str):
                name = f"k{len(tensors)}"
                tensors[name] = np.asarray(value)
                value = name
            names.append(value)
        out = [f"{op}.{len(outputs) + k}" for k in range(count)]
        outputs.extend(out)
        nodes.append(helper.make_node(op, names, out, **attributes))
        return out[0]

    def ints(*values):
        return np.array(values, np.int64)

    make("Identity", ["a"])
    make("Transpose", ["a"])
    make("Transpose", ["a"], perm=[1, 2, 0])
    make("Flatten", ["a"])
    make("Flatten", ["a"], axis=0)
    make("Flatten", ["a"], axis=3)
    make("Reshape", ["a", ints(4, -1)])
    make("Reshape", ["a", ints(0, 0, 2, 2)])
    make("Reshape", ["a", ints(-1)])
    make("Shape", ["a"])
    make("Size", ["a"])
    make("Concat", ["a", "a"], axis=1)
    make("Concat", ["a", "p", "a"], axis=2)
    make("Concat", ["a", "a"], axis=0)
    make("Gather", ["a", ints(0, 2)], axis=1)
    make("Gather", ["a", np.array([[1, 0], [3, 3]], np.int32)], axis=2)
    make("Gather", ["a", np.int64(1)])
    make("Expand", ["row", ints(2, 3, 4)])
    make("Expand", ["col", ints(4)])
    make("Expand", ["one", ints(2, 2)])
    make("Tile", ["a", ints(2, 1, 3)])
    make("ConstantOfShape", [ints(2, 3)])
    make("ConstantOfShape", [ints(3)], value=helper.make_tensor("v", I64, [1], [7]))
    make("ConstantOfShape", [np.array([], np.int64)], value=helper.make_tensor("v", TensorProto.BOOL, [1], [True]))
    for op in ("Neg", "Abs", "Exp", "Floor", "Ceil", "Tanh", "Sigmoid", "Relu", "Reciprocal"):
        make(op, ["a"])
    for op in ("Sqrt", "Log"):
        make(op, ["p"])
    make("Neg", ["n"])
    make("Not", ["b"])
    for op in ("Add", "Sub", "Mul", "Div"):
        make(op, ["a", "row"])
        make(op, ["col", "row"])
        make(op, ["n", np.int64(3)])
        make(op, ["d", np.float64(0.3)])
    make("Pow", ["p", np.float32(2.5)])
    make("Min", ["a", "row", "one"])
    make("Max", ["a", "row"])
    make("Sum", ["a", "row", "col"])
    make("Where", [np.array([[True], [False]]), "row", np.float32(9)])
    for to in (F, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT32, I64, TensorProto.INT8, TensorProto.BOOL):
        make("Cast", ["a"], to=to)
        make("Cast", ["n"], to=to)
    make("Cast", ["h"], to=F)
    make("Cast", ["u8"], to=TensorProto.INT8)
    make("Cast", ["i32"], to=TensorProto.UINT8)
    make("Cast", ["b"], to=F)
    make("Greater", ["a", "row"])
    make("Less", ["a", "row"])
    make("Equal", ["n", np.int64(2)])
    for op in ("And", "Or", "Xor"):
        make(op, ["b", np.array([True, True, False])])
    make("Dropout", ["a"])
    if opset >= 9:
        make("Constant", [], value=numpy_helper.from_array(a))
    if opset < 10:
        make("Slice", ["a"], starts=[1, -2], ends=[3, 1000], axes=[1, 2])
        make("Slice", ["a"], starts=[1], ends=[2])
    else:
        make("Slice", ["a", ints(1, -2), ints(3, 1000), ints(1, 2)])
        make("Slice", ["a", ints(-1), ints(-1000), ints(-1), ints(-2)])
        make("Slice", ["a", ints(1), ints(2)])
        make("Slice", ["a", ints(2, 0), ints(0, 4), ints(1, 2), ints(-1, 3)])
        make("Slice", ["a", ints(5), ints(9), ints(2)])
        make("Mod", ["n", np.int64(4)])
        make("Mod", ["a", np.float32(0.7)], fmod=1)
        make("QuantizeLinear", ["a", np.float32(0.02), np.uint8(128)])
        make("DequantizeLinear", ["u8", np.float32(0.02), np.uint8(128)])
        make("DequantizeLinear", ["i8", np.float32(0.5)])
    if opset < 13:
        make("Squeeze", [np.ones((1, 3, 1), np.float32)], axes=[0])
        make("Unsqueeze", ["a"], axes=[0, 2])
        make("Split", ["a"], 2, axis=1, split=[1, 2])
        make("Split", ["a"], 2, axis=2)
        make("ReduceSum", ["a"], axes=[0, 2])
    else:
        make("Squeeze", [np.ones((1, 3, 1), np.float32), ints(-1)])
        make("Unsqueeze", ["a", ints(0, -1)])
        make("Split", ["a", ints(1, 2)], 2, axis=1)
        make("ReduceSum", ["a", ints(0, -1)], keepdims=0)
        make("ReduceSum", ["a"], noop_with_empty_axes=1)
        make("QuantizeLinear", ["a", np.array([0.1, 0.02, 0.3], np.float32), np.array([0, 3, -4], np.int8)])
        make(
            "DequantizeLinear",
            [np.arange(12, dtype=np.uint8).reshape(3, 4), np.array([0.1, 0.02, 0.3, 1], np.float32)],
            axis=-1,
        )
        make("DequantizeLinear", ["i32", np.float32(0.001)])
    make("Squeeze", [np.ones((1, 3, 1), np.float32)])
    if opset < 18:
        make("ReduceL2", ["a"], axes=[1, 2])
        make("ReduceMean", ["a"], axes=[-1], keepdims=0)
        make("ReduceMax", ["a"])
        if opset >= 13:
            make("Split", ["a"], 2, axis=2)
    else:
        make("ReduceL2", ["a", ints(1, 2)])
        make("ReduceMean", ["a", ints(-1)], keepdims=0)
        make("ReduceMax", ["a"])
        make("ReduceMin", ["a", ints(1)])
        make("ReduceSumSquare", ["a", ints(1)])
        make("ReduceL1", ["a", ints(0)])
        make("ReduceProd", ["a", ints(2)])
        make("Split", ["a"], 3, axis=2, num_outputs=3)
    if opset >= 11:
        make("Range", [np.float32(1), np.float32(2), np.float32(0.3)])
        make("Range", [np.int64(10), np.int64(-3), np.int64(-4)])
        make("Round", ["a"])
        make("Clip", ["a", np.float32(-0.5), np.float32(0.5)])
        make("Gather", ["a", ints(-1, -2)], axis=-1)
        make("Constant", [], value_floats=[1.0, 2.5])
    else:
        make("Clip", ["a"], min=-0.5, max=0.5)
    if opset >= 12:
        make("GreaterOrEqual", ["n", np.int64(2)])
        make("LessOrEqual", ["n", np.int64(2)])
        make("Constant", [], value_int=5)
        make("Constant", [], value_ints=[5, -6])
        make("Constant", [], value_float=0.5)
    if opset >= 14:
        make("Reshape", [np.zeros((0, 3), np.float32), ints(3, 0)], allowzero=1)
    if opset >= 15:
        make("Shape", ["a"], start=1)
        make("Shape", ["a"], start=-2, end=-1)
        make("CastLike", ["a", "n"])
    if opset >= 21:
        make("DequantizeLinear", ["i4", np.float32(0.5)])
        make(
            "DequantizeLinear",
            [np.arange(24, dtype=np.int8).reshape(2, 12), np.array([[0.5, 1, 2], [4, 5, 6]], np.float32)],
            axis=1,
            block_size=4,
        )
        make("QuantizeLinear", ["a", np.float32(0.02)], output_dtype=TensorProto.INT16)
    # Each by itself: what ONNX Runtime does not have in this version is left out.
    inits = {name: numpy_helper.from_array(np.asarray(array), name) for name, array in tensors.items()}
    good, wants, refused = [], [], []
    for one in nodes:
        single = of_nodes([one], [inits[name] for name in one.input], opset)
        try:
            results = run(single, {})
        except Exception:  # (its own classes of errors are not public)
            refused.append(one.op_type)
            continue
        good.append(one)
        wants += [
            numpy_helper.from_array(value, f"want.{name}") for name, value in zip(one.output, results, strict=True)
        ]
    print(f"operators_{opset}: {len(good)} nodes; ONNX Runtime refused {', '.join(refused) or 'none'}")
    used = {name for one in good for name in one.input}
    return of_nodes(good, [tensor for name, tensor in inits.items() if name in used] + wants, opset)


def of_nodes(nodes, tensors, opset):
    outputs = [helper.make_empty_tensor_value_info(name) for one in nodes for name in one.output]
    version = 10 if opset >= 21 else 8
    return helper.make_model(
        graph("g", nodes, [], outputs, tensors), opset_imports=[helper.make_opsetid("", opset)], ir_version=version
    )


def run(made, inputs):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def write(name, made, inputs, outputs):
    folder = FOLDER / name
    data = folder / "test_data_set_0"
    data.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(made.SerializeToString(deterministic=True))
    kinds = (
        ("input", made.graph.input, [inputs[value.name] for value in made.graph.input]),
        ("output", made.graph.output, outputs),
    )
    for kind, infos, arrays in kinds:
        for index, (value, array) in enumerate(zip(infos, arrays, strict=True)):
            tensor = numpy_helper.from_array(np.asarray(array), value.name)
            (data / f"{kind}_{index}.pb").write_bytes(tensor.SerializeToString(deterministic=True))


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
            constants(W=np.ascontiguousarray(w.transpose(0, 2, 1)), R=np.ascontiguousarray(r.transpose(0, 2, 1)), B=b),
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


def taken_apart():
    """An LSTM and a GRU cell as products and activations, one step: nothing to run, something to tell."""
    h = 2
    tensors = constants(
        Wt=random("Wt", 3, 4 * h),
        Rt=random("Rt", h, 4 * h),
        b=random("b", 4 * h),
        Wg=random("Wg", 3, 3 * h),
        Rg=random("Rg", h, 3 * h),
        one=np.float32(1),
        s=np.array([h] * 4),
        s3=np.array([h] * 3),
    )
    inputs = [info("X", F, [1, 3]), info("h", F, [1, h]), info("c", F, [1, h])]
    cell = [
        node("MatMul", "X,Wt", "wx"),
        node("MatMul", "h,Rt", "rh"),
        node("Add", "wx,rh", "sum"),
        node("Add", "sum,b", "pre"),
        node("Split", "pre,s", "i,f,g,o", axis=1),
        node("Sigmoid", "i", "si"),
        node("Sigmoid", "f", "sf"),
        node("Sigmoid", "o", "so"),
        node("Tanh", "g", "tg"),
        node("Mul", "sf,c", "keep"),
        node("Mul", "si,tg", "new"),
        node("Add", "keep,new", "c1"),
        node("Tanh", "c1", "tc"),
        node("Mul", "so,tc", "h1"),
    ]
    for k, made in enumerate(cell):
        made.name = f"cell_{k}"
    yield "lstm_taken_apart", model(cell, tensors, "h1,c1", inputs=inputs)
    gru = [
        node("MatMul", "X,Wg", "wx"),
        node("MatMul", "h,Rg", "rh"),
        node("Split", "wx,s3", "wz,wr,wn", axis=1),
        node("Split", "rh,s3", "rz,rr,rn", axis=1),
        node("Add", "wz,rz", "z0"),
        node("Add", "wr,rr", "r0"),
        node("Sigmoid", "z0", "z"),
        node("Sigmoid", "r0", "r"),
        node("Mul", "r,rn", "m"),
        node("Add", "wn,m", "n0"),
        node("Tanh", "n0", "n"),
        node("Sub", "one,z", "u"),
        node("Mul", "u,n", "un"),
        node("Mul", "z,h", "zh"),
        node("Add", "un,zh", "h1"),
    ]
    yield "gru_taken_apart", model(gru, tensors, "h1", inputs=inputs[:2])


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    count = 0
    for cases in (weights, states, branches, attributes, chains):
        for name, *rest in cases():
            made, *given = rest[0] if isinstance(rest[0], tuple) else rest
            inputs = given[0] if given else {"X": X}
            write(name, made, inputs, run(made, inputs))
            count += 1
    external()
    dynamic_quantized()
    for opset in (7, 9, 11, 13, 15, 18, 21):
        (FOLDER / f"operators_{opset}.onnx").write_bytes(operators(opset).SerializeToString(deterministic=True))
    for name, made in taken_apart():
        (FOLDER / f"{name}.onnx").write_bytes(made.SerializeToString(deterministic=True))
    print(f"{count} models and those with names above")


if __name__ == "__main__":
    main()
