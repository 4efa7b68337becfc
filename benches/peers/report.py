"""A record as tables and charts: `report.md`, and one SVG per mode and number of threads.

Every ratio is the peer's time over this crate's, so that above one this crate is faster: the median over the
rounds of one round's time over the same round's. Worst shape first. Where the record has runs beside a
neighbour (crowd.py), each table has columns or rows of both conditions, calm and crowded.
"""

import re
from math import exp, log

import chart
import crowd as neighbour
import record

OWN = "fused-rnn"
MODES = {"fwd": "forward", "train": "training step", "step": "one step"}
# What the project aims at: geometric mean over the best peer and over PyTorch; for steps, each shape over the
# best.
TARGETS = {"fwd": (1.2, 1.4), "train": (1.2, 1.6), "step": (1.3, None)}
GRU_TRAIN_OVER_TORCH = 2.5
# Where the best peer stays below this share of the multiply-add peak, this crate should be so many times
# faster.
SLACK, OVER_SLACK = 0.8, 1.1


def mean(ratios):
    """The geometric mean."""
    return exp(sum(map(log, ratios)) / len(ratios)) if ratios else None


def times(ratio):
    return f"{ratio:.2f}" if ratio is not None else "–"


def duration(us):
    return f"{us / 1e6:.3g} s" if us >= 1e6 else f"{us / 1e3:.3g} ms" if us >= 1e3 else f"{us:.3g} µs"


def ranked(entry, crowd):
    """This crate's row, and the peers' that gave the right results, fastest first."""
    rows = record.rows_of(entry, crowd)
    own = next(row for row in rows if row["peer"] == OWN)
    peers = [row for row in rows if row["peer"] != OWN and row["status"] == "ok"]
    return own, sorted(peers, key=lambda row: row["ratio"])


def ratio_of(entry, peer, crowd):
    return next((row["ratio"] for row in ranked(entry, crowd)[1] if row["peer"] == peer), None)


def best_ratio(entry, crowd):
    peers = ranked(entry, crowd)[1]
    return peers[0]["ratio"] if peers else None


def one_row(entry):
    return re.search(r" B1\b", entry["shape"]) is not None


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def worst_first(data, crowd=None):
    """The shapes that some peer runs, by their ratio in one condition, or by the worst of all."""
    among = record.conditions(data) if crowd is None else [crowd]
    entries = [e for e in data["shapes"] if all(best_ratio(e, c) is not None for c in among)]
    return sorted(entries, key=lambda entry: min(best_ratio(entry, c) for c in among))


def best_table(data):
    """Each shape: the best peer, this crate, their ratio, and how near to the machine's limit."""
    rows = []
    for entry in worst_first(data):
        cells = [entry["shape"]]
        for crowd in record.conditions(data):
            own, peers = ranked(entry, crowd)
            of_limit = entry["limits"]["roofline_us"] / own["med_us"]
            cells += [f"{peers[0]['peer']} {duration(peers[0]['med_us'])}", duration(own["med_us"])]
            cells += [times(peers[0]["ratio"]), times(ratio_of(entry, "torch", crowd))]
            cells += [f"{own['gflops']:.1f}", f"{100 * of_limit:.0f} % ({entry['limits']['bound']})"]
        rows.append(cells)
    head = [
        "best peer",
        "this crate",
        "best / ours",
        "PyTorch / ours",
        "GFLOP/s",
        "of the machine's limit",
    ]
    head += [f"crowded: {name}" for name in head] if True in record.conditions(data) else []
    rows += [[shape, *(["–"] * len(head))] for shape in record.gaps(data)]
    return table(["shape", *head], rows)


def peers_table(data, crowd):
    """Each shape against each peer."""

    def ratio(entry, name):
        return ratio_of(entry, name, crowd)

    names = [name for name in data["about"]["peers"] if name != OWN]
    names = [name for name in names if any(ratio(entry, name) is not None for entry in data["shapes"])]
    rows = [
        [entry["shape"], *(times(ratio(entry, name)) for name in names)] for entry in worst_first(data, crowd)
    ]
    means = [mean([r for entry in data["shapes"] if (r := ratio(entry, name)) is not None]) for name in names]
    return table(["shape", *names], [*rows, ["geometric mean", *map(times, means)]])


def verdicts(data, crowd):
    """Where the targets stand, one line each."""
    mode, entries = data["about"]["mode"], worst_first(data, crowd)
    if not entries:
        return ["no peer gave a result"]
    over_best, over_torch = TARGETS[mode]
    lost = [entry["shape"] for entry in entries if best_ratio(entry, crowd) < 1]
    lines = [
        f"A peer is faster at {len(lost)} of {len(entries)} shapes"
        + (f": {'; '.join(lost)}." if lost else ".")
    ]
    best = [best_ratio(entry, crowd) for entry in entries]
    if mode == "step":
        short = [entry["shape"] for entry in entries if best_ratio(entry, crowd) < over_best]
        said = f": {'; '.join(short)}." if short else "."
        lines.append(f"Below the target of {over_best} times the best peer at {len(short)} shapes{said}")
    else:
        short = []
        for entry in entries:
            share = ranked(entry, crowd)[1][0]["gflops"] / entry["limits"]["peak_gflops"]
            if share < SLACK and best_ratio(entry, crowd) < OVER_SLACK:
                short.append(entry["shape"])
        said = f": {'; '.join(short)}." if short else "."
        lines.append(
            f"Best peer below {SLACK:.0%} of peak and this crate not {OVER_SLACK} times as fast "
            f"at {len(short)} shapes{said}"
        )
    target = f" (target {over_best})" if mode != "step" else ""
    lines.append(f"Geometric mean over the best peer of each shape: {times(mean(best))}{target}.")
    torch = {entry["shape"]: r for entry in entries if (r := ratio_of(entry, "torch", crowd)) is not None}
    if torch:
        target = f" (target {over_torch})" if over_torch else ""
        lines.append(f"Geometric mean over PyTorch: {times(mean([*torch.values()]))}{target}.")
        gru = [ratio for shape, ratio in torch.items() if shape.startswith("gru")]
        if mode == "train" and gru:
            lines.append(
                f"Geometric mean over PyTorch's GRU: {times(mean(gru))} (target {GRU_TRAIN_OVER_TORCH})."
            )
    return lines


def left_out(data):
    """Who was not ranked, and why."""
    lines = [f"{name}: missing: {why}" for name, why in data["about"]["missing"].items()]
    reasons = {}
    for entry in data["shapes"]:
        for row in entry["rows"]:
            if row["status"] != "ok":
                # (A dictionary for a set that keeps its order.)
                who = (row["peer"], row["status"], row.get("why", ""))
                reasons.setdefault(who, {})[entry["shape"]] = None
    for (peer, status, why), shapes in reasons.items():
        where = "all shapes" if len(shapes) == len(data["shapes"]) else "; ".join(shapes)
        lines.append(f"{peer}: {status}: {why} ({where})")
    return lines


def heading(data, crowd=False):
    about = data["about"]
    threads = about["threads"]
    return (
        f"{MODES[about['mode']]}, {threads} thread{'s' if threads > 1 else ''}{', crowded' if crowd else ''}"
    )


def section(data):
    about, parts = data["about"], [f"## {heading(data)[0].upper()}{heading(data)[1:]}"]
    if about.get("crowd"):
        parts.append(neighbour.said(about["crowd"]))
    for crowd in record.conditions(data):
        parts += ["Crowded:"] if crowd else []
        parts.append("\n".join(f"- {line}" for line in verdicts(data, crowd)))
    parts.append(best_table(data))
    for crowd in record.conditions(data):
        parts.append(f"Against each peer, its time over ours{', crowded' if crowd else ''}:")
        parts.append(peers_table(data, crowd))
    parts.append(f"![GFLOP/s]({record.stem(about)}.svg)")
    out = left_out(data)
    if out:
        parts.append("Not ranked:\n\n" + "\n".join(f"- {line}" for line in out))
    return "\n\n".join(parts)


def introduction(measurements):
    lines = []
    for data in measurements:
        about = data["about"]
        commit = (about["crate"]["commit"] or "unknown")[:12] + (
            " with changes" if about["crate"]["changed"] else ""
        )
        cpu = about["machine"]["lscpu"]
        cpu = f"{cpu.get('Model name', 'unknown processor')}, {cpu.get('CPU(s)', '?')} CPUs"
        detail = f"{about['rounds']} rounds of {about['seconds']} s"
        lines.append(
            f"- {heading(data)}: {about['date']}, {cpu}, commit {commit}, {detail}, `{about['command']}`"
        )
    settings = {}
    for data in measurements:
        for name, hello in data["about"]["peers"].items():
            settings[name] = [name, hello["version"], hello["settings"]]
    text = "Ratios are a peer's time over this crate's; above 1 this crate is faster. Worst shape first.\n\n"
    return text + "\n".join(lines) + "\n\n" + table(["who", "version", "settings"], list(settings.values()))


def anchors(measurements):
    """The peers whose means stand in the summary, those that were measured: name and title."""
    hello = {name: of for data in measurements for name, of in data["about"]["peers"].items()}
    titles = {"onednn": "oneDNN", "onednn-sycl": "oneDNN", "torch": "PyTorch"}
    return {
        name: f"{title} {hello[name]['version'].split('+')[0]}"
        for name, title in titles.items()
        if name in hello
    }


def summary(measurements):
    """A few lines for the README: shapes where a peer wins first, then the means."""
    over = anchors(measurements)
    head = ["measured", "shapes where a peer wins", "over the best peer", "without single rows", "worst"]
    rows = []
    for data in measurements:
        for crowd in record.conditions(data):
            entries = worst_first(data, crowd)
            best = [best_ratio(entry, crowd) for entry in entries]
            many = [best_ratio(entry, crowd) for entry in entries if not one_row(entry)]
            lost = sum(ratio < 1 for ratio in best)
            worst = f"{times(best[0])} ({entries[0]['shape']})" if best else "–"
            cells = [
                heading(data, crowd),
                f"{lost} of {len(best)}",
                times(mean(best)),
                times(mean(many)),
                worst,
            ]
            for name in over:
                ratios = [ratio_of(entry, name, crowd) for entry in entries]
                cells.append(times(mean([ratio for ratio in ratios if ratio is not None])))
            rows.append(cells)
    return table(head + [f"over {title}" for title in over.values()], rows)


def losses(measurements):
    """Every shape at which a peer is faster."""
    rows = []
    for data in measurements:
        for crowd in record.conditions(data):
            for entry in worst_first(data, crowd):
                own, peers = ranked(entry, crowd)
                if peers[0]["ratio"] < 1:
                    cells = [entry["shape"], heading(data, crowd)]
                    cells += [f"{peers[0]['peer']} {duration(peers[0]['med_us'])}", duration(own["med_us"])]
                    rows.append([*cells, times(peers[0]["ratio"])])
    rows.sort(key=lambda row: row[-1])
    return table(["shape", "measured", "best peer", "this crate", "best / ours"], rows) if rows else "None."


def write(folder):
    """Writes report.md and the charts into the folder of a record, and returns the report."""
    measurements = record.read(folder)
    for data in measurements:
        (folder / f"{record.stem(data['about'])}.svg").write_text(chart.draw(data, heading(data)))
    parts = ["# This crate beside its peers", introduction(measurements), "## Summary", summary(measurements)]
    parts += ["Shapes at which a peer is faster:", losses(measurements), *map(section, measurements)]
    text = "\n\n".join(parts) + "\n"
    (folder / "report.md").write_text(text)
    return text
