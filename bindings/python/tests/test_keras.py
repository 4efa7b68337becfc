"""`fused_rnn.keras` beside Keras's own layers on the torch backend."""
import os

os.environ["KERAS_BACKEND"] = "torch"

import keras  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

import fused_rnn.keras  # noqa: E402
from fused_rnn.torch import _call  # noqa: E402

KINDS = ["LSTM", "GRU"]
OPTIONS = [
    dict(),
    dict(return_sequences=True, return_state=True),
    dict(use_bias=False, go_backwards=True, return_sequences=True),
]


@pytest.fixture
def calls(monkeypatch):
    """Counts the calls of the kernels."""
    count, forward = [0], _call.Call.forward

    def counted(self, *args):
        count[0] += 1
        return forward(self, *args)

    monkeypatch.setattr(_call.Call, "forward", counted)
    return count


def both(kind, units, **options):
    """Keras's layer, and ours with the same weights."""
    theirs, ours = (getattr(where, kind)(units, **options) for where in (keras.layers, fused_rnn.keras))
    for layer in (theirs, ours):
        layer.build((4, 7, 3))
    ours.set_weights([np.random.default_rng(n).normal(size=w.shape) / 4 for n, w in enumerate(theirs.get_weights())])
    theirs.set_weights(ours.get_weights())
    return theirs, ours


def results(layer, x, **keywords):
    """Outputs, and the gradients of x and of the weights."""
    x = x.clone().requires_grad_()
    outputs = layer(x, **keywords)
    outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    weights = [variable.value for variable in layer.trainable_variables]
    loss = sum((out * out.detach().cos()).sum() for out in outputs)
    return [out.detach() for out in outputs] + list(torch.autograd.grad(loss, [x, *weights]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_values_and_gradients(kind, options, calls):
    theirs, ours = both(kind, 6, **options)
    x = torch.randn(4, 7, 3)
    for a, b in zip(results(ours, x), results(theirs, x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert calls[0] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_stateful_layer_goes_on(kind, calls):
    theirs, ours = both(kind, 6, stateful=True, return_sequences=True)
    x = torch.randn(4, 7, 3)
    for _ in range(3):
        with torch.no_grad():
            torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
    assert calls[0] == 3
    # Its final states are written over its initial ones before backward, which Keras's loop does not survive.
    ours(x).sum().backward()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_the_kernels_is_keras(kind, calls):
    x = torch.randn(4, 7, 3)
    mask = torch.arange(7) < torch.tensor([7, 3, 5, 1])[:, None]
    for options, keywords in (({}, {"mask": mask}), ({"activation": "relu"}, {}), ({"dtype": "float64"}, {})):
        theirs, ours = both(kind, 6, **options)
        given = x.double() if options.get("dtype") else x
        for a, b in zip(results(ours, given, **keywords), results(theirs, given, **keywords), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert calls[0] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_trains_and_is_saved(kind, calls, tmp_path):
    keras.utils.set_random_seed(0)
    layer = getattr(fused_rnn.keras, kind)
    model = keras.Sequential([
        keras.Input((9, 3)),
        keras.layers.Bidirectional(layer(8, return_sequences=True, dropout=0.1)),
        layer(8),
        keras.layers.Dense(1),
    ])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(64, 9, 3)).astype("float32")
    history = model.fit(x, x[:, :, :1].mean(1), epochs=8, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < losses[0] and calls[0] > 0
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.layers[1]) is layer
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
