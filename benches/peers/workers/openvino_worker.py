"""OpenVINO: the ONNX model compiled for the CPU, f32 or the hint bf16, the latency hint, tensors set beforehand."""
import argparse

arguments = argparse.ArgumentParser()
arguments.add_argument("--threads", type=int, required=True)
args = arguments.parse_args()

import numpy as np
import openvino as ov
from as_onnx import onnx_model, states
from protocol import PRECISION, Skip, Variant, serve

CORE = ov.Core()


def prepare(shape, mode, x, parameters, request):
    if mode == "train":
        raise Skip("inference only")
    if mode == "step" and shape.directions == 2:
        raise Skip("a stream has no end to start from")
    model = CORE.read_model(onnx_model(shape, parameters, mode == "step"))
    settings = {
        "INFERENCE_NUM_THREADS": args.threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": PRECISION,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = CORE.compile_model(model, "CPU", settings)
    if mode == "fwd":
        request_ = compiled.create_infer_request()
        request_.set_tensor("x", ov.Tensor(x.copy()))

        def results():
            request_.infer()
            return [request_.get_tensor("y").data]

        return [Variant("latency hint", request_.infer, results)]
    # Two states, one read while the other is written, in turns.
    names_in, names_out = states(shape)
    zeros = np.zeros((1, shape.batch, shape.hidden), np.float32)
    frame = ov.Tensor(x[:1].copy())
    two = [[ov.Tensor(zeros.copy()) for _ in names_in] for _ in range(2)]
    requests = [compiled.create_infer_request() for _ in range(2)]
    for k, request_ in enumerate(requests):
        request_.set_tensor("x", frame)
        for name, tensor in [*zip(names_in, two[k]), *zip(names_out, two[1 - k])]:
            request_.set_tensor(name, tensor)
    turn = [0]

    def call():
        requests[turn[0]].infer()
        turn[0] = 1 - turn[0]

    def results():
        for tensor in two[turn[0]]:
            tensor.data[:] = 0
        outputs = []
        for t in range(len(x)):
            frame.data[:] = x[t : t + 1]
            request_ = requests[turn[0]]
            call()
            outputs.append(request_.get_tensor("y").data.copy())
        frame.data[:] = x[:1]
        return outputs

    return [Variant("latency hint", call, results)]


serve(
    "openvino",
    ov.__version__.split("-")[0],
    f"precision hint {PRECISION}, latency hint, one stream; the Python call included",
    prepare,
)
