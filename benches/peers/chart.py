"""A chart of one mode and number of threads as SVG, written by hand: for each shape the GFLOP/s of every
ranked peer as a dot, this crate's as a bar, and on top the machine's limit for that shape as a line.

The vertical axis is the share of the machine's limit, so that shapes of all kinds stand in one picture. Where
the record has runs beside a neighbour (crowd.py), a shape has two columns: calm, and crowded with hollow dots,
both as shares of the calm machine's limit.
"""

from html import escape

import record

OWN = "fused-rnn"
LEFT, TOP, COLUMN, HEIGHT, BOTTOM = 64, 56, 46, 320, 190
# Of this crate's bars, calm and crowded.
BARS = {False: "#9cc5a1", True: "#d9c9a3"}
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


def line(x1, y1, x2, y2, paint):
    return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" {paint}/>'


def bar(x, y, width, height, crowd, hint=""):
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width}" height="{height:.1f}" '
        f'fill="{BARS[crowd]}">{hint}</rect>'
    )


def dot(x, y, radius, colour, crowd, hint=""):
    paint = f'fill="white" stroke="{colour}" stroke-width="1.6"' if crowd else f'fill="{colour}"'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" {paint}>{hint}</circle>'


def draw(data, title):
    entries, conditions = data["shapes"], record.conditions(data)
    names = [name for name in data["about"]["peers"] if name != OWN]
    colour = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(names)}
    group = COLUMN * len(conditions)
    right = LEFT + group * len(entries)
    width = max(right, LEFT + COLUMN * 12) + 170
    # The limit is 1; a shape above it (a limit measured in a worse moment) lifts the scale.
    columns = [
        (LEFT + group * k + COLUMN * crowd, crowd, row, entry["limits"]["roofline_us"] / row["med_us"])
        for k, entry in enumerate(entries)
        for crowd in conditions
        for row in record.rows_of(entry, crowd)
        if row["status"] == "ok"
    ]
    top = max([1.0] + [share for *_, share in columns]) * 1.04

    def y(share):
        return TOP + HEIGHT * (1 - share / top)

    cpu = data["about"]["machine"]["lscpu"].get("Model name", "")
    limit = "Limit: multiply-adds or reads of weights, whichever bounds a shape."
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{TOP + HEIGHT + BOTTOM}" '
        f'font-family="sans-serif" fill="#222">',
        f'<rect width="{width}" height="{TOP + HEIGHT + BOTTOM}" fill="white"/>',
        text(LEFT, 22, f"Share of the machine's limit: {title}", 15, extra='font-weight="bold"'),
        text(LEFT, 40, f"{cpu}, {data['about']['date'][:10]}. {limit}", 11),
    ]
    for tenth in range(0, int(top * 10) + 1, 2):
        height = y(tenth / 10)
        if tenth != 10:
            svg.append(line(LEFT, height, right, height, 'stroke="#ddd"'))
        svg.append(text(LEFT - 8, height + 4, f"{tenth * 10} %", anchor="end"))
    svg.append(line(LEFT, y(1), right, y(1), 'stroke="#222" stroke-width="2"'))
    # Bars first: dots lie on them.
    for own in (True, False):
        for x, crowd, row, share in columns:
            if (row["peer"] == OWN) != own:
                continue
            what = f"{row['peer']}{', crowded' if crowd else ''}: {row['gflops']} GFLOP/s, {row['med_us']:.1f} us"
            hint = f"<title>{escape(what)}</title>"
            if own:
                svg.append(bar(x + 8, y(share), COLUMN - 16, HEIGHT * share / top, crowd, hint))
            else:
                place = 12 + (COLUMN - 24) * names.index(row["peer"]) / max(1, len(names) - 1)
                svg.append(dot(x + place, y(share), 3.4, colour[row["peer"]], crowd, hint))
    for k, entry in enumerate(entries):
        middle, rate = LEFT + group * (k + 0.5), entry.get("limits", {}).get("roofline_gflops")
        # (A shape that this crate did not run has a place and nothing in it.)
        if rate is not None:
            svg.append(text(middle, y(1) - 5, f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}", 9, "middle"))
        turn = f'transform="rotate(-60 {middle + 4:.1f} {TOP + HEIGHT + 14})"'
        svg.append(text(middle + 4, TOP + HEIGHT + 14, entry["shape"], 10, "end", turn))
    legend, at = max(right, LEFT + COLUMN * 12) + 16, TOP
    for crowd in conditions:
        svg.append(bar(legend, at, 12, 12, crowd))
        svg.append(text(legend + 18, at + 10, OWN + (", crowded" if crowd else "")))
        at += 20
    for name in names:
        for crowd in conditions:
            svg.append(
                dot(legend + 6 - 7 * (len(conditions) > 1) + 14 * crowd, at + 6, 4, colour[name], crowd)
            )
        svg.append(text(legend + 18 + 6 * (len(conditions) > 1), at + 10, name))
        at += 20
    svg.append(line(legend, at + 6, legend + 12, at + 6, 'stroke="#222" stroke-width="2"'))
    svg.append(text(legend + 18, at + 10, "limit, GFLOP/s"))
    return "\n".join(svg) + "\n</svg>\n"
