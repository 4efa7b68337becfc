"""Training gives what PyTorch's layers give, whatever changes the weights: none is stale."""

import copy

import pytest
import torch

import fused_rnn.torch as fused
from torch_cases import KINDS, module, ours

OPTIMIZERS = {
    "SGD": dict(lr=0.05, momentum=0.9),
    "Adam": dict(lr=0.01),
    "AdamW": dict(lr=0.01),
    "NAdam": dict(lr=0.01),
    "RAdam": dict(lr=0.01),
    "Adamax": dict(lr=0.01),
    "Adagrad": dict(lr=0.05),
    "Adadelta": dict(lr=1.0),
    "RMSprop": dict(lr=0.005),
    "Rprop": dict(lr=0.001),
    "ASGD": dict(lr=0.05),
    "Adafactor": dict(lr=0.02),
    "LBFGS": dict(lr=0.5, max_iter=3),
    "Muon": dict(lr=0.01),
}
FUSED = ("SGD", "Adam", "AdamW", "Adagrad")
NO_FOREACH = ("LBFGS", "Muon")
# Optimisers that multiply each rounding, until no two curves agree (PyTorch's own leaves that of float64 after
# thirty steps of LBFGS), and the steps that are compared.
CHAOTIC = {"LBFGS": 8}


class Model(torch.nn.Module):
    def __init__(self, kind, dtype=torch.float32):
        super().__init__()
        self.rnn, self.head = module(kind, 3, 8, 2, bidirectional=True), torch.nn.Linear(16, 1)
        self.to(dtype)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


def models(kind):
    """The judge in float64, PyTorch's, and the fused one."""
    theirs = Model(kind)
    return copy.deepcopy(theirs).double(), theirs, fused.convert(copy.deepcopy(theirs))


def data(step):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(7, 4, 3, generator=generator), torch.randn(7, 4, 1, generator=generator)


def train(model, change, steps=50):
    """The losses of so many steps, each with `change(model, step)` in place of an optimiser's step."""
    dtype, losses = next(model.parameters()).dtype, []
    for step in range(steps):
        x, target = (part.to(dtype) for part in data(step))

        def closure():
            model.zero_grad()
            loss = (model(x) - target).pow(2).mean()
            loss.backward()
            return loss

        losses.append(float(torch.as_tensor(change(model, step, closure)).detach()))
    return torch.tensor(losses, dtype=torch.float64)


def assert_same_curve(judge, theirs, got):
    error = (theirs - judge).abs().max().item()
    assert (got - judge).abs().max().item() <= max(4 * error, 2e-5), ((got - judge).abs().max(), error)


def variants():
    for name in OPTIMIZERS:
        yield name, {}
        if name not in NO_FOREACH:
            yield name, {"foreach": True}
            yield name, {"foreach": False}
        if name in FUSED:
            yield name, {"fused": True}


@pytest.mark.parametrize("name, form", list(variants()), ids=str)
def test_every_optimiser(name, form):
    if not hasattr(torch.optim, name):
        pytest.skip(f"this PyTorch has no {name}")
    kind = KINDS[len(name) % 3]
    curves = []
    for model in models(kind):
        parameters = list(model.parameters())
        if name == "Muon":  # for matrices alone
            parameters = [p for p in parameters if p.dim() == 2]
        optimizer = getattr(torch.optim, name)(parameters, **OPTIMIZERS[name], **form)

        def change(_, __, closure, optimizer=optimizer):
            return optimizer.step(closure)

        curves.append(train(model, change, CHAOTIC.get(name, 50)))
    assert curves[1][0] != curves[1][-1]
    assert_same_curve(*curves)


def by_data(model, step, closure):
    loss = closure()
    for p in model.parameters():
        p.data.add_(p.grad, alpha=-0.05)
    return loss


def by_new_data(model, step, closure):
    loss = closure()
    for p in model.parameters():
        p.data = p.data - 0.05 * p.grad
    return loss


def by_numpy(model, step, closure):
    loss = closure()
    for p in model.parameters():
        values = p.detach().numpy()
        values -= 0.05 * p.grad.numpy()
    return loss


def by_vector(model, step, closure):
    loss = closure()
    vector = torch.nn.utils.parameters_to_vector(model.parameters())
    slope = torch.nn.utils.parameters_to_vector([p.grad for p in model.parameters()])
    torch.nn.utils.vector_to_parameters((vector - 0.05 * slope).detach(), model.parameters())
    return loss


def by_state_dict(model, step, closure):
    loss = closure()
    new = {name: (p - 0.05 * p.grad).detach() for name, p in model.named_parameters()}
    model.load_state_dict(new, assign=step % 2 == 1)
    return loss


def by_one_tensor(model, step, closure):
    loss = closure()
    p = list(model.parameters())[step % len(list(model.parameters()))]
    with torch.no_grad():
        p.sub_(0.05 * p.grad)
    return loss


def with_average(model, step, closure):
    """The weights are exchanged for their running average and back, with a call in between."""
    if not hasattr(model, "average"):
        object.__setattr__(model, "average", {n: p.detach().clone() for n, p in model.named_parameters()})
    loss = by_data(model, step, closure)
    kept = {}
    for name, p in model.named_parameters():
        model.average[name].lerp_(p.detach(), 0.1)
        kept[name], p.data = p.data, model.average[name]
    x, _ = data(step)
    with torch.no_grad():
        loss = loss.detach() + model(x.to(next(model.parameters()).dtype)).mean()
    for name, p in model.named_parameters():
        p.data = kept[name]
    return loss


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "change",
    [by_data, by_new_data, by_numpy, by_vector, by_state_dict, by_one_tensor, with_average],
    ids=lambda change: change.__name__,
)
def test_weights_that_change_by_other_ways(kind, change):
    curves = [train(model, change) for model in models(kind)]
    assert curves[1][0] != curves[1][-1]
    assert_same_curve(*curves)


def test_backward_after_a_call_with_other_weights():
    """Forward, a call with other weights (of a target network), backward."""
    net = ours(module("LSTM", 3, 8))
    x = torch.randn(5, 2, 3)
    net(x)[0].pow(2).sum().backward()
    expected = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    loss = net(x)[0].pow(2).sum()
    other = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    with torch.no_grad():
        assert not torch.func.functional_call(net, other, (x,))[0].any()
    loss.backward()
    assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), expected))


def test_weights_changed_in_place_between_forward_and_backward_are_an_error():
    net = ours(module("GRU", 3, 8))
    loss = net(torch.randn(5, 2, 3))[0].sum()
    with torch.no_grad():
        net.weight_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_follows_the_generator(kind):
    net, x = ours(module(kind, 3, 32, 2, dropout=0.5)), torch.randn(6, 4, 3)

    def run(seed):
        torch.manual_seed(seed)
        with torch.no_grad():
            return net(x)[0]

    assert torch.equal(run(1), run(1)) and not torch.equal(run(1), run(2))
    net.eval()
    assert torch.equal(run(1), run(2))
    plain = ours(module(kind, 3, 32, 2))
    plain.load_state_dict(net.state_dict())
    assert torch.equal(plain(x)[0], net(x)[0])
    # The attribute may change between calls.
    net.train()
    for p in (0.0, 0.5, 0.0, 0.7, 0.2, 1.0, 0.2, 0.0):
        net.dropout = p
        torch.manual_seed(0)
        y, state = net(x)
        y.sum().backward()
        if p == 0.0:
            assert torch.equal(y, plain(x)[0])
        elif p == 1.0:
            # (PyTorch's; all that the second layer sees is 0.)
            torch.manual_seed(0)
            theirs = fused.revert(copy.deepcopy(net))
            torch.testing.assert_close(y, theirs(x)[0])
        else:
            assert not torch.equal(y, plain(x)[0])


def test_checkpointing_reproduces_dropout():
    from torch.utils.checkpoint import checkpoint

    net = ours(module("LSTM", 3, 16, 2, dropout=0.5))
    x, results = torch.randn(6, 4, 3), []
    for use in (False, True):
        torch.manual_seed(3)
        leaf = x.clone().requires_grad_()
        net.zero_grad()
        y = checkpoint(lambda a: net(a)[0], leaf, use_reentrant=False) if use else net(leaf)[0]
        y.pow(2).sum().backward()
        results.append([leaf.grad, *(p.grad.clone() for p in net.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results))
