#!/usr/bin/env python3
"""Finds circles between files: of a folder, files that use each other, and of `src`, folders that do.

    python3 tests/circles.py [src]

A file uses another where a path names it (`super::rows::Rows`, `crate::cell::lstm::..`), or names what the
folder's `mod.rs` exports from it (`super::Recurrent`). Tests inside a file, or in a `tests.rs` of their own,
do not count, nor do comments. The error type stands below all others and names a few of their types, so an
arrow out of `error.rs` does not count either. Folders without Rust files are passed over.

A circle is a failure, and so is an arrow of `EXPLAINED` that closes none.
"""

import re
import sys
from pathlib import Path

# Arrows that may close a circle, and why: folder, file, file that it uses.
EXPLAINED = {
    ("format/onnx", "model_node", "model"): """
        A model gives its nodes, and a node asks its model for constants: both are public.""",
    ("cell", "weights", "registry"): """
        Weights hold the functions of their cell, as an object its methods, and these take the weights. Apart
        from them, each step of a pass would need both, always of one cell and level.""",
}


def code(path):
    """The text of a file without its tests and comments."""
    text = re.split(r"^#\[cfg\(test\)\]\nmod \w+ \{", path.read_text(), flags=re.M)[0]
    return re.sub(r"//.*", "", text)


def expand(path):
    """`a::{b, c::d}` as its paths, each a list of names."""
    found = re.match(r"^([^{]*)\{(.*)\}$", path, flags=re.S)
    if not found:
        return [[part.strip() for part in path.split(" as ")[0].split("::")]]
    parts, depth, start, inside = [], 0, 0, found[2] + ","
    for at, letter in enumerate(inside):
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            parts.append(inside[start:at].strip())
            start = at + 1
    head = [part for part in found[1].strip().split("::") if part]
    return [head + tail for part in parts if part for tail in expand(part)]


def paths(path):
    """All paths of a file that begin with `crate`, `self` or `super`."""
    text = code(path)
    uses = re.findall(r"\buse\s+([^;]+);", text)
    rest = re.sub(r"\buse\s+[^;]+;", "", text)
    return [names for use in uses for names in expand(use)] + [
        names.split("::") for names in re.findall(r"\b(?:crate|super|self)(?:::\w+)+", rest)
    ]


def exports(module):
    """What a `mod.rs` has from its files: name, file."""
    uses = re.findall(r"\buse\s+([^;]+);", code(module))
    return {names[-1]: names[0] for use in uses for names in expand(use)}


def absolute(names, inside):
    """The path of `names` from the crate's root, in a file of the module `inside`."""
    if names[0] == "crate":
        return names[1:]
    at, names = list(inside), list(names)
    if names[0] not in ("super", "self"):
        return None
    while names and names[0] in ("super", "self"):
        at = at[:-1] if names.pop(0) == "super" else at
    return at + names


def arrows(folder, root):
    """Which child of a folder uses which."""
    children = {p.stem for p in folder.iterdir() if p.is_dir() or p.suffix == ".rs"}
    inside = folder.relative_to(root).parts
    module = folder / ("mod.rs" if inside else "lib.rs")
    module = module if module.exists() else folder.with_suffix(".rs")
    exported = exports(module)
    found = {}
    for name in sorted(children):
        if name in ("mod", "lib", "tests") or (not inside and name == "error"):
            continue
        # (A module may be a file and a folder beside it.)
        files = [folder / f"{name}.rs", *sorted((folder / name).rglob("*.rs"))]
        for path in (path for path in files if path.exists() and path.stem != "tests"):
            own = path.relative_to(root).with_suffix("").parts
            for names in paths(path):
                full = absolute(names, own[:-1] if own[-1] == "mod" else own)
                if full is None or tuple(full[: len(inside)]) != inside or len(full) == len(inside):
                    continue
                to = full[len(inside)]
                to = to if to in children else exported.get(to)
                if to in children and to != name:
                    found.setdefault(name, {}).setdefault(to, f"{path}: {'::'.join(names)}")
    return found


def circle(found):
    """One circle of arrows, or none."""
    done = set()

    def walk(name, way):
        if name in way:
            return way[way.index(name):] + [name]
        if name in done:
            return None
        for to in sorted(found.get(name, {})):
            if back := walk(to, way + [name]):
                return back
        done.add(name)
        return None

    return next((way for name in sorted(found) if (way := walk(name, []))), None)


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "src")
    folders = [root] + sorted(path for path in root.rglob("*") if path.is_dir() and any(path.glob("*.rs")))
    bad = 0
    for folder in folders:
        found = arrows(folder, root)
        for within, one, to in EXPLAINED:
            if folder != root / within:
                continue
            if to not in found.get(one, {}) or not circle(found):
                bad += 1
                print(f"{folder}: no circle has {one} -> {to} any more: take it out of EXPLAINED")
            found.get(one, {}).pop(to, None)
        if way := circle(found):
            bad += 1
            print(f"{folder}: {' -> '.join(way)}")
            for one, to in zip(way, way[1:]):
                print(f"    {found[one][to]}")
    print(f"{len(folders)} folders, {bad} mistakes, {len(EXPLAINED)} circles with a reason")
    sys.exit(bad > 0)


main()
