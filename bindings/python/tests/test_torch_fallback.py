"""What the kernels do not do is PyTorch's: the same results and the same exceptions."""

import copy
import warnings

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import fused_rnn.torch as fused
from fused_rnn.torch import _call, _fallback
from torch_cases import KINDS, module, ours, parts


@pytest.fixture
def calls(monkeypatch):
    """Counts the calls of the kernels."""
    count = [0]
    forward = _call.Call.forward

    def counted(self, *args):
        count[0] += 1
        return forward(self, *args)

    monkeypatch.setattr(_call.Call, "forward", counted)
    return count


def test_ordinary_calls_are_the_kernels(calls):
    for kind in KINDS:
        net, x = ours(module(kind, 3, 5)), torch.randn(4, 2, 3)
        net(x)
        net(x[:, 0])
        net(pack_sequence([x[:, 0], x[:2, 1]]))
        getattr(fused, f"{kind}Cell")(3, 5)(x[0])
        with torch.inference_mode():
            net(x)
    assert calls[0] == 5 * len(KINDS)


def outcome(call):
    """What a call gives, or its exception."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()
    except Exception as error:
        return type(error), str(error)


def same(a, b):
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and a.device == b.device and a.shape == b.shape
        if a.device.type == "cpu":
            assert torch.equal(a, b)
    elif isinstance(a, (tuple, list)):
        assert len(a) == len(b)
        for p, q in zip(a, b):
            same(p, q)
    else:
        assert a == b


class Sub(torch.Tensor):
    pass


CONTEXTS = {
    "float64": lambda net, x: net.double()(x.double()),
    "bfloat16": lambda net, x: net.bfloat16()(x.bfloat16()),
    "float16": lambda net, x: net.half()(x.half()),
    "meta": lambda net, x: net.to("meta")(x.to("meta")),
    "other dtype of input": lambda net, x: net(x.double()),
    "other dtype of hx": lambda net, x: net(x, as_hx(net, x.dtype, lambda s: s.double())),
    "integers": lambda net, x: net(x.long()),
    "autocast": lambda net, x: autocast(net, x),
    "vmap": lambda net, x: torch.func.vmap(lambda a: net(a[:, None])[0], in_dims=1)(x),
    "jvp": lambda net, x: torch.func.jvp(lambda a: net(a)[0], (x,), (torch.ones_like(x),)),
    "forward mode": lambda net, x: dual(net, x),
    "trace": lambda net, x: torch.jit.trace(net, x, check_trace=False)(x),
    "script": lambda net, x: torch.jit.script(net)(x),
    "script of a model": lambda net, x: torch.jit.script(torch.nn.Sequential(net))(x),
    "subclass": lambda net, x: net(x.as_subclass(Sub)),
    "no steps": lambda net, x: net(x[:0]),
    "no rows": lambda net, x: net(x[:, :0]),
    "no rows, backward": lambda net, x: net(x[:, :0])[0].sum().backward(),
    "one axis": lambda net, x: net(x[0, 0]),
    "four axes": lambda net, x: net(x[None]),
    "features": lambda net, x: net(x[:, :, :2]),
    "hx of another batch": lambda net, x: net(x, as_hx(net, x.dtype, lambda s: s[:, :1])),
    "hx of another size": lambda net, x: net(x, as_hx(net, x.dtype, lambda s: s[..., :1])),
    "hx without batch": lambda net, x: net(x, as_hx(net, x.dtype, lambda s: s[:, 0])),
    "hx of other layers": lambda net, x: net(x, as_hx(net, x.dtype, lambda s: torch.cat([s, s]))),
    "unbatched with batched hx": lambda net, x: net(x[:, 0], as_hx(net, x.dtype, lambda s: s)),
    "unbatched hx too wide": lambda net, x: net(
        x[:, 0], as_hx(net, x.dtype, lambda s: s[:, 0].repeat(1, 2))
    ),
    "a list": lambda net, x: net([x]),
    "a missing weight": lambda net, x: missing(net, x),
    "a weight of another shape": lambda net, x: reshaped(net, x),
    "dropout of 1": lambda net, x: dropped(net, x),
    "sparse": lambda net, x: net(x.to_sparse()),
    "packed, more rows than data": lambda net, x: net(PackedSequence(x[0:5, 0], torch.tensor([4, 3, 2]))),
    "packed, far more": lambda net, x: net(PackedSequence(x[:, 0], torch.tensor([4] * 2000))),
    "packed, a step without rows": lambda net, x: net(PackedSequence(x[:3, 0], torch.tensor([3, 0]))),
    "packed, negative": lambda net, x: net(PackedSequence(x[:3, 0], torch.tensor([4, -1]))),
    "packed, int32": lambda net, x: net(PackedSequence(x[:, 0], torch.tensor([3, 1], dtype=torch.int32))),
    "a projection of a GRU": lambda net, x: projected(net, x),
    "make_fx": lambda net, x: made_fx(net, x),
    "a mode": lambda net, x: moded(net, x),
}


def as_hx(net, dtype, change):
    strands = net.num_layers * (2 if net.bidirectional else 1)
    torch.manual_seed(1)
    states = [change(torch.randn(strands, 2, net.hidden_size)) for _ in range(2)]
    return tuple(states) if isinstance(net, torch.nn.LSTM) else states[0]


def autocast(net, x):
    with torch.autocast("cpu", torch.bfloat16):
        return net(x)


def dual(net, x):
    with torch.autograd.forward_ad.dual_level():
        return net(torch.autograd.forward_ad.make_dual(x, torch.ones_like(x)))


def missing(net, x):
    del net.weight_hh_l0
    net._init_flat_weights()
    return net(x)


def reshaped(net, x):
    net.bias_ih_l0 = torch.nn.Parameter(torch.zeros(3))
    return net(x)


def projected(net, x):
    if not isinstance(net, torch.nn.LSTM):
        net.proj_size = 2
        net(x, as_hx(net, x.dtype, lambda s: s[..., :2]))
    return None


def dropped(net, x):
    net.num_layers, net.dropout = net.num_layers, 1.0
    torch.manual_seed(0)
    return net(x)


def made_fx(net, x):
    from torch.fx.experimental.proxy_tensor import make_fx

    return make_fx(lambda a: net(a)[0])(x)(x * 2)


def moded(net, x):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as mode:
        net(x)
    return mode.get_total_flops()


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_as_pytorch(kind, context, calls):
    theirs = module(kind, 3, 5, 2)
    x = torch.randn(4, 2, 3)
    expected = outcome(lambda: CONTEXTS[context](copy.deepcopy(theirs), x))
    got = outcome(lambda: CONTEXTS[context](ours(theirs), x))
    same(got, expected)
    assert calls[0] == 0, context


def test_packed_sequences_that_do_not_fit_are_never_the_kernels():
    """(Some of these PyTorch reads and writes past their ends.)"""
    net, data = fused.GRU(3, 5), torch.randn(9, 3)
    for sizes in ([3, 2], [1, 8], [9, 0], [10, -1], [4, 4, 2]):
        assert "batch sizes" in fused.why(net, PackedSequence(data, torch.tensor(sizes)))
    for order in ([0], [0, 1, 2, 3, 4, 5]):
        packed = PackedSequence(data, torch.tensor([5, 4]), torch.tensor(order), torch.tensor(order))
        assert "order" in fused.why(net, packed)
    assert fused.why(net, PackedSequence(data, torch.tensor([5, 4]))) is None


def test_grad_of_torch_func_is_the_kernels(calls):
    theirs = module("LSTM", 3, 5)
    fast, x = ours(theirs), torch.randn(4, 2, 3)

    def gradient(net):
        call = lambda ps: torch.func.functional_call(net, ps, (x,))[0].pow(2).sum()  # noqa: E731
        return torch.func.grad(call)({name: p.detach() for name, p in net.named_parameters()})

    got = gradient(fast)
    assert calls[0] == 1
    for name, value in gradient(theirs).items():
        torch.testing.assert_close(got[name], value)


def test_extras_say_what_they_cannot():
    x = torch.randn(4, 2, 3)
    net = fused.GRU(3, 5, recurrent_dropout=0.5)
    with pytest.raises(NotImplementedError, match="recurrent_dropout with input that is torch.float64"):
        net.double()(x.double())
    plain = fused.GRU(3, 5)
    with pytest.raises(NotImplementedError, match="lengths with"):
        plain.double()(x.double(), lengths=torch.tensor([4, 2]))
    plain.float()
    with pytest.raises(ValueError, match=r"lengths: expected shape \(2,\), got \(3,\)"):
        plain(x, lengths=torch.tensor([4, 2, 1]))
    with pytest.raises(ValueError, match="length of row 1: expected at most 4 steps, got 5"):
        plain(x, lengths=torch.tensor([4, 5]))
    with pytest.raises(ValueError, match="length of row 0"):
        plain(x, lengths=torch.tensor([-1, 5]))
    with pytest.raises(TypeError, match="resets: expected torch.bool, got torch.float32"):
        plain(x, resets=torch.zeros(2, 4))
    leaf = x.clone().requires_grad_()
    y, _ = plain(leaf, lengths=torch.tensor([4, 2]))
    with pytest.raises(NotImplementedError, match="gradient of a gradient, with lengths"):
        torch.autograd.grad(y.sum(), leaf, create_graph=True)


# Behaviours that PyTorch's test_nn.py asks of its recurrent layers.


@pytest.mark.parametrize("kind", KINDS)
def test_tied_weights(kind):
    theirs = module(kind, 3, 5, bidirectional=True)
    for net in (theirs, fast := ours(theirs)):
        net.bias_ih_l0_reverse = net.bias_ih_l0
        net.weight_hh_l0_reverse = net.weight_hh_l0
    x = torch.randn(4, 2, 3)
    for net in (theirs, fast):
        net(x)[0].pow(2).sum().backward()
    assert len(list(fast.parameters())) == len(list(theirs.parameters())) == 6
    for a, b in zip(fast.parameters(), theirs.parameters()):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_weight_norm_parametrizations_and_pruning(kind):
    from torch.nn.utils import parametrizations, prune

    for change in (
        lambda net: torch.nn.utils.weight_norm(net, "weight_hh_l0"),
        lambda net: parametrizations.weight_norm(net, "weight_hh_l0"),
        lambda net: parametrizations.orthogonal(net, "weight_hh_l0"),
        lambda net: prune.random_unstructured(net, "weight_ih_l0", 0.5),
    ):
        results = []
        for net in (module(kind, 3, 5), ours(module(kind, 3, 5))):
            torch.manual_seed(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                change(net)
            torch.manual_seed(1)
            net(torch.randn(4, 2, 3))[0].pow(2).sum().backward()
            results.append([p.grad for p in net.parameters()])
        for a, b in zip(*results):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_frozen_layer_gives_gradients_to_what_is_below():
    for kind in KINDS:
        results = []
        for net in (theirs := module(kind, 3, 5, 2), ours(theirs)):
            net.requires_grad_(False)
            net.bias_hh_l1.requires_grad_()
            torch.manual_seed(0)
            x = torch.randn(4, 2, 3, requires_grad=True)
            net(x)[0].pow(2).sum().backward()
            assert [p.grad is not None for p in net.parameters()] == [
                p.requires_grad for p in net.parameters()
            ]
            results.append([x.grad, net.bias_hh_l1.grad])
        for a, b in zip(*results):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_outputs_may_be_changed_in_place():
    net, x = ours(module("LSTM", 3, 5)), torch.randn(4, 2, 3)
    y, _ = net(x)
    torch.relu_(y).sum().backward()
    got = net.weight_ih_l0.grad.clone()
    net.zero_grad()
    torch.relu(net(x)[0]).sum().backward()
    assert torch.equal(net.weight_ih_l0.grad, got)


def test_convert_and_revert():
    model = torch.nn.ModuleDict(
        {
            "a": torch.nn.LSTM(3, 5),
            "b": torch.nn.Sequential(torch.nn.GRUCell(2, 2), torch.nn.Linear(1, 1)),
            "c": type("Own", (torch.nn.GRU,), {})(2, 2),
        }
    )
    parameters = list(model.parameters())
    hooked = []
    model["a"].register_forward_hook(lambda *_: hooked.append(1))
    text = repr(model)
    assert fused.convert(model) is model
    assert isinstance(model["a"], fused.LSTM) and isinstance(model["b"][0], fused.GRUCell)
    assert type(model["c"]).__name__ == "Own" and repr(model) == text
    assert all(a is b for a, b in zip(model.parameters(), parameters))
    model["a"](torch.randn(2, 1, 3))
    assert hooked == [1]
    assert fused.revert(model) is model and type(model["a"]) is torch.nn.LSTM
    fused.convert(model, only=lambda name, _: name.startswith("b"))
    assert type(model["a"]) is torch.nn.LSTM and type(model["b"][0]) is fused.GRUCell
    with pytest.raises(ValueError, match="PyTorch has no zoneout"):
        fused.revert(fused.LSTM(3, 5, zoneout=0.1))


def test_every_reason_is_found():
    assert _fallback.of_context() is None
    assert _fallback.of_tensor(torch.zeros(2)) is None
    assert "float64" in _fallback.of_tensor(torch.zeros(2).double())
    assert "Sub" in _fallback.of_tensor(torch.zeros(2).as_subclass(Sub))
    assert "NoneType" in _fallback.of_tensor(None)
    packed = pack_sequence([torch.zeros(2, 3)])
    assert isinstance(packed, PackedSequence) and parts((1, 2)) == (1, 2)


def test_to_ask_why_draws_nothing():
    layer, x = fused.LSTM(3, 4, num_layers=2, dropout=0.5), torch.ones(2, 5, 3)
    state = torch.get_rng_state()
    assert fused.why(layer, x) is None
    assert torch.equal(torch.get_rng_state(), state)
