"""Recurrent layers for CPUs: LSTM, GRU, Elman and newer networks on NumPy arrays.

    import fused_rnn, numpy

    gru = fused_rnn.GRU(8, 64, num_layers=2)
    y, h = gru(numpy.zeros((4, 100, 8), "float32"))       # (B, T, I) -> (B, T, H), (layers, B, H)

    stream = gru.stream(batch=1)                           # one step at a time, the same bits
    y = stream.step(numpy.zeros(8, "float32"))

`fused_rnn.torch` has the same kernels in the place of PyTorch's layers, and `fused_rnn.keras` in the place of
Keras's; only they import those packages.
"""

from ._files import KerasLayer, OnnxChain, keras_names, load_keras, load_onnx, load_torch, torch_modules
from ._fused_rnn import Stream, named_threads
from ._network import (
    GRU,
    LSTM,
    RNN,
    SLSTM,
    Gradients,
    IndRNN,
    MinGRU,
    MinLSTM,
    MultiplicativeLSTM,
    Network,
    Tape,
)

# ValueError where FUSED_RNN_THREADS is no number of threads: before the first call, which would not say so.
named_threads()

__all__ = [
    "GRU",
    "Gradients",
    "IndRNN",
    "KerasLayer",
    "LSTM",
    "MinGRU",
    "MinLSTM",
    "MultiplicativeLSTM",
    "Network",
    "OnnxChain",
    "RNN",
    "SLSTM",
    "Stream",
    "Tape",
    "keras_names",
    "load_keras",
    "load_onnx",
    "load_torch",
    "torch_modules",
]
__version__ = "0.1.0"
