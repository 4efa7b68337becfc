"""What the generators of golden files by PyTorch's autograd share: gradients of everything that goes into a
network, and a file of a case.
"""
import numpy as np
import torch

import golden


def run(compute, params, data, upstream):
    """Results and `grad.*` of everything that goes in, float64."""
    def leaf(array):
        return torch.from_numpy(array).double().requires_grad_()

    params = {name: leaf(array) for name, array in params.items()}
    data = {name: leaf(array) for name, array in data.items()}
    results = compute(params, data)
    loss = sum((results[name] * torch.from_numpy(array).double()).sum() for name, array in upstream.items())
    leaves = params | data
    grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return {
        name: value.detach().numpy()
        for name, value in (results | {f"grad.{name}": grad for name, grad in zip(leaves, grads)}).items()
    }


def save(path, case, metadata, inputs, results):
    """Write a case: parameters and data, upstream gradients as `d*`, results, and what of the case is metadata of
    all."""
    params, data, upstream = inputs
    tensors = params | data | {f"d{name}": array for name, array in upstream.items()}
    tensors |= {name: value.astype(np.float32) for name, value in results.items()}
    if case.lengths:
        tensors["lengths"] = np.array(case.lengths, np.int64)
    of_all = {
        "cell": case.cell,
        "layers": str(case.layers),
        "bidirectional": str(case.bi).lower(),
        "batch_first": str(case.bf).lower(),
        "precision": "float64",
    }
    golden.save(path, of_all | metadata, tensors)


def report(directory):
    """Say what is there."""
    files = list(directory.glob("*.safetensors"))
    print(f"{len(files)} files, {sum(file.stat().st_size for file in files)} bytes in {directory.name}/")
