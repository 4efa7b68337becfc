"""The tutorial program three times over: this crate, Keras on TensorFlow, and PyTorch by hand, in one run.

What: runs `fit` (the example, built here), keras_fit.py and torch_fit.py one after the other, again and
again, so that what else the machine does falls on all of them; prints every run, and the medians as a table
of ratios.
Times: of the whole process, `end`, start and imports and saving included, and of the ten epochs alone, `fit`.
Accuracy: mean over the batches of the last epoch as they are trained, in all three.

--scale divides the pixels by 16 in all three.

usage: python benches/peers/tutorial.py [--rounds 3] [--threads 2] [--peers keras,torch] [--scale]
                                        [--json FILE]
needs: cargo, and the packages of keras_fit.py and torch_fit.py in this Python or in the environment of
compare.py; a peer that cannot start is named and left out
"""
import argparse
import datetime
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import environment
import record

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def timed(command, folder):
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return time.perf_counter() - start, done


def run_crate(threads, seed, scale, folder):
    command = [record.EXAMPLES / "fit", "--seed", str(seed), "--threads", str(threads)]
    command += ["--scale", "0.0625"] if scale else []
    end, done = timed(command, folder)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    fit = float(re.search(r"^time\s+([\d.]+) s", done.stdout, re.M).group(1))
    accuracy = float(re.search(r"^accuracy\s+([\d.]+)", done.stdout, re.M).group(1))
    return {"end": end, "fit": fit, "accuracy": accuracy}, {"rustc": record.output("rustc", "--version")}


def run_python(script, threads, seed, scale, folder):
    command = [sys.executable, HERE / script, "--threads", str(threads), "--seed", str(seed)]
    command += ["--scale"] if scale else []
    end, done = timed(command, folder)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    line = json.loads(done.stdout.strip().splitlines()[-1])
    run = {"end": end, "fit": line["seconds_fit"], "accuracy": line["epoch_accuracy"][-1]}
    return run, line["versions"]


def told(run):
    return f"end {run['end']:7.2f} s   fit {run['fit']:7.2f} s   accuracy {run['accuracy']:.3f}"


PEERS = {
    "keras": lambda *a: run_python("keras_fit.py", *a),
    "torch": lambda *a: run_python("torch_fit.py", *a),
}


def main():
    parser = argparse.ArgumentParser(
        description="The tutorial program in this crate and its peers, interleaved.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each program, which take turns")
    parser.add_argument("--threads", type=int, default=2, help="of each program")
    parser.add_argument("--peers", default="keras,torch", help="some of keras and torch, with commas")
    parser.add_argument("--scale", action="store_true", help="divide pixels by 16")
    parser.add_argument("--json", type=Path, help="also write everything here")
    args = parser.parse_args()
    if args.rounds < 1 or args.threads < 1:
        parser.error("--rounds and --threads: expected at least 1")
    unknown = [name for name in args.peers.split(",") if name and name not in PEERS]
    if unknown:
        parser.error(f"--peers: expected some of {', '.join(PEERS)}, got {unknown[0]}")
    if args.json and not args.json.resolve().parent.is_dir():
        parser.error(f"--json: no folder {args.json.parent}")
    environment.enter()
    command = ["cargo", "build", "--profile", "bench", "--quiet", "--example", "fit"]
    subprocess.run(command, cwd=ROOT, check=True)
    programs = {"fused-rnn": run_crate} | {name: PEERS[name] for name in args.peers.split(",") if name}
    runs = {name: [] for name in programs}
    about = {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": " ".join(["python benches/peers/tutorial.py", *map(record.quoted, sys.argv[1:])]),
        "threads": args.threads,
        "scale": args.scale,
        "machine": record.machine(),
        "crate": record.crate(),
        "versions": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        for round_ in range(args.rounds):
            for name, program in programs.items():
                try:
                    run, about["versions"][name] = program(args.threads, round_, args.scale, folder)
                except (OSError, RuntimeError, KeyError, json.JSONDecodeError) as error:
                    print(f"{name}: left out: {error}", flush=True)
                    continue
                runs[name].append(run)
                print(f"{name:10} {told(run)}", flush=True)
    middle = {
        name: {key: statistics.median(run[key] for run in of) for key in of[0]}
        for name, of in runs.items()
        if of
    }
    if "fused-rnn" not in middle:
        sys.exit("no run of this crate's program went well")
    own = middle["fused-rnn"]
    print(
        f"\nmedians of {args.rounds}, {args.threads} threads, "
        f"{about['machine']['lscpu'].get('Model name', 'processor unknown')}"
    )
    for name, m in middle.items():
        ratios = f"{m['end'] / own['end']:5.1f} x end {m['fit'] / own['fit']:5.1f} x fit"
        print(f"{name:10} {told(m)}   {ratios}")
    if args.json:
        args.json.write_text(json.dumps({"about": about, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
