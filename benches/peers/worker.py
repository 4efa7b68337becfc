"""A process that answers requests, one JSON object a line, and that is stopped while nobody asks it."""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

# Of Linux's prctl: the signal that a process gets when the one that started it has ended.
PR_SET_PDEATHSIG = 1
C = ctypes.CDLL(None) if sys.platform == "linux" else None


class Died(Exception):
    """A worker ended or did not answer in time."""


class Worker:
    """One process that speaks the protocol; stopped but for the time of its answers."""

    def __init__(self, name, command, log, environment=None, cpus=None):
        """`environment` beside this program's own; on `cpus` alone, where they are given."""
        self.name = name
        self.log = log
        with open(log, "ab") as stderr:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(environment or {})},
                preexec_fn=lambda: self.begin(cpus),
            )
        self.pending = b""
        self.hello = self.answer(180)
        self.stop()

    @staticmethod
    def begin(cpus):
        """In the new process, before its program. Without it a worker that is stopped would stay so for ever where
        this program is killed: it reads no end of its input. Each of its threads inherits the CPUs."""
        if C is not None:
            C.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if cpus is not None:
            os.sched_setaffinity(0, cpus)

    def signal(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)

    def stop(self):
        self.signal(signal.SIGSTOP)

    def answer(self, seconds):
        """The next line."""
        out = self.process.stdout
        while b"\n" not in self.pending:
            if not select.select([out], [], [], seconds)[0]:
                self.close()
                raise Died(f"no answer in {seconds} s")
            part = os.read(out.fileno(), 1 << 16)
            if not part:
                self.process.wait()
                said = Path(self.log).read_text(errors="replace").strip().splitlines()
                raise Died(said[-1][:300] if said else f"ended with {self.process.returncode}")
            self.pending += part
        line, self.pending = self.pending.split(b"\n", 1)
        return json.loads(line)

    def ask(self, limit, **request):
        self.signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise Died("ended") from error
        reply = self.answer(limit)
        self.stop()
        return reply

    def close(self):
        self.signal(signal.SIGKILL)
        self.process.wait()
        # What it did not read any more is lost with it.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
