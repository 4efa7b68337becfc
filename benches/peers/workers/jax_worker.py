"""JAX: lax.scan over time, the input product of all steps beforehand, one step or four per iteration.

JAX has no option for its threads: it makes as many as it may use cores, so one thread is one core.
"""
import argparse
import os

arguments = argparse.ArgumentParser()
arguments.add_argument("--threads", type=int, required=True)
args = arguments.parse_args()
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
os.environ["JAX_PLATFORMS"] = "cpu"

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from protocol import Skip, Variant, serve


def advance(kind, hidden, r, b_hh, state, projected):
    """One step: `projected` is W x + b_ih, weights lie (H, G * H)."""
    h = state[0]
    if kind == "gru_before":
        two, n = r[:, : 2 * hidden], r[:, 2 * hidden :]
        reset, z = jnp.split(jax.nn.sigmoid(projected[:, : 2 * hidden] + h @ two + b_hh[: 2 * hidden]), 2, -1)
        n = jnp.tanh(projected[:, 2 * hidden :] + (reset * h) @ n + b_hh[2 * hidden :])
        return ((1 - z) * n + z * h,)
    q = h @ r + b_hh
    if kind == "lstm":
        i, f, g, o = jnp.split(projected + q, 4, -1)
        c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c
    if kind == "gru":
        reset, z = jnp.split(jax.nn.sigmoid(projected[:, : 2 * hidden] + q[:, : 2 * hidden]), 2, -1)
        n = jnp.tanh(projected[:, 2 * hidden :] + reset * q[:, 2 * hidden :])
        return ((1 - z) * n + z * h,)
    return ((jnp.tanh if kind == "rnn_tanh" else jax.nn.relu)(projected + q),)


def zero_state(shape):
    return (jnp.zeros((shape.batch, shape.hidden)),) * (2 if shape.cell == "lstm" else 1)


def network(shape, unroll, parameters, x):
    for layer in range(shape.layers):
        outputs = []
        for direction in range(shape.directions):
            w, r, b_ih, b_hh = parameters[layer * shape.directions + direction]

            def body(state, projected, r=r, b_hh=b_hh):
                state = advance(shape.cell, shape.hidden, r, b_hh, state, projected)
                return state, state[0]

            reverse = direction == 1
            outputs.append(lax.scan(body, zero_state(shape), x @ w + b_ih, reverse=reverse, unroll=unroll)[1])
        x = jnp.concatenate(outputs, -1)
    return x


def prepare(shape, mode, x, parameters, request):
    jax.clear_caches()
    given = [
        [jnp.asarray(w.T), jnp.asarray(r.T), jnp.asarray(b), jnp.asarray(c)] for w, r, b, c in parameters
    ]
    x = jnp.asarray(x)
    if mode == "step":
        return [step_variant(shape, x, given)]

    def variant(unroll):
        run = functools.partial(network, shape, unroll)
        if mode == "fwd":
            function = jax.jit(run)
            return Variant(
                f"scan, {unroll} steps an iteration",
                lambda: function(given, x).block_until_ready(),
                lambda: [function(given, x)],
            )

        def train(parameters, x):
            y, back = jax.vjp(run, parameters, x)
            return y, back(jnp.ones_like(y))

        function = jax.jit(train)

        def results():
            y, (gradients, dx) = function(given, x)
            flat = [np.asarray(g).T.ravel() for cell in gradients for g in cell]
            return [np.asarray(y).ravel(), np.asarray(dx).ravel(), *flat]

        return Variant(
            f"scan, {unroll} steps an iteration", lambda: jax.block_until_ready(function(given, x)), results
        )

    return [variant(unroll) for unroll in (1, 4) if unroll <= shape.steps]


def step_variant(shape, x, given):
    if shape.directions == 2:
        raise Skip("a stream has no end to start from")

    def step(states, frame):
        after = []
        for (w, r, b_ih, b_hh), state in zip(given, states):
            after.append(advance(shape.cell, shape.hidden, r, b_hh, state, frame @ w + b_ih))
            frame = after[-1][0]
        return after

    function = jax.jit(step)
    frames = [jnp.asarray(frame) for frame in x]
    held = [[zero_state(shape) for _ in given]]

    def call():
        held[0] = jax.block_until_ready(function(held[0], frames[0]))

    def results():
        states, outputs = [zero_state(shape) for _ in given], []
        for frame in frames:
            states = function(states, frame)
            outputs.append(states[-1][0])
        return outputs

    return Variant("jit", call, results)


serve(
    "jax",
    jax.__version__,
    "jit, lax.scan, input product beforehand, unrolled by one or four, the faster",
    prepare,
)
