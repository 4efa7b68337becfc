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


def test_a_step_writes_nothing_when_it_is_refused():
    stream, out = fused_rnn.RNN(3, 7).stream(2), np.full((2, 7), 5, np.float32)
    with pytest.raises(ValueError):
        stream.step(uniform(2, 4), out)
    with pytest.raises(TypeError):
        stream.step(np.zeros((2, 3)), out)
    assert (out == 5).all() and not stream.state.any()
