"""`LSTMCell`, `GRUCell`, `RNNCell`: PyTorch's, with another forward. A step is a sequence of one step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import _fallback, _function
from ._call import Call, Spec, kernel_of


class _Cell:
    """What the three have in common; it stands before PyTorch's class."""

    #: Arguments of a call beyond PyTorch's.
    beyond = ()

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """As PyTorch's."""
        if torch.compiler.is_dynamo_compiling() or isinstance(prepared := self._prepared(input, hx), str):
            return super().forward(input, hx)
        call, x, h0, c0, weights = prepared
        _, hn, cn = _function.run(call, x, h0, c0, weights, False)
        return hn if cn is None else (hn, cn)

    def _kind(self) -> str:
        if isinstance(self, torch.nn.LSTMCell):
            return "lstm"
        return "gru" if isinstance(self, torch.nn.GRUCell) else f"rnn_{self.nonlinearity}"

    def __prepare_scriptable__(self) -> torch.nn.Module:
        """TorchScript compiles PyTorch's own module, with these parameters."""
        from .convert import twin

        return twin(self)

    def _prepared(self, input: Any, hx: Any) -> str | tuple[Call, Tensor, Any, Any, list[Tensor]]:
        why = _fallback.of_context() or _fallback.of_tensor(input)
        if why is not None:
            return why
        if input.dim() not in (1, 2) or input.shape[-1] != self.input_size or input.numel() == 0:
            return f"input of shape {tuple(input.shape)}"
        kind = self._kind()
        if kind not in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
            return kind
        # (As PyTorch's cells, which ask their parameters and not `bias`.)
        has_bias = self.bias_ih is not None and self.bias_hh is not None
        options = (("batch_first", False),) + ((("bias", False),) if not has_bias else ())
        kernel = kernel_of(self, Spec(kind, self.input_size, self.hidden_size, options))
        weights = [self.weight_ih, self.weight_hh, *((self.bias_ih, self.bias_hh) if has_bias else ())]
        why = _fallback.of_weights(weights, kernel.shapes)
        if why is not None:
            return why
        batch = 1 if input.dim() == 1 else input.shape[0]
        states: list[Any] = [None, None]
        if hx is not None:
            if kind == "lstm" and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
                return "another hx than a pair"
            for n, state in enumerate(hx if kind == "lstm" else (hx,)):
                why = _fallback.of_tensor(state)
                if why is not None or state.shape != (*input.shape[:-1], self.hidden_size):
                    return "another hx"
                states[n] = state.contiguous()
        call = Call(kernel, batch, 1, step_of=input.shape[:-1])
        return call, input.contiguous(), *states, weights


class LSTMCell(_Cell, torch.nn.LSTMCell):
    __doc__ = """PyTorch's LSTMCell on fused kernels."""


class GRUCell(_Cell, torch.nn.GRUCell):
    __doc__ = """PyTorch's GRUCell on fused kernels."""


class RNNCell(_Cell, torch.nn.RNNCell):
    __doc__ = """PyTorch's RNNCell on fused kernels."""
