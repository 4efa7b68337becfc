"""A chart of one mode and number of threads as SVG, written by hand: for each shape the GFLOP/s of every
ranked peer as a dot, this crate's as a bar, and on top the machine's limit for that shape as a line.

The vertical axis is the share of the machine's limit, so that shapes of all kinds stand in one picture.
"""
from html import escape

OWN = "fused-rnn"
LEFT, TOP, COLUMN, HEIGHT, BOTTOM = 64, 56, 46, 320, 190
COLOURS = [
    "#c0392b",
    "#2471a3",
    "#b7950b",
    "#7d3c98",
    "#117a65",
    "#ca6f1e",
    "#566573",
    "#d4749e",
    "#1abc9c",
    "#8d6e63",
]


def text(x, y, words, size=11, anchor="start", extra=""):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" '
        f'font-size="{size}" text-anchor="{anchor}" {extra}>{escape(words)}</text>'
    )


def draw(data, title):
    entries = data["shapes"]
    names = [name for name in data["about"]["peers"] if name != OWN]
    colour = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(names)}
    width = LEFT + COLUMN * max(len(entries), 12) + 140
    # The limit is 1; a shape above it (a limit measured in a worse moment) lifts the scale.
    shares = [
        [
            (row, entry["limits"]["roofline_us"] / row["med_us"])
            for row in entry["rows"]
            if row["status"] == "ok"
        ]
        for entry in entries
    ]
    top = max([1.0] + [share for column in shares for _, share in column]) * 1.04

    def y(share):
        return TOP + HEIGHT * (1 - share / top)

    cpu = data["about"]["machine"]["lscpu"].get("Model name", "")
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{TOP + HEIGHT + BOTTOM}" '
        f'font-family="sans-serif" fill="#222">',
        f'<rect width="{width}" height="{TOP + HEIGHT + BOTTOM}" fill="white"/>',
        text(LEFT, 22, f"Share of the machine's limit: {title}", 15, extra='font-weight="bold"'),
        text(
            LEFT,
            40,
            f"{cpu}, {data['about']['date'][:10]}. "
            "Limit: multiply-adds or reads of weights, whichever bounds a shape.",
            11,
        ),
    ]
    for tenth in range(0, int(top * 10) + 1, 2):
        line = y(tenth / 10)
        if tenth != 10:
            svg.append(
                f'<line x1="{LEFT}" x2="{LEFT + COLUMN * len(entries)}" '
                f'y1="{line:.1f}" y2="{line:.1f}" stroke="#ddd"/>'
            )
        svg.append(text(LEFT - 8, line + 4, f"{tenth * 10} %", anchor="end"))
    svg.append(
        f'<line x1="{LEFT}" x2="{LEFT + COLUMN * len(entries)}" '
        f'y1="{y(1):.1f}" y2="{y(1):.1f}" stroke="#222" stroke-width="2"/>'
    )
    for k, (entry, column) in enumerate(zip(entries, shares)):
        x = LEFT + COLUMN * k
        limit = entry["limits"]["roofline_gflops"]
        svg.append(
            text(x + COLUMN / 2, y(1) - 5, f"{limit:.0f}" if limit >= 10 else f"{limit:.1f}", 9, "middle")
        )
        for row, share in column:
            hint = f"<title>{escape(row['peer'])}: {row['gflops']} GFLOP/s, {row['med_us']:.1f} us</title>"
            if row["peer"] == OWN:
                bar = (
                    f'x="{x + 8}" y="{y(share):.1f}" '
                    f'width="{COLUMN - 16}" height="{HEIGHT * share / top:.1f}"'
                )
                svg.append(f'<rect {bar} fill="#9cc5a1">{hint}</rect>')
        others = [(row, share) for row, share in column if row["peer"] != OWN]
        for row, share in others:
            hint = f"<title>{escape(row['peer'])}: {row['gflops']} GFLOP/s, {row['med_us']:.1f} us</title>"
            place = 12 + (COLUMN - 24) * names.index(row["peer"]) / max(1, len(names) - 1)
            svg.append(
                f'<circle cx="{x + place:.1f}" cy="{y(share):.1f}" '
                f'r="3.4" fill="{colour[row["peer"]]}">{hint}</circle>'
            )
        turn = f'transform="rotate(-60 {x + COLUMN / 2 + 4:.1f} {TOP + HEIGHT + 14})"'
        svg.append(text(x + COLUMN / 2 + 4, TOP + HEIGHT + 14, entry["shape"], 10, "end", turn))
    legend = LEFT + COLUMN * max(len(entries), 12) + 16
    svg.append(f'<rect x="{legend}" y="{TOP}" width="12" height="12" fill="#9cc5a1"/>')
    svg.append(text(legend + 18, TOP + 10, OWN))
    for k, name in enumerate(names):
        line = TOP + 20 * (k + 1)
        svg.append(f'<circle cx="{legend + 6}" cy="{line + 6}" r="4" fill="{colour[name]}"/>')
        svg.append(text(legend + 18, line + 10, name))
    line = TOP + 20 * (len(names) + 1)
    svg.append(
        f'<line x1="{legend}" x2="{legend + 12}" y1="{line + 6}" y2="{line + 6}" '
        'stroke="#222" stroke-width="2"/>'
    )
    svg.append(text(legend + 18, line + 10, "limit, GFLOP/s"))
    return "\n".join(svg) + "\n</svg>\n"
