"""Files of PyTorch, Keras and ONNX, against what these systems computed (tests/golden)."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fused_rnn
from golden import FOLDER, close, read

CELLS = ["lstm", "gru", "gru_reset_before", "rnn_tanh", "rnn_relu"]
CELLS += ["min_gru", "min_lstm", "ind_rnn", "lstm_mult", "slstm"]


def test_modules_of_pytorch():
    _, expected = read(FOLDER / "pt/expected.safetensors")
    for name in ("lstm.pt", "legacy.pt", "protocol5.pt"):
        for source in (FOLDER / "pt" / name, (FOLDER / "pt" / name).read_bytes()):
            net = fused_rnn.load_torch(source, "rnn.")
            assert isinstance(net, fused_rnn.LSTM) and net.options["proj_size"] == 2
            close(net(expected["lstm.x"])[0], expected["lstm.y"], name)
    found = fused_rnn.torch_modules(FOLDER / "pt/lstm.pt")
    assert [module.prefix for module in found] == ["rnn."] and found[0].kinds == ["lstm"]
    assert fused_rnn.load_torch(FOLDER / "pt/lstm.pt", batch_first=False).options["batch_first"] is False


def test_state_dicts_and_what_they_do_not_say():
    net = fused_rnn.RNN(3, 5, num_layers=2, bidirectional=True)
    state = {f"encoder.{name}": value for name, value in net.parameters().items()}
    with pytest.raises(
        ValueError, match="kind: expected rnn_tanh or rnn_relu, which the file does not say, got none"
    ):
        fused_rnn.load_torch(state)
    same = fused_rnn.load_torch(state, kind="rnn_tanh")
    assert repr(same) == repr(net)
    x = np.ones((2, 4, 3), np.float32)
    assert np.array_equal(same(x)[0], net(x)[0])
    two = state | {f"decoder.{name}": value for name, value in fused_rnn.GRU(2, 4).parameters().items()}
    with pytest.raises(ValueError, match="there are 'decoder.', 'encoder.'"):
        fused_rnn.load_torch(two)
    assert fused_rnn.load_torch(two, "decoder.").kind == "gru"
    with pytest.raises(ValueError, match="whole_model|model that was saved whole|state"):
        fused_rnn.load_torch(FOLDER / "pt/whole_model.pt")


def networks():
    """Of every cell, in both directions; sLSTMs of one to three heads."""
    for kind in CELLS:
        for heads in (1, 2, 3) if kind == "slstm" else (1,):
            options = {"heads": heads} if heads > 1 else {}
            yield fused_rnn.Network(kind, 5, 6, direction="both", **options)


def test_every_cell_comes_back_from_its_file():
    x = np.ones((2, 4, 5), np.float32)
    for net in networks():
        for prefix in ("", "encoder.rnn."):
            source = net.to_safetensors(prefix)
            (module,) = fused_rnn.torch_modules(source)
            assert (module.prefix, module.kinds) == (prefix, [net.kind])
            same = fused_rnn.load_torch(source)
            assert (same.kind, same.options) == (net.kind, net.options)
            assert np.array_equal(same(x)[0], net(x)[0])
    with pytest.raises(ValueError, match="cell: expected Lstm, got Slstm, as the file says"):
        fused_rnn.load_torch(fused_rnn.SLSTM(3, 4).to_safetensors(), kind="lstm")


def test_cells_that_a_state_dict_does_not_say():
    kinds = {}
    for net in networks():
        state = net.parameters()
        kinds[net.kind, net.options.get("heads", 1)] = fused_rnn.torch_modules(state)[0].kinds
        same = fused_rnn.load_torch(state, kind=net.kind)
        assert (same.kind, same.options) == (net.kind, net.options)
    assert kinds["slstm", 1] == kinds["lstm", 1] == ["lstm"]
    assert kinds["slstm", 2] == kinds["slstm", 3] == ["slstm"]
    assert kinds["ind_rnn", 1] == ["ind_rnn"] and kinds["lstm_mult", 1] == ["lstm_mult"]
    with pytest.raises(ValueError, match="kind: expected min_gru or min_lstm, which the file does not say"):
        fused_rnn.load_torch(fused_rnn.MinGRU(5, 6).parameters())
    with pytest.raises(ValueError, match="got 48, as Slstm of 3 heads has"):
        fused_rnn.load_torch(fused_rnn.SLSTM(3, 12, heads=3).parameters(), kind="lstm")


def test_layers_of_keras():
    path = FOLDER / "keras_files/options.safetensors"
    _, tensors = read(path)
    x, mask = tensors["io/x"], tensors["io/mask"].astype(bool)
    names = fused_rnn.keras_names(path)
    assert len(names) == 11
    # (`within` is in a layer that runs it for each of many images.)
    for name in sorted(set(names) - {"within"}):
        layer = fused_rnn.load_keras(path, name)
        start = layer.network(x)[1]
        start = tuple(part * 0 for part in start) if isinstance(start, tuple) else start * 0
        state = start
        for time in ("first", "second"):
            y, last, state = layer(x, state if layer.stateful else start, mask=mask)
            close(y if layer.return_sequences else last, tensors[f"io/{name}/{time}"], name)
    with pytest.raises(ValueError, match="stateful"):
        fused_rnn.load_keras(path, "stateful")(x)
    with pytest.raises(ValueError, match="name: expected one of the recurrent layers"):
        fused_rnn.load_keras(path)
    with pytest.raises(ValueError, match="recurrent layer"):
        fused_rnn.load_keras(path, "no such layer")


def test_chains_of_onnx():
    (chain,) = fused_rnn.load_onnx(FOLDER / "onnx_cases/chain_lstm_squeeze/model.onnx")
    assert len(chain.nodes) == 3 and chain.network.options["num_layers"] == 3
    h, c = chain.initial_state(2)
    assert h.shape == c.shape == (3, 2, 4)
    steps = chain.network.stream(2)
    steps.state = h, c
    assert steps.step(np.full((2, 3), 0.5, np.float32)).shape == (2, 4)
    with pytest.warns(UserWarning):
        fused_rnn.load_onnx(FOLDER / "onnx_cases/gru_taken_apart.onnx")
    with pytest.raises(ValueError, match="ONNX"):
        fused_rnn.load_onnx(FOLDER / "pt/lstm.pt")


def test_state_dicts_of_narrow_floats_and_with_integers():
    torch = pytest.importorskip("torch")
    rnn = torch.nn.LSTM(3, 4)
    for dtype in (torch.bfloat16, torch.float16):
        state = {name: value.to(dtype) for name, value in rnn.state_dict().items()}
        net = fused_rnn.load_torch(state | {"seen": torch.tensor(3)})
        for name, value in net.parameters().items():
            assert np.array_equal(value, state[name].float().numpy())


def test_messages_name_what_there_is(tmp_path):
    torch = pytest.importorskip("torch")
    state = torch.nn.LSTM(3, 4).state_dict()
    with pytest.raises(ValueError, match="prefix: expected one of the recurrent modules, got 'rnn.'; there are ''"):
        fused_rnn.load_torch(state, "rnn.")
    with pytest.raises(FileNotFoundError):
        fused_rnn.load_onnx(tmp_path / "none.onnx")
    torch.save(state, tmp_path / "lstm.pt")
    with pytest.raises(ValueError, match=r"got a file of PyTorch \(.pt, .pth\): load_torch reads it$"):
        fused_rnn.load_onnx(tmp_path / "lstm.pt")


@pytest.mark.skipif(sys.platform != "linux", reason="reads the names of threads off /proc")
def test_long_calls_of_keras_layers_run_in_the_pool():
    # (Its calls do not hold Python's lock, and a forked process makes one of its own.)
    program = f"""
import fused_rnn, numpy as np
from pathlib import Path
layer = fused_rnn.load_keras({str(FOLDER / "keras_files" / "nested.safetensors")!r}, "encoder/rnn")
layer(np.zeros((64, 2000, 3), np.float32))
names = [task.read_text() for task in Path("/proc/self/task").glob("*/comm")]
assert sum(name.startswith("fused-rnn") for name in names) == 2, names
"""
    subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"FUSED_RNN_THREADS": "2"}, timeout=60, check=True
    )
