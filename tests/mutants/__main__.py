#!/usr/bin/env python3
"""Mutation testing: changes the library one operator or one function at a time, and names what no test
notices.

    pip install tree-sitter tree-sitter-rust; cargo install cargo-mutants
    python3 tests/mutants -f 'src/product/**/*.rs' -f 'src/cell/*.rs' -f 'src/sequence/**/*.rs' \\
        --to mutants.jsonl

The mutants are those that cargo-mutants lists. Building each by itself takes longer than testing it, so all
of them are compiled into one program, which asks at each place whether the mutant there is the one that is
switched on:

    a + b      ->    match (a, b) { (l, r) => if crate::mutant(7) { l - r } else { l + r } }

A mutant that does not compile in that form (the compiler's errors name it) is built by itself, from its own
change; one that does not compile so either (or is a value of another type) is `build`, and no mutant. The
others meet the test programs from the quickest to the slowest, until a test fails: `caught` (by which
program), or `timeout` (caught too). First with a few cases of each property; who survives is `explained`, if
what it changes is listed in `explained.py` with the reason why no test can notice, or meets many cases, and
is `missed` if none of them fails.

All is built for 32-bit x86, where the portable level is the only one and compiles in seconds; that needs
`rustup target add i686-unknown-linux-gnu` and a C compiler for it (Debian: gcc-multilib). One JSON object a
line goes to `--to`; mutants that are in it already are left out, so a run can be stopped and taken up. Most
mutants take a second, who survives minutes.

cargo-mutants leaves unsafe functions out; it is shown a copy in which they are safe, so that they are mutated
as well. What this does not see: files that git does not know, and checks of arguments, for which `errors` and
`edge` ask at sizes of 64 bits and so are not among the programs.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

from explained import explained
from switched import Switched, blamed
from tree import ROOT, Tree

# What the compiler would refuse of a mutant that is never reached.
ALLOWED = "#![allow(arithmetic_overflow, unconditional_panic)]\n"
SWITCH = """
/// Whether this mutant is switched on.
pub(crate) fn mutant(number: u32) -> bool {
    static ON: std::sync::LazyLock<u32> =
        std::sync::LazyLock::new(|| std::env::var("FUSED_RNN_MUTANT").map_or(0, |on| on.parse().unwrap()));
    *ON == number
}
"""


def listed(files):
    # As long as the words, so that every place stays where it is.
    unsafe, safe = "unsafe fn", "/*uns*/fn"
    with tempfile.TemporaryDirectory(prefix="fused-rnn-mutants-") as folder:
        copy = Tree(pathlib.Path(folder), "listed").path
        for path in copy.glob("src/**/*.rs"):
            path.write_text(path.read_text().replace(unsafe, safe))
        found = {}
        for pattern in files:
            command = ["cargo", "mutants", "--list", "--json", "--diff", "-f", pattern]
            done = subprocess.run(command, cwd=copy, check=True, capture_output=True, text=True)
            for mutant in json.loads(done.stdout.replace(safe, unsafe)):
                found.setdefault(mutant["name"], mutant)
    mutants = list(found.values())
    # The lines as they are now: a run may take an hour, in which somebody edits the files.
    lines = {name: (ROOT / name).read_text().splitlines() for name in {mutant["file"] for mutant in mutants}}
    for mutant in mutants:
        mutant["line"] = lines[mutant["file"]][mutant["span"]["start"]["line"] - 1]
    return mutants


def uninlined(source):
    return source.replace("#[inline(always)]", "#[inline]")


def switch(tree, mutants):
    """Puts all mutants into the tree. Returns the numbers of those that do not fit, and which of them do not
    compile by themselves either: values of another type than their function's."""
    files = {}
    for name in sorted({mutant["file"] for mutant in mutants.values()}):
        of_file = {number: mutant for number, mutant in mutants.items() if mutant["file"] == name}
        files[name] = Switched(name, (ROOT / name).read_bytes(), of_file)
    lib = tree.path / "src/lib.rs"
    lib.write_text(ALLOWED + lib.read_text() + SWITCH)
    # Kernels in one piece with all their mutants in them take the compiler many minutes.
    for path in tree.path.glob("src/**/*.rs"):
        path.write_text(uninlined(path.read_text()))
    left_out = set().union(*(file.left_out for file in files.values()))
    without = set(left_out)
    while True:
        for name, file in files.items():
            (tree.path / name).write_text(uninlined(file.text(without)))
        errors = tree.errors()
        if not errors:
            values = {number for number in without if mutants[number]["genre"] == "FnValue"}
            return without, values - left_out
        found = set()
        for name, byte in errors:
            text = (tree.path / name).read_bytes()
            of_error = blamed(text, byte)
            if not of_error - without:
                line = text[:byte].count(b"\n") + 1
                print(f"{name}:{line}: an error that belongs to no mutant", file=sys.stderr)
            found |= of_error
        if found <= without:
            sys.exit(f"{len(errors)} errors belong to no mutant; the tree is {tree.path}")
        without |= found
        print(f"{len(without)} of {len(mutants)} mutants do not fit", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-f", "--file", action="append", required=True,
                        help="files to mutate, a pattern; in the order of several")
    parser.add_argument("--to", type=pathlib.Path, required=True, help="where results go, a line each")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants that are tested at a time")
    parser.add_argument("--folder", type=pathlib.Path, help="where copies are built, kept for the next run")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no new mutant after so many")
    arguments = parser.parse_args()
    begin = time.monotonic()
    done = set()
    if arguments.to.exists():
        done = {json.loads(line)["mutant"] for line in arguments.to.read_text().splitlines()}
    mutants = {number: mutant for number, mutant in enumerate(listed(arguments.file), 1)
               if mutant["name"] not in done}
    if not mutants:
        return

    def tell(mutant, said):
        with lock, arguments.to.open("a") as to:
            print(json.dumps({"mutant": mutant["name"], "result": said}), file=to)
            print(f"{said:20} {mutant['name']}", flush=True)

    lock = threading.Lock()
    with tempfile.TemporaryDirectory(prefix="fused-rnn-mutants-") as folder:
        folder = (arguments.folder or pathlib.Path(folder)).absolute()
        tree = Tree(folder, "switched")
        singly, never = switch(tree, mutants)
        for number in sorted(never):
            tell(mutants[number], "build")
        programs = tree.build()
        if programs is None:
            sys.exit("the tree with all mutants does not build")
        timeouts = tree.timeouts(programs)

        def test(number):
            if time.monotonic() - begin < arguments.seconds:
                tell(mutants[number], tree.verdict(programs, mutants[number], number, timeouts))

        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            # Those that may survive take longest, and come last.
            order = sorted(
                set(mutants) - singly, key=lambda number: (explained(mutants[number]) is not None, number)
            )
            list(pool.map(test, order))

        # What does not fit: each in a tree of its own, one tree per job.
        rest = iter(sorted(singly - never))

        def singles(job):
            tree, timeouts = Tree(folder, f"single-{job}"), None
            while time.monotonic() - begin < arguments.seconds:
                with lock:
                    number = next(rest, None)
                if number is None:
                    return
                mutant = mutants[number]
                file = tree.path / mutant["file"]
                original = file.read_text()
                patched = subprocess.run(["patch", "--silent", str(file)], input=mutant["diff"], text=True)
                if patched.returncode != 0:
                    sys.exit(f"{mutant['name']}: its change does not fit the file")
                said = "build"
                if not tree.errors():
                    if timeouts is None:
                        changed, _ = file.read_text(), file.write_text(original)
                        timeouts = tree.timeouts(tree.build())
                        file.write_text(changed)
                    programs = tree.build()
                    said = "build" if programs is None else tree.verdict(programs, mutant, 0, timeouts)
                tell(mutant, said)
                file.write_text(original)

        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(singles, range(arguments.jobs)))


if __name__ == "__main__":
    main()
