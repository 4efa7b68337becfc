"""What published models compute: inputs and outputs for the test `format_packages`.

    pip install torch numpy safetensors
    pip download --no-deps g2p-en resemblyzer
    unzip -j g2p_en-*.whl g2p_en/checkpoint20.npz -d FOLDER
    unzip -j Resemblyzer-*.whl resemblyzer/pretrained.pt -d FOLDER
    python packages.py FOLDER
    cp ~/.cargo/registry/src/*/nnnoiseless-*/src/weights.rnn FOLDER    (after cargo add nnnoiseless)
    FUSED_RNN_PACKAGES=FOLDER cargo test --all-features --test format_packages -- --nocapture

The models are not in this repository. g2p_en's GRUs are computed as its own code does, by NumPy;
Resemblyzer's LSTM by PyTorch. RNNoise's GRUs, whose weights the crate nnnoiseless has, the test computes
itself.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

folder = Path(sys.argv[1])
generator = np.random.default_rng(24)
expected = {}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


arrays = {name: array.astype("f8") for name, array in np.load(folder / "checkpoint20.npz").items()}
for part in ("enc", "dec"):
    w_ih, w_hh, b_ih, b_hh = (arrays[f"{part}_{name}"] for name in ("w_ih", "w_hh", "b_ih", "b_hh"))
    units = w_hh.shape[1]
    x = generator.standard_normal((1, 7, w_ih.shape[1])).astype("f4")
    h, outputs = np.zeros(units), []
    for step in x[0].astype("f8"):
        i, r = w_ih @ step + b_ih, w_hh @ h + b_hh
        gates = sigmoid(i[: 2 * units] + r[: 2 * units])
        n = np.tanh(i[2 * units :] + gates[:units] * r[2 * units :])
        h = (1 - gates[units:]) * n + gates[units:] * h
        outputs.append(h)
    expected[f"{part}.x"], expected[f"{part}.y"] = x, np.stack(outputs)[None].astype("f4")

state = torch.load(folder / "pretrained.pt", map_location="cpu")["model_state"]
lstm = torch.nn.LSTM(40, 256, 3, batch_first=True).double()
lstm.load_state_dict({name[5:]: tensor for name, tensor in state.items() if name.startswith("lstm.")})
x = generator.standard_normal((1, 7, 40)).astype("f4")
with torch.no_grad():
    expected["lstm.x"], expected["lstm.y"] = x, lstm(torch.from_numpy(x).double())[0].float().numpy()
save_file(expected, folder / "expected.safetensors")
