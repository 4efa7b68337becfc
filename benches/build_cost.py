"""What does the library cost to build? Two commits by turns: processor time, wall time, size of the code.

    python benches/build_cost.py main HEAD                    the library alone
    python benches/build_cost.py main WORK --whole            with its dependencies
    python benches/build_cost.py v0.1.0 HEAD --rounds 5 --json cost.json

WORK stands for the working tree as it is. Each commit has the worktree of compare_commits.py, with its lock
file, and each of the two a target folder of its own under target/commits/cost.

Everything is built once first, which counts for nothing. Then A, B, A, B and so on, --rounds times each: the
library is cleaned away (`cargo clean --release --package fused-rnn`; with --whole all of the target folder
is), and `cargo build --release --lib` is measured, with Cargo's own settings for link-time optimisation and
line tables whatever the commit's manifest says, since dependents build it with those. What cargo says it has
compiled is checked: nothing but the library, or everything. Processor time is that of cargo and all it
starts, user and system together. Medians of the rounds, and B over A. It is for a quiet machine: beside other
builds the same commit took 122 s of processor time, and then 98.

The size is that of the code in the rlib, or with --whole in all of them: the sections `.text*` of its
objects. Generic code is there as far as the library itself uses it; what programs make of it is in the
programs. Needs objects that are 64-bit little-endian ELF, as those of Linux on x86-64 and AArch64 are.
"""
import argparse
import datetime
import json
import os
import resource
import shlex
import shutil
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

from compare_commits import BUILD, check_names, checkout, git

PACKAGE = "fused-rnn"
NAMES = {"processor_s": "processor time, s", "wall_s": "wall time, s", "text_bytes": "text, bytes"}


def arguments():
    parser = argparse.ArgumentParser(
        description="Compares what two commits cost to build.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("a", metavar="BEFORE", help="the commit to compare with, called A")
    parser.add_argument(
        "b",
        metavar="AFTER",
        help="the commit that may have changed something, called B; WORK is the working tree",
    )
    parser.add_argument("--rounds", type=int, default=3, help="builds of each, which take turns")
    parser.add_argument("--jobs", "-j", type=int, default=2, help="of cargo")
    parser.add_argument("--whole", action="store_true", help="the dependencies too")
    parser.add_argument("--json", type=Path, help="also write everything here")
    args = parser.parse_args()
    for option in ("rounds", "jobs"):
        if getattr(args, option) < 1:
            parser.error(f"--{option}: expected at least 1, got {getattr(args, option)}")
    return args


def members(archive):
    """The objects of an `ar` archive."""
    data = archive.read_bytes()
    if not data.startswith(b"!<arch>\n"):
        sys.exit(f"{archive}: expected an archive of ar, got a file that begins with {data[:8]!r}")
    at = 8
    while at + 60 <= len(data):
        name, size, end = data[at : at + 16].strip(), data[at + 48 : at + 58], data[at + 58 : at + 60]
        if end != b"`\n" or not size.strip().isdigit():
            sys.exit(f"{archive}: expected the header of a member at byte {at}")
        start, size = at + 60, int(size)
        # Tables of symbols and of long names.
        if name not in (b"/", b"//", b"/SYM64/"):
            yield data[start : start + size]
        at = start + size + size % 2


def text_of_object(data, where):
    """Bytes of the sections `.text*` of an ELF object."""
    if data[:4] != b"\x7fELF" or data[4:6] != b"\x02\x01":
        sys.exit(f"{where}: expected 64-bit little-endian ELF, got an object that begins with {data[:6]!r}")
    (table,) = struct.unpack_from("<Q", data, 0x28)
    entry, count, names = struct.unpack_from("<HHH", data, 0x3A)

    def section(n):
        name, kind, _, _, offset, size, link = struct.unpack_from("<IIQQQQI", data, table + n * entry)
        return name, kind, offset, size, link

    # Of more sections than the header can count, the first says how many there are, and which has the names.
    if table and count == 0:
        count = section(0)[3]
    if table and names == 0xFFFF:
        names = section(0)[4]
    if count == 0:
        return 0
    strings, bits_of_program = section(names)[2], 1
    found = 0
    for n in range(count):
        name, kind, _, size, _ = section(n)
        if kind == bits_of_program and data.startswith(b".text", strings + name):
            found += size
    return found


def text(archives):
    return sum(text_of_object(member, archive) for archive in archives for member in members(archive))


class Side:
    """One of the two, with a target folder of its own."""

    def __init__(self, letter, name, args):
        self.name, self.args = name, args
        self.folder, called = checkout(name)
        self.target = BUILD / "cost" / f"{letter}-{called}"
        # Neither a cache of somebody's compiler nor what is left of another build.
        self.environment = {**os.environ, "CARGO_TARGET_DIR": str(self.target), "CARGO_INCREMENTAL": "0"}
        self.environment.update(RUSTC_WRAPPER="", RUSTC_WORKSPACE_WRAPPER="", CARGO_TERM_COLOR="never")
        self.environment.update(CARGO_PROFILE_RELEASE_LTO="false", CARGO_PROFILE_RELEASE_DEBUG="false")

    def cargo(self, *command):
        done = subprocess.run(
            ["cargo", *command], cwd=self.folder, capture_output=True, text=True, env=self.environment
        )
        if done.returncode:
            sys.exit(f"{self.name}: cargo {' '.join(command)}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def build(self):
        """Builds what is not there: the names of what was compiled and of what was there; the libraries."""
        command = ["build", "--package", "fused-rnn", "--release", "--lib", "--message-format=json"]
        command += ["--jobs", str(self.args.jobs)]
        messages = [json.loads(line) for line in self.cargo(*command).splitlines()]
        made = [message for message in messages if message["reason"] == "compiler-artifact"]
        compiled, fresh = set(), set()
        for message in made:
            (fresh if message["fresh"] else compiled).add(message["target"]["name"].replace("_", "-"))
        files = [Path(file) for message in made for file in message["filenames"]]
        libraries = [file for file in files if file.suffix == ".rlib"]
        return compiled, fresh, libraries

    def measure(self):
        if self.args.whole:
            shutil.rmtree(self.target)
        else:
            self.cargo("clean", "--release", "--package", PACKAGE)
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        compiled, fresh, libraries = self.build()
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if not self.args.whole:
            libraries = [file for file in libraries if file.stem == f"lib{PACKAGE.replace('-', '_')}"]
        if PACKAGE not in compiled or (fresh if self.args.whole else compiled != {PACKAGE}):
            expected = "everything" if self.args.whole else f"{PACKAGE} alone"
            sys.exit(
                f"{self.name}: expected cargo to compile {expected},"
                f" got {sorted(compiled)}, with {sorted(fresh)} built before"
            )
        return {
            "processor_s": after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime,
            "wall_s": wall,
            "text_bytes": text(libraries),
        }


def main():
    args = arguments()
    check_names(args.a, args.b)
    sides = {"a": Side("a", args.a, args), "b": Side("b", args.b, args)}
    for side in sides.values():
        print(f"building {side.name}, for its dependencies", flush=True)
        side.build()
    rounds = {letter: [] for letter in sides}
    for n in range(args.rounds):
        for letter, side in sides.items():
            result = side.measure()
            rounds[letter].append(result)
            processor, wall = result["processor_s"], result["wall_s"]
            times = f"processor {processor:.2f} s, wall {wall:.2f} s"
            print(f"round {n + 1}, {side.name}: {times}, text {result['text_bytes']} bytes", flush=True)
    what = "with its dependencies" if args.whole else "alone"
    print(f"\nthe library {what}, {args.jobs} job(s), medians of {args.rounds} round(s)")
    print(f"  {'':18} {args.a[:16]:>16} {args.b[:16]:>16}      B/A")
    medians = {}
    for key, name in NAMES.items():
        a, b = (statistics.median(result[key] for result in rounds[letter]) for letter in sides)
        medians[key] = {"a": a, "b": b, "ratio": b / a}
        form = ".0f" if key == "text_bytes" else ".2f"
        print(f"  {name:18} {a:16{form}} {b:16{form}} {b / a:8.3f}")
    if args.json:
        about = {key: getattr(args, key) for key in ("a", "b", "rounds", "jobs", "whole")}
        about["date"] = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        about["command"] = " ".join(["python benches/build_cost.py", *map(shlex.quote, sys.argv[1:])])
        commits = {name: "HEAD" if name == "WORK" else name for name in (args.a, args.b)}
        about["commits"] = {name: git("rev-parse", commit) for name, commit in commits.items()}
        about["rustc"] = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()
        everything = {"about": about, "medians": medians, "rounds": rounds}
        args.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
