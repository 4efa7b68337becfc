"""`LSTM` and `GRU` of Keras 3 on the torch backend, on CPUs: Keras's layers with another inner loop.

    import os
    os.environ["KERAS_BACKEND"] = "torch"
    import fused_rnn.keras

    model = keras.Sequential([fused_rnn.keras.LSTM(64, return_sequences=True), keras.layers.Dense(1)])

Weights, configuration, saving and everything around the loop are Keras's. What the kernels do not do here is
Keras's own loop: masks, recurrent dropout, other activations, types, devices and backends.
"""
from __future__ import annotations

from typing import Any

import keras
import torch

from . import torch as _fused  # noqa: F401  (registers what compiled programs need)
from .torch import _fallback, _function
from .torch._call import Call, Spec, kernel_of

#: Keras's z, r, h in the place of PyTorch's r, z, n; the LSTM's i, f, c, o are in PyTorch's order.
_GATES = {"lstm": (0, 1, 2, 3), "gru": (1, 0, 2)}


def _loop(layer: Any, kind: str, sequences: Any, states: list[Any], mask: Any, training: bool) -> Any:
    """Last output, outputs and states, as Keras's inner loop gives them; None where the loop is Keras's."""
    cell = layer.cell
    plain = cell.activation is keras.activations.tanh
    plain = plain and cell.recurrent_activation is keras.activations.sigmoid
    if keras.backend.backend() != "torch" or mask is not None or not plain or layer.recurrent_dropout:
        return None
    if training and layer.dropout:
        drop = cell.get_dropout_mask(sequences[:, 0, :])
        sequences = sequences * drop[:, None, :]
    convert = keras.ops.convert_to_tensor
    x, *states = (convert(value) for value in (sequences, *states))
    weights = [convert(cell.kernel), convert(cell.recurrent_kernel)]
    weights += [] if cell.bias is None else [convert(cell.bias)]
    if torch.compiler.is_compiling() or _fallback.of_context() is not None or x.numel() == 0:
        return None
    # (Parameters and what is made of them; not those that a compiler or a transform stands for.)
    if any(_fallback.of_tensor(tensor) is not None for tensor in (x, *states, *weights)):
        return None

    def gates(array: torch.Tensor) -> torch.Tensor:
        """The gates of the last axis in PyTorch's order."""
        parts = array.chunk(len(_GATES[kind]), -1)
        return torch.cat([parts[gate] for gate in _GATES[kind]], -1)

    units, options = layer.units, [("batch_first", True)]
    tensors = [gates(weight).t().contiguous() for weight in weights[:2]]
    if cell.bias is None:
        options.append(("bias", False))
    elif kind == "lstm":
        options.append(("bias", "single"))
        tensors.append(weights[2])
    else:
        tensors += [part.contiguous() for part in gates(weights[2])]
    kernel = kernel_of(layer, Spec(kind, x.shape[-1], units, tuple(options)))
    if layer.go_backwards:
        x = x.flip(1)
    # (Copies: a stateful layer writes the final states over the initial ones, which backward needs.)
    h0, *c0 = (state.unsqueeze(0).clone() for state in states)
    call = Call(kernel, x.shape[0], x.shape[1], batch_first=True)
    y, hn, cn = _function.run(call, x.contiguous(), h0, c0[0] if c0 else None, tensors, False)
    finals = [hn[0]] if cn is None else [hn[0], cn[0]]
    return hn[0], y if layer.return_sequences else hn[0].unsqueeze(1), finals


@keras.saving.register_keras_serializable("fused_rnn")
class LSTM(keras.layers.LSTM):
    """Keras's LSTM on fused kernels, where these compute what the layer says."""

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        own = mask[0] if isinstance(mask, (list, tuple)) else mask
        done = _loop(self, "lstm", sequences, list(initial_state), own, training)
        return done or super().inner_loop(sequences, initial_state, mask, training=training)


@keras.saving.register_keras_serializable("fused_rnn")
class GRU(keras.layers.GRU):
    """Keras's GRU on fused kernels, where these compute what the layer says: with `reset_after`."""

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        own = mask[0] if isinstance(mask, (list, tuple)) else mask
        states = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
        done = _loop(self, "gru", sequences, states, own, training) if self.reset_after else None
        return done or super().inner_loop(sequences, initial_state, mask, training=training)
