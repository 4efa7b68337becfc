"""fused-rnn in the place of PyTorch's recurrent layers, on CPUs.

    import fused_rnn.torch

    fused_rnn.torch.convert(model)        # every nn.LSTM, nn.GRU, nn.RNN and cell of it, in place

`LSTM`, `GRU`, `RNN` and the cells are subclasses of PyTorch's: parameters, state dicts, copies, hooks and
repr are theirs, only `forward` is another. What the kernels do not do, PyTorch's forward does: other types and
devices, double precision, `vmap`, tracing, scripting, dropout of 1, empty sequences.

```text
modules.py   LSTM, GRU, RNN
cells.py     LSTMCell, GRUCell, RNNCell
extras.py    what PyTorch's layers lack: recurrent dropout, zoneout, layer normalisation, peepholes, ...
convert.py   a whole model, in place
_call.py     one call: which kernel, which sequences, whose memory
_function.py the call in PyTorch's autograd, with the tape as a tensor
_ops.py      the call as an operator, for torch.compile
_fallback.py which calls are PyTorch's, and double backward
```
"""

from .cells import GRUCell, LSTMCell, RNNCell
from .convert import convert, revert, why
from .modules import GRU, LSTM, RNN

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNCell", "convert", "revert", "why"]
