"""ONNX nodes that make constants of constants, with ONNX Runtime's values, in tests/golden/onnx_cases/.

What: operators_VERSION.onnx, one model for each of several versions of the operator set, with nodes in the
forms of that version and no inputs. The value that ONNX Runtime gives an output NAME is in the model too, as
the initialiser want.NAME.
Why: weights are cut, joined, cast and dequantised by such nodes, and their forms have changed with the
versions.

usage: python tests/golden/generate_onnx_operators.py
needs: numpy, onnx with its ml_dtypes, onnxruntime (versions: benches/peers/requirements.txt)
"""

import ml_dtypes
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from onnx_models import FOLDER, F, I64, of_nodes, random, run

VERSIONS = (7, 9, 11, 13, 15, 18, 21)


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
    make(
        "ConstantOfShape",
        [np.array([], np.int64)],
        value=helper.make_tensor("v", TensorProto.BOOL, [1], [True]),
    )
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
    for to in (
        F,
        TensorProto.DOUBLE,
        TensorProto.FLOAT16,
        TensorProto.INT32,
        I64,
        TensorProto.INT8,
        TensorProto.BOOL,
    ):
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
    make("MatMul", ["a", random("m", 4, 5)])
    make("MatMul", ["a", random("m", 2, 4, 2)])
    make("MatMul", ["row", random("m", 4, 5)])
    make("MatMul", ["a", "row"])
    make("MatMul", ["row", "row"])
    make("Gemm", [random("g", 3, 2), random("k", 2, 4), "row"], alpha=0.5, beta=2.0)
    make(
        "Gemm",
        [random("g", 2, 3), random("k", 4, 2)] + (["col"] if opset > 7 else ["row"]),
        transA=1,
        transB=1,
    )
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
            numpy_helper.from_array(value, f"want.{name}")
            for name, value in zip(one.output, results, strict=True)
        ]
    print(f"operators_{opset}: {len(good)} nodes; ONNX Runtime refused {', '.join(refused) or 'none'}")
    used = {name for one in good for name in one.input}
    return of_nodes(good, [tensor for name, tensor in inits.items() if name in used] + wants, opset)


def main():
    FOLDER.mkdir(exist_ok=True)
    for opset in VERSIONS:
        (FOLDER / f"operators_{opset}.onnx").write_bytes(
            operators(opset).SerializeToString(deterministic=True)
        )


if __name__ == "__main__":
    main()
