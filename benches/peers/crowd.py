"""A crowded machine, made on purpose: a neighbour streams through the cache that the measured cores share.

On users' machines other programs fill the shared cache and take the memory's bandwidth. `cpp/neighbour.cpp`
does so here, on a core of its own, while a worker is timed; each run is timed calm and crowded, one right after
the other. Workers have cores of their own too, calm and crowded alike, so that the neighbour is the only
difference.

Where the measured threads leave no core, the neighbour shares the last of theirs. It then takes time beside
cache, by the scheduler's slices, and `Place.shares` says so to the record: such times compare systems on a busy
machine, and not kernels.
"""

import os
import statistics
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker import Died, Worker

SYSTEM = Path("/sys/devices/system/cpu")
# Of the second level and of the shared one, where the system does not say.
LEVEL_2, SHARED = 1 << 20, 32 << 20
# The neighbour's buffer: twice the shared cache; a virtual machine may have a part of a very large one.
LARGEST_BUFFER = 1 << 30
# Of the probe: pairs of runs, and the seconds of each.
PAIRS, PROBE_SECONDS = 5, 0.2


def parse_cpus(text):
    """The CPUs of a list such as 0-3,8."""
    cpus = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        cpus |= set(range(int(first), int(last or first) + 1))
    return cpus


def parse_bytes(text):
    """The bytes of a size such as 1024K."""
    text = text.strip()
    return int(text.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(text[-1], 0)


def caches(cpu, system=SYSTEM):
    """Bytes and CPUs of each level of cache of data of a CPU, by level; empty where the system does not say."""
    found = {}
    for index in sorted((system / f"cpu{cpu}" / "cache").glob("index*")):
        try:
            kind, level, size, cpus = (
                (index / name).read_text().strip() for name in ("type", "level", "size", "shared_cpu_list")
            )
            if kind != "Instruction":
                found[int(level)] = (parse_bytes(size), parse_cpus(cpus))
        except (OSError, ValueError):
            continue
    return found


@dataclass(frozen=True)
class Place:
    """Who runs where, and beside which cache."""

    # CPUs of the workers and of the neighbour; None where the system pins nobody.
    measured: tuple | None
    neighbour: int | None
    # Whether the neighbour runs on a measured CPU, and whether within their shared cache; on a core outside it
    # takes the memory's bandwidth alone.
    shares: bool
    same_cache: bool
    # Bytes of a core's own last level of cache, and of that which cores share.
    own_cache: int
    shared_cache: int

    @property
    def buffer(self):
        """Bytes that the neighbour streams through."""
        return min(2 * self.shared_cache, LARGEST_BUFFER)

    @property
    def reader(self):
        """Bytes that are read from the shared cache: too many for a core's own, few enough for the shared
        one (benches/common/limits.rs reads as many)."""
        return min(4 * self.own_cache, self.shared_cache // 2)


def place(threads, allowed=None, system=SYSTEM):
    """The cores for so many measured threads and a neighbour, one CPU of each core."""
    if allowed is None:
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if allowed is None:
        return Place(None, None, threads >= (os.cpu_count() or 1), True, LEVEL_2, SHARED)
    # Cores by the cache that they share.
    groups, seen, sizes = {}, set(), {}
    for cpu in sorted(allowed):
        if cpu in seen:
            continue
        try:
            seen |= parse_cpus((system / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text())
        except (OSError, ValueError):
            seen.add(cpu)
        levels = caches(cpu, system)
        last = max(levels, default=0)
        shared, around = levels[last] if last > 1 else (SHARED, allowed)
        own = levels.get(2, (0, set()))[0] if last > 2 else levels.get(1, (0, set()))[0]
        key = min(around)
        groups.setdefault(key, []).append(cpu)
        sizes[key] = (own or min(LEVEL_2, shared // 8), shared)
    first = max(groups, key=lambda key: (len(groups[key]), -key))
    cores = groups[first] + [cpu for key in groups if key != first for cpu in groups[key]]
    measured = cores[:threads] if threads <= len(cores) else sorted(allowed)
    within = [cpu for cpu in groups[first] if cpu not in measured]
    free = within or [cpu for cpu in cores if cpu not in measured]
    neighbour = free[-1] if free else measured[-1]
    return Place(tuple(measured), neighbour, not free, bool(within) or not free, *sizes[first])


class Neighbour(Worker):
    """It sleeps by itself when it is not asked to stream, and has to run on after it has answered."""

    def stop(self):
        pass


class Crowd:
    """The neighbour of one session: streams while `around` holds."""

    def __init__(self, command, place, logs):
        logs.mkdir(parents=True, exist_ok=True)
        self.place, self.log, self.command = place, logs / "neighbour.log", [command, str(place.buffer)]
        self.neighbour = self.started(place.neighbour)
        # GB/s of the latest run.
        self.rate = None
        try:
            self.probed = self.probe()
        except BaseException:
            self.close()
            raise

    def started(self, cpu):
        return Neighbour("neighbour", self.command, self.log, cpus=None if cpu is None else {cpu})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.neighbour.close()

    @staticmethod
    def ask(who, **request):
        """Its answer. A run whose neighbour is not there must not count as a crowded one."""
        try:
            reply = who.ask(120, **request)
        except Died as reason:
            reply = {"error": str(reason)}
        if "error" in reply:
            raise SystemExit(f"{who.name}: {reply['error']}")
        return reply

    @contextmanager
    def around(self):
        """The machine is crowded within."""
        self.ask(self.neighbour, cmd="start")
        try:
            yield
        finally:
            self.rate = self.ask(self.neighbour, cmd="stop")["gb_s"]

    def probe(self):
        """What the neighbour takes, and what is left: GB/s that it reads and writes, and GB/s of a reader of
        the shared cache on a measured core, calm and crowded by turns, medians."""
        reader = self.started(self.place.measured and self.place.measured[-1])
        try:
            request = {"cmd": "read", "bytes": self.place.reader, "seconds": PROBE_SECONDS}
            calm, crowded, taken = [], [], []
            for _ in range(PAIRS):
                calm.append(self.ask(reader, **request)["gb_s"])
                with self.around():
                    crowded.append(self.ask(reader, **request)["gb_s"])
                taken.append(self.rate)
        finally:
            reader.close()
        calm, crowded, taken = map(statistics.median, (calm, crowded, taken))
        return {"neighbour_gb_s": taken, "reader_gb_s": calm, "reader_crowded_gb_s": crowded}

    def about(self):
        """For the record."""
        where = self.place
        return {
            "measured_cpus": where.measured and list(where.measured),
            "neighbour_cpu": where.neighbour,
            "shares_a_core": where.shares,
            "same_cache": where.same_cache,
            "shared_cache_bytes": where.shared_cache,
            "neighbour_bytes": where.buffer,
            "reader_bytes": where.reader,
            **self.probed,
        }


def said(about):
    """A record's neighbour in one sentence."""
    mib = 1 << 20
    where = "not pinned" if about["neighbour_cpu"] is None else f"on CPU {about['neighbour_cpu']}"
    if about["shares_a_core"]:
        where += ", which the measured threads use as well (it takes time beside cache)"
    elif not about["same_cache"]:
        where += ", whose cache is another (it takes the memory's bandwidth alone)"
    calm, crowded = about["reader_gb_s"], about["reader_crowded_gb_s"]
    return (
        f"The neighbour, {where}, reads and writes {about['neighbour_bytes'] // mib} MiB at "
        f"{about['neighbour_gb_s']:.1f} GB/s (shared cache: {about['shared_cache_bytes'] // mib} MiB). "
        f"A reader of {about['reader_bytes'] / mib:.3g} MiB gets {calm:.1f} GB/s calm and {crowded:.1f} "
        f"crowded, {calm / crowded:.2f} times less."
    )
