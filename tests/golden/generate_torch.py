"""Golden files from PyTorch: outputs and every gradient of recurrent layers, in tests/golden/torch/.

What: LSTM, GRU and RNN of torch.nn over layers, directions, layouts, lengths, projections and odd sizes; and
what torch.nn lacks (reset-before GRU, peepholes, coupled gates, clips, other activations, rows of length
zero) by `walk` below, a plain loop over time under PyTorch's autograd. The metadata key `source` tells which.
Why: figures that this crate did not make. Everything is computed in float64 from f32 inputs and then rounded,
so the files hold the exact result to the last bit or nearly so.
Trust: `walk` is compared with torch.nn on every torch.nn case (to 1e-12). No pre-activation lies within 1e-5
of a kink of its activation or clip, where a rounding difference would flip a gradient, and no tensor of a
file is all zero for dead units alone; such draws are drawn again.
Form of the files: README.md beside this script. Values depend on a file's name alone; running again gives the
same bytes.

usage: python tests/golden/generate_torch.py
needs: numpy, torch (versions: benches/peers/requirements.txt)
"""
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import autograd
import golden

GATES = {"lstm": 4, "gru": 3, "gru_before": 3, "rnn_tanh": 1, "rnn_relu": 1}
KINK_MARGIN = 1e-5


@dataclass
class Case:
    cell: str
    layers: int = 1
    bi: bool = False
    b: int = 3  # batch
    t: int = 5  # steps
    i: int = 7  # input size
    h: int = 5  # hidden size
    bf: bool = False  # batch first
    bias: bool = True
    state: bool = False  # initial states given
    proj: int = 0
    lengths: tuple = ()
    upstream: str = "y,hn,cn"  # which results have an upstream gradient
    peephole: bool = False
    input_forget: bool = False
    clip: float = 0.0
    cell_clip: float = 0.0
    activations: str = ""
    tag: str = ""  # tells apart what the rest of the name does not

    @property
    def name(self):
        parts = [self.cell, f"l{self.layers}", *(["bi"] if self.bi else [])]
        parts += [f"b{self.b}", f"t{self.t}", f"i{self.i}", f"h{self.h}"]
        parts += [f"p{self.proj}"] if self.proj else []
        flags = {
            "bf": self.bf, "nobias": not self.bias, "state": self.state, "len": self.lengths,
            "peep": self.peephole, "cifg": self.input_forget, "clip": self.clip, "cellclip": self.cell_clip,
            "act": self.activations,
        }  # fmt: skip
        parts += [flag for flag, on in flags.items() if on]
        return "_".join(parts + [self.tag] * bool(self.tag))

    @property
    def native(self):
        """Whether torch.nn computes it."""
        lacks = self.peephole or self.input_forget or self.clip or self.cell_clip or self.activations
        return not lacks and self.cell != "gru_before" and 0 not in self.lengths

    @property
    def lstm(self):
        return self.cell == "lstm"

    @property
    def directions(self):
        return 2 if self.bi else 1

    @property
    def out(self):
        """Width of the hidden state of one direction."""
        return self.proj or self.h


def native_cases(cell):
    """The structures, once for each cell of torch.nn."""
    yield Case(cell, b=3, t=7, i=2, h=5)
    yield Case(cell, b=1, t=1, i=1, h=1)
    yield Case(cell, b=1, t=6, i=16, h=16, bf=True)
    yield Case(cell, b=5, t=4, i=7, h=17, state=True)
    yield Case(cell, b=6, t=2, i=19, h=33)
    yield Case(cell, b=1, t=40, i=1, h=3, state=True)
    yield Case(cell, b=2, t=3, i=2, h=1, bias=False, state=True)
    yield Case(cell, b=3, t=5, i=2, h=3, bi=True, state=True)
    yield Case(cell, b=2, t=4, i=7, h=5, layers=2, bias=False)
    yield Case(cell, b=2, t=3, i=1, h=3, layers=3, bi=True, bf=True)
    yield Case(cell, b=2, t=1, i=2, h=3, layers=2, bi=True, state=True)
    yield Case(cell, b=4, t=9, i=2, h=16, lengths=(4, 9, 1, 6))
    yield Case(cell, b=3, t=7, i=2, h=17, layers=2, bi=True, state=True, lengths=(3, 7, 2))
    yield Case(
        cell, b=7, t=6, i=7, h=5, bi=True, bf=True, bias=False, state=True, lengths=(2, 6, 1, 5, 6, 1, 3)
    )
    yield Case(cell, b=2, t=5, i=16, h=3, layers=3, bias=False, state=True, lengths=(2, 4))  # none reaches T
    yield Case(cell, b=2, t=4, i=2, h=3, bi=True, upstream="y", tag="dy")
    yield Case(cell, b=2, t=4, i=2, h=3, layers=2, state=True, upstream="hn,cn", tag="dhn")


def cases():
    for cell in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        yield from native_cases(cell)
    # Projection.
    yield Case("lstm", b=3, t=4, i=2, h=5, proj=1)
    yield Case("lstm", b=2, t=5, i=7, h=16, proj=5, layers=2, bi=True, state=True)
    yield Case("lstm", b=4, t=6, i=2, h=17, proj=3, bf=True, state=True, lengths=(6, 2, 5, 1))
    yield Case("lstm", b=3, t=3, i=1, h=33, proj=16)
    yield Case("lstm", b=2, t=3, i=2, h=5, proj=3, layers=3, bias=False)
    # What follows is beyond torch.nn. The reset-before GRU:
    yield Case("gru_before", b=3, t=7, i=2, h=5)
    yield Case("gru_before", b=1, t=1, i=1, h=1, state=True)
    yield Case("gru_before", b=1, t=6, i=16, h=16, bf=True, bias=False)
    yield Case("gru_before", b=5, t=4, i=7, h=17, state=True)
    yield Case("gru_before", b=6, t=2, i=19, h=33)
    yield Case("gru_before", b=3, t=7, i=2, h=17, layers=2, bi=True, state=True, lengths=(3, 7, 2))
    yield Case("gru_before", b=2, t=3, i=1, h=3, layers=3, bi=True, bf=True)
    # Variants of the LSTM, alone and together.
    yield Case("lstm", b=3, t=5, i=2, h=5, state=True, peephole=True)
    yield Case("lstm", b=2, t=4, i=7, h=17, layers=2, bi=True, peephole=True, lengths=(2, 4))
    yield Case("lstm", b=3, t=5, i=2, h=5, state=True, input_forget=True)
    yield Case("lstm", b=3, t=5, i=7, h=16, bi=True, state=True, input_forget=True, peephole=True)
    yield Case("lstm", b=3, t=6, i=2, h=5, state=True, cell_clip=0.25)
    yield Case("lstm", b=3, t=6, i=7, h=17, state=True, cell_clip=0.3, peephole=True, lengths=(3, 6, 1))
    yield Case("lstm", b=2, t=5, i=2, h=5, proj=3, state=True, peephole=True, cell_clip=0.2, layers=2)
    together = dict(peephole=True, input_forget=True, clip=0.5, cell_clip=0.3)
    yield Case("lstm", b=2, t=5, i=2, h=5, bi=True, state=True, **together)
    # Gate pre-activations clipped, and other activations (all eleven of ONNX).
    for cell in GATES:
        yield Case(cell, b=3, t=5, i=7, h=5, state=True, clip=0.4)
    yield Case("lstm", state=True, activations="HardSigmoid:0.2:0.5,Softsign,Tanh")
    yield Case("lstm", state=True, peephole=True, activations="Sigmoid,ScaledTanh:1.25:0.75,Elu:0.5", tag="2")
    yield Case("lstm", activations="HardSigmoid:0.125:0.5,LeakyRelu:0.0625,Affine:0.75:0.125", tag="3")
    yield Case("gru", state=True, activations="HardSigmoid:0.2:0.5,Softsign")
    yield Case("gru", state=True, activations="Sigmoid,Relu", tag="2")
    yield Case("gru_before", state=True, activations="HardSigmoid:0.2:0.5,Softplus")
    yield Case("gru_before", state=True, activations="Sigmoid,Elu:1", tag="2")
    for tag, activation in enumerate(["ThresholdedRelu:0.25", "Softplus", "LeakyRelu:0.01", "Sigmoid"]):
        yield Case("rnn_tanh", state=True, activations=activation, tag=str(tag + 1))
    # Rows of length zero: the state passes through.
    for cell in GATES:
        yield Case(cell, b=4, t=3, i=2, h=3, bi=True, state=True, lengths=(0, 3, 1, 0), tag="zero")


def parameters(case):
    """Name to shape, PyTorch's names; `peephole` has the rows i, f, o."""
    gates, shapes = GATES[case.cell] * case.h, {}
    for layer in range(case.layers):
        width = case.i if layer == 0 else case.directions * case.out
        for suffix in [f"_l{layer}", f"_l{layer}_reverse"][: case.directions]:
            shapes["weight_ih" + suffix] = (gates, width)
            shapes["weight_hh" + suffix] = (gates, case.out)
            if case.bias:
                shapes["bias_ih" + suffix] = shapes["bias_hh" + suffix] = (gates,)
            if case.proj:
                shapes["weight_hr" + suffix] = (case.proj, case.h)
            if case.peephole:
                shapes["peephole" + suffix] = (3, case.h)
    return shapes


def draw(case, stream):
    """Everything that goes in, f32: parameters (PyTorch's range, and at most 0.7), x, states, upstream
    gradients."""
    limit = min(0.7, case.h**-0.5)
    params = {name: golden.uniform(stream, *shape, limit=limit) for name, shape in parameters(case).items()}
    states = case.layers * case.directions
    shape = (case.b, case.t) if case.bf else (case.t, case.b)
    data = {"x": golden.uniform(stream, *shape, case.i, limit=1.5)}
    results = {"y": (*shape, case.directions * case.out), "hn": (states, case.b, case.out)}
    if case.lstm:
        results["cn"] = (states, case.b, case.h)
    if case.state:
        data["h0"] = golden.uniform(stream, *results["hn"])
        if case.lstm:
            data["c0"] = golden.uniform(stream, *results["cn"])
    upstream = {
        name: golden.uniform(stream, *results[name]) for name in results if name in case.upstream.split(",")
    }
    return params, data, upstream


class Kinks:
    """Activations and clips, with the smallest distance to a point where a derivative jumps."""

    def __init__(self):
        self.margin = np.inf

    def see(self, a, points):
        for point in points:
            self.margin = min(self.margin, (a - point).abs().min().item())
        return a

    def clip(self, a, bound):
        return self.see(a, [-bound, bound]).clamp(-bound, bound) if bound else a

    def activation(self, text):
        name, *numbers = text.split(":")
        p, q = [*map(float, numbers), 0.0, 0.0][:2]  # alpha and beta
        f = torch.nn.functional
        return {
            "Sigmoid": torch.sigmoid,
            "Tanh": torch.tanh,
            "Softsign": f.softsign,
            "Softplus": f.softplus,
            "Affine": lambda a: p * a + q,
            "ScaledTanh": lambda a: p * torch.tanh(q * a),
            "Relu": lambda a: self.see(a, [0]).relu(),
            "LeakyRelu": lambda a: f.leaky_relu(self.see(a, [0]), p),
            "Elu": lambda a: f.elu(self.see(a, [0]), p),
            "ThresholdedRelu": lambda a: torch.where(self.see(a, [p]) >= p, a, 0),
            "HardSigmoid": lambda a: (p * self.see(a, [-q / p, (1 - q) / p]) + q).clamp(0, 1),
        }[name]


def step(case, kinks, p, x, h, c):
    """One step of one direction, from rows of x and the state to the state."""
    default = {"lstm": "Sigmoid,Tanh,Tanh", "rnn_tanh": "Tanh", "rnn_relu": "Relu"}.get(
        case.cell, "Sigmoid,Tanh"
    )
    act = [kinks.activation(text) for text in (case.activations or default).split(",")]
    zero = torch.zeros(GATES[case.cell] * case.h, dtype=x.dtype)
    inner = (x @ p["weight_ih"].T + p.get("bias_ih", zero)).chunk(GATES[case.cell], dim=1)
    bias = p.get("bias_hh", zero)

    def clip(a):
        return kinks.clip(a, case.clip)

    if case.cell.startswith("gru"):
        weights, biases = p["weight_hh"].chunk(3), bias.chunk(3)
        r, z = (act[0](clip(inner[k] + h @ weights[k].T + biases[k])) for k in range(2))
        if case.cell == "gru":
            n = act[1](clip(inner[2] + r * (h @ weights[2].T + biases[2])))
        else:
            n = act[1](clip(inner[2] + (r * h) @ weights[2].T + biases[2]))
        return (1 - z) * n + z * h, c
    a = [u + v for u, v in zip(inner, (h @ p["weight_hh"].T + bias).chunk(GATES[case.cell], dim=1))]
    if not case.lstm:
        return act[0](clip(a[0])), c
    pi, pf, po = p.get("peephole", torch.zeros(3, case.h, dtype=x.dtype))
    i = act[0](clip(a[0] + pi * c))
    f = 1 - i if case.input_forget else act[0](clip(a[1] + pf * c))
    c = kinks.clip(f * c + i * act[1](clip(a[2])), case.cell_clip)
    h = act[0](clip(a[3] + po * c)) * act[2](c)
    return (h @ p["weight_hr"].T if case.proj else h), c


def walk(case, kinks, params, data):
    """The layers as a loop over time: y, hn, cn."""
    lengths = torch.tensor(case.lengths or [case.t] * case.b)
    y = data["x"].transpose(0, 1) if case.bf else data["x"]
    hn, cn = [], []
    for layer in range(case.layers):
        outputs = []
        for suffix in [f"_l{layer}", f"_l{layer}_reverse"][: case.directions]:
            own = {
                name.removesuffix(suffix): value for name, value in params.items() if name.endswith(suffix)
            }
            h, c = (
                data[key][len(hn)] if key in data else torch.zeros(case.b, width, dtype=y.dtype)
                for key, width in (("h0", case.out), ("c0", case.h))
            )
            steps, column = range(case.t), [None] * case.t
            for t in reversed(steps) if suffix.endswith("reverse") else steps:
                runs = (t < lengths)[:, None]
                rows = runs[:, 0]
                column[t] = torch.zeros(case.b, case.out, dtype=y.dtype)
                if rows.any():
                    new_h, new_c = step(case, kinks, own, y[t, rows], h[rows], c[rows])
                    h = h.masked_scatter(runs, new_h)
                    c = c.masked_scatter(runs, new_c)
                    column[t] = column[t].masked_scatter(runs, new_h)
            outputs.append(torch.stack(column))
            hn.append(h)
            cn.append(c)
        y = torch.cat(outputs, dim=2)
    y = y.transpose(0, 1) if case.bf else y
    return {"y": y, "hn": torch.stack(hn)} | ({"cn": torch.stack(cn)} if case.lstm else {})


def module(case, params, data):
    """The same by torch.nn; its parameters take the place of `params`."""
    options = dict(num_layers=case.layers, bidirectional=case.bi, batch_first=case.bf, bias=case.bias)
    kind = case.cell.split("_")[0].upper()
    if case.lstm:
        options["proj_size"] = case.proj
    if kind == "RNN":
        options["nonlinearity"] = case.cell.split("_")[1]
    net = getattr(torch.nn, kind)(case.i, case.h, dtype=torch.float64, **options)
    net.load_state_dict(params)
    params.update(net.named_parameters())
    state = data.get("h0")
    if case.lstm and case.state:
        state = (state, data["c0"])
    x = data["x"]
    if case.lengths:
        x = pack_padded_sequence(x, torch.tensor(case.lengths), case.bf, enforce_sorted=False)
    y, state = net(x, state)
    if case.lengths:
        y, _ = pad_packed_sequence(y, case.bf, padding_value=0.0, total_length=case.t)
    return {"y": y} | (dict(zip(("hn", "cn"), state)) if case.lstm else {"hn": state})


def main():
    torch.set_num_threads(1)
    version = "torch " + torch.__version__.split("+")[0]
    directory = golden.clean("torch")
    for case in cases():
        path = directory / f"{case.name}.safetensors"
        assert not path.exists(), f"two cases are named {case.name}"
        for attempt in range(100):
            inputs = draw(case, golden.random(case.name, attempt))
            kinks = Kinks()
            results = autograd.run(lambda *args: walk(case, kinks, *args), *inputs)
            alive = all(value.any() for value in results.values()) or (case.t == 1 and not case.state)
            if alive and kinks.margin > KINK_MARGIN:
                break
        else:
            raise SystemExit(f"{case.name}: no draw is alive and clear of the kinks")
        if case.native:
            native = autograd.run(lambda *args: module(case, *args), *inputs)
            assert native.keys() == results.keys(), case.name
            for name, value in native.items():
                np.testing.assert_allclose(
                    results[name], value, rtol=1e-12, atol=1e-12, err_msg=f"{case.name} {name}"
                )
            results = native
        metadata = {
            "proj_size": str(case.proj),
            "source": version if case.native else f"{version}, autograd of a loop over time",
        }
        for key in ("input_forget", "clip", "cell_clip", "activations"):
            if getattr(case, key):
                metadata[key] = str(getattr(case, key)).lower() if key != "activations" else case.activations
        autograd.save(path, case, metadata, inputs, results)
    autograd.report(directory)


if __name__ == "__main__":
    main()
