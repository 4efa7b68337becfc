"""The workers of one mode and number of threads, and how they take turns."""

import contextlib
import json
import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from protocol import Shape
from worker import Died, Worker
from workers_list import PEERS, PRECISIONS, Missing, build_own, peer_environment

OWN = "fused-rnn"
# The largest difference of each result tensor from this crate's, over the largest value of that tensor.
TOLERANCE = {
    "f32": {"fwd": 1e-4, "step": 1e-4, "train": 1e-3},
    "bf16": {"fwd": 2e-2, "step": 2e-2, "train": 5e-2},
    "int8": {"fwd": 5e-2, "step": 5e-2},
}
# Steps that are checked in step mode.
CHECKED_STEPS = 8
# What of the machine's limits is measured again beside the neighbour.
ROOFLINE = ("peak_gflops", "read_gb_s", "bound", "roofline_gflops", "roofline_us")


def build_all(names, level, precision="f32"):
    """This crate's command in one of its precisions, the commands of the peers that have such, and why the
    others are missing."""
    print("building this crate's grid", flush=True)
    own = build_own(level, precision)
    commands, missing = {}, {}
    for peer in PEERS:
        if PRECISIONS[precision] not in peer.precisions.split():
            continue
        if names is None or peer.name in names:
            try:
                commands[peer.name] = (peer, peer.build())
                print(f"{peer.name}: built", flush=True)
            except (Missing, OSError) as reason:
                missing[peer.name] = str(reason)
    return own, commands, missing


@dataclass
class Case:
    """One shape's files."""

    shape: Shape
    mode: str
    folder: Path

    @property
    def checked(self):
        """The shape as the workers run it."""
        return replace(self.shape, steps=CHECKED_STEPS) if self.mode == "step" else self.shape

    def make(self, with_model, in_bytes=False):
        """Inputs in [-1, 1) and weights as PyTorch begins, in float32, from a fixed seed; the model with weights
        of int8, if those of peers are."""
        shape, rng = self.checked, np.random.default_rng(1)
        x = rng.uniform(-1, 1, shape.steps * shape.batch * shape.input)
        limit = 1 / np.sqrt(shape.hidden)
        parameters = rng.uniform(-limit, limit, shape.parameters()).astype("<f4")
        np.concatenate([x.astype("<f4"), parameters]).tofile(self.folder / "data")
        if with_model:
            from as_onnx import onnx_model, quantized

            model = onnx_model(shape, shape.split(parameters), self.mode == "step")
            (self.folder / "model.onnx").write_bytes(quantized(model) if in_bytes else model)

    def request(self, name):
        return {
            "cmd": "prepare",
            "shape": str(self.checked),
            "mode": self.mode,
            "data": str(self.folder / "data"),
            "model": str(self.folder / "model.onnx"),
            "out": str(self.folder / name),
        }

    def tensors(self, name):
        """The results by tensor."""
        shape, flat = self.checked, np.fromfile(self.folder / name, dtype="<f4")
        sizes = [shape.steps * shape.batch * shape.hidden * shape.directions]
        if self.mode == "train":
            sizes.append(shape.steps * shape.batch * shape.input)
            sizes += [int(np.prod(tensor)) for tensor in shape.tensors()]
        if len(flat) != sum(sizes):
            raise ValueError(f"expected {sum(sizes)} results, got {len(flat)}")
        return np.split(flat, np.cumsum(sizes)[:-1])

    def difference(self, name):
        """The largest difference of a tensor from this crate's, over that tensor's largest value."""
        worst = 0.0
        for own, theirs in zip(self.tensors(OWN), self.tensors(name)):
            if not np.isfinite(theirs).all():
                return float("inf")
            worst = max(worst, float(np.abs(own - theirs).max() / max(np.abs(own).max(), 1e-6)))
        return worst


class Session:
    """All workers of one mode, number of threads and precision; with a `Crowd` each run is timed calm and
    crowded."""

    def __init__(self, own, peers, mode, threads, logs, precision="f32", crowd=None):
        self.mode, self.threads, self.logs, self.precision = mode, threads, logs, precision
        self.crowd = crowd
        self.tolerance = TOLERANCE[PRECISIONS[precision]].get(mode)
        logs.mkdir(parents=True, exist_ok=True)
        self.commands = {OWN: own(threads)}
        self.models, self.lengths = set(), {OWN}
        self.workers, self.missing = {}, {}
        for name, (peer, command) in peers.items():
            if mode in peer.modes.split():
                self.commands[name] = command(threads)
                if peer.needs_model:
                    self.models.add(name)
                if peer.lengths:
                    self.lengths.add(name)
        self.folder = tempfile.TemporaryDirectory(prefix="fused-rnn-peers-")
        for name in list(self.commands):
            try:
                self.start(name)
            except (Died, OSError, json.JSONDecodeError) as reason:
                self.missing[name] = str(reason)
                del self.commands[name]
                print(f"{name}: skipped: {reason}", flush=True)
        if OWN in self.missing:
            raise SystemExit(f"{OWN}: {self.missing[OWN]}")

    def start(self, name):
        log = self.logs / f"{name}-{self.mode}-{self.threads}.log"
        environment = peer_environment(self.threads, self.precision)
        cpus = self.crowd.place.measured if self.crowd else None
        self.workers[name] = Worker(name, self.commands[name], log, environment, cpus)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self.workers.values():
            worker.close()
        self.folder.cleanup()

    def settings(self):
        return {name: worker.hello for name, worker in self.workers.items()}

    def prepare(self, case, name):
        """Prepares and checks one worker; returns its row."""
        row = {"peer": name, "status": "ok", "rounds_us": [], "min_us": None}
        if case.shape.shortest is not None and name not in self.lengths:
            return row | {"status": "skipped", "why": "its worker takes no lengths"}
        try:
            if self.workers[name].process.poll() is not None:
                self.start(name)
            reply = self.workers[name].ask(600, **case.request(name))
        except (Died, OSError, json.JSONDecodeError) as reason:
            return row | {"status": "failed", "why": str(reason)}
        if "skip" in reply or "error" in reply:
            status = "skipped" if "skip" in reply else "failed"
            return row | {"status": status, "why": reply.get("skip") or reply.get("error")}
        row |= {key: value for key, value in reply.items() if key != "ok"}
        if name != OWN:
            try:
                row["difference"] = case.difference(name)
            except ValueError as error:
                return row | {"status": "differs", "why": str(error)}
            if row["difference"] > self.tolerance:
                why = (
                    f"results differ by {row['difference']:.2g} of the largest, allowed {self.tolerance:.0e}"
                )
                return row | {"status": "differs", "why": why}
        return row

    def compare(self, shape_text, rounds, seconds, slow):
        """Checks all, times them in turns, and returns the shape's entry: one without times where this crate does
        not run the shape."""
        shape = Shape.parse(shape_text)
        case = Case(shape, self.mode, Path(self.folder.name))
        in_bytes = PRECISIONS[self.precision] == "int8" and shape.cell == "lstm"
        case.make(bool(self.models & set(self.workers)), in_bytes)
        rows = {name: self.prepare(case, name) for name in self.commands}
        if rows[OWN]["status"] != "ok":
            return self.gap(shape_text, rows[OWN])
        limits = {"limits": self.workers[OWN].ask(120, cmd="limits")}
        if self.crowd:
            with self.crowd.around():
                reply = self.workers[OWN].ask(120, cmd="limits")
            limits["crowded_limits"] = {key: reply[key] for key in ROOFLINE}
        # Of each condition: the same rows, each with times of its own.
        conditions = {
            crowd: {name: row | {"crowd": crowd, "rounds_us": []} for name, row in rows.items()}
            for crowd in ((False, True) if self.crowd else (False,))
        }
        for turn in range(rounds):
            for name in rows:
                # By turns which is first.
                for crowd in sorted(conditions, reverse=turn % 2 == 1):
                    row, own = conditions[crowd][name], conditions[crowd][OWN]
                    if row["status"] == "ok" and not (
                        turn and row["rounds_us"][0] > slow * own["rounds_us"][0]
                    ):
                        self.time(row, seconds)
                    if own["status"] != "ok":
                        return self.gap(shape_text, own)
        flops = 2 * shape.weights() * (shape.batch if self.mode == "step" else shape.row_steps())
        flops *= 3 if self.mode == "train" else 1
        for rows in conditions.values():
            for row in rows.values():
                if row["status"] == "ok":
                    row["med_us"] = statistics.median(row["rounds_us"])
                    row["gflops"] = round(flops / row["med_us"] / 1e3, 2)
                    # Of one round with one round, in the same weather.
                    pairs = zip(row["rounds_us"], rows[OWN]["rounds_us"])
                    row["ratio"] = round(statistics.median(theirs / ours for theirs, ours in pairs), 4)
            self.say(shape_text, rows, limits)
        rows = [row for rows in conditions.values() for row in rows.values()]
        return {"shape": shape_text, "flops": flops, **limits, "rows": rows}

    def gap(self, shape_text, own):
        """The entry of a shape that this crate does not run in this mode, and that nobody is ranked at."""
        print(f"\n{shape_text}, {self.mode}: {OWN} {own['status']}: {own['why']}", flush=True)
        rows = [own | {"crowd": crowd, "rounds_us": []} for crowd in ((False, True) if self.crowd else (False,))]
        return {"shape": shape_text, "rows": rows}

    def time(self, row, seconds):
        """One timed run of a row's worker, beside the neighbour where the row is a crowded one."""
        try:
            with self.crowd.around() if row["crowd"] else contextlib.nullcontext():
                reply = self.workers[row["peer"]].ask(60 + 100 * seconds, cmd="time", seconds=seconds)
            if "error" in reply:
                raise Died(reply["error"])
        except Died as reason:
            row |= {"status": "failed", "why": str(reason)}
            return
        row["rounds_us"].append(round(reply["med_us"], 4))
        row["min_us"] = min(row["min_us"] or reply["min_us"], reply["min_us"])
        if row["crowd"]:
            row.setdefault("neighbour_gb_s", []).append(round(self.crowd.rate, 2))

    def say(self, shape_text, rows, limits):
        crowd = rows[OWN]["crowd"]
        limit = limits["crowded_limits" if crowd else "limits"]["roofline_us"]
        what = f"{shape_text}, {self.mode}, {self.threads} thread(s){', crowded' if crowd else ''}"
        print(f"\n{what}, limit {limit:.2f} us", flush=True)
        ranked = sorted(
            (row for row in rows.values() if row["status"] == "ok"), key=lambda row: row["med_us"]
        )
        for row in ranked:
            note = f"difference {row['difference']:.1e}" if "difference" in row else ""
            one = "" if len(row["rounds_us"]) > 1 else "one round "
            variant = row.get("variant") or ""
            print(
                f"  {row['peer']:12}{row['med_us']:14.2f} us {row['ratio']:8.2f} x   {note}  {one}{variant}"
            )
        for row in rows.values():
            if row["status"] != "ok":
                print(f"  {row['peer']:12}{row['status']}: {row['why']}", flush=True)
