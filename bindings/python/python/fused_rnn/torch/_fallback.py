"""Which calls are PyTorch's, and gradients that are PyTorch's too: of a gradient, and of many at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, _VF
from torch._functorch.eager_transforms import enable_inplace_requires_grad
from torch.autograd import forward_ad
from torch.nn import Parameter
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext

from ._call import Call

_functorch = torch._C._functorch
_PLAIN = (Tensor, Parameter)


def of_context() -> str | None:
    """Why no call is one for the kernels now; None where it may be."""
    if torch._C._is_tracing():
        return "tracing"
    if torch.is_autocast_enabled("cpu"):
        return "autocast"
    if _functorch.maybe_current_level() is not None:
        grad = _functorch.TransformType.Grad
        if any(level.key() != grad for level in _functorch.get_interpreter_stack()):
            return "a transform of torch.func other than grad"
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation"
    if torch._C._len_torch_dispatch_stack() > 0:
        return "a mode of PyTorch that looks at its operators"
    # (A default device is such a mode too.)
    if torch._C._is_torch_function_mode_enabled() and not all(
        isinstance(mode, DeviceContext) and mode.device.type == "cpu"
        for mode in _get_current_function_mode_stack()
    ):
        return "a mode of PyTorch that looks at its operators"
    return None


def batched(tensors: Iterable[Tensor | None]) -> bool:
    """Whether some of them are many at a time, of a `vmap` over gradients: they have no memory of their own."""
    return any(tensor is not None and not torch._C._has_storage(tensor) for tensor in tensors)


def of_tensor(tensor: Any) -> str | None:
    """Why a tensor is none for the kernels; None where it is one."""
    if type(tensor) not in _PLAIN:
        return f"a {type(tensor).__name__}"
    if tensor.dtype is not torch.float32:
        return f"{tensor.dtype}"
    if not tensor.is_cpu or tensor.layout is not torch.strided or tensor.is_neg():
        return f"a tensor on {tensor.device} of layout {tensor.layout}"
    return None


def of_weights(weights: list[Any], shapes: list[tuple[int, ...]]) -> str | None:
    """Why weights are none for the kernels; None where they are."""
    if len(weights) != len(shapes):
        return f"{len(weights)} weights of {len(shapes)}"
    for weight, shape in zip(weights, shapes):
        why = of_tensor(weight)
        if why is not None:
            return f"a weight that is {why}"
        if not weight.is_contiguous() or weight.shape != shape:
            return f"a weight of shape {tuple(weight.shape)} in the place of {shape}"
    return None


def differentiable(
    call: Call,
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: list[Tensor],
    upstream: tuple[Tensor | None, Tensor | None, Tensor | None],
    needs: Iterable[bool],
) -> list[Tensor | None]:
    """Gradients of x, h0, c0 and the weights that can be differentiated again, also of many `upstream` at a time.

    The call is computed again by PyTorch's operators, layer by layer where values are dropped between layers,
    with the masks that the kernel drew.
    """
    options = dict(call.kernel.spec.options)
    known = {"num_layers", "direction", "bias", "batch_first", "proj_size", "dropout"}
    own = {"lengths": call.lengths if call.batch_sizes is None else None, "resets": call.resets}
    beyond = sorted(set(options) - known) + [name for name, given in own.items() if given is not None]
    if beyond:
        raise NotImplementedError(f"the gradient of a gradient, with {', '.join(beyond)}")
    # (Backward of `torch.func.vjp` comes when the transform is over: what it followed is inside of wrappers
    # that follow nothing any more, and is followed anew.)
    needs = list(needs)
    inputs = [t if t is None else _functorch.unwrap_if_dead(t) for t in (x, h0, c0, *weights)]
    with enable_inplace_requires_grad(True):
        inputs = [
            t.detach().requires_grad_() if need and not t.requires_grad else t
            for t, need in zip(inputs, needs)
        ]
    x, h0, c0, *weights = inputs
    with torch.enable_grad():
        outputs = _recomputed(call, x, h0, c0, weights, options)
        pairs = [(out, g) for out, g in zip(outputs, upstream) if out is not None and g is not None]
        wanted = [tensor for tensor, need in zip(inputs, needs, strict=True) if need]
        outputs, gradients = [out for out, _ in pairs], [g for _, g in pairs]
        found = iter(torch.autograd.grad(outputs, wanted, gradients, create_graph=True, allow_unused=True))
    return [next(found) if need else None for need in needs]


def _recomputed(
    call: Call,
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: list[Tensor],
    options: dict[str, Any],
) -> tuple[Tensor, Tensor, Tensor | None]:
    """y, hn, cn by PyTorch's operators."""
    spec = call.kernel.spec
    operator = getattr(_VF, spec.kind)
    both, layers, bias = (
        options.get("direction") == "both",
        options.get("num_layers", 1),
        options.get("bias", True),
    )
    directions, width = 2 if both else 1, options.get("proj_size") or spec.hidden_size
    if h0 is None:
        h0 = x.new_zeros((layers * directions, call.batch, width))
    if c0 is None and spec.kind == "lstm":
        c0 = x.new_zeros((layers * directions, call.batch, spec.hidden_size))
    if call.step_of is not None:
        x, h0, c0 = (t if t is None else t.reshape(1, call.batch, -1) for t in (x, h0, c0))
    packed = call.batch_sizes is not None
    of_layer, dropout = len(weights) // layers, options.get("dropout", 0.0)
    # (All layers at once where nothing is dropped between them.)
    groups = range(layers) if dropout else range(1)
    strands = directions * (1 if dropout else layers)
    finals = []
    for group in groups:
        h = h0[group * strands :][:strands]
        state = h if c0 is None else (h, c0[group * strands :][:strands])
        own = weights[group * of_layer :][:of_layer] if dropout else weights
        flags = bias, 1 if dropout else layers, 0.0, True, both
        if packed:
            x, *final = operator(x, call.batch_sizes, state, list(own), *flags)
        else:
            x, *final = operator(x, state, list(own), *flags, call.batch_first)
        finals.append(final)
        if dropout and group + 1 < layers:
            x = x * _masks(call, group, directions * width)
    states = [torch.cat(part) for part in zip(*finals)]
    if call.step_of is not None:
        states = [state.reshape(*call.step_of, -1) for state in states]
    return x if call.step_of is None else None, states[0], states[1] if len(states) > 1 else None


def _masks(call: Call, layer: int, width: int) -> Tensor:
    """The factors that the kernel drew for the output of a layer, in the layout of the call."""
    masks = call.kernel.native.dropout_masks(layer, call._sequences(), call.seed)
    masks = torch.tensor(masks).view(call.steps, call.batch, width)
    if call.batch_sizes is not None:
        return _VF._pack_padded_sequence(masks, call.lengths, False)[0]
    return masks.transpose(0, 1) if call.batch_first else masks
