"""Weights of PyTorch, Keras and ONNX."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Union

import numpy as np

from . import _arrays, _fused_rnn
from ._network import Network, State, _state

#: A file, its bytes, or a state dict.
Source = Union[str, "os.PathLike[str]", bytes, "Mapping[str, Any]"]


def _source(source: Source) -> bytes | dict[str, np.ndarray]:
    if isinstance(source, Mapping):
        arrays = {name: _weights(name, value) for name, value in source.items()}
        return {name: array for name, array in arrays.items() if array is not None}
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def _weights(name: str, value: Any) -> np.ndarray | None:
    """A tensor of a state dict; None of integers, which are no weights. Narrower floats are widened, as those
    of a file are."""
    if hasattr(value, "is_floating_point"):
        # (A tensor that autograd follows has no __dlpack__ that works, and NumPy knows no bfloat16.)
        value = value.detach().cpu()
        if not value.is_floating_point():
            return None
        value = value.float() if value.element_size() < 4 else value
    elif isinstance(value, np.ndarray) and value.dtype.kind in "iub":
        return None
    elif isinstance(value, np.ndarray) and value.dtype == np.float16:
        value = value.astype(np.float32)
    return _arrays.floats(name, value)


class TorchModule(NamedTuple):
    """A recurrent module of a state dict."""

    #: How the names of its tensors begin: "encoder.rnn."
    prefix: str
    #: The cells that it may be: the one that the file says, or those of its shapes. There are two of an RNN,
    #: whose nonlinearity no tensor says, and of a minimal GRU or LSTM of one layer.
    kinds: list[str]
    #: What it is in words.
    description: str


def torch_modules(source: Source) -> list[TorchModule]:
    """The recurrent modules of a file of safetensors or torch.save, or of a state dict."""
    return [TorchModule(*module) for module in _fused_rnn.torch_modules(_source(source))]


def load_torch(
    source: Source, prefix: str | None = None, *, kind: str | None = None, **options: Any
) -> Network:
    """A recurrent module of PyTorch from a file of safetensors or torch.save, or from a state dict.

    prefix: how the names of its tensors begin, "encoder.rnn."; may be left out where there is one module.
    kind: a cell by its name, "lstm", "gru", "rnn_tanh", "slstm", ... It may be left out where the file says it,
    as one of `Network.to_safetensors` does, or its shapes tell it. Shapes that PyTorch's LSTM or GRU has are
    taken as that, though an "slstm" of one head and a "gru_reset_before" have the same: say these. That of an
    RNN has to be said too.
    options: what neither the tensors nor the file says: `dropout`, `precision` (matrices of int8 with scales
    keep their integers in "int8"; in others they are float32, which `in_precision` rounds anew), and
    `batch_first=False`, which is PyTorch's default; the default here is (B, T, I).

    No code of the file is run.
    """
    data = _source(source)
    modules = torch_modules(data)
    found = [module for module in modules if prefix is None or module.prefix == prefix]
    if prefix is None:
        if len(found) != 1:
            names = ", ".join(repr(module.prefix) for module in modules) or "none"
            raise ValueError(f"prefix: expected one of the recurrent modules, got none; there are {names}")
        prefix = found[0].prefix
    elif not found and modules:
        names = ", ".join(repr(module.prefix) for module in modules)
        raise ValueError(f"prefix: expected one of the recurrent modules, got {prefix!r}; there are {names}")
    if kind is None:
        kinds = found[0].kinds if found else []
        if len(kinds) != 1:
            raise ValueError(
                f"kind: expected {' or '.join(kinds) or 'a cell'}, which the file does not say, got none"
            )
        kind = kinds[0]
    return Network._of(_fused_rnn.torch_network(data, prefix, kind, options))


class KerasLayer:
    """A recurrent layer of Keras, run as Keras runs it: merge modes and masks included."""

    __slots__ = ("_native", "network")

    def __init__(self, native: _fused_rnn.KerasLayer) -> None:
        self._native = native
        #: The network inside: batch-first, outputs in the order of time and not merged.
        self.network: Network = Network._of(native.network)

    @property
    def merge_mode(self) -> str | None:
        """How `Bidirectional` merges: "concat", "sum", "mul", "ave", "apart"; None for one direction."""
        return self._native.merge_mode

    @property
    def return_sequences(self) -> bool:
        """Whether the model goes on with y, and otherwise with last."""
        return self._native.return_sequences

    @property
    def return_state(self) -> bool:
        """Whether the model also takes the final states."""
        return self._native.return_state

    @property
    def stateful(self) -> bool:
        """Whether each run goes on from the state of the one before: then a state has to be given."""
        return self._native.stateful

    def in_precision(self, precision: str) -> KerasLayer:
        """The layer in another precision, as of `Network.in_precision`."""
        return KerasLayer(self._native.in_precision(precision))

    def drop_parameters(self) -> None:
        """Frees the parameters in float32 of the layer and of its `network`, as `Network.drop_parameters`."""
        self._native.drop_parameters()
        self.network.drop_parameters()

    def __call__(
        self, x: Any, state: State | None = None, *, lengths: Any = None, mask: Any = None
    ) -> tuple[np.ndarray, np.ndarray, State]:
        """Runs x, (B, T, I). Returns the outputs of all steps, those of the last, and the final state."""
        states, pattern = self.network._states(state), (_arrays.lengths(lengths), _arrays.flags("mask", mask))
        y, last, states = self._native.run(_arrays.floats("x", x), states, *pattern)
        return y, last, _state(states)


def keras_names(source: str | os.PathLike[str] | bytes) -> list[str]:
    """The recurrent layers of a file that `examples/export_keras.py` wrote."""
    return _fused_rnn.keras_names(_source(source))


def load_keras(source: str | os.PathLike[str] | bytes, name: str | None = None) -> KerasLayer:
    """A layer of a Keras model that `examples/export_keras.py` wrote; of a single one without its name."""
    data = _source(source)
    if name is None:
        names = keras_names(data)
        if len(names) != 1:
            raise ValueError(f"name: expected one of the recurrent layers, got none; there are {names}")
        name = names[0]
    return KerasLayer(_fused_rnn.keras_layer(data, name))


class OnnxChain:
    """Recurrent nodes of an ONNX model that follow each other, as one network."""

    __slots__ = ("_native", "network", "nodes")

    def __init__(self, native: _fused_rnn.OnnxChain) -> None:
        self._native = native
        #: The network; in another precision it is `network.in_precision("int8")`.
        self.network: Network = Network._of(native.network)
        #: The names of its nodes, from the first layer on.
        self.nodes: list[str] = native.nodes

    def initial_state(self, batch: int) -> State:
        """The state that the model begins with; ValueError where it takes that from its inputs."""
        return _state(self._native.initial_state(batch))


def load_onnx(path: str | os.PathLike[str]) -> list[OnnxChain]:
    """The recurrent parts of an ONNX model. What cannot be had of it is said by a warning."""
    os.stat(path)  # FileNotFoundError, as of the other readers.
    chains, said = _fused_rnn.onnx_chains(os.fspath(path))
    for text in said:
        warnings.warn(text, stacklevel=2)
    return [OnnxChain(chain) for chain in chains]
