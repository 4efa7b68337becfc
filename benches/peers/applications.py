"""The applications of the README in this crate and in PyTorch, by turns: the same model, data and training.

What: for each application the example exports its data, and then the example and applications/NAME.py train on
it one after the other, again and again, so that what else the machine does falls on both. Prints every run,
the medians, and the geometric mean of the ratios.
Times: of the whole process, `end`, with start, imports and what the example draws; and of the training alone,
`fit`. Scores: on the same test data; the seeds of initial weights and orders differ from round to round.
Data of `long` are drawn at random by each program; its `end` has a second training in this crate alone.

usage: python benches/peers/applications.py [--rounds 3] [--threads 2] [--only translate,video] [--short]
                                            [--json FILE]
needs: cargo, and torch and safetensors in this Python or in the environment of compare.py
"""
import argparse
import datetime
import json
import math
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

# For each application: options that change its data, options of training that both have, and both shortened.
APPLICATIONS = {
    "forecast": {"both": {"epochs": 400, "networks": 5}, "short": {"epochs": 20, "networks": 1}},
    "sentiment": {"both": {"epochs": 5}, "short": {"epochs": 1}},
    "translate": {"both": {"epochs": 12}, "short": {"epochs": 1}},
    "transcribe": {"both": {"epochs": 8}, "short": {"epochs": 1}},
    "video": {"both": {"epochs": 6}, "short": {"epochs": 1}},
    "generate": {"both": {"epochs": 12}, "short": {"epochs": 1}},
    "long": {"both": {"epochs": 1, "length": 10_000, "work": 1.0}, "short": {"length": 1000, "work": 0.05}},
}


def options(values):
    return [word for name, value in values.items() for word in (f"--{name}", str(value))]


def timed(command, ends):
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    end = time.perf_counter() - start
    if not ends(done):
        raise RuntimeError((done.stderr.strip() or "no result").splitlines()[-1])
    return end, done.stdout


def run_crate(name, both, threads, seed):
    both = {key: value for key, value in both.items() if not (name == "long" and key == "epochs")}
    command = [record.EXAMPLES / name, "--threads", str(threads), "--seed", str(seed)]
    # A mark that is missed, as in a short run, is no failure here.
    end, out = timed([*command, *options(both), "--mark", "nan"], lambda done: "score " in done.stdout)
    number = lambda label: float(re.search(rf"^{label}\s+([\d.]+)", out, re.M).group(1))
    return {"end": end, "fit": number("time"), "score": number("score")}


def run_torch(name, data, both, threads, seed):
    script = HERE / "applications" / f"{name}.py"
    command = [sys.executable, script, data, "--threads", str(threads), "--seed", str(seed), *options(both)]
    end, out = timed(command, lambda done: done.returncode == 0)
    line = json.loads(out.strip().splitlines()[-1])
    return {"end": end, "fit": line["fit"], "score": line["score"]}, line["versions"]


def told(run):
    return f"end {run['end']:8.2f} s   fit {run['fit']:8.2f} s   score {run['score']:.4f}"


def mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def main():
    parser = argparse.ArgumentParser(
        description="The applications in this crate and in PyTorch, interleaved.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each program, which take turns")
    parser.add_argument("--threads", type=int, default=2, help="of each program")
    parser.add_argument("--only", default=",".join(APPLICATIONS), help="some of them, with commas")
    parser.add_argument("--short", action="store_true", help="to try the script: scores mean nothing")
    parser.add_argument("--json", type=Path, help="also write everything here")
    args = parser.parse_args()
    if args.rounds < 1 or args.threads < 1:
        parser.error("--rounds and --threads: expected at least 1")
    names = args.only.split(",")
    unknown = [name for name in names if name not in APPLICATIONS]
    if unknown:
        parser.error(f"--only: expected some of {', '.join(APPLICATIONS)}, got {unknown[0]}")
    environment.enter()
    build = ["cargo", "build", "--release", "--quiet"]
    subprocess.run([*build, *(word for name in names for word in ("--example", name))], cwd=ROOT, check=True)
    about = {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": " ".join(["python benches/peers/applications.py", *map(record.quoted, sys.argv[1:])]),
        "threads": args.threads,
        "machine": record.machine(),
        "crate": record.crate(),
        "versions": {"fused-rnn": {"rustc": record.output("rustc", "--version")}},
    }
    runs = {name: {"fused-rnn": [], "torch": []} for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for round_ in range(args.rounds):
            for name in names:
                both = APPLICATIONS[name]["both"] | (APPLICATIONS[name]["short"] if args.short else {})
                # The data are those of the seed, for both.
                data = Path(folder) / f"{name}.safetensors"
                if name != "long":
                    example = record.EXAMPLES / name
                    export = [example, "--seed", str(round_), "--export", data]
                    timed(export, lambda done: done.returncode == 0)
                runs[name]["fused-rnn"].append(run_crate(name, both, args.threads, round_))
                print(f"{name:11}fused-rnn  {told(runs[name]['fused-rnn'][-1])}", flush=True)
                run, about["versions"]["torch"] = run_torch(name, data, both, args.threads, round_)
                runs[name]["torch"].append(run)
                print(f"{name:11}torch      {told(run)}", flush=True)
    processor = about["machine"]["lscpu"].get("Model name", "processor unknown")
    print(f"\nmedians of {args.rounds}, {args.threads} threads, {processor}")
    print("this crate and PyTorch; ratios are PyTorch's time over this crate's")
    ratios = {"end": [], "fit": []}
    for name, of in runs.items():
        middle = {
            system: {key: statistics.median(run[key] for run in turns) for key in turns[0]}
            for system, turns in of.items()
        }
        for key, all_ in ratios.items():
            all_.append(statistics.median(t[key] / o[key] for t, o in zip(of["torch"], of["fused-rnn"])))
        own, torch = middle["fused-rnn"], middle["torch"]
        print(
            f"{name:11}score {own['score']:.4f} and {torch['score']:.4f}   fit {own['fit']:.2f} and "
            f"{torch['fit']:.2f} s   {ratios['end'][-1]:5.2f} x end   {ratios['fit'][-1]:5.2f} x fit"
        )
    print(f"geometric means: {mean(ratios['end']):.2f} x end, {mean(ratios['fit']):.2f} x fit")
    if args.json:
        args.json.write_text(json.dumps({"about": about, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
