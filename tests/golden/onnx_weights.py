"""Cases of generate_onnx_cases.py: recurrent nodes whose weights and states other nodes make, also in
branches.

Each case is a name, a model, and its inputs where they are others than X.
"""

import ml_dtypes
import numpy as np
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from onnx_models import TORCH, B, F, R, W, X, constants, graph, info, lstm, model, node, random


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
    torch = constants(
        weight_ih=W[0][TORCH], weight_hh=R[0][TORCH], bias_ih=B[0, :4][TORCH], bias_hh=B[0, 4:][TORCH]
    )
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
            [
                node("DequantizeLinear", "Wq,ws,wz", "W", axis=1),
                node("DequantizeLinear", "Rq,rs,rz", "R"),
                lstm(),
            ],
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
            [
                node("Concat", "p,p,q", "P0", axis=0),
                node("Unsqueeze", "P0,z", "P"),
                lstm("X,W,R,B,,,,P", "Y,Y_h,Y_c"),
            ],
            constants(
                p=np.array([0.5], np.float32), q=np.array([-0.25], np.float32), z=np.array([0]), W=W, R=R, B=B
            ),
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
        [
            node("Constant", [], "W3", value=numpy_helper.from_array(-W)),
            node("LSTM", "X,W3,R,B", "Y2", hidden_size=1),
        ],
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


def functions():
    """Nodes in functions of the model: names and attributes of each call, functions within functions."""
    ref = helper.make_node("LSTM", ["x", "w2", "r", "b"], ["y", "h"])
    for inner, outer, kind in (
        ("hidden_size", "units", AttributeProto.INT),
        ("activations", "functions", AttributeProto.STRINGS),
        ("clip", "clip", AttributeProto.FLOAT),
    ):
        attribute = ref.attribute.add()
        attribute.name, attribute.ref_attr_name, attribute.type = inner, outer, kind
    layer = helper.make_function(
        "own",
        "Layer",
        ["x", "w", "r", "b"],
        ["s", "h"],
        [node("Constant", [], "two", value_float=2.0), node("Mul", "w,two", "w2"), ref]
        + [node("Constant", [], "d", value_ints=[1]), node("Squeeze", "y,d", "s")],
        [helper.make_opsetid("", 17)],
        ["units", "clip"],
        [helper.make_attribute("functions", ["Sigmoid", "Tanh", "Softsign"])],
    )
    calls = [
        node("Layer", "x,w,r,b", "m,h0", domain="own", units=1),
        node(
            "Layer", "m,w,r,b", "y,h1", domain="own", units=1, clip=0.5, functions=["Sigmoid", "Tanh", "Tanh"]
        ),
    ]
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    stack = helper.make_function("own", "Stack", ["x", "w", "r", "b"], ["y"], calls, domains)
    made = model(
        [node("Stack", "X,W,R,B", "Y", domain="own", name="encoder")], constants(W=W, R=R, B=B), extra=["own"]
    )
    made.functions.extend([layer, stack])
    yield "functions_within_functions", made
