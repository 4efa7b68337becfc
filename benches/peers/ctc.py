"""The CTC loss with its gradient beside PyTorch's, on one thread: the same numbers, and whose are sooner there.

Equal: random cases of lengths, repeats, blanks, empty and impossible rows; loss and gradient by the logits may
differ from PyTorch's in float64 by 1e-5.
Time: log-softmax, loss and gradient of a batch, from logits in float32, at some sizes; this crate and PyTorch by
turns, round after round. The ratio is PyTorch's time over this crate's.

usage: python benches/peers/ctc.py [--cases 200] [--rounds 5]
needs: cargo, and torch and safetensors in this Python or in the environment of compare.py
"""
import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import environment

ROOT = Path(__file__).resolve().parents[2]
SIZES = [(50, 16, 11), (200, 16, 30), (500, 32, 30), (200, 8, 1000)]


def drawn(torch, generator):
    """A case with anything in it."""
    integer = lambda low, high: int(torch.randint(low, high, (1,), generator=generator))
    steps, batch, classes = integer(1, 60), integer(1, 6), integer(2, 12)
    lengths = torch.randint(1, steps + 1, (batch,), generator=generator)
    counts = torch.tensor([integer(0, max(1, int(0.7 * n)) + 1) for n in lengths.tolist()])
    # Few kinds of labels, so that many repeat.
    kinds = min(classes, integer(2, 13))
    labels = torch.randint(1, kinds, (int(counts.sum()),), generator=generator)
    logits = torch.randn(steps, batch, classes, generator=generator) * [0.5, 3.0, 10.0][integer(0, 3)]
    return {"logits": logits, "lengths": lengths, "labels": labels, "label_lengths": counts}


def sized(torch, generator, steps, batch, classes):
    lengths = steps // 2 + torch.randint(0, steps // 2 + 1, (batch,), generator=generator)
    counts = lengths // 5
    labels = torch.randint(1, classes, (int(counts.sum()),), generator=generator)
    logits = torch.rand(steps, batch, classes, generator=generator) * 6 - 3
    return {"logits": logits, "lengths": lengths, "labels": labels, "label_lengths": counts}


def by_torch(torch, case, dtype):
    logits = case["logits"].to(dtype).requires_grad_()
    loss = torch.nn.functional.ctc_loss(
        logits.log_softmax(2), case["labels"], case["lengths"], case["label_lengths"], zero_infinity=True
    )
    loss.backward()
    return loss.item(), logits.grad


def by_crate(program, cases, seconds, folder):
    from safetensors.torch import load_file, save_file

    tensors = {f"{n}.{name}": tensor.contiguous() for n, case in enumerate(cases) for name, tensor in case.items()}
    save_file(tensors, folder / "cases")
    command = [program, "--cases", folder / "cases", "--results", folder / "results", "--seconds", str(seconds)]
    subprocess.run(command, check=True)
    results = load_file(folder / "results")
    return [{key: results[f"{n}.{key}"] for key in ("loss", "gradient", "seconds")} for n in range(len(cases))]


def median_call(call, seconds):
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def built():
    command = ["cargo", "build", "--release", "--quiet", "--bench", "ctc", "--message-format", "json"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return next(line["executable"] for line in reversed(lines) if line.get("executable"))


def main():
    parser = argparse.ArgumentParser(
        description="The CTC loss with its gradient beside PyTorch's, on one thread. A line has this crate's "
        "time, PyTorch's, and PyTorch's over this crate's.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--cases", type=int, default=200, help="random ones whose results are compared")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each at each size")
    args = parser.parse_args()
    if args.cases < 1 or args.rounds < 1:
        parser.error("--cases and --rounds: expected at least 1")
    environment.enter()
    try:
        import torch
    except ImportError as error:
        sys.exit(f"{error}: expected PyTorch in this Python or in the environment of compare.py")

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    program = built()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        cases, worst = [drawn(torch, generator) for _ in range(args.cases)], 0.0
        for case, own in zip(cases, by_crate(program, cases, 0.0, folder)):
            loss, gradient = by_torch(torch, case, torch.float64)
            of_loss = abs(own["loss"].item() - loss) / max(1.0, abs(loss))
            worst = max(worst, of_loss, (own["gradient"] - gradient).abs().max().item())
        print(f"{args.cases} cases: loss and gradients differ from PyTorch's in float64 by at most {worst:.1e}")
        if not worst <= 1e-5:
            sys.exit("expected at most 1e-5")
        ratios = []
        for size in SIZES:
            case, rounds = sized(torch, generator, *size), []
            for _ in range(args.rounds):
                own = by_crate(program, [case], 0.3, folder)[0]["seconds"].item()
                rounds.append((own, median_call(lambda: by_torch(torch, case, torch.float32), 0.3)))
            ratio = statistics.median(torch_ / own for own, torch_ in rounds)
            ratios.append(ratio)
            own, torch_ = (statistics.median(column) * 1e6 for column in zip(*rounds))
            print(f"T {size[0]:4} B {size[1]:3} C {size[2]:5}   {own:9.1f} and {torch_:9.1f} us   {ratio:5.2f} x")
        print(f"geometric mean: {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f} x")


if __name__ == "__main__":
    main()
