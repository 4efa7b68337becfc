"""The neighbour of a crowded machine: where it runs, that it streams, and that none is left behind.

    python3 -m unittest discover -s benches/peers/tests

Needs a C++ compiler for the neighbour itself; nothing of the peers.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

PEERS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PEERS)]

import crowd
from workers_list import Missing, build_neighbour

MIB = 1 << 20
# The probe's figures are not tested.
crowd.PAIRS, crowd.PROBE_SECONDS = 1, 0.01


def system_of(folder, cores, kinds):
    """A tree as Linux has it: `cores` lists the CPUs of each core, `kinds` gives (level, type, size, group of
    CPUs for a CPU) of each cache."""
    for siblings in cores:
        for cpu in siblings:
            place = Path(folder) / f"cpu{cpu}"
            (place / "topology").mkdir(parents=True)
            text = ",".join(map(str, siblings))
            (place / "topology" / "thread_siblings_list").write_text(text + "\n")
            for index, (level, kind, size, group) in enumerate(kinds):
                cache = place / "cache" / f"index{index}"
                cache.mkdir(parents=True)
                for name, value in (("level", level), ("type", kind), ("size", size)):
                    (cache / name).write_text(f"{value}\n")
                (cache / "shared_cpu_list").write_text(group(cpu, siblings) + "\n")
    return Path(folder)


def own(_, siblings):
    return ",".join(map(str, siblings))


class Placement(unittest.TestCase):
    def place(self, threads, cores, group, allowed=None):
        kinds = [(1, "Data", "32K", own), (1, "Instruction", "64K", own), (2, "Unified", "1024K", own)]
        kinds.append((3, "Unified", "32768K", group))
        with tempfile.TemporaryDirectory() as folder:
            system = system_of(folder, cores, kinds)
            allowed = allowed or {cpu for siblings in cores for cpu in siblings}
            return crowd.place(threads, allowed, system)

    def test_it_has_the_other_core_of_the_cache(self):
        got = self.place(1, [[0], [1]], lambda *_: "0-1")
        self.assertEqual(got, crowd.Place((0,), 1, False, True, MIB, 32 * MIB))
        self.assertEqual((got.buffer, got.reader), (64 * MIB, 4 * MIB))

    def test_it_shares_the_last_core_where_none_is_left(self):
        got = self.place(2, [[0], [1]], lambda *_: "0-1")
        self.assertEqual((got.measured, got.neighbour, got.shares), ((0, 1), 1, True))
        got = self.place(3, [[0], [1]], lambda *_: "0-1")
        self.assertEqual((got.measured, got.neighbour, got.shares), ((0, 1), 1, True))

    def test_siblings_of_a_core_are_not_two_cores(self):
        got = self.place(1, [[0, 2], [1, 3]], lambda *_: "0-3")
        self.assertEqual((got.measured, got.neighbour, got.shares), ((0,), 1, False))
        got = self.place(2, [[0, 2], [1, 3]], lambda *_: "0-3")
        self.assertEqual((got.measured, got.neighbour, got.shares), ((0, 1), 1, True))

    def test_it_stays_within_the_larger_cache(self):
        halves = lambda cpu, _: "0-1" if cpu < 2 else "2-4"
        got = self.place(2, [[0], [1], [2], [3], [4]], halves)
        self.assertEqual((got.measured, got.neighbour, got.same_cache), ((2, 3), 4, True))
        # Beside three threads there is no core within; one outside takes bandwidth alone.
        got = self.place(3, [[0], [1], [2], [3], [4]], halves)
        self.assertEqual((got.measured, got.neighbour, got.same_cache), ((2, 3, 4), 1, False))
        self.assertFalse(got.shares)

    def test_only_cpus_that_are_allowed(self):
        got = self.place(1, [[0], [1], [2], [3]], lambda *_: "0-3", {1, 3})
        self.assertEqual((got.measured, got.neighbour), ((1,), 3))

    def test_without_a_word_of_the_system(self):
        with tempfile.TemporaryDirectory() as folder:
            got = crowd.place(1, {4, 5}, Path(folder))
        self.assertEqual(got, crowd.Place((4,), 5, False, True, crowd.LEVEL_2, crowd.SHARED))


# Streams beside a worker that is stopped, says whom to watch, and waits to be ended.
PROGRAM = """
import signal, sys, time
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
import crowd
from worker import Worker
signal.signal(signal.SIGINT, signal.default_int_handler)
# (What started the tests may ignore one: nohup.)
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
crowd.PAIRS, crowd.PROBE_SECONDS = 1, 0.01
place = crowd.Place(None, None, False, True, 1 << 20, 4 << 20)
stopped = Worker("stopped", [sys.argv[2], str(1 << 20)], Path(sys.argv[3]) / "log")
with crowd.Crowd(sys.argv[2], place, Path(sys.argv[3])) as made, made.around():
    print(made.neighbour.process.pid, stopped.process.pid, flush=True)
    time.sleep(600)
"""


def alive(pid):
    """Whether it runs; one that has ended and is only kept in the table does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except OSError:
        return not Path("/proc/self").exists()
    return state != "Z"


class Process(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            cls.program = build_neighbour()
        except Missing as reason:
            raise unittest.SkipTest(str(reason)) from reason

    def test_it_takes_bandwidth_within_and_sleeps_outside(self):
        with tempfile.TemporaryDirectory() as folder:
            place = crowd.Place(None, None, False, True, MIB, 4 * MIB)
            with crowd.Crowd(self.program, place, Path(folder)) as made:
                pid = made.neighbour.process.pid
                with made.around():
                    time.sleep(0.05)
                self.assertGreater(made.rate, 0)
                about = json.loads(json.dumps(made.about()))
                self.assertEqual(about["neighbour_bytes"], 8 * MIB)
                for name in ("neighbour_gb_s", "reader_gb_s", "reader_crowded_gb_s"):
                    self.assertGreater(about[name], 0)
                self.assertIn("8 MiB", crowd.said(about))
                if Path("/proc/self/stat").exists():
                    ticks = lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
                    before = ticks()
                    time.sleep(0.2)
                    self.assertEqual(before, ticks())
                self.assertTrue(alive(pid))
            self.assertFalse(alive(pid))

    def test_a_neighbour_that_ended_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            place = crowd.Place(None, None, False, True, MIB, 4 * MIB)
            with crowd.Crowd(self.program, place, Path(folder)) as made:
                made.neighbour.process.kill()
                with self.assertRaisesRegex(SystemExit, "neighbour"), made.around():
                    pass

    def test_none_is_left_behind(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
            with self.subTest(number=number), tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-c", PROGRAM, str(PEERS), self.program, folder]
                program = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
                with program:
                    pids = [int(pid) for pid in program.stdout.readline().split()]
                    self.assertEqual([alive(pid) for pid in pids], [True, True])
                    program.send_signal(number)
                    try:
                        program.wait(30)
                    finally:
                        program.kill()
                # (Only Linux ends a worker that is stopped.)
                watched = pids if sys.platform == "linux" else pids[:1]
                for _ in range(500):
                    if not any(alive(pid) for pid in watched):
                        break
                    time.sleep(0.02)
                self.assertFalse(any(alive(pid) for pid in watched))


if __name__ == "__main__":
    unittest.main()
