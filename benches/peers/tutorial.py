"""The tutorial program three times over: this crate, Keras on TensorFlow, and PyTorch by hand, in one run.

What: runs `fit` (the example, built here), keras_fit.py and torch_fit.py one after the other, again and again, so that
what else the machine does falls on all of them; prints every run, and the medians as a table of ratios.
Times: of the whole process, `end`, start and imports and saving included, and of the ten epochs alone, `fit`.
Accuracy: mean over the batches of the last epoch as they are trained, in all three.

usage: python benches/peers/tutorial.py [--rounds 3] [--threads 2] [--peers keras,torch] [--json FILE]
needs: cargo, and the packages of keras_fit.py and torch_fit.py; a peer that cannot start is named and left out
"""
import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def cpu():
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return f"{line.split(':')[1].strip()}, {os.cpu_count()} cores"
    return platform.processor() or platform.machine()


def timed(command, folder):
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return time.perf_counter() - start, done


def run_crate(threads, seed, folder):
    command = [ROOT / "target/release/examples/fit", "--seed", str(seed), "--threads", str(threads)]
    end, done = timed(command, folder)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    fit = float(re.search(r"^time\s+([\d.]+) s", done.stdout, re.M).group(1))
    accuracy = float(re.search(r"^accuracy\s+([\d.]+)", done.stdout, re.M).group(1))
    return {"end": end, "fit": fit, "accuracy": accuracy}


def run_python(script, threads, seed, folder):
    command = [sys.executable, HERE / script, "--threads", str(threads), "--seed", str(seed)]
    end, done = timed(command, folder)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    line = json.loads(done.stdout.strip().splitlines()[-1])
    return {"end": end, "fit": line["seconds_fit"], "accuracy": line["epoch_accuracy"][-1]}


PEERS = {
    "keras": lambda *a: run_python("keras_fit.py", *a),
    "torch": lambda *a: run_python("torch_fit.py", *a),
}


def main():
    parser = argparse.ArgumentParser(description="The tutorial program in this crate and its peers, interleaved.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", default="keras,torch")
    parser.add_argument("--json", type=Path, help="also write everything here")
    args = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "--quiet", "--example", "fit"], cwd=ROOT, check=True)
    programs = {"fused-rnn": run_crate} | {name: PEERS[name] for name in args.peers.split(",") if name}
    runs = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        for round_ in range(args.rounds):
            for name, program in programs.items():
                try:
                    runs[name].append(program(args.threads, round_, folder))
                except (OSError, RuntimeError, KeyError, json.JSONDecodeError) as error:
                    print(f"{name}: left out: {error}", flush=True)
                    continue
                r = runs[name][-1]
                print(f"{name:10} end {r['end']:7.2f} s   fit {r['fit']:7.2f} s   accuracy {r['accuracy']:.3f}", flush=True)
    middle = {
        name: {key: statistics.median(run[key] for run in of) for key in of[0]} for name, of in runs.items() if of
    }
    own = middle["fused-rnn"]
    print(f"\nmedians of {args.rounds}, {args.threads} threads, {cpu()}")
    for name, m in middle.items():
        ratios = f"{m['end'] / own['end']:5.1f} x end {m['fit'] / own['fit']:5.1f} x fit"
        print(f"{name:10} end {m['end']:7.2f} s   fit {m['fit']:7.2f} s   accuracy {m['accuracy']:.3f}   {ratios}")
    if args.json:
        args.json.write_text(json.dumps({"cpu": cpu(), "threads": args.threads, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
