"""What a record is made of: the machine, the crate, the versions, and one JSON and one CSV file per mode and
threads."""

import csv
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Where cargo, run in ROOT, puts the examples.
EXAMPLES = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "examples"

quoted = shlex.quote


def output(*command):
    if not shutil.which(command[0]):
        return None
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return done.stdout.strip() if done.returncode == 0 else None


def machine():
    """The processor as lscpu says, and the versions of what compiles."""
    lines = (output("lscpu") or "").splitlines()
    said = dict((part.strip() for part in line.split(":", 1)) for line in lines if ":" in line)
    names = [
        "Model name",
        "CPU family",
        "Model",
        "Stepping",
        "CPU(s)",
        "Thread(s) per core",
        "Hypervisor vendor",
    ]
    names += ["L1d cache", "L2 cache", "L3 cache", "Flags"]
    load = Path("/proc/loadavg")
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "lscpu": {name: said[name] for name in names if name in said},
        "rustc": output("rustc", "--version"),
        "g++": (output("g++", "--version") or "").split("\n")[0],
        "python": platform.python_version(),
        "load_at_start": load.read_text().split()[0] if load.exists() else None,
    }


def crate():
    """Which source was measured."""
    paths = ["src", "benches", "examples", "Cargo.toml", "Cargo.lock", ":(exclude)benches/record"]
    changed = output("git", "status", "--porcelain", "--", *paths)
    manifest = (ROOT / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.+)"', manifest, re.M)
    return {
        "version": version and version[1],
        "commit": output("git", "rev-parse", "HEAD"),
        "changed": bool(changed),
    }


COLUMNS = [
    "date",
    "mode",
    "threads",
    "crowd",
    "shape",
    "peer",
    "version",
    "status",
    "med_us",
    "min_us",
    "gflops",
    "ratio",
]
COLUMNS += ["rounds", "difference", "variant", "roofline_us", "bound", "why"]


def stem(about):
    return f"{about['mode']}-{about['threads']}"


def write(folder, about, rows):
    """Both files, again after each shape, so that a run that ends early leaves what it measured."""
    data = {"about": about, "shapes": rows}
    (folder / f"{stem(about)}.json").write_text(json.dumps(data, indent=1) + "\n")
    with open(folder / f"{stem(about)}.csv", "w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        for entry in rows:
            for row in entry["rows"]:
                version = about["peers"].get(row["peer"], {}).get("version")
                limits = entry.get("crowded_limits" if row["crowd"] else "limits", {})
                values = row | {"version": version, "rounds": len(row["rounds_us"]), "shape": entry["shape"]}
                values |= {key: about[key] for key in ("date", "mode", "threads")}
                values |= {key: limits.get(key) for key in ("roofline_us", "bound")}
                table.writerow(values)


def conditions(data):
    """Of a measurement: calm (False), and crowded (True) where the machine was crowded on purpose (crowd.py)."""
    return [False, True] if data["about"].get("crowd") else [False]


def rows_of(entry, crowd):
    """The rows of a shape in one condition. (Records before there was a neighbour do not name it.)"""
    return [row for row in entry["rows"] if row.get("crowd", False) == crowd]


def gaps(data):
    """The shapes that this crate did not run."""
    return [entry["shape"] for entry in data["shapes"] if "limits" not in entry]


def read(folder):
    """All measurements of a record, forward first, in the order of threads."""
    order = {"fwd": 0, "train": 1, "step": 2}
    found = []
    for path in sorted(Path(folder).glob("*.json")):
        data = json.loads(path.read_text())
        if isinstance(data, dict) and "about" in data and "shapes" in data:
            found.append(data)
    if not found:
        raise SystemExit(f"{folder}: no record, expected files such as fwd-1.json")
    return sorted(found, key=lambda data: (order[data["about"]["mode"]], data["about"]["threads"]))
