"""What the Python peers' workers share: the protocol, shapes, how a call is timed, which variant of a call is
best.

A worker is a long-lived process that speaks JSON lines (README.md, "Protocol"): it answers `prepare` and
`time`. Data lies as this crate has it: sequences time-major, (T, B, I) and (T, B, D * H); parameters flat,
for each layer and direction weight_ih (G * H, I), weight_hh (G * H, H), bias_ih, bias_hh (G * H), gates i, f,
g, o and r, z, n.
"""
import json
import os
import re
import sys
import time
from dataclasses import dataclass

import numpy as np

# f32, bf16 or int8: that in which a peer computes.
PRECISION = os.environ.get("PEER_PRECISION", "f32")

GATES = {"lstm": 4, "gru": 3, "gru_before": 3, "rnn_tanh": 1, "rnn_relu": 1}


class Skip(Exception):
    """This peer does not do such a shape or mode."""


@dataclass(frozen=True)
class Shape:
    cell: str
    batch: int
    steps: int
    input: int
    hidden: int
    layers: int
    directions: int
    shortest: int | None = None

    @staticmethod
    def parse(text):
        found = re.fullmatch(r"(\w+) B(\d+) T(\d+) I(\d+) H(\d+) L(\d+)( bi)?(?: U(\d+))?", text.strip())
        if not found or found[1] not in GATES:
            raise ValueError(
                f'shape {text!r}: expected, say, "lstm B32 T100 I256 H256 L1" or "... L2 bi U10"'
            )
        shortest = int(found[8]) if found[8] else None
        return Shape(found[1], *map(int, found.groups()[1:6]), 2 if found[7] else 1, shortest)

    def __str__(self):
        sizes = f"B{self.batch} T{self.steps} I{self.input} H{self.hidden} L{self.layers}"
        lengths = "" if self.shortest is None else f" U{self.shortest}"
        return f"{self.cell} {sizes}{' bi' if self.directions == 2 else ''}{lengths}"

    def lengths(self):
        """One length for each row, or None: even over shortest..=steps, as benches/common/shape.rs has it."""
        if self.shortest is None:
            return None
        shortest = min(self.shortest, self.steps)
        span = self.steps - shortest + 1
        return [shortest + ((((row + 1) * 2654435769 % 2**32) * span) >> 32) for row in range(self.batch)]

    def row_steps(self):
        """Steps of all rows together."""
        return self.batch * self.steps if self.shortest is None else sum(self.lengths())

    @property
    def gates(self):
        return GATES[self.cell]

    def layer_input(self, layer):
        return self.input if layer == 0 else self.hidden * self.directions

    def tensors(self):
        """Shapes of the parameters in their order, four for each layer and direction."""
        rows = self.gates * self.hidden
        for layer in range(self.layers):
            for _ in range(self.directions):
                yield from ((rows, self.layer_input(layer)), (rows, self.hidden), (rows,), (rows,))

    def weights(self):
        return sum(s[0] * s[1] for s in self.tensors() if len(s) == 2)

    def parameters(self):
        return sum(int(np.prod(s)) for s in self.tensors())

    def split(self, flat):
        """The parameters as a list, at layer * directions + direction, of [weight_ih, weight_hh, bias_ih,
        bias_hh]."""
        parts, start = [], 0
        for shape in self.tensors():
            size = int(np.prod(shape))
            parts.append(flat[start : start + size].reshape(shape))
            start += size
        return [parts[k : k + 4] for k in range(0, len(parts), 4)]


def blocks(array, order):
    """The blocks of H rows of a parameter in another order."""
    parts = np.split(array, len(order), axis=0)
    return np.concatenate([parts[k] for k in order], axis=0)


@dataclass
class Variant:
    """One way in which a peer can run a shape: what is timed, and what it computes, as arrays in our
    layout."""

    label: str
    call: object
    results: object


def measure(call, seconds, samples_at_least=3):
    """Median and least seconds of a call, as benches/common/timing.rs has it."""
    clock = time.perf_counter
    call()
    start = clock()
    call()
    block = max(1, int(np.ceil(20e-6 / max(clock() - start, 1e-9))))
    repeat, samples = range(block), []
    start = clock()
    while True:
        begin = clock()
        for _ in repeat:
            call()
        end = clock()
        samples.append((end - begin) / block)
        elapsed = end - start
        if elapsed >= seconds and (len(samples) >= samples_at_least or elapsed >= 10 * seconds):
            break
        if len(samples) >= 100_000:
            break
    samples.sort()
    return samples[len(samples) // 2], samples[0], len(samples)


def best_variant(variants):
    """The fastest of the variants that run at all, in two interleaved rounds."""
    best, errors = {}, []
    for _ in range(2 if len(variants) > 1 else 1):
        for k, variant in enumerate(variants):
            try:
                median = measure(variant.call, 0.1, 1)[0] if len(variants) > 1 else 0.0
                best[k] = min(best.get(k, np.inf), median)
            except Exception as error:  # A variant that fails is left out; all failing is an error.
                errors.append(f"{variant.label}: {error}")
    if not best:
        raise RuntimeError("; ".join(errors))
    return variants[min(best, key=best.get)]


def serve(peer, version, settings, prepare):
    """Answers lines until the input ends. `prepare(shape, mode, x, parameters, request)` returns variants."""
    # What libraries print goes to stderr; the protocol has the real stdout for itself.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def reply(**fields):
        replies.write(json.dumps(fields) + "\n")

    reply(peer=peer, version=version, settings=settings)
    chosen = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["cmd"] == "prepare":
                chosen = None
                shape = Shape.parse(request["shape"])
                data = np.fromfile(request["data"], dtype="<f4")
                size = shape.steps * shape.batch * shape.input
                x = data[:size].reshape(shape.steps, shape.batch, shape.input)
                variants = prepare(shape, request["mode"], x, shape.split(data[size:]), request)
                asked = request.get("variant")
                chosen = best_variant([v for v in variants if not asked or v.label == asked])
                results = [np.asarray(r, dtype="<f4").ravel() for r in chosen.results()]
                np.concatenate(results).tofile(request["out"])
                reply(ok=True, variant=chosen.label)
            elif request["cmd"] == "time":
                median, least, samples = measure(chosen.call, request["seconds"])
                reply(med_us=median * 1e6, min_us=least * 1e6, samples=samples)
            else:
                reply(error=f"cmd: expected prepare or time, got {request['cmd']}")
        except Skip as skip:
            reply(skip=str(skip))
        except Exception as error:
            reply(error=f"{type(error).__name__}: {error}"[:500])
