"""Cases of generate_onnx_cases.py: cells as the products and activations that they are made of, one step
each.

A model has random inputs as the initialisers given.NAME and ONNX Runtime's outputs for them as want.NAME.
"""

import numpy as np
from onnx import numpy_helper

from onnx_models import FOLDER, F, constants, info, model, node, random, run

H = 2
BATCH = 3


def gates(source):
    """The rest of an LSTM, from its split on: gates in PyTorch's order, a state c, the new states h1 and
    c1."""
    return [
        *source,
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


def squares(source, inputs):
    """As many inputs as units, products by Gemm, gates by Slice."""
    tensors = constants(
        W=random("square W", 4 * H, H),
        R=random("square R", 4 * H, H),
        bw=random("square bw", 4 * H),
        br=random("square br", 4 * H),
        last=np.array([-1]),
        zero=np.int64(0),
        one=np.int64(1),
        **{f"i{k}": np.array([k * H]) for k in range(5)},
    )
    cut = [node("Slice", f"pre,i{k},i{k + 1},last", gate) for k, gate in enumerate("ifgo")]
    products = [node("Gemm", "X,W,bw", "wx", transB=1), node("Gemm", "h,R,br", "rh", transB=1)]
    return model(
        gates([*source, *products, node("Add", "wx,rh", "pre"), *cut]), tensors, "h1,c1", inputs=inputs
    )


def cases():
    states = [info("h", F, [BATCH, H]), info("c", F, [BATCH, H])]
    x = info("X", F, [BATCH, 3])
    tensors = constants(
        Wt=random("Wt", 3, 4 * H),
        Rt=random("Rt", H, 4 * H),
        b=random("b", 4 * H),
        Wg=random("Wg", 3, 3 * H),
        Rg=random("Rg", H, 3 * H),
        one=np.float32(1),
        s=np.array([H] * 4),
        s3=np.array([H] * 3),
    )
    products = [node("MatMul", "X,Wt", "wx"), node("MatMul", "h,Rt", "rh")]
    sums = [
        node("Add", "wx,rh", "sum"),
        node("Add", "sum,b", "pre"),
        node("Split", "pre,s", "i,f,g,o", axis=1),
    ]
    cell = gates([*products, *sums])
    for k, made in enumerate(cell):
        made.name = f"cell_{k}"
    yield "lstm_taken_apart", model(cell, tensors, "h1,c1", inputs=[x, *states])
    both = [node("Gather", "state,zero", "h", axis=0), node("Gather", "state,one", "c", axis=0)]
    square = info("X", F, [BATCH, H])
    yield "lstm_taken_apart_square", squares(both, [square, info("state", F, [2, BATCH, H])])
    yield "lstm_taken_apart_unsure", squares([], [square, *states])
    relu = [
        node("Relu", "g", "tg") if made.op_type == "Tanh" and made.output[0] == "tg" else made
        for made in cell
    ]
    yield "no_lstm", model(relu, tensors, "h1,c1", inputs=[x, *states])
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
    yield "gru_taken_apart", model(gru, tensors, "h1", inputs=[x, states[0]])


def write_all():
    for name, made in cases():
        shape = {
            value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in made.graph.input
        }
        inputs = {key: random(f"{name} {key}", *sizes) for key, sizes in shape.items()}
        outputs = zip(made.graph.output, run(made, inputs), strict=True)
        made.graph.initializer.extend(
            numpy_helper.from_array(array, f"given.{key}") for key, array in inputs.items()
        )
        made.graph.initializer.extend(
            numpy_helper.from_array(array, f"want.{value.name}") for value, array in outputs
        )
        (FOLDER / f"{name}.onnx").write_bytes(made.SerializeToString(deterministic=True))
