"""Values and gradients against PyTorch, judged in float64, over all options of its constructors."""

import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fused_rnn.torch as fused
from torch_cases import KINDS, assert_as_exact_as_torch, module, ours, parts


@st.composite
def cases(draw):
    kind = draw(st.sampled_from(KINDS))
    hidden = draw(st.sampled_from([1, 3, 8, 17, 32]))
    keywords = {
        "num_layers": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
    }
    if kind == "LSTM" and hidden > 1 and draw(st.booleans()):
        keywords["proj_size"] = draw(st.integers(1, hidden - 1))
    if kind == "RNN":
        keywords["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    layout = draw(st.sampled_from(["padded", "packed", "unbatched"]))
    batch = 1 if layout == "unbatched" else draw(st.integers(1, 6))
    steps = draw(st.integers(1, 8))
    lengths = (
        draw(st.lists(st.integers(1, steps), min_size=batch, max_size=batch)) if layout == "packed" else None
    )
    return {
        "kind": kind,
        "inputs": draw(st.sampled_from([1, 5, 16])),
        "hidden": hidden,
        "keywords": keywords,
        "layout": layout,
        "batch": batch,
        "steps": steps,
        "lengths": lengths,
        "hx": draw(st.booleans()),
        "strided": draw(st.booleans()),
        "seed": draw(st.integers(0, 1000)),
        "some": draw(st.one_of(st.none(), st.sets(st.integers(0, 60)))),
    }


@given(case=cases())
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_all_options(case):
    net = module(case["kind"], case["inputs"], case["hidden"], seed=case["seed"], **case["keywords"])
    fast = ours(net)
    batch, steps, wide = case["batch"], case["steps"], 2 if case["strided"] else 1
    first = (batch, steps) if net.batch_first else (steps, batch)
    shape = (steps,) if case["layout"] == "unbatched" else first
    x = torch.randn(*shape, wide * case["inputs"])[..., ::wide]
    hx = None
    if case["hx"]:
        strands = net.num_layers * (2 if net.bidirectional else 1)
        rows = () if case["layout"] == "unbatched" else (batch,)
        widths = [net.proj_size or net.hidden_size, net.hidden_size]
        hx = tuple(torch.randn(strands, *rows, w) for w in widths[: 2 if case["kind"] == "LSTM" else 1])
    names = ["x", "hx", *(name for name, _ in net.named_parameters())]
    wanted = None if case["some"] is None else {names[n % len(names)] for n in case["some"]}
    assert_as_exact_as_torch(net, fast, x, hx, case["lengths"], wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_long_and_wide(kind):
    net = module(kind, 24, 128, 2, bidirectional=True)
    assert_as_exact_as_torch(net, ours(net), torch.randn(60, 9, 24), None, [60, 1, 7, 33, 60, 2, 19, 44, 5])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("used", [0, 1, 2])
def test_any_one_output_is_used(kind, used):
    net = module(kind, 4, 6, 2)
    fast, x = ours(net), torch.randn(5, 3, 4)
    results = []
    for one in (copy.deepcopy(net).double(), fast):
        y, state = one(x.to(one.weight_ih_l0.dtype))
        outputs = [y, *parts(state)]
        if used >= len(outputs):
            return
        # (An expanded gradient: of stride 0.)
        outputs[used].sum().backward()
        results.append([p.grad.double() for p in one.parameters()])
    for exact, got in zip(*results):
        torch.testing.assert_close(got, exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("layout", ["padded", "batch_first", "packed"])
def test_the_gradient_of_a_gradient(kind, dropout, layout):
    """By central differences of the gradient, with the masks of one seed."""
    net = ours(module(kind, 3, 5, 2, dropout=dropout, batch_first=layout == "batch_first"))
    x, direction = torch.randn(4, 2, 3), torch.randn(4, 2, 3)

    def gradient(x, create_graph):
        torch.manual_seed(5)
        x = x.clone().requires_grad_() if not x.requires_grad else x
        given = torch.nn.utils.rnn.pack_padded_sequence(x, [4, 2]) if layout == "packed" else x
        y, _ = net(given)
        y = y.data if layout == "packed" else y
        return torch.autograd.grad(y.pow(3).sum(), x, create_graph=create_graph)[0]

    leaf = x.clone().requires_grad_()
    plain, again = gradient(x, False), gradient(leaf, True)
    torch.testing.assert_close(again, plain, rtol=1e-4, atol=1e-6)
    (second,) = torch.autograd.grad((again * direction).sum(), leaf)
    slope = (gradient(x + 1e-2 * direction, False) - gradient(x - 1e-2 * direction, False)) / 2e-2
    torch.testing.assert_close((second * direction).sum(), (slope * direction).sum(), rtol=2e-2, atol=2e-4)


def test_cells_over_time_are_the_layer():
    for kind in KINDS:
        net = module(kind, 3, 7)
        cell = getattr(fused, f"{kind}Cell")(3, 7)
        cell.load_state_dict({name.removesuffix("_l0"): value for name, value in net.state_dict().items()})
        x, state = torch.randn(6, 4, 3, requires_grad=True), None
        outputs = []
        for step in x:
            state = cell(step, state)
            outputs.append(state[0] if kind == "LSTM" else state)
        y, _ = ours(net)(x)
        assert torch.equal(torch.stack(outputs), y)
        torch.stack(outputs).pow(2).sum().backward()
        got, x.grad = x.grad, None
        net(x)[0].pow(2).sum().backward()
        torch.testing.assert_close(got, x.grad, rtol=1e-5, atol=1e-6)
        for a, b in zip(cell.parameters(), net.parameters()):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)


def test_the_gradient_of_the_gradient_of_a_cell():
    for kind in KINDS:
        for rows in ((), (4,)):
            cell = getattr(fused, f"{kind}Cell")(3, 7)
            x = torch.randn(*rows, 3, requires_grad=True)
            results = []
            for one in (cell, fused.revert(copy.deepcopy(cell))):
                state = one(x)
                loss = sum(part.pow(3).sum() for part in parts(state))
                slope, = torch.autograd.grad(loss, x, create_graph=True)
                results.append([slope, *torch.autograd.grad(slope.pow(2).sum(), [x, *one.parameters()])])
            for a, b in zip(*results):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
