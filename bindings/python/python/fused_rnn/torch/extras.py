"""What PyTorch's layers lack: options of the kernels by keyword, with the parameters that they add."""

from __future__ import annotations

from typing import Any

import torch

from .. import _fused_rnn

#: The keywords, which are those of `fused_rnn.LSTM`, `GRU` and `RNN`.
NAMES = (
    "recurrent_dropout",
    "input_dropout",
    "zoneout",
    "layer_norm",
    "peephole",
    "coupled",
    "activations",
    "activations_reverse",
    "clip",
    "cell_clip",
    "precision",
)
#: Those that matter in training alone. (Zoneout has its mean elsewhere.)
OF_TRAINING = ("recurrent_dropout", "input_dropout")


def taken(options: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Takes the extras out of a constructor's keywords."""

    def hashable(value: Any) -> Any:
        return tuple(map(hashable, value)) if isinstance(value, (list, tuple)) else value

    return tuple((name, hashable(options.pop(name))) for name in NAMES if name in options)


def add_parameters(module: torch.nn.RNNBase, kind: str, factory: dict[str, Any]) -> None:
    """Makes the parameters of a module's extras, and puts them among its flat weights."""
    sizes = kind, module.input_size, module.hidden_size
    native = _fused_rnn.Kernel(*sizes, dict(module._options(training=True)))
    known = set(module._flat_weights_names)
    names = [name for name, _ in native.shapes()]
    bound = module.hidden_size**-0.5
    for name, shape in native.shapes():
        if name not in known:
            # As PyTorch draws all parameters. (Those that it knows it has drawn already.)
            value = torch.empty(shape, **factory).uniform_(-bound, bound)
            torch.nn.RNNBase.__setattr__(module, name, torch.nn.Parameter(value))
    module._flat_weights_names = names
    ends = [
        f"_l{layer}{way}"
        for layer in range(module.num_layers)
        for way in (("", "_reverse") if module.bidirectional else ("",))
    ]
    module._all_weights = [[name for name in names if name.endswith(end)] for end in ends]
    module._init_flat_weights()
    reset_parameters(module)


def reset_parameters(module: torch.nn.RNNBase) -> None:
    """Gains begin as one, the shift of the cell state as zero; peepholes stay as all other parameters."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.startswith(("norm_ih", "norm_hh")):
                parameter.fill_(1.0)
            elif name.startswith("norm_c"):
                parameter[0] = 1.0
                parameter[1] = 0.0
