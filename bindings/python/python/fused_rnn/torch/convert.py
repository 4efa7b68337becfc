"""A whole model, in place: only the classes of its modules change, so that parameters, optimisers and hooks
stay what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from . import cells, modules

_Model = TypeVar("_Model", bound=torch.nn.Module)
_FUSED = {
    torch.nn.LSTM: modules.LSTM,
    torch.nn.GRU: modules.GRU,
    torch.nn.RNN: modules.RNN,
    torch.nn.LSTMCell: cells.LSTMCell,
    torch.nn.GRUCell: cells.GRUCell,
    torch.nn.RNNCell: cells.RNNCell,
}
_TORCHS = {fused: torchs for torchs, fused in _FUSED.items()}


def convert(model: _Model, *, only: Callable[[str, torch.nn.Module], bool] | None = None) -> _Model:
    """Puts the fused layers in the place of PyTorch's, in place, and returns the model.

    only: called with the name and the module of each; those for which it is false are left alone.
    Subclasses of PyTorch's layers that are not its own are left alone as well.
    """
    for name, module in model.named_modules():
        if type(module) in _FUSED and (only is None or only(name, module)):
            module.__class__ = _FUSED[type(module)]
    return model


def revert(model: _Model) -> _Model:
    """Puts PyTorch's layers back, in place, and returns the model: to save it whole for people without this
    package, to quantise it, or for `torch.fx`.

    Raises ValueError where a layer has options that PyTorch's lack; nothing is changed then.
    """
    for name, module in model.named_modules():
        if type(module) in _TORCHS and getattr(module, "extras", ()):
            raise ValueError(
                f"{name or 'the model'}: PyTorch has no {', '.join(key for key, _ in module.extras)}"
            )
    for module in model.modules():
        module.__class__ = _TORCHS.get(type(module), type(module))
    return model


def why(module: torch.nn.Module, input: Any, hx: Any = None, **keywords: Any) -> str | None:
    """Why a call of this layer or cell with these arguments is PyTorch's own forward at this moment, in words;
    None where it is on the kernels. (Of a call that is not compiled.)"""
    if type(module) not in _TORCHS:
        return f"{type(module).__name__} is none of this package's layers"
    # (To prepare a call draws its seed, which the call itself would draw again.)
    with torch.random.fork_rng(devices=[]):
        prepared = module._prepared(input, hx, *(keywords.get(name) for name in module.beyond))
    return prepared if isinstance(prepared, str) else None


def twin(module: torch.nn.Module) -> torch.nn.Module:
    """PyTorch's own module with the parameters of this one."""
    if getattr(module, "extras", ()):
        raise ValueError(f"PyTorch has no {', '.join(key for key, _ in module.extras)}")
    other = object.__new__(_TORCHS[type(module)])
    other.__dict__.update(module.__dict__)
    return other
