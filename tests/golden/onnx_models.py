"""What the generators of ONNX models share: short ways to write nodes and models, and to run and save them.

The form of a test is that of ONNX's own: NAME/model.onnx and NAME/test_data_set_0/{input,output}_*.pb.
"""

import zlib
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(__file__).resolve().parent / "onnx_cases"
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


def of_nodes(nodes, tensors, opset):
    outputs = [helper.make_empty_tensor_value_info(name) for one in nodes for name in one.output]
    version = 10 if opset >= 21 else 8
    return helper.make_model(
        graph("g", nodes, [], outputs, tensors),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=version,
    )


def run(made, inputs):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
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
