"""Tables, charts and files of a record that is calm alone, and of one that is calm and crowded."""

import csv
import sys
import tempfile
import unittest
from pathlib import Path

PEERS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PEERS)]

import chart
import record
import report

ROWS = {"lstm B1 T8 I4 H16 L1": (0.5, 2.0), "lstm B8 T8 I4 H16 L1": (1.25, 0.8)}


def row(peer, crowd, us, ratio):
    return {
        "peer": peer, "crowd": crowd, "status": "ok", "rounds_us": [us, us], "min_us": us, "med_us": us,
        "gflops": round(1e3 / us, 2), "ratio": ratio,
    }  # fmt: skip


def measured(crowded):
    """One mode: this crate takes 100 us calm and 200 us crowded, oneDNN so many times as long as in ROWS."""
    entries = []
    for shape, (calm, beside) in ROWS.items():
        rows = [row("fused-rnn", False, 100.0, 1.0), row("onednn-sycl", False, 100 * calm, calm)]
        if crowded:
            rows += [row("fused-rnn", True, 200.0, 1.0), row("onednn-sycl", True, 200 * beside, beside)]
        rows.append({"peer": "ort", "crowd": False, "status": "skipped", "why": "no", "rounds_us": []})
        limits = {"roofline_us": 50.0, "bound": "reads", "peak_gflops": 100.0, "roofline_gflops": 20.0}
        entry = {"shape": shape, "flops": 1e6, "limits": limits, "rows": rows}
        entries.append(entry | ({"crowded_limits": limits | {"roofline_us": 80.0}} if crowded else {}))
    hello = {"version": "3.13.2", "settings": ""}
    about = {
        "date": "2026-01-01T00:00:00", "command": "", "machine": {"lscpu": {}}, "mode": "fwd", "threads": 1,
        "crate": {"commit": None, "changed": False}, "rounds": 2, "seconds": 0.1, "missing": {},
        "peers": {"fused-rnn": hello, "onednn-sycl": hello, "ort": hello},
    }  # fmt: skip
    if crowded:
        about["crowd"] = {
            "measured_cpus": [0], "neighbour_cpu": 1, "shares_a_core": False, "same_cache": True,
            "shared_cache_bytes": 32 << 20, "neighbour_bytes": 64 << 20, "reader_bytes": 4 << 20,
            "neighbour_gb_s": 20.0, "reader_gb_s": 90.0, "reader_crowded_gb_s": 60.0,
        }  # fmt: skip
    return {"about": about, "shapes": entries}


def cells(table, start):
    line = next(line for line in table.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


class Gaps(unittest.TestCase):
    def test_a_shape_that_this_crate_did_not_run(self):
        for crowded in (False, True):
            data = measured(crowded)
            shape, why = "lstm B1 T8 I4 H16 L1 bi", "not supported: a step of a bidirectional network"
            own = {"peer": "fused-rnn", "status": "failed", "why": why, "rounds_us": [], "min_us": None}
            conditions = record.conditions(data)
            # First, in the middle and alone.
            gap = {"shape": shape, "rows": [own | {"crowd": crowd} for crowd in conditions]}
            for shapes in ([gap, *data["shapes"]], [data["shapes"][0], gap, data["shapes"][1]], [gap]):
                with tempfile.TemporaryDirectory() as folder:
                    folder = Path(folder)
                    record.write(folder, data["about"], shapes)
                    [read] = record.read(folder)
                    self.assertEqual(record.gaps(read), [shape])
                    got = report.write(folder)
                    best = report.best_table(read)
                    self.assertEqual(cells(best, shape)[1:], ["–"] * 6 * len(conditions))
                    self.assertEqual(best.count("\n| lstm"), len(shapes))
                    self.assertIn(f"fused-rnn: failed: {why}", got)
                    self.assertIn(shape, (folder / "fwd-1.svg").read_text())
                    with open(folder / "fwd-1.csv", newline="") as file:
                        lines = [line for line in csv.DictReader(file) if line["shape"] == shape]
                    self.assertEqual([line["med_us"] for line in lines], [""] * len(conditions))


class Conditions(unittest.TestCase):
    def test_a_calm_record(self):
        data = measured(False)
        for entry in data["shapes"]:
            for one in entry["rows"]:
                # As records were before there was a neighbour.
                del one["crowd"]
        got = report.summary([data])
        self.assertEqual(cells(got, "forward, 1 thread")[1:3], ["1 of 2", "0.79"])
        self.assertNotIn("crowded", report.section(data))
        self.assertNotIn("crowded", chart.draw(data, "forward"))

    def test_both_conditions(self):
        data = measured(True)
        got = report.summary([data])
        calm, crowded = cells(got, "forward, 1 thread"), cells(got, "forward, 1 thread, crowded")
        # Peers that win, the mean, the mean without single rows, the worst.
        self.assertEqual(calm[1:5], ["1 of 2", "0.79", "1.25", "0.50 (lstm B1 T8 I4 H16 L1)"])
        self.assertEqual(crowded[1:5], ["1 of 2", "1.26", "0.80", "0.80 (lstm B8 T8 I4 H16 L1)"])
        self.assertIn("over oneDNN 3.13.2", got)
        got = report.losses([data])
        self.assertIn("| lstm B1 T8 I4 H16 L1 | forward, 1 thread | onednn-sycl 50 µs | 100 µs | 0.50 |", got)
        self.assertIn(
            "| lstm B8 T8 I4 H16 L1 | forward, 1 thread, crowded | onednn-sycl 160 µs | 200 µs | 0.80 |", got
        )
        got = cells(report.best_table(data), "lstm B8 T8 I4 H16 L1")
        self.assertEqual(got[1:4], ["onednn-sycl 125 µs", "100 µs", "1.25"])
        self.assertEqual(got[7:10], ["onednn-sycl 160 µs", "200 µs", "0.80"])
        # Both against the calm machine's limit.
        self.assertEqual((got[6], got[12]), ("50 % (reads)", "25 % (reads)"))
        self.assertIn("1.50 times less", report.section(data))

    def test_the_chart_has_two_columns_a_shape(self):
        got = chart.draw(measured(True), "forward")
        self.assertEqual(got.count("fused-rnn, crowded: "), 2)
        self.assertEqual(got.count("onednn-sycl, crowded: "), 2)
        self.assertEqual(got.count("onednn-sycl: "), 2)

    def test_files(self):
        data = measured(True)
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            record.write(folder, data["about"], data["shapes"])
            self.assertEqual(record.read(folder), [data])
            with open(folder / "fwd-1.csv", newline="") as file:
                lines = [line for line in csv.DictReader(file) if line["peer"] == "fused-rnn"]
            got = [(line["crowd"], line["roofline_us"]) for line in lines]
            self.assertEqual(got, [("False", "50.0"), ("True", "80.0")] * 2)
            self.assertIn("crowded", report.write(folder))


if __name__ == "__main__":
    unittest.main()
