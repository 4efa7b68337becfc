"""Golden files of cells that torch.nn does not have: outputs and every gradient, in tests/golden/cells/.

What: minimal GRU and LSTM, IndRNN, multiplicative LSTM, sLSTM, by the formulas of their papers under PyTorch's
autograd, over layers, directions, layouts, lengths and odd sizes.
Why: figures that this crate did not make, in another form than its own: each row runs by itself, cut to its
length and turned round for the reverse direction, and the minimal cells run as the scan of their paper, not as
a loop over time: the state is a sum over all earlier steps of products of all decays since then.
Trust: the scan is compared with the loop over time that the papers begin with (to 1e-12). Everything is computed
in float64 from f32 inputs and then rounded.
Form of the files: that of torch/, see README.md beside this script. Values depend on a file's name alone; running
again gives the same bytes.

usage: python tests/golden/generate_cells.py
needs: numpy, torch (versions: benches/peers/requirements.txt)
"""
from dataclasses import dataclass

import numpy as np
import torch

import autograd
import golden

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
    lengths: tuple = ()
    activations: str = ""
    heads: int = 1  # of an sLSTM

    @property
    def name(self):
        parts = [self.cell, f"l{self.layers}", *(["bi"] if self.bi else [])]
        parts += [f"b{self.b}", f"t{self.t}", f"i{self.i}", f"h{self.h}"]
        flags = {
            "bf": self.bf, "nobias": not self.bias, "state": self.state, "len": self.lengths,
            "act": self.activations, f"heads{self.heads}": self.heads > 1,
        }  # fmt: skip
        return "_".join(parts + [flag for flag, on in flags.items() if on])

    @property
    def suffixes(self):
        """Of the parameters of each direction of each layer."""
        directions = ["", "_reverse"][: 2 if self.bi else 1]
        return [f"_l{layer}{direction}" for layer in range(self.layers) for direction in directions]


def cases():
    for cell in CELLS:
        yield Case(cell, b=3, t=7, i=2, h=5)
        yield Case(cell, b=1, t=1, i=1, h=1, state=True)
        yield Case(cell, b=1, t=40, i=16, h=16, bf=True, bias=False)
        yield Case(cell, b=5, t=4, i=7, h=17, state=True)
        yield Case(cell, b=6, t=2, i=19, h=33)
        yield Case(cell, b=3, t=7, i=2, h=17, layers=2, bi=True, state=True, lengths=(3, 7, 2))
        yield Case(cell, b=2, t=3, i=1, h=3, layers=3, bi=True, bf=True)
        yield Case(cell, b=4, t=3, i=2, h=3, bi=True, state=True, lengths=(0, 3, 1, 0))
    yield Case("ind_rnn", b=3, t=6, i=2, h=5, state=True, activations="Tanh")
    yield Case("min_gru", b=3, t=6, i=2, h=5, state=True, activations="Sigmoid,Tanh")
    yield from heads()


def heads():
    """sLSTMs with heads: of whole vectors, of parts of one, and of sizes that meet within vectors."""
    yield Case("slstm", b=3, t=5, i=3, h=64, heads=4, state=True)
    yield Case("slstm", b=1, t=9, i=5, h=32, heads=2, bf=True)
    yield Case("slstm", b=6, t=3, i=4, h=36, heads=2, bias=False)
    yield Case("slstm", b=4, t=4, i=3, h=20, heads=4, layers=2, bi=True, state=True, lengths=(2, 4, 0, 3))
    yield Case("slstm", b=2, t=4, i=2, h=12, heads=12)


def scan(decay, value, h):
    """h_t = decay_t h_{t-1} + value_t over the steps of one row, (T, H), as sums over all earlier steps."""
    steps = len(decay)
    walked = []
    for k in range(steps):
        h = decay[k] * h + value[k]
        walked.append(h)
    # The product of the decays after step k up to step t: (T, T, H), zero where k is after t.
    factors = torch.stack([
        torch.stack([
            torch.prod(decay[k + 1 : t + 1], dim=0) if k <= t else torch.zeros_like(decay[0]) for k in range(steps)
        ])
        for t in range(steps)
    ])  # fmt: skip
    # The state before the first step is a value before it, that all decays have multiplied.
    first = walked[0] - value[0]
    rest = torch.stack([torch.prod(decay[1 : t + 1], dim=0) for t in range(steps)])
    y = (factors * value).sum(dim=1) + rest * first
    torch.testing.assert_close(y, torch.stack(walked), rtol=1e-12, atol=1e-12)
    return y


def min_gru(case, p, x, h):
    """Feng et al. 2024, arXiv 2410.01201, section 3.1.1."""
    z, candidate = (x @ p["weight_ih"].T + p["bias_ih"]).chunk(2, dim=1)
    z = torch.sigmoid(z)
    candidate = torch.tanh(candidate) if case.activations else candidate
    y = scan(1 - z, z * candidate, h)
    return y, y[-1]


def min_lstm(case, p, x, h):
    """The same, section 3.2.2: the gates that sum to one."""
    i, f, candidate = (x @ p["weight_ih"].T + p["bias_ih"]).chunk(3, dim=1)
    i, f = torch.sigmoid(i), torch.sigmoid(f)
    y = scan(f / (f + i), i / (f + i) * candidate, h)
    return y, y[-1]


def ind_rnn(case, p, x, h):
    """Li et al. 2018, arXiv 1803.04831, equation 2."""
    y = []
    for input in x @ p["weight_ih"].T + p["bias_ih"]:
        a = input + p["weight_hh"] * h
        see(a)
        h = torch.tanh(a) if case.activations else torch.relu(a)
        y.append(h)
    return torch.stack(y), h


def lstm_mult(case, p, x, h, c):
    """Krause et al. 2016, arXiv 1609.07959, equations 18 to 22 and section 2; with biases, also of m."""
    w_m, w_i, w_f, w_h, w_o = p["weight_ih"].chunk(5)
    r_m, r_i, r_f, r_h, r_o = p["weight_hh"].chunk(5)
    b_m, b_i, b_f, b_h, b_o = p["bias_ih"].chunk(5)
    d_m, d_i, d_f, d_h, d_o = p["bias_hh"].chunk(5)
    y = []
    for input in x:
        m = (w_m @ input + b_m) * (r_m @ h + d_m)
        candidate = w_h @ input + r_h @ m + b_h + d_h
        i = torch.sigmoid(w_i @ input + r_i @ m + b_i + d_i)
        o = torch.sigmoid(w_o @ input + r_o @ m + b_o + d_o)
        f = torch.sigmoid(w_f @ input + r_f @ m + b_f + d_f)
        c = f * c + i * torch.tanh(candidate)
        h = torch.tanh(c) * o
        y.append(h)
    return torch.stack(y), h, c


def slstm(case, p, x, h):
    """Beck et al. 2024, arXiv 2405.04517, equations 8 to 14, which have no stabiliser. It has none in the floats of
    these numbers either. Of several heads, R of a gate is the whole matrix with zeros outside its blocks."""
    c, n, y = torch.zeros_like(h), torch.zeros_like(h), []
    blocks = p["weight_hh"].unflatten(0, (4, case.heads, -1))
    recurrent = torch.cat([torch.block_diag(*gate) for gate in blocks])
    for input in x:
        a = p["weight_ih"] @ input + p["bias_ih"] + recurrent @ h + p["bias_hh"]
        i, f, z, o = a.chunk(4)
        i, f, z, o = torch.exp(i), torch.sigmoid(f), torch.tanh(z), torch.sigmoid(o)
        c, n = f * c + i * z, f * n + i
        h = o * (c / n)
        y.append(h)
    return torch.stack(y), h


# (Gates of W, shape of weight_hh, planes of the state, function). Cells with a matrix of R have a second bias.
CELLS = {
    "min_gru": (2, None, ("h",), min_gru),
    "min_lstm": (3, None, ("h",), min_lstm),
    "ind_rnn": (1, lambda case: (case.h,), ("h",), ind_rnn),
    "slstm": (4, lambda case: (4 * case.h, case.h // case.heads), ("h",), slstm),
    "lstm_mult": (5, lambda case: (5 * case.h, case.h), ("h", "c"), lstm_mult),
}

margin = np.inf


def see(a):
    """Notes the distance to the kink of a rectifier."""
    global margin
    margin = min(margin, a.detach().abs().min().item())


def parameters(case):
    gates, recurrent, _, _ = CELLS[case.cell]
    shapes = {}
    for n, suffix in enumerate(case.suffixes):
        width = case.i if n < (2 if case.bi else 1) else case.h * (2 if case.bi else 1)
        shapes["weight_ih" + suffix] = (gates * case.h, width)
        if recurrent:
            shapes["weight_hh" + suffix] = recurrent(case)
        if case.bias:
            shapes["bias_ih" + suffix] = (gates * case.h,)
            if recurrent and len(recurrent(case)) == 2:
                shapes["bias_hh" + suffix] = (gates * case.h,)
    return shapes


def draw(case, stream):
    """Everything that goes in, f32: parameters (PyTorch's range, and at most 0.7), x, states, upstream."""
    limit = min(0.7, case.h**-0.5)
    params = {name: golden.uniform(stream, *shape, limit=limit) for name, shape in parameters(case).items()}
    shape = (case.b, case.t) if case.bf else (case.t, case.b)
    data = {"x": golden.uniform(stream, *shape, case.i, limit=1.5)}
    state = (len(case.suffixes), case.b, case.h)
    results = {"y": (*shape, case.h * (2 if case.bi else 1))}
    results |= {f"{plane}n": state for plane in CELLS[case.cell][2]}
    if case.state:
        data |= {f"{plane}0": golden.uniform(stream, *state) for plane in CELLS[case.cell][2]}
    return params, data, {name: golden.uniform(stream, *shape) for name, shape in results.items()}


def layers(case, params, data):
    """All layers, row by row: y and final states."""
    gates, recurrent, planes, cell = CELLS[case.cell]
    lengths = case.lengths or (case.t,) * case.b
    x = data["x"].transpose(0, 1) if case.bf else data["x"]
    final = {plane: [] for plane in planes}
    for layer in range(case.layers):
        outputs = []
        for suffix in [suffix for suffix in case.suffixes if suffix.startswith(f"_l{layer}")]:
            own = {name.removesuffix(suffix): v for name, v in params.items() if name.endswith(suffix)}
            for name in ("bias_ih", "bias_hh"):
                own.setdefault(name, torch.zeros(gates * case.h, dtype=x.dtype))
            rows, ends, strand = [], {plane: [] for plane in planes}, len(final["h"])
            for row, length in enumerate(lengths):
                state = [
                    data[f"{plane}0"][strand, row] if case.state else torch.zeros(case.h, dtype=x.dtype)
                    for plane in planes
                ]
                y = torch.zeros(case.t, case.h, dtype=x.dtype)
                if length:
                    steps = x[:length, row]
                    turned = (lambda v: v.flip(0)) if suffix.endswith("reverse") else (lambda v: v)
                    run, *state = cell(case, own, turned(steps), *state)
                    y = torch.cat([turned(run), y[length:]])
                rows.append(y)
                for plane, value in zip(planes, state):
                    ends[plane].append(value)
            outputs.append(torch.stack(rows, dim=1))
            for plane in planes:
                final[plane].append(torch.stack(ends[plane]))
        x = torch.cat(outputs, dim=2)
    y = x.transpose(0, 1) if case.bf else x
    return {"y": y} | {f"{plane}n": torch.stack(final[plane]) for plane in planes}


def write(case, directory, source):
    """The file of a case."""
    global margin
    path = directory / f"{case.name}.safetensors"
    assert not path.exists(), f"two cases are named {case.name}"
    for attempt in range(100):
        margin = np.inf
        inputs = draw(case, golden.random(case.name, attempt))
        results = autograd.run(lambda *args: layers(case, *args), *inputs)
        if all(value.any() for value in results.values()) and margin > KINK_MARGIN:
            break
    else:
        raise SystemExit(f"{case.name}: no draw is alive and clear of the kinks")
    metadata = {"proj_size": "0", "source": source}
    if case.activations:
        metadata["activations"] = case.activations
    autograd.save(path, case, metadata, inputs, results)


def main():
    torch.set_num_threads(1)
    version = "torch " + torch.__version__.split("+")[0]
    directory = golden.clean("cells")
    for case in cases():
        write(case, directory, f"{version}, autograd of the papers' formulas")
    autograd.report(directory)


if __name__ == "__main__":
    main()
