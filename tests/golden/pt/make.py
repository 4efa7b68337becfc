"""The files of this folder: what torch.save and numpy.savez write of recurrent modules, and what these
compute.

    pip install torch numpy safetensors
    python make.py

`expected.safetensors` has, for each module, an input `NAME.x` (1, T, I), its output `NAME.y` and, where
weights are made of others, these weights `NAME.weight_...`; for the tensors of `types.pt` their numbers as
f32.
"""

import os
import warnings
from collections import OrderedDict

import numpy as np
import torch
from safetensors.torch import save_file
import torch.nn.utils.prune
from torch import nn

warnings.simplefilter("ignore")
os.chdir(os.path.dirname(os.path.abspath(__file__)))
torch.manual_seed(24)
expected = {}


def run(name, module, features):
    """Keeps an input and what a module makes of it."""
    module.eval()
    x = torch.randn(1, 5, features)
    with torch.no_grad():
        if isinstance(module, nn.RNNCellBase):
            state, outputs = None, []
            for step in range(5):
                state = module(x[:, step], state)
                outputs.append(state[0] if isinstance(state, tuple) else state)
            y = torch.stack(outputs, 1)
        else:
            y = module(x)[0]
    expected[f"{name}.x"], expected[f"{name}.y"] = x, y.contiguous()


class Net(nn.Module):
    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)


# A module beside others, with integers and a tensor of no dimension.
lstm = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2, batch_first=True)
net = Net(rnn=lstm, norm=nn.BatchNorm1d(4), head=nn.Linear(4, 2))
run("lstm", lstm, 3)
torch.save(net.state_dict(), "lstm.pt")
torch.save(net.state_dict(), "legacy.pt", _use_new_zipfile_serialization=False)
torch.save(net.state_dict(), "protocol5.pt", pickle_protocol=5)
torch.serialization.set_crc32_options(False)
torch.save(net.state_dict(), "no_checksums.pt")
torch.serialization.set_crc32_options(True)
# What must be refused, by name.
torch.save(net, "whole_model.pt")
torch.jit.script(nn.Linear(2, 1)).save("script.pt")

# A checkpoint of a wrapped model with its optimiser.
gru = nn.GRU(3, 4, batch_first=True)
run("gru", gru, 3)
net = Net(module=Net(encoder=Net(_orig_mod=Net(rnn=gru))))
optimizer = torch.optim.Adam(net.parameters(), 1e-3)
net.module.encoder._orig_mod.rnn(torch.ones(1, 1, 3))[0].sum().backward()
optimizer.step()
run("gru", gru, 3)
torch.save(
    {
        "epoch": 3,
        "loss": 0.25,
        "best": None,
        "done": False,
        "name": "über",
        "sizes": (3, [4, 5]),
        "model_state_dict": net.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
    },
    "checkpoint.pt",
)

# Cells, whose names have no layer.
cells = Net(lstm=nn.LSTMCell(2, 3), gru=nn.GRUCell(2, 3), rnn=nn.RNNCell(2, 3, bias=False))
for name in ("lstm", "gru", "rnn"):
    run(f"cells.{name}", getattr(cells, name), 2)
torch.save(cells.state_dict(), "cells.pt")

# Weights that are made of others.
old = nn.utils.weight_norm(nn.LSTM(2, 3, batch_first=True), "weight_hh_l0")
rows = nn.utils.weight_norm(
    nn.utils.weight_norm(nn.GRU(2, 3, batch_first=True), "weight_hh_l0", dim=None), "weight_ih_l0", dim=1
)
new = nn.utils.parametrizations.weight_norm(nn.LSTM(2, 3, batch_first=True), "weight_hh_l0")
spectral = nn.utils.parametrizations.spectral_norm(nn.GRU(2, 3, batch_first=True), "weight_hh_l0")
spectral_old = nn.utils.spectral_norm(nn.LSTM(2, 3, batch_first=True), "weight_hh_l0")
for module in (old, rows, new):
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith(("_g", "original0")):
                parameter.mul_(1.5)
pruned = nn.GRU(2, 3, batch_first=True)
nn.utils.prune.random_unstructured(pruned, "weight_hh_l0", 0.5)
normed = Net(old=old, rows=rows, new=new, spectral=spectral, spectral_old=spectral_old, pruned=pruned)
for name, module in normed.named_children():
    # A run sets weight_hh_l0 of the old kind from its parts.
    run(f"normed.{name}", module, 2)
    for weight in ("weight_ih_l0", "weight_hh_l0"):
        expected[f"normed.{name}.{weight}"] = getattr(module, weight).detach().clone().contiguous()
torch.save(normed.state_dict(), "normed.pt")

# Types, strides, places in a storage.
base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
types = OrderedDict(
    transposed=base.t(),
    part=base[1:3, 2:5],
    every_other=base[:, ::2],
    expanded=torch.tensor([[1.5], [2.5]]).expand(2, 3),
    scalar=torch.tensor(2.5),
    empty=torch.zeros(0, 3),
    parameter=nn.Parameter(torch.tensor([1.0, -2.0])),
    double=torch.tensor([0.1, -1e-50], dtype=torch.float64),
    half=torch.tensor([1.0, -65504.0, 6e-8], dtype=torch.float16),
    brain=torch.tensor([1.0, -3.140625], dtype=torch.bfloat16),
    int64=torch.tensor([[1, -2], [3, 1 << 40]]),
    int32=torch.tensor([7, -8], dtype=torch.int32),
    int16=torch.tensor([-300], dtype=torch.int16),
    int8=torch.tensor([-3], dtype=torch.int8),
    uint8=torch.tensor([200], dtype=torch.uint8),
    bool=torch.tensor([True, False]),
    complex=torch.tensor([1 + 2j]),
    uint16=torch.tensor([[1, 65535], [2, 3]], dtype=torch.uint16).t(),
    float8=torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn),
    dtype=torch.float32,
)
for name, tensor in types.items():
    if name not in ("complex", "float8", "dtype"):
        expected[f"types.{name}"] = tensor.detach().float().contiguous().clone()
torch.save(types, "types.pt")

# NumPy, one array per tensor, in both orders of elements and of bytes, stored and compressed.
arrays = {name: tensor.detach().numpy() for name, tensor in gru.state_dict().items()}
arrays["weight_hh_l0"] = np.asfortranarray(arrays["weight_hh_l0"].astype(">f8"))
arrays["bias_hh_l0"] = arrays["bias_hh_l0"].astype("<f4")
beside = {"half": np.array([1, -2], "<f2"), "steps": np.array(7, ">i8"), "text": np.array(["a", "bc"])}
np.savez("gru.npz", **arrays, **beside)
np.savez_compressed("compressed.npz", **arrays, **beside)
np.savez("objects.npz", objects=np.array([{"a": 1}], dtype=object), w=np.ones(2, "<f4"))

save_file(expected, "expected.safetensors")
print(f"torch {torch.__version__}, numpy {np.__version__}")
