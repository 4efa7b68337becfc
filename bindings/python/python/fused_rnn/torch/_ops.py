"""The call as operators of PyTorch's library, which torch.compile and torch.export take into their graphs.

```text
fused_rnn::forward   x, h0, c0, weights, options -> y, hn, cn, tape      (cn of none but an LSTM, and the tape
fused_rnn::backward  dy, dhn, dcn, x, ..., tape  -> weights, dx, dh0, dc0    of no training, have no values)
```

They serve padded input of PyTorch's own options; what else a compiled program asks for breaks the graph, and
runs as it does without a compiler. Each has a fake kernel, which says the shapes of its results; that of a
tape follows from three of its lengths, which the kernel itself is asked for.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from functools import lru_cache
from typing import Any, Optional

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ._call import Call, Kernel, Spec

_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
#: Kernels by their spec and the address of their first weight, the last used at the end. A kernel that serves
#: other weights than before is only slower.
_kernels: OrderedDict[tuple[Spec, int], Kernel] = OrderedDict()
_KEPT = 64
# (As in `_call.py`: a lock of a kernel may be another thread's.)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_kernels.clear)


def _spec(
    weights: list[Tensor],
    kind: str,
    num_layers: int,
    bidirectional: bool,
    bias: bool,
    proj_size: int,
    batch_first: bool,
    dropout: float,
) -> Spec:
    options: list[tuple[str, Any]] = [
        ("batch_first", batch_first),
        ("num_layers", num_layers),
        ("bias", bias),
    ]
    options += [("direction", "both")] if bidirectional else []
    options += [("proj_size", proj_size)] if proj_size else []
    options += [("dropout", dropout)] if dropout and num_layers > 1 else []
    rows, inputs = weights[0].shape
    return Spec(kind, int(inputs), int(rows) // _GATES[kind], tuple(options))


def _kernel(spec: Spec, weights: list[Tensor]) -> Kernel:
    key = spec, weights[0].data_ptr()
    kernel = _kernels.pop(key, None) or Kernel(spec)
    _kernels[key] = kernel
    while len(_kernels) > _KEPT:
        _kernels.popitem(last=False)
    return kernel


def _call(spec: Spec, x: Tensor, weights: list[Tensor], seed: Optional[Tensor]) -> Call:
    batch_first = dict(spec.options)["batch_first"]
    batch, steps = x.shape[:2] if batch_first else (x.shape[1], x.shape[0])
    number = 0 if seed is None else int(seed.item())
    return Call(_kernel(spec, weights), batch, steps, batch_first=batch_first, seed=number)


def _whole(tensors: list[Optional[Tensor]]) -> list[Any]:
    """Row-major, and not in an order that a compiler liked better."""
    return [None if tensor is None else tensor.detach().contiguous() for tensor in tensors]


@torch.library.custom_op("fused_rnn::forward", mutates_args=())
def forward(
    x: Tensor,
    h0: Optional[Tensor],
    c0: Optional[Tensor],
    weights: list[Tensor],
    seed: Optional[Tensor],
    kind: str,
    num_layers: int,
    bidirectional: bool,
    bias: bool,
    proj_size: int,
    batch_first: bool,
    dropout: float,
    taping: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, h0, c0, *weights = _whole([x, h0, c0, *weights])
    spec = _spec(weights, kind, num_layers, bidirectional, bias, proj_size, batch_first, dropout)
    # (Zeros, as padding in a tape is never written, and results of an operator are to be reproducible.)
    call, trains = _call(spec, x, weights, seed), taping or seed is not None
    y, hn, cn, tape = call.forward(x, h0, c0, weights, trains, Tensor.new_zeros)
    none = x.new_empty(0)
    return y, hn, none if cn is None else cn, tape if taping else x.new_empty(0)


@lru_cache(maxsize=256)
def _tape_terms(spec: Spec) -> tuple[int, int]:
    """What each state, and each step with a step more where they are even, takes of a tape."""
    native = spec.kernel()
    one, two = (native.tape_len((1, steps, 0, 0, False)) - _between(spec, steps) for steps in (1, 2))
    # one = 2 a + b, two = 3 a + 3 b
    per_step = (2 * two - 3 * one) // 3
    return (one - per_step) // 2, per_step


def _width(spec: Spec) -> int:
    options = dict(spec.options)
    return (2 if options.get("direction") == "both" else 1) * (options.get("proj_size") or spec.hidden_size)


def _between(spec: Spec, times: Any) -> Any:
    """What lies between the layers, each on whole cache lines."""
    return (dict(spec.options).get("num_layers", 1) - 1) * ((times * _width(spec) + 15) // 16 * 16)


def tape_len(spec: Spec, batch: Any, steps: Any) -> Any:
    """The floats of a tape; the sizes may be symbols."""
    per_state, per_step = _tape_terms(spec)
    times = batch * steps
    return (times + batch) * per_state + (times + 1 - times % 2) * per_step + _between(spec, times)


@forward.register_fake
def _(
    x, h0, c0, weights, seed, kind, num_layers, bidirectional, bias, proj_size, batch_first, dropout, taping
):
    spec = _spec(weights, kind, num_layers, bidirectional, bias, proj_size, batch_first, dropout)
    batch, steps = (x.shape[0], x.shape[1]) if batch_first else (x.shape[1], x.shape[0])
    strands = num_layers * (2 if bidirectional else 1)
    y = x.new_empty((x.shape[0], x.shape[1], _width(spec)))
    hn = x.new_empty((strands, batch, proj_size or spec.hidden_size))
    cn = x.new_empty((strands, batch, spec.hidden_size) if kind == "lstm" else (0,))
    return y, hn, cn, x.new_empty((tape_len(spec, batch, steps) if taping else 0,))


@torch.library.custom_op("fused_rnn::backward", mutates_args=())
def backward(
    dy: Optional[Tensor],
    dhn: Optional[Tensor],
    dcn: Optional[Tensor],
    x: Tensor,
    h0: Optional[Tensor],
    c0: Optional[Tensor],
    tape: Tensor,
    weights: list[Tensor],
    seed: Optional[Tensor],
    kind: str,
    num_layers: int,
    bidirectional: bool,
    bias: bool,
    proj_size: int,
    batch_first: bool,
    dropout: float,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, h0, c0, tape, *weights = _whole([x, h0, c0, tape, *weights])
    spec = _spec(weights, kind, num_layers, bidirectional, bias, proj_size, batch_first, dropout)
    call = _call(spec, x, weights, seed)
    dcn = dcn if kind == "lstm" else None
    upstream = dy, dhn, dcn
    of_weights, *of_others = wanted
    which = [of_weights] * len(weights), *of_others
    gradients, *others = call.backward(x, tape, weights, upstream, which, (h0, c0))
    none = x.new_empty
    flat = none(0) if gradients is None else torch.cat([part.flatten() for part in gradients])
    return flat, *(none(0) if other is None else other for other in others)


@backward.register_fake
def _(
    dy,
    dhn,
    dcn,
    x,
    h0,
    c0,
    tape,
    weights,
    seed,
    kind,
    num_layers,
    bidirectional,
    bias,
    proj_size,
    batch_first,
    dropout,
    wanted,
):
    total = sum(weight.numel() for weight in weights)
    of_weights, *of_others = wanted
    others = [
        torch.empty_like(like, memory_format=torch.contiguous_format) if wants else x.new_empty((0,))
        for like, wants in zip((x, h0, c0), of_others)
    ]
    return x.new_empty((total if of_weights else 0,)), *others


def _setup_context(ctx: Any, inputs: Any, output: Any) -> None:
    x, h0, c0, weights, seed, *options, _ = inputs
    ctx.set_materialize_grads(False)
    ctx.options = options
    ctx.save_for_backward(x, h0, c0, output[3], seed, *weights)


def _backward(ctx: Any, dy: Any, dhn: Any, dcn: Any, _: Any) -> Any:
    x, h0, c0, tape, seed, *weights = ctx.saved_tensors
    needs = ctx.needs_input_grad
    of_weights = needs[3]
    wants_weights = any(of_weights) if isinstance(of_weights, (list, tuple)) else bool(of_weights)
    wanted = [wants_weights, needs[0], h0 is not None and needs[1], c0 is not None and needs[2]]
    flat, dx, dh0, dc0 = torch.ops.fused_rnn.backward(
        dy, dhn, dcn, x, h0, c0, tape, weights, seed, *ctx.options, wanted
    )
    gradients: list[Any] = [None] * len(weights)
    if wants_weights:
        parts = flat.split([weight.numel() for weight in weights])
        gradients = [part.view(weight.shape) for part, weight in zip(parts, weights)]
    dx, dh0, dc0 = (g if wants else None for g, wants in zip((dx, dh0, dc0), wanted[1:]))
    return dx, dh0, dc0, gradients, None, *([None] * (len(ctx.options) + 1))


forward.register_autograd(_backward, setup_context=_setup_context)

_KINDS = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu"}


def compiled(module: Any, torchs: Any, input: Any, hx: Any, lengths: Any, resets: Any) -> Any:
    """A call that a compiler traces: as an operator where it can be one."""
    if torch.compiler.is_exporting() and lengths is None and resets is None and not module.extras:
        # (Other runtimes know PyTorch's operator.)
        return torchs(input, hx)
    weights = [getattr(module, name) for name in module._flat_weights_names]
    if (
        isinstance(input, PackedSequence)
        or module.extras
        or lengths is not None
        or resets is not None
        or torch.is_autocast_enabled("cpu")
        or not _is_plain(input, module, weights, hx)
    ):
        return module._eager(torchs, input, hx, lengths, resets)
    batched = input.dim() == 3
    batch_dim = 0 if module.batch_first else 1
    x = input if batched else input.unsqueeze(batch_dim)
    is_lstm = module.mode == "LSTM"
    h0 = c0 = None
    if hx is not None:
        h0, c0 = hx if is_lstm else (hx, None)
        if not batched:
            h0 = h0.unsqueeze(1)
            c0 = None if c0 is None else c0.unsqueeze(1)
    dropout = module.dropout if module.training and module.num_layers > 1 else 0.0
    seed = torch.randint(0, 2**62, (), dtype=torch.int64) if dropout else None
    y, hn, cn, _ = torch.ops.fused_rnn.forward(
        x,
        h0,
        c0,
        weights,
        seed,
        _KINDS[module.mode],
        module.num_layers,
        module.bidirectional,
        module.bias,
        module.proj_size,
        module.batch_first,
        dropout,
        torch.is_grad_enabled(),
    )
    if not batched:
        y, hn = y.squeeze(batch_dim), hn.squeeze(1)
        cn = cn.squeeze(1) if is_lstm else cn
    return y, (hn, cn) if is_lstm else hn


def _is_plain(x: Any, module: Any, weights: list[Any], hx: Any) -> bool:
    """Whether this is float32 on the CPU, in the shapes of the module."""
    if x.dim() not in (2, 3) or x.shape[-1] != module.input_size or not 0.0 <= module.dropout < 1.0:
        return False
    tensors = [x, *weights]
    if hx is not None:
        states = hx if module.mode == "LSTM" else (hx,)
        strands = module.num_layers * (2 if module.bidirectional else 1)
        widths = (module.proj_size or module.hidden_size, module.hidden_size)
        batch = () if x.dim() == 2 else (x.shape[0] if module.batch_first else x.shape[1],)
        for state, width in zip(states, widths):
            if state.shape != (strands, *batch, width):
                return False
            tensors.append(state)
    return all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in tensors)
