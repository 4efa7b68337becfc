"""ONNX Runtime: one session, inputs and outputs bound beforehand, so that no call allocates or copies; in int8
by quantize_dynamic, with one scale for a matrix or one for each row."""
import argparse

arguments = argparse.ArgumentParser()
arguments.add_argument("--threads", type=int, required=True)
args = arguments.parse_args()

import numpy as np
import onnxruntime as ort
from as_onnx import onnx_model, quantized, states
from protocol import PRECISION, Skip, Variant, serve


def prepare(shape, mode, x, parameters, request):
    if mode == "train":
        raise Skip("inference only")
    if mode == "step" and shape.directions == 2:
        raise Skip("a stream has no end to start from")
    model = onnx_model(shape, parameters, mode == "step")
    if PRECISION == "f32":
        return [variant(shape, mode, x, model, "bound inputs and outputs")]
    if shape.cell != "lstm":
        raise Skip("has int8 for the LSTM alone")
    scales = {"a scale for each matrix": False, "a scale for each row": True}
    return [variant(shape, mode, x, quantized(model, rows), label) for label, rows in scales.items()]


def variant(shape, mode, x, model, label):
    options = ort.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    kept = []
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def tensor(array):
        # A copy of its own: the value shares the memory of the array that it is made from.
        array = np.array(array, order="C")
        kept.append(array)
        return ort.OrtValue.ortvalue_from_numpy(array)

    def bound(values_in, values_out):
        binding = session.io_binding()
        for name, value in values_in.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in values_out.items():
            binding.bind_ortvalue_output(name, value)
        return binding

    if mode == "fwd":
        y = tensor(np.zeros((shape.steps, shape.batch, shape.directions * shape.hidden), np.float32))
        binding = bound({"x": tensor(x)}, {"y": y})

        def call():
            session.run_with_iobinding(binding)

        def results():
            call()
            return [y.numpy()]

    else:
        # Two states, one read while the other is written, in turns.
        frame = tensor(x[:1])
        y = tensor(np.zeros((1, shape.batch, shape.hidden), np.float32))
        zeros = np.zeros((1, shape.batch, shape.hidden), np.float32)
        names_in, names_out = states(shape)
        two = [[tensor(zeros) for _ in names_in] for _ in range(2)]
        turns = [
            bound({"x": frame, **dict(zip(names_in, two[k]))}, {"y": y, **dict(zip(names_out, two[1 - k]))})
            for k in range(2)
        ]
        turn = [0]

        def call():
            session.run_with_iobinding(turns[turn[0]])
            turn[0] = 1 - turn[0]

        def results():
            for value in two[turn[0]]:
                value.update_inplace(zeros)
            outputs = []
            for t in range(len(x)):
                frame.update_inplace(np.ascontiguousarray(x[t : t + 1]))
                call()
                outputs.append(y.numpy().copy())
            frame.update_inplace(np.ascontiguousarray(x[:1]))
            return outputs

    return Variant(label, call, results)


serve(
    "ort",
    ort.__version__,
    "all graph optimisations, inputs and outputs bound; the Python call included",
    prepare,
)
