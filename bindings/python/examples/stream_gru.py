"""A GRU on a stream, sample by sample, in NumPy: what a program does that reads a sensor or a microphone.

What: two layers over 8 features, one frame at a time into an array that is reused, and the same frames as one
sequence, which gives the same bits. Prints the time of a step and how many frames a second that is.

usage: python examples/stream_gru.py [--units 64] [--frames 20000] [--weights FILE]
--weights: a state_dict of torch.nn.GRU (safetensors, or torch.save), in the place of random weights
"""

import argparse
import time

import numpy as np

import fused_rnn


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--frames", type=int, default=20000)
    parser.add_argument("--weights")
    options = parser.parse_args()
    if options.weights:
        gru = fused_rnn.load_torch(options.weights, kind="gru")
    else:
        gru = fused_rnn.GRU(8, options.units, num_layers=2)
    print(gru, f"on {gru.level}, {gru.nbytes / 1024:.0f} KiB")

    rng = np.random.default_rng(0)
    frames = rng.standard_normal((options.frames, gru.input_size), np.float32)
    stream, out = gru.stream(), np.empty(gru.output_size, np.float32)
    outputs = np.empty((options.frames, gru.output_size), np.float32)
    seconds = np.empty(options.frames)
    for n, frame in enumerate(frames):
        start = time.perf_counter()
        stream.step(frame, out)
        seconds[n] = time.perf_counter() - start
        outputs[n] = out

    y, state = gru(frames[None])
    assert np.array_equal(outputs, y[0]) and np.array_equal(stream.state, state)
    half, late = np.quantile(seconds, [0.5, 0.999]) * 1e6
    print(f"{options.frames} frames: a step takes {half:.2f} microseconds,")
    print(f"one of a thousand more than {late:.1f};")
    print(f"that is {1e6 / half:,.0f} frames a second. The whole sequence at once gives the same bits.")


if __name__ == "__main__":
    main()
