"""Did a change make anything slower? Two commits, measured by interleaved runs of `grid`.

    python benches/compare_commits.py main HEAD                       forward and training, one thread
    python benches/compare_commits.py v0.1.0 HEAD --mode step --rounds 21
    python benches/compare_commits.py HEAD WORK --shapes "lstm B1 T100 I64 H64 L1; gru B8 T20 I64 H64 L1"

WORK stands for the working tree as it is. Each commit is built in a worktree of its own under target/commits,
with its lock file. If a commit's own bench has no `--serve`, the bench of the working tree is put into its
worktree.

Three workers take turns, A, B and A again, each for --seconds, --rounds times, two of them stopped while one
is measured. The noise of a shape is what the two A, which are the same program, differ by from round to
round: its 95 % quantile. A shape has changed where the median ratio of B to A, over the rounds, lies beyond
what that noise leaves in a median of so many rounds (1.25 times it over the root of their number) and beyond
--least, and its 95 % interval (by bootstrap) does not contain 1. At least five rounds. Exits with 1 where a
shape became slower.

Worktrees and builds stay for the next run; `git worktree remove --force target/commits/HASH` takes one away.
"""
import argparse
import datetime
import json
import math
import os
import random
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "commits"
# Cells whose weights `write_case` can count, and their gates.
CELLS = {"lstm": 4, "gru": 3, "gru_before": 3, "rnn_tanh": 1, "rnn_relu": 1}


def arguments():
    parser = argparse.ArgumentParser(
        description="Compares two commits by interleaved runs of grid. Each line has a shape, A's time, the "
        "ratio of B's time to A's (above 1 B is slower) with its 95 % interval, the noise of one round, and "
        "a verdict.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("a", metavar="BEFORE", help="the commit to compare with, called A")
    parser.add_argument(
        "b",
        metavar="AFTER",
        help="the commit that may have changed something, called B; WORK is the working tree",
    )
    parser.add_argument("--mode", default="fwd,train", help="fwd, train, step, or several with commas")
    parser.add_argument("--threads", type=int, default=1, help="of each worker")
    parser.add_argument(
        "--shapes",
        help=f"of {', '.join(CELLS)}, semicolons between them; without it the grid of the mode",
    )
    parser.add_argument("--rounds", type=int, default=11, help="at least 5")
    parser.add_argument("--seconds", type=float, default=0.2, help="of each worker in each round")
    parser.add_argument("--least", type=float, default=0.02, help="smaller changes are never reported")
    parser.add_argument("--level", help="pins the SIMD level")
    parser.add_argument("--precision", help="of both, if not f32 (their grids must know it)")
    parser.add_argument("--json", type=Path, help="also write everything here")
    args = parser.parse_args()
    if not set(args.mode.split(",")) <= {"fwd", "train", "step"}:
        parser.error(f"--mode: expected fwd, train or step, got {args.mode}")
    if args.rounds < 5:
        parser.error(
            f"--rounds: expected at least 5, below which there is no telling noise, got {args.rounds}"
        )
    if not 0 <= args.seconds <= 1e6:
        parser.error(f"--seconds: expected a number from 0 to 1000000, got {args.seconds}")
    if args.threads < 1:
        parser.error(f"--threads: expected at least 1, got {args.threads}")
    if args.shapes is not None:
        args.shapes = [text.strip() for text in args.shapes.split(";") if text.strip()]
        for text in args.shapes or [""]:
            if not re.fullmatch(r"\w+( [BTIHL][1-9]\d*){5}( bi)?( U\d+)?", text):
                parser.error(f'--shapes: expected, say, "lstm B32 T100 I256 H256 L1", got {text!r}')
            if text.split()[0] not in CELLS:
                parser.error(f"--shapes: expected one of {', '.join(CELLS)}, got {text.split()[0]}")
    return args


def git(*command):
    done = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"git {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


def check_names(*names):
    """Ends where a name is no commit, before anything is built."""
    for name in names:
        known = ["git", "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}"]
        if name != "WORK" and subprocess.run(known, cwd=ROOT, capture_output=True).returncode:
            sys.exit(f"expected a commit, a branch, a tag or WORK, got {name}")


def checkout(name):
    """The folder of a commit, in a worktree of its own, or of the working tree; and what the commit is
    called."""
    if name == "WORK":
        return ROOT, "work"
    commit = git("rev-parse", "--verify", f"{name}^{{commit}}")[:12]
    folder = BUILD / commit
    if not folder.exists():
        git("worktree", "prune")
        git("worktree", "add", "--detach", "--force", str(folder), commit)
    return folder, commit


def build(name):
    """The path of a commit's grid."""
    folder, called = checkout(name)
    target = None if name == "WORK" else BUILD / "target"
    if name != "WORK" and not (folder / "benches/grid/serve.rs").exists():
        for part in ("grid", "common"):
            shutil.rmtree(folder / "benches" / part, ignore_errors=True)
            shutil.copytree(ROOT / "benches" / part, folder / "benches" / part)
        print(f"{name}: its own bench has no --serve; measured with the bench of the working tree")
    print(f"building {name}", flush=True)
    command = ["cargo", "bench", "--bench", "grid", "--no-run", "--quiet", "--message-format=json"]
    environment = {**os.environ, **({"CARGO_TARGET_DIR": str(target)} if target else {})}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr.strip()[-2000:]}")
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "grid":
            # The next commit's build writes to the same folder.
            copy = BUILD / "binaries" / f"grid-{called}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(message["executable"], copy)
            return copy
    sys.exit(f"{name}: cargo bench made no grid")


class Worker:
    """A grid that answers requests, stopped but for the time of its answers."""

    def __init__(self, binary, args):
        command = [str(binary), "--serve", "--threads", str(args.threads)]
        command += ["--level", args.level] if args.level else []
        command += ["--precision", args.precision] if args.precision else []
        environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        if not self.process.stdout.readline():
            sys.exit(f"{binary}: expected a worker, got none (exit {self.process.wait()})")
        self.process.send_signal(signal.SIGSTOP)

    def ask(self, **request):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        self.process.send_signal(signal.SIGSTOP)
        if "error" in reply:
            sys.exit(f"{request.get('shape', 'a worker')}: {reply['error']}")
        return reply

    def close(self):
        self.process.kill()
        self.process.wait()


def write_case(folder, shape):
    """Input and weights of a shape for all three, from a fixed seed; see benches/peers/README.md,
    "Protocol"."""
    import array

    words = shape.split()
    batch, steps, inputs, hidden, layers = (int(word[1:]) for word in words[1:6])
    directions = 2 if "bi" in words[6:] else 1
    gates = CELLS[words[0]]
    rng, limit = random.Random(1), 1 / math.sqrt(hidden)
    weights = 0
    for layer in range(layers):
        width = inputs if layer == 0 else hidden * directions
        weights += directions * gates * hidden * (width + hidden + 2)
    values = array.array("f", (rng.uniform(-1, 1) for _ in range(batch * steps * inputs)))
    # A period of weights is enough for timing, and quick to make.
    period = array.array("f", (rng.uniform(-limit, limit) for _ in range(min(weights, 99_991))))
    while len(values) < batch * steps * inputs + weights:
        values.extend(period)
    del values[batch * steps * inputs + weights :]
    if sys.byteorder == "big":
        values.byteswap()
    (folder / "data").write_bytes(values.tobytes())


def interval(ratios):
    """The 95 % interval of the median, by bootstrap."""
    rng = random.Random(0)
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(1000))
    return medians[25], medians[974]


def judge(first, second, other, least):
    """What three lists of times say: ratio of B to A, its interval, the noise, and a verdict."""
    own = sorted(abs(math.log(b / a)) for a, b in zip(first, second))
    noise = math.exp(own[min(len(own) - 1, math.ceil(0.95 * len(own)) - 1)]) - 1
    ratios = [o / math.sqrt(a * b) for a, b, o in zip(first, second, other)]
    ratio = statistics.median(ratios)
    low, high = interval(ratios)
    # A median of rounds is steadier than one round, by about the root of their number.
    limit = max(least, 1.25 * noise / math.sqrt(len(ratios)))
    verdict = "same"
    if low > 1 and ratio > 1 + limit:
        verdict = "SLOWER"
    elif high < 1 and ratio < 1 / (1 + limit):
        verdict = "faster"
    return {"ratio": ratio, "low": low, "high": high, "noise": noise, "limit": limit, "verdict": verdict}


def main():
    args = arguments()
    check_names(args.a, args.b)
    a, b = build(args.a), build(args.b)
    folder = BUILD / "case"
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    for mode in args.mode.split(","):
        shapes = args.shapes
        if shapes is None:
            listed = subprocess.run([b, "--list", "--mode", mode], capture_output=True, text=True, check=True)
            shapes = listed.stdout.splitlines()
        workers = {"first": Worker(a, args), "other": Worker(b, args), "second": Worker(a, args)}
        print(f"\n{mode}, {args.threads} thread(s): time of {args.b} over {args.a}", flush=True)
        try:
            for shape in shapes:
                write_case(folder, shape)
                request = {"cmd": "prepare", "shape": shape, "mode": mode, "data": str(folder / "data")}
                for name, worker in workers.items():
                    worker.ask(**request, out=str(folder / name))
                equal = (folder / "first").read_bytes() == (folder / "other").read_bytes()
                times = {name: [] for name in workers}
                for _ in range(args.rounds):
                    for name, worker in workers.items():
                        times[name].append(worker.ask(cmd="time", seconds=args.seconds)["med_us"])
                result = judge(times["first"], times["second"], times["other"], args.least)
                results.append(
                    {"mode": mode, "shape": shape, "bits_equal": equal, "times_us": times, **result}
                )
                print(
                    f"  {shape:36} {statistics.median(times['first']):12.2f} us {result['ratio']:7.3f}"
                    f"  [{result['low']:.3f}, {result['high']:.3f}]  noise {result['noise']:6.1%}"
                    f"  {result['verdict']}{'' if equal else ', other bits'}",
                    flush=True,
                )
        finally:
            for worker in workers.values():
                worker.close()
    if args.json:
        about = {
            key: getattr(args, key)
            for key in ("a", "b", "threads", "rounds", "seconds", "least", "level", "precision")
        }
        about["date"] = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        about["command"] = " ".join(["python benches/compare_commits.py", *map(shlex.quote, sys.argv[1:])])
        about["commits"] = {
            name: git("rev-parse", "HEAD" if name == "WORK" else name) for name in (args.a, args.b)
        }
        args.json.write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")
    slower = [result for result in results if result["verdict"] == "SLOWER"]
    faster = [result for result in results if result["verdict"] == "faster"]
    noise = statistics.median(result["noise"] for result in results)
    print(
        f"\n{len(results)} shapes: {len(slower)} slower, {len(faster)} faster; "
        f"median noise of a round {noise:.1%}"
    )
    for result in slower + faster:
        print(f"  {result['verdict']}: {result['mode']} {result['shape']}: {result['ratio']:.3f}")
    sys.exit(1 if slower else 0)


if __name__ == "__main__":
    main()
