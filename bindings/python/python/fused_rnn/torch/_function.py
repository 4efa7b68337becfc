"""A call in PyTorch's autograd.

The tape is an output that nobody sees, saved as any tensor: autograd frees it after backward, even where the
loss is kept; hooks of saved tensors see it; checkpointing and `torch.func` work.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import _fallback
from ._call import Call


class RecurrentFunction(torch.autograd.Function):
    """(call, x, h0, c0, *weights) -> y, hn, cn, tape."""

    @staticmethod
    def forward(call: Call, x: Tensor, h0: Tensor | None, c0: Tensor | None, *weights: Tensor) -> Any:
        return call.forward(x, h0, c0, weights, True)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        call, x, h0, c0, *weights = inputs
        # Gradients of what was not used stay None: zeros would cost a pass.
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(output[3])
        # The weights too, though the kernel has a copy: autograd tells of those that were changed in place.
        ctx.save_for_backward(x, h0, c0, output[3], *weights)
        ctx.call = call

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, dhn: Tensor | None, dcn: Tensor | None, _: Any) -> Any:
        x, h0, c0, tape, *weights = ctx.saved_tensors
        needs = ctx.needs_input_grad
        if torch.is_grad_enabled() or _fallback.batched((dy, dhn, dcn)):
            # The gradient itself is to be differentiated (create_graph), or there are many: by PyTorch's own
            # operators.
            gradients = _fallback.differentiable(ctx.call, x, h0, c0, weights, (dy, dhn, dcn), needs[1:])
            return None, *gradients
        if dy is None and dhn is None and dcn is None:
            return (None,) * len(needs)
        wanted = list(needs[4:]), *needs[1:4]
        gradients, dx, dh0, dc0 = ctx.call.backward(x, tape, weights, (dy, dhn, dcn), wanted, (h0, c0))
        if gradients is None:
            gradients = [None] * len(weights)
        return None, dx, dh0, dc0, *(g if need else None for g, need in zip(gradients, needs[4:]))


def run(
    call: Call, x: Tensor, h0: Tensor | None, c0: Tensor | None, weights: list[Tensor], trains: bool
) -> tuple[Tensor | None, Tensor, Tensor | None]:
    """y, hn, cn: with autograd where something needs a gradient."""
    tensors = x, h0, c0, *weights
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors):
        # (PyTorch's own forward saves copies of these.)
        x, h0, c0 = (t.clone() if t is not None and t.is_inference() else t for t in (x, h0, c0))
        y, hn, cn, _ = RecurrentFunction.apply(call, x, h0, c0, *weights)
        return y, hn, cn
    # Something is dropped also without autograd, by forward with a tape.
    y, hn, cn, _ = call.forward(x, h0, c0, weights, trains and call.kernel.drops)
    return y, hn, cn
