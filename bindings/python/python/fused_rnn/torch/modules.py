"""`LSTM`, `GRU`, `RNN`: PyTorch's, with another forward."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from . import _fallback, _function, _ops, extras
from ._call import Call, Spec, kernel_of, new_seed

_KINDS = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu"}


class _Recurrent:
    """What the three have in common; it stands before PyTorch's class."""

    #: Options beyond PyTorch's, by keyword. (Of the class, so that a module that was converted has none.)
    extras: tuple[tuple[str, Any], ...] = ()
    #: Arguments of a call beyond PyTorch's.
    beyond = "lengths", "resets"

    def __init__(self, *args: Any, **keywords: Any) -> None:
        own = extras.taken(keywords)
        super().__init__(*args, **keywords)
        if own:
            self.extras = own
            factory = {name: keywords[name] for name in ("device", "dtype") if name in keywords}
            extras.add_parameters(self, _KINDS[self.mode], factory)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.extras:
            extras.reset_parameters(self)

    def extra_repr(self) -> str:
        return super().extra_repr() + "".join(f", {name}={value!r}" for name, value in self.extras)

    def _options(self, training: bool) -> tuple[tuple[str, Any], ...]:
        """The options of the kernel, by this moment's attributes."""
        options = [("batch_first", self.batch_first)]
        if self.num_layers != 1:
            options.append(("num_layers", self.num_layers))
        if self.bidirectional:
            options.append(("direction", "both"))
        if not self.bias:
            options.append(("bias", False))
        if self.proj_size:
            options.append(("proj_size", self.proj_size))
        if training and self.dropout and self.num_layers > 1:
            options.append(("dropout", self.dropout))
        for option in self.extras:
            if training or option[0] not in extras.OF_TRAINING:
                options.append(option)
        return tuple(options)

    def _spec(self, training: bool) -> Spec:
        return Spec(_KINDS[self.mode], self.input_size, self.hidden_size, self._options(training))

    def in_precision(self, precision: str) -> torch.nn.Module:
        """A copy whose kernels have the weights in another precision, as of `fused_rnn.Network.in_precision`:
        "bf16_weights" and "bf16" train, "int8" does not, so that its parameters ask for no gradients.
        PyTorch's parameters stay in float32 beside the packed weights: this takes less time, and no less
        memory."""
        other = copy.deepcopy(self)
        extras_but = tuple(option for option in self.extras if option[0] != "precision")
        other.extras = extras_but if precision == "f32" else (*extras_but, ("precision", precision))
        other._spec(training=False).kernel()  # (ValueError where there is none of this name.)
        return other.requires_grad_(False) if precision == "int8" else other

    def __prepare_scriptable__(self) -> torch.nn.Module:
        """TorchScript compiles PyTorch's own module, with these parameters."""
        from .convert import twin

        return twin(self)

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Any = None,
        *,
        lengths: Tensor | None = None,
        resets: Tensor | None = None,
    ) -> Any:
        """As PyTorch's, with two more arguments for padded input:

        lengths: (B,), the steps of each row, from 0 to T, in any order. Outputs past the end are zero.
        resets: (B, T) of bool: the state is zero before a step that is true.
        """
        if torch.compiler.is_dynamo_compiling():
            return _ops.compiled(self, super().forward, input, hx, lengths, resets)
        return self._eager(super().forward, input, hx, lengths, resets)

    # (Dynamo would look into it, and break the graph a second time.)
    @torch.compiler.disable(recursive=True)
    def _eager(self, torchs: Any, input: Any, hx: Any, lengths: Any, resets: Any) -> Any:
        self._update_flat_weights()
        prepared = self._prepared(input, hx, lengths, resets)
        if isinstance(prepared, str):
            beyond = [name for name, _ in self.extras]
            beyond += [
                name for name, given in (("lengths", lengths), ("resets", resets)) if given is not None
            ]
            if beyond:
                raise NotImplementedError(f"{', '.join(beyond)} with {prepared}: the kernels do not do that")
            return torchs(input, hx)
        call, x, h0, c0 = prepared
        y, hn, cn = _function.run(call, x, h0, c0, self._flat_weights, self.training)
        if isinstance(input, PackedSequence):
            y = PackedSequence(y, input.batch_sizes, input.sorted_indices, input.unsorted_indices)
            if input.unsorted_indices is not None:
                hn = hn.index_select(1, input.unsorted_indices)
                cn = None if cn is None else cn.index_select(1, input.unsorted_indices)
        elif input.dim() == 2:
            y, hn = y.squeeze(0 if self.batch_first else 1), hn.squeeze(1)
            cn = None if cn is None else cn.squeeze(1)
        return y, hn if cn is None else (hn, cn)

    def _prepared(
        self, input: Any, hx: Any, lengths: Any, resets: Any
    ) -> str | tuple[Call, Tensor, Any, Any]:
        """The call with its input and its states; or why it is PyTorch's."""
        why = _fallback.of_context()
        if why is not None:
            return why
        packed = isinstance(input, PackedSequence)
        x = input.data if packed else input
        why = _fallback.of_tensor(x)
        if why is not None:
            return f"input that is {why}"
        if not 0.0 <= self.dropout < 1.0:
            return f"dropout of {self.dropout}"
        if self.mode not in _KINDS or (self.proj_size and self.mode != "LSTM"):
            return f"mode {self.mode} with a projection of {self.proj_size}"
        batched, batch_first = not packed and x.dim() == 3, self.batch_first and not packed
        if x.dim() not in ((2,) if packed else (2, 3)) or x.shape[-1] != self.input_size or x.numel() == 0:
            return f"input of shape {tuple(x.shape)}"
        options = {"lengths": None, "resets": None}
        if packed:
            sizes = input.batch_sizes
            if not _falls(sizes, len(x)):
                return "batch sizes that do not fit the data"
            orders = input.sorted_indices, input.unsorted_indices
            if any(order is not None and list(order.shape) != sizes[:1].tolist() for order in orders):
                return "an order of other rows than the data's"
            batch, steps, options["batch_sizes"] = int(sizes[0]), len(sizes), sizes
            # Lengths of the rows, which fall.
            options["lengths"] = (sizes[:, None] > torch.arange(batch)).sum(0)
            if lengths is not None or resets is not None:
                return "a packed sequence"
        elif batched:
            batch, steps = x.shape[:2] if batch_first else (x.shape[1], x.shape[0])
        else:
            batch, steps, x = 1, x.shape[0], x.unsqueeze(0 if batch_first else 1)
        if lengths is not None:
            options["lengths"] = _checked("lengths", lengths, (batch,), (torch.int64, torch.int32)).long()
        if resets is not None:
            options["resets"] = _checked("resets", resets, (batch, steps), (torch.bool,))
        spec = self._spec(self.training)
        kernel = kernel_of(self, spec)
        why = _fallback.of_weights(self._flat_weights, kernel.shapes)
        if why is not None:
            return why
        zoneout = dict(self.extras).get("zoneout")
        if zoneout not in (None, 0.0, (0.0, 0.0)) and not self.training and torch.is_grad_enabled():
            return "gradients in evaluation"
        h0 = c0 = None
        if hx is not None:
            strands = self.num_layers * (2 if self.bidirectional else 1)
            widths = [self.proj_size or self.hidden_size]
            states = [hx]
            if self.mode == "LSTM":
                if not isinstance(hx, (tuple, list)) or len(hx) != 2:
                    return "another hx than a pair"
                states, widths = list(hx), [*widths, self.hidden_size]
            for n, (state, width) in enumerate(zip(states, widths)):
                why = _fallback.of_tensor(state)
                shape = (strands, batch, width) if packed or batched else (strands, width)
                if why is not None or state.shape != shape:
                    return f"hx that is {why or f'of shape {tuple(state.shape)}'}"
                if packed and input.sorted_indices is not None:
                    state = state.index_select(1, input.sorted_indices)
                elif not packed and not batched:
                    state = state.unsqueeze(1)
                states[n] = state.contiguous()
            h0, c0 = states[0], states[1] if len(states) > 1 else None
        if dict(self.extras).get("precision") == "int8":
            tensors = x, h0, c0, *self._flat_weights
            if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
                return "gradients, which int8 has none of"
            if self.training and kernel.drops:
                return "dropout in training, which int8 has none of"
        if self.training and kernel.drops:
            options["seed"] = new_seed()
        return Call(kernel, batch, steps, batch_first=batch_first, **options), x.contiguous(), h0, c0


# Where Dynamo does not take the layer into its graph, it would compile this frame by itself, and break again.
try:
    from torch._dynamo.eval_frame import skip_code
except ImportError:
    pass
else:
    skip_code(_Recurrent.forward.__code__)


def _checked(what: str, given: Any, shape: tuple[int, ...], dtypes: tuple[torch.dtype, ...]) -> Tensor:
    """An argument beyond PyTorch's, as a tensor of this shape."""
    given = torch.as_tensor(given, device="cpu")
    if given.dtype not in dtypes:
        raise TypeError(f"{what}: expected {dtypes[0]}, got {given.dtype}")
    if given.shape != shape:
        raise ValueError(f"{what}: expected shape {shape}, got {tuple(given.shape)}")
    # A copy: backward reads it too, when its owner may have filled it again.
    if given.dtype is torch.bool:
        # (A byte of a view may be neither 0 nor 1, which is true to PyTorch and undefined to Rust.)
        return given.view(torch.uint8).ne(0).contiguous()
    return given.clone(memory_format=torch.contiguous_format)


def _falls(sizes: Tensor, rows: int) -> bool:
    """Whether these are the rows of each step of a packed sequence, so many in all."""
    if sizes.dtype != torch.int64 or sizes.dim() != 1 or not sizes.is_cpu or len(sizes) == 0:
        return False
    if torch.any(sizes[1:] > sizes[:-1]):
        return False
    return int(sizes[-1]) > 0 and int(sizes.sum()) == rows


class LSTM(_Recurrent, torch.nn.LSTM):
    __doc__ = """PyTorch's LSTM on fused kernels.

    More by keyword: recurrent_dropout, input_dropout, zoneout, layer_norm, peephole, coupled, activations,
    activations_reverse, clip, cell_clip, precision, as `fused_rnn.LSTM` has them. Parameters that these add
    have its names: peephole_l0 (3, H), norm_ih_l0 (4 H), norm_hh_l0 (4 H), norm_c_l0 (2, H)."""


class GRU(_Recurrent, torch.nn.GRU):
    __doc__ = """PyTorch's GRU on fused kernels; more by keyword as for `LSTM`, as far as a GRU has it."""


class RNN(_Recurrent, torch.nn.RNN):
    __doc__ = """PyTorch's RNN on fused kernels; more by keyword as for `LSTM`, as far as an RNN has it."""
