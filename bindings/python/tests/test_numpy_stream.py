"""Streams: steps are the sequence, states go in and out, one thread at a time."""

import threading

import numpy as np
import pytest

import fused_rnn


def uniform(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def test_a_single_row_may_leave_out_its_axis():
    net, x = fused_rnn.GRU(3, 7), uniform(1, 9, 3)
    y, h = net(x)
    stream, out = net.stream(), np.empty(7, np.float32)
    for step in range(9):
        assert stream.step(x[0, step], out) is out
        assert np.array_equal(out, y[0, step])
    assert np.array_equal(stream.state, h)
    stream.reset()
    assert np.array_equal(stream.step(x[:, 0]), y[:, 0])


def test_states_are_set_and_reset_by_row():
    net, x = fused_rnn.LSTM(3, 7, num_layers=2), uniform(4, 5, 3)
    _, (h, c) = net(x)
    stream = net.stream(4)
    stream.state = h, c
    assert all(np.array_equal(a, b) for a, b in zip(stream.state, (h, c)))
    stream.reset(rows=[1, 3])
    assert not stream.state[0][:, [1, 3]].any() and np.array_equal(stream.state[1][:, [0, 2]], c[:, [0, 2]])
    with pytest.raises(ValueError, match=r"c: expected shape \[2, 4, 7\], got \[2, 4, 6\]"):
        stream.state = h * 0 + 1, c[:, :, :6].copy()
    assert not (stream.state[0] == 1).any()


def test_an_slstm_has_four_states_that_go_in_and_out():
    net, x = fused_rnn.SLSTM(3, 12, heads=3, num_layers=2), uniform(2, 6, 3)
    y, end = net(x)
    first, state = net(x[:, :3].copy())
    assert len(state) == 4 and (state[2] >= 1).all()
    rest, last = net(x[:, 3:].copy(), state)
    assert np.array_equal(np.concatenate([first, rest], 1), y)
    assert all(np.array_equal(a, b) for a, b in zip(last, end))
    stream = net.stream(2)
    stream.state = state
    steps = [stream.step(frame) for frame in x[:, 3:].transpose(1, 0, 2).copy()]
    assert np.array_equal(np.stack(steps, 1), rest)
    assert all(np.array_equal(a, b) for a, b in zip(stream.state, end, strict=True))
    with pytest.raises(ValueError, match=r"state: expected \(h, c, n, m\), got 2"):
        stream.state = state[:2]


def test_a_stream_keeps_the_weights_that_it_began_with():
    net, frame = fused_rnn.GRU(3, 7), uniform(3)
    stream, expected = net.stream(), net.stream().step(frame)
    net.set_parameters({"weight_ih_l0": uniform(21, 3, seed=1)})
    assert np.array_equal(stream.step(frame), expected)
    assert not np.array_equal(net.stream().step(frame), expected)


def test_another_thread_is_refused_while_a_step_runs():
    net = fused_rnn.LSTM(512, 512, num_layers=2, threads=1)
    stream, frames, refused = net.stream(64), uniform(64, 512), []

    def work():
        for _ in range(20):
            try:
                stream.step(frames)
            except RuntimeError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert refused and "one thread at a time" in refused[0]


def test_arrays_in_any_order_are_read_and_row_major_ones_are_written():
    net, x = fused_rnn.LSTM(3, 3), uniform(3, 5, 3)
    expected = net.stream(3).step(np.ascontiguousarray(x[:, 1]))
    odd = np.frombuffer(b"\0" + x[:, 1].tobytes(), np.uint8)[1:].view(np.float32).reshape(3, 3)
    for frame in (x[:, 1], np.asfortranarray(x[:, 1]), x[::-1, 1][::-1], odd):
        assert np.array_equal(net.stream(3).step(frame), expected)
    h, c = uniform(1, 3, 3, seed=1), uniform(1, 3, 3, seed=2)
    stream = net.stream(3)
    stream.state = [np.asfortranarray(h), c.transpose(0, 2, 1).copy().transpose(0, 2, 1)]
    assert all(np.array_equal(a, b) for a, b in zip(stream.state, (h, c)))
    with pytest.raises(ValueError, match="out: expected a C-contiguous array"):
        net.stream(3).step(x[:, 1], np.empty((3, 3), np.float32).T)
    for out in (np.empty((3, 5, 3), np.float32, order="F"), np.empty((3, 5, 6), np.float32)[..., ::2]):
        with pytest.raises(ValueError, match="out: expected a C-contiguous array"):
            net(x, out=out)


def test_wrong_arguments_say_which():
    stream = fused_rnn.LSTM(3, 7).stream(2)
    with pytest.raises(TypeError, match="frame: expected an array of float32, got float64"):
        stream.step(np.zeros((2, 3)))
    with pytest.raises(TypeError, match="frame: expected an array of float32, got <class 'list'>"):
        stream.step([[1, 2, 3]] * 2)
    square = fused_rnn.GRU(3, 3).stream()
    frame = np.zeros(3, np.float32)
    with pytest.raises(TypeError, match="out: expected an array of float32, got one that is in use"):
        square.step(frame, frame)
    with pytest.raises(TypeError, match="rows: expected their numbers, got bool"):
        stream.reset([True, False])
    with pytest.raises(ValueError, match=r"state: expected \(h, c\), got 3"):
        stream.state = [np.zeros((1, 2, 7), np.float32)] * 3
    with pytest.raises(ValueError, match="batch: expected an integer from 0"):
        fused_rnn.LSTM(3, 7).stream(-1)


def test_a_step_writes_nothing_when_it_is_refused():
    stream, out = fused_rnn.RNN(3, 7).stream(2), np.full((2, 7), 5, np.float32)
    with pytest.raises(ValueError):
        stream.step(uniform(2, 4), out)
    with pytest.raises(TypeError):
        stream.step(np.zeros((2, 3)), out)
    assert (out == 5).all() and not stream.state.any()


def test_a_refused_state_leaves_the_one_before():
    stream = fused_rnn.SLSTM(3, 4).stream()
    before = stream.state
    part = np.ones_like(before[0])
    with pytest.raises(ValueError, match="state n: expected 0 for an empty state, and more for others, got -1"):
        stream.state = part, part, -part, part
    assert all(np.array_equal(a, b) for a, b in zip(stream.state, before))
    stream.state = part, part, part, -part
    assert np.array_equal(stream.state[3], -part)
