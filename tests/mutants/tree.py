"""A copy of the project, and its test programs: what builds in it, and what its tests say of a mutant."""

import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading

from explained import explained

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = "i686-unknown-linux-gnu"
# Quickest first.
PROGRAMS = ["lib", "golden", "precision", "threads", "layer", "pattern", "exact", "integers", "equivalence",
            "bits", "alloc"]
# Networks that are left out where kernels are not optimised: here they take half a minute.
IGNORED = ["bits"]
# Tests of activations, which are not mutated here and take longest.
SKIPPED = ["exhaustive", "errors_stay_below", "values_and_slopes", "tanh_is_odd"]
# What programs that are not among these depend on, which takes longer to build than the rest.
OF_OTHERS = r"^(clap|fused-rnn-examples-common|indicatif|npyz|rustc-demangle) = .*\n"
# How many cases properties have, at first and for those who survive.
CASES = [4, 48]


class Tree:
    """A copy of the project, to be changed."""

    def __init__(self, folder, name):
        self.path = folder / name
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
        packed = subprocess.run(["tar", "c", "--null", "-T", "-"], cwd=ROOT, input=names, check=True,
                                capture_output=True).stdout
        subprocess.run(["tar", "x", "-C", self.path], input=packed, check=True)
        manifest = self.path / "tests/Cargo.toml"
        manifest.write_text(re.sub(OF_OTHERS, "", manifest.read_text(), flags=re.MULTILINE))
        self.environment = {
            **os.environ,
            # One for all trees: what the project depends on is built once.
            "CARGO_TARGET_DIR": str(folder / "target"),
            "CARGO_INCREMENTAL": "1",
            "RUST_BACKTRACE": "0",
        }

    def cargo(self, *command):
        done = subprocess.run(
            ["cargo", *command, "--target", TARGET, "--message-format", "json"],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        return done, [json.loads(line) for line in done.stdout.splitlines()]

    def errors(self):
        """Where the library does not compile: (file, byte)."""
        done, messages = self.cargo("check", "--package", "fused-rnn", "--lib")
        found = set()
        for message in messages:
            if message.get("reason") == "compiler-message" and message["message"]["level"] == "error":
                for span in message["message"]["spans"]:
                    primary = span["is_primary"]
                    while span.get("expansion"):
                        span = span["expansion"]["span"]
                    if primary:
                        found.add((span["file_name"], span["byte_start"]))
        if done.returncode != 0 and not found:
            sys.exit("the compiler names no place:\n" + done.stderr + done.stdout[-4000:])
        return found

    def build(self):
        """Builds the test programs: their paths by name, or None where the tree does not compile."""
        self.environment["CARGO_PROFILE_DEV_OPT_LEVEL"] = "1"
        command = ["test", "--no-run", "--package", "fused-rnn", "--package", "fused-rnn-tests", "--lib"]
        for name in (name for name in PROGRAMS if name != "lib"):
            command += ["--test", name]
        done, messages = self.cargo(*command)
        if done.returncode != 0:
            return None
        found = {}
        for message in messages:
            if message.get("executable"):
                name = message["target"]["name"].replace("fused_rnn", "lib").replace("fused-rnn", "lib")
                found[name] = message["executable"]
        return found

    def timeouts(self, programs):
        """After how much processor time each program has got stuck. Without any mutant it must pass, and how
        long that takes decides."""
        found = {}
        for name in PROGRAMS:
            start = resource.getrusage(resource.RUSAGE_CHILDREN)
            environment = {**self.environment, "PROPTEST_CASES": str(CASES[0])}
            if run(programs[name], self.path, environment, 1 << 20) != "passed":
                sys.exit(f"{name} must pass before anything is changed")
            end = resource.getrusage(resource.RUSAGE_CHILDREN)
            took = end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime
            found[name] = 10 + 10 * took
            print(f"{name}: {took:.1f} s", flush=True)
        return found

    def verdict(self, programs, mutant, number, timeouts):
        """What the test programs say while this number is switched on."""
        for cases in CASES:
            environment = {**self.environment, "FUSED_RNN_MUTANT": str(number), "PROPTEST_CASES": str(cases)}
            for name in PROGRAMS:
                said = run(programs[name], self.path, environment, timeouts[name] * cases / CASES[0])
                if said != "passed":
                    return f"{said} {name}"
            why = explained(mutant)
            if why:
                return f"explained: {why}"
        return "missed"


def idle(process):
    """Whether all threads of a process sleep, and the processor time that it has used."""
    states, used = set(), 0
    for stat in pathlib.Path(f"/proc/{process}/task").glob("*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        states.add(fields[0])
        used += int(fields[11]) + int(fields[12])
    return states <= {"S"}, used


def run(program, tree, environment, timeout):
    """Runs a test program until its first failure, for so many seconds of processor time. One that sleeps for
    half a minute waits for itself. (One that runs may have to wait for others, on a machine with much to do.)
    """
    arguments = [argument for test in SKIPPED for argument in ("--skip", test)]
    if pathlib.Path(program).name.split("-")[0] in IGNORED:
        arguments.append("--include-ignored")

    def limit():
        # A wrong size may ask for any amount of memory.
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (int(timeout), int(timeout) + 1))

    process = subprocess.Popen([program, *arguments], cwd=tree, env=environment, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, preexec_fn=limit)
    late, ended = threading.Event(), threading.Event()

    def watch():
        before = None
        while not ended.wait(30):
            now = idle(process.pid)
            if now == before and now[0]:
                late.set()
                return process.kill()
            before = now

    watcher = threading.Thread(target=watch)
    watcher.start()
    failed = False
    for line in process.stdout:
        if line.endswith("... FAILED\n"):
            failed = True
            process.kill()
            break
    status = process.wait()
    ended.set()
    watcher.join()
    process.stdout.close()
    if late.is_set() or status in (-signal.SIGXCPU, -signal.SIGKILL) and not failed:
        return "timeout in"
    return "caught by" if failed or status != 0 else "passed"
