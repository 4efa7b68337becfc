"""torch.compile and torch.export: the operators, their fakes, the graphs."""

import copy
import shutil

import pytest
import torch
from torch._dynamo.utils import counters

import fused_rnn.torch as fused
from fused_rnn.torch import _ops
from fused_rnn.torch._call import Spec
from torch_cases import KINDS, module, ours, parts

FORMS = [dict(), dict(num_layers=2, bidirectional=True, bias=False), dict(batch_first=True, num_layers=2)]
BACKENDS = ["aot_eager", *(["inductor"] if shutil.which("g++") or shutil.which("c++") else [])]


class Net(torch.nn.Module):
    def __init__(self, rnn):
        super().__init__()
        self.rnn, self.head = rnn, torch.nn.Linear(8 * (2 if rnn.bidirectional else 1), 2)

    def forward(self, x):
        y, state = self.rnn(torch.relu(x))
        return self.head(y) + parts(state)[0].mean()


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    counters.clear()


def arguments(kind, form, taping, state):
    net = module(kind, 3, 8, **form)
    layers, both = form.get("num_layers", 1), form.get("bidirectional", False)
    x = torch.randn(4, 5, 3, requires_grad=True)
    batch = 4 if form.get("batch_first") else 5
    states = [
        torch.randn(layers * (1 + both), batch, 8, requires_grad=True) if state else None for _ in range(2)
    ]
    if kind != "LSTM":
        states[1] = None
    kind = {"RNN": "rnn_tanh"}.get(kind, kind.lower())
    weights = [p.detach().requires_grad_() for p in net.parameters()]
    return (x, *states, weights, None, kind, layers, both, net.bias, 0, net.batch_first, 0.0, taping)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("state", [False, True])
def test_opcheck(kind, form, state):
    torch.library.opcheck(torch.ops.fused_rnn.forward.default, arguments(kind, form, True, state))
    with torch.no_grad():
        plain = arguments(kind, form, False, state)
        torch.library.opcheck(
            torch.ops.fused_rnn.forward.default, plain, test_utils=("test_schema", "test_faketensor")
        )


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
def test_the_length_of_a_tape(kind):
    for layers, both, hidden, batch_first in (
        (1, False, 8, True),
        (2, True, 17, False),
        (3, False, 33, True),
    ):
        options = [("batch_first", batch_first), ("num_layers", layers), ("bias", True)]
        options += [("direction", "both")] if both else []
        options += [("proj_size", 5)] if kind == "lstm" and hidden == 17 else []
        spec = Spec(kind, 3, hidden, tuple(options))
        native = spec.kernel()
        for batch in (1, 2, 5):
            for steps in (1, 2, 7, 30):
                assert _ops.tape_len(spec, batch, steps) == native.tape_len((batch, steps, 0, 0, False))


def run(net, x):
    net.zero_grad()
    x = x.clone().requires_grad_()
    out = net(x)
    out.pow(2).sum().backward()
    return [out.detach(), x.grad, *(p.grad.clone() for p in net.parameters())]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_one_graph_with_allow_rnn(kind, backend):
    forms = FORMS if backend == "aot_eager" else FORMS[1:2]
    for form in forms:
        torch._dynamo.reset()
        net, x = Net(ours(module(kind, 3, 8, **form))), torch.randn(4, 5, 3)
        with torch._dynamo.config.patch(allow_rnn=True):
            counters.clear()
            compiled = torch.compile(net, backend=backend, fullgraph=True)
            got = run(compiled, x)
            assert counters["stats"]["unique_graphs"] == 1 and not counters["graph_break"]
        for a, b in zip(got, run(net, x)):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_one_clean_break_without(kind):
    net, x = Net(ours(module(kind, 3, 8))), torch.randn(4, 5, 3)
    got = run(torch.compile(net, backend="aot_eager"), x)
    assert sum(counters["graph_break"].values()) == 1, counters["graph_break"]
    for a, b in zip(got, run(net, x)):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_that_change_compile_once(kind):
    net = Net(ours(module(kind, 3, 8, 2)))
    with torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(net, backend="aot_eager", fullgraph=True, dynamic=True)
        for steps, batch in ((4, 5), (7, 3), (6, 6), (12, 2)):
            x = torch.randn(steps, batch, 3)
            for a, b in zip(run(compiled, x), run(net, x)):
                torch.testing.assert_close(a, b)
    assert counters["stats"]["unique_graphs"] <= 2


def test_dropout_of_a_compiled_layer():
    net = Net(ours(module("LSTM", 3, 8, 2, dropout=0.5)))
    with torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
        x = torch.randn(4, 5, 3)
        torch.manual_seed(0)
        first = run(compiled, x)
        torch.manual_seed(0)
        again = run(compiled, x)
        other = run(compiled, x)
    assert torch.equal(first[0], again[0]) and not torch.equal(first[0], other[0])


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_operator_does_not_do_still_runs(kind):
    net, x = ours(module(kind, 3, 8)), torch.randn(4, 5, 3)
    lengths = torch.tensor([4, 2, 3, 1, 4])
    call = torch.compile(lambda x: net(x, lengths=lengths)[0] * 2, backend="aot_eager")
    assert torch.equal(call(x), net(x, lengths=lengths)[0] * 2)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, [4, 3, 3, 2, 1])
    call = torch.compile(lambda given: net(given)[0].data * 2, backend="aot_eager")
    assert torch.equal(call(packed), net(packed)[0].data * 2)
    double = copy.deepcopy(net).double()
    call = torch.compile(lambda x: double(x)[0] * 2, backend="aot_eager")
    torch.testing.assert_close(call(x.double()), double(x.double())[0] * 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strict", [False, True])
def test_export_has_pytorchs_operator(kind, strict):
    theirs = module(kind, 3, 8)
    x = torch.randn(4, 5, 3)
    exported = torch.export.export(Net(ours(theirs)), (x,), strict=strict)
    names = {str(node.target) for node in exported.graph.nodes}
    expected = torch.export.export(Net(theirs), (x,), strict=strict)
    assert {name for name in names if "fused" in name} == set()
    assert names == {str(node.target) for node in expected.graph.nodes}


def test_extras_compile_around_a_break():
    net, x = fused.GRU(3, 8, layer_norm=1e-5), torch.randn(4, 5, 3)
    assert torch.equal(torch.compile(lambda x: net(x)[0] * 2, backend="aot_eager")(x), net(x)[0] * 2)


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_inside_of_the_compiled_function(kind):
    x, dtypes = torch.randn(4, 2, 3), []
    for net in (module(kind, 3, 5), ours(module(kind, 3, 5))):

        def call(x, net=net):
            with torch.autocast("cpu", torch.bfloat16):
                return net(x)[0]

        dtypes.append(torch.compile(call, backend="aot_eager")(x).dtype)
    assert dtypes[0] == dtypes[1]
