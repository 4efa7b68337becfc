"""One call of the kernels: which network, which sequences, and the memory of its tensors.

A `Call` is what forward and backward have to be told alike. Its methods take tensors that are float32 on the
CPU, row-major, and of the right shapes, which `_fallback.py` and the modules have made sure of: the extension
reads and writes them by their addresses.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _fused_rnn


class Spec(NamedTuple):
    """What a network is, but for its weights. It is read off the attributes of a module at each call, since
    they may change between calls."""

    #: "lstm", "gru", "rnn_tanh", "rnn_relu".
    kind: str
    input_size: int
    hidden_size: int
    #: Options of the builder that are not at their defaults, in any fixed order.
    options: tuple[tuple[str, Any], ...]

    def kernel(self) -> _fused_rnn.Kernel:
        return _fused_rnn.Kernel(self.kind, self.input_size, self.hidden_size, dict(self.options))

    @property
    def drops(self) -> bool:
        """Whether something is drawn in training."""
        options = dict(self.options)
        names = "dropout", "recurrent_dropout", "input_dropout"
        zoneout = options.get("zoneout", 0.0)
        return any(options.get(name) for name in names) or zoneout not in (0.0, (0.0, 0.0))


#: The kernels of each module: they go with it. Two, as a module trains and is evaluated in turn.
_kernels: weakref.WeakKeyDictionary[torch.nn.Module, dict[Spec, Kernel]] = weakref.WeakKeyDictionary()
_KEPT = 2
# (A lock of a kernel may be another thread's that the child of a fork does not have.)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_kernels.clear)


class Kernel:
    """A network of the extension, and the shapes of its tensors."""

    __slots__ = (
        "cell_size",
        "drops",
        "native",
        "numels",
        "shapes",
        "spec",
        "strands",
        "total",
        "width",
        "y_width",
    )

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.native = spec.kernel()
        self.drops = spec.drops
        self.shapes = [tuple(shape) for _, shape in self.native.shapes()]
        self.numels = [torch.Size(shape).numel() for shape in self.shapes]
        self.total = sum(self.numels)
        options = dict(spec.options)
        directions = 2 if options.get("direction") == "both" else 1
        self.strands = options.get("num_layers", 1) * directions
        #: Of the hidden states, of the outputs, and of the cell states where there are any.
        self.width = options.get("proj_size") or spec.hidden_size
        self.y_width = directions * self.width
        self.cell_size = spec.hidden_size if spec.kind == "lstm" else None


def kernel_of(module: torch.nn.Module, spec: Spec) -> Kernel:
    """The kernel of a module for this spec."""
    kernels = _kernels.get(module)
    if kernels is None:
        kernels = _kernels[module] = {}
    kernel = kernels.get(spec)
    if kernel is None:
        while len(kernels) >= _KEPT:
            del kernels[next(iter(kernels))]
        kernel = kernels[spec] = Kernel(spec)
    return kernel


def threads() -> int:
    """As many as PyTorch uses, or FUSED_RNN_THREADS."""
    return _THREADS or torch.get_num_threads()


_THREADS = _fused_rnn.named_threads() or 0


class Call:
    """The sequences of a call and its seed, with the kernel that it is for."""

    __slots__ = (
        "batch",
        "batch_first",
        "batch_sizes",
        "kernel",
        "lengths",
        "resets",
        "seed",
        "step_of",
        "steps",
    )

    def __init__(
        self,
        kernel: Kernel,
        batch: int,
        steps: int,
        *,
        batch_first: bool = False,
        batch_sizes: Tensor | None = None,
        lengths: Tensor | None = None,
        resets: Tensor | None = None,
        seed: int = 0,
        step_of: tuple[int, ...] | None = None,
    ) -> None:
        self.kernel, self.batch, self.steps = kernel, batch, steps
        #: Of a PackedSequence: the rows of each step.
        self.batch_sizes = batch_sizes
        #: (B) of int64, (B, T) of bool.
        self.lengths, self.resets = lengths, resets
        self.batch_first, self.seed = batch_first, seed
        #: Of a cell: the axes of its input and states but for the last. There is no y then, as it is hn.
        self.step_of = step_of

    def _sequences(self) -> tuple[int, int, int, int, bool]:
        packed = self.batch_sizes is not None
        return self.batch, self.steps, _address(self.lengths), _address(self.resets), packed

    def forward(
        self,
        x: Tensor,
        h0: Tensor | None,
        c0: Tensor | None,
        weights: list[Tensor],
        taping: bool,
        new_tape: Callable[[Tensor, int], Tensor] = Tensor.new_empty,
    ) -> tuple[Tensor | None, Tensor, Tensor | None, Tensor | None]:
        """y, hn, cn, and the tape of a call that trains."""
        kernel = self.kernel
        _kept, (at_x, at_h0, at_c0, *at_weights) = _placed(x, h0, c0, *weights)
        y = x.new_empty((*x.shape[:-1], kernel.y_width)) if self.step_of is None else None
        rows = (kernel.strands, self.batch) if self.step_of is None else self.step_of
        hn = x.new_empty((*rows, kernel.width))
        cn = None if kernel.cell_size is None else x.new_empty((*rows, kernel.cell_size))
        sequences = self._sequences()
        tape, floats = None, 0
        if taping:
            floats = kernel.native.tape_len(sequences)
            tape = new_tape(x, floats)
        kernel.native.forward(
            at_weights,
            sequences,
            threads(),
            (at_x, at_h0, at_c0),
            (_address(y), hn.data_ptr(), _address(cn)),
            _address(tape),
            floats,
            self.seed,
        )
        return y, hn, cn, tape

    def backward(
        self,
        x: Tensor,
        tape: Tensor,
        weights: list[Tensor],
        upstream: tuple[Tensor | None, Tensor | None, Tensor | None],
        wanted: tuple[list[bool], bool, bool, bool],
        like: tuple[Tensor | None, Tensor | None],
    ) -> tuple[list[Tensor] | None, Tensor | None, Tensor | None, Tensor | None]:
        """Gradients of the weights, and of x, h0 and c0, as far as they are wanted; of weights that are not
        wanted, where others are, no values."""
        kernel = self.kernel
        upstream = [None if given is None else given.contiguous() for given in upstream]
        _kept, (at_x, at_dy, at_dhn, at_dcn, *at_weights) = _placed(x, *upstream, *weights)
        of_weights, of_x, of_h, of_c = wanted
        flat = x.new_empty(kernel.total) if any(of_weights) else None
        dx = torch.empty_like(x) if of_x else None
        dh0 = torch.empty_like(like[0]) if of_h else None
        dc0 = torch.empty_like(like[1]) if of_c else None
        kernel.native.backward(
            at_weights,
            self._sequences(),
            threads(),
            at_x,
            tape.data_ptr(),
            tape.numel(),
            self.seed,
            (at_dy, at_dhn, at_dcn),
            (_address(flat), _address(dx), _address(dh0), _address(dc0)),
            of_weights,
        )
        gradients = None
        if flat is not None:
            gradients = [part.view(shape) for part, shape in zip(flat.split(kernel.numels), kernel.shapes)]
        return gradients, dx, dh0, dc0


def _address(tensor: Tensor | None) -> int:
    """Where the values lie; 0 for none."""
    return 0 if tensor is None else tensor.data_ptr()


def _placed(*tensors: Tensor | None) -> tuple[tuple[Tensor | None, ...], list[int]]:
    """Tensors to hold as long as they are read, and their addresses: those given, or copies where floats do
    not lie at multiples of four bytes, as in a view of bytes."""
    addresses = [_address(tensor) for tensor in tensors]
    if reduce(or_, addresses) % 4:
        return _placed(*(None if tensor is None else tensor.clone() for tensor in tensors))
    return tensors, addresses


def new_seed() -> int:
    """A seed of PyTorch's generator, so that `manual_seed` and checkpoints reproduce what is dropped."""
    return int(torch.empty((), dtype=torch.int64).random_().item())
