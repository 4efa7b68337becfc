#!/usr/bin/env python3
"""Mutation testing: changes the library one operator or one function at a time, and names what no test notices.

    python3 tests/mutants.py -f 'src/cell/*.rs' -f 'src/sequence/*.rs' -f 'src/matrix/*.rs' --shard 0/8 --to mutants.jsonl

The mutants are those of cargo-mutants (`cargo install cargo-mutants`), which is asked for its list alone: its own way
runs all tests for each, the slowest first. Here a mutant is built unoptimised, for 32-bit x86 where the portable level is
the only one and compiles in seconds, and meets the test programs from the quickest to the slowest until one fails. That
needs `rustup target add i686-unknown-linux-gnu` and a C compiler for it (Debian: gcc-multilib).

A mutant is `caught` (by which program), `build` (does not compile), `timeout` (caught too), or `missed`. One JSON object a
line; mutants that are in the file already are left out, so a run can be stopped and taken up.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = "i686-unknown-linux-gnu"
# Quickest first.
PROGRAMS = ["golden", "pattern", "exact", "lib", "threads", "equivalence"]
# Tests of activations, which are not mutated here, and take longest.
SKIPPED = ["exhaustive", "errors_stay_below", "values_and_slopes", "tanh_is_odd"]


def mutants(files, shard):
    command = ["cargo", "mutants", "--list", "--json", "--diff"]
    for pattern in files:
        command += ["-f", pattern]
    listed = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    part, parts = shard
    return [mutant for at, mutant in enumerate(listed) if at % parts == part]


def programs(tree, environment):
    """Builds the test programs: their paths by name, or None where the tree does not compile."""
    command = ["cargo", "test", "--no-run", "--target", TARGET, "--message-format", "json", "--lib"]
    for name in (name for name in PROGRAMS if name != "lib"):
        command += ["--test", name]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        return None
    found = {}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            name = message["target"]["name"].replace("fused_rnn", "lib").replace("fused-rnn", "lib")
            found[name] = message["executable"]
    return found


def verdict(tree, environment, timeout):
    built = programs(tree, environment)
    if built is None:
        return "build"
    for name in PROGRAMS:
        skips = [argument for test in SKIPPED for argument in ("--skip", test)]
        try:
            done = subprocess.run([built[name], "--quiet", *skips], cwd=tree, env=environment,
                                  capture_output=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return f"timeout in {name}"
        if done.returncode != 0:
            return f"caught by {name}"
    return "missed"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-f", "--file", action="append", required=True, help="files to mutate, a pattern")
    parser.add_argument("--shard", default="0/1", help="every n-th mutant from the k-th on: k/n")
    parser.add_argument("--to", type=pathlib.Path, required=True, help="where results go, a line each")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no new mutant after so many")
    parser.add_argument("--timeout", type=float, default=400, help="of a test program, in seconds")
    arguments = parser.parse_args()
    shard = re.fullmatch(r"(\d+)/(\d+)", arguments.shard)
    if not shard or int(shard[1]) >= int(shard[2]):
        parser.error(f"--shard: expected k/n with k below n, got {arguments.shard}")

    done = set()
    if arguments.to.exists():
        done = {json.loads(line)["mutant"] for line in arguments.to.read_text().splitlines()}
    with tempfile.TemporaryDirectory(prefix="fused-rnn-mutants-") as folder:
        tree = pathlib.Path(folder) / "tree"
        tree.mkdir()
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
        packed = subprocess.run(["tar", "c", "--null", "-T", "-"], cwd=ROOT, input=names, check=True,
                                capture_output=True).stdout
        subprocess.run(["tar", "x", "-C", tree], input=packed, check=True)
        environment = {**os.environ, "CARGO_TARGET_DIR": f"{folder}/target", "CARGO_INCREMENTAL": "1",
                       "PROPTEST_CASES": os.environ.get("PROPTEST_CASES", "4"), "RUST_BACKTRACE": "0"}
        start = verdict(tree, environment, arguments.timeout)
        if start != "missed":
            sys.exit(f"the tests must pass before anything is changed: {start}")
        begin = time.monotonic()
        for mutant in mutants(arguments.file, [int(shard[1]), int(shard[2])]):
            if mutant["name"] in done:
                continue
            if time.monotonic() - begin > arguments.seconds:
                break
            file = tree / mutant["file"]
            original = file.read_text()
            patched = subprocess.run(["patch", "--silent", str(file)], input=mutant["diff"], text=True)
            if patched.returncode != 0:
                sys.exit(f"{mutant['name']}: its change does not fit the file")
            said = verdict(tree, environment, arguments.timeout)
            file.write_text(original)
            with arguments.to.open("a") as to:
                print(json.dumps({"mutant": mutant["name"], "result": said}), file=to)
            print(f"{said:20} {mutant['name']}", flush=True)


if __name__ == "__main__":
    main()
