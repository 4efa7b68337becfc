"""Layers of Keras's files by their configurations, without Keras: part of export_keras.py.

```text
whole model    attributes model_config, keras_version; group model_weights, as below
weights alone  attribute layer_names; a group for each layer of the model, whose attribute weight_names lists
               its arrays, those of a model within flattened
.weights.h5    Keras 3, and late files of Keras 2: groups by class, arrays as layers/lstm_1/cell/vars/0
.keras         a zip archive of config.json, metadata.json and such a model.weights.h5
```

Within a layer the arrays stand in Keras's order: kernel, recurrent_kernel, bias, forward before backward.
"""

import io
import json
import re
import zipfile

import h5py
import numpy as np
from keras_config import CELLS, CLASSES, CUDNN, Layer, Refused

PARTS = ("kernel", "recurrent_kernel", "bias")
NAMES = {
    "Dense": ("kernel", "bias"),
    "Embedding": ("embeddings",),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}
GATES = {4: "LSTM", 3: "GRU", 1: "SimpleRNN"}
MARKS = ("layers", "_layer_checkpoint_dependencies", "vars", "cell")
SIDES = ("forward_layer", "backward_layer")


def read(path, config, specs):
    """(layers, version) of an HDF5 file, by its configuration, or as `specs` say
    (NAME=CLASS,OPTION=VALUE)."""
    with h5py.File(path, "r") as file:
        version = text(file.attrs.get("keras_version", ""))
        if "model_config" in file.attrs:
            if config or specs:
                raise Refused("the file has its own architecture: leave --config and --layer out")
            config, group = json.loads(text(file.attrs["model_config"])), file["model_weights"]
            version = version or text(group.attrs.get("keras_version", "2."))
        else:
            group = file
        old = any(key.startswith("layer_names") for key in group.attrs)
        pools = old_pools(group) if old else new_pools(group)
        # (Early files do not say; of late weights alone the version is not known, unless the architecture,
        # which says it in Keras 2 alone, is given.)
        version = version or ("2." if old else "")
        if config:
            version = version or config.get("keras_version", "3.")
            return list(by_config(config, pools, old)), version
        if not specs:
            raise Refused(advice(pools))
        return list(by_specs(specs, pools)), version


def read_archive(path):
    """(layers, version) of a .keras file, by its configuration, without Keras."""
    with zipfile.ZipFile(path) as archive:
        config, version = json.loads(archive.read("config.json")), archive_version(archive)
        with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as file:
            return list(by_config(config, new_pools(file), False)), version


def archive_version(archive):
    """The version of Keras that wrote a .keras file."""
    return json.loads(archive.read("metadata.json"))["keras_version"]


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def attribute(group, name):
    """A list of strings, which Keras cuts into name0, name1, ... where it is long."""
    parts = (
        [name]
        if name in group.attrs
        else sorted(
            (key for key in group.attrs if key.startswith(name) and key[len(name) :].isdigit()),
            key=lambda k: int(k[len(name) :]),
        )
    )
    return [text(each) for part in parts for each in group.attrs[part]]


def old_pools(group):
    """The arrays of each layer of a model, [(name, array)]."""
    layers = attribute(group, "layer_names")
    return {
        layer: [(name, group[layer][name][()]) for name in attribute(group[layer], "weight_names")]
        for layer in layers
    }


def new_pools(group):
    """The same of Keras 3, by the groups that the arrays are in."""
    pools = {}

    def visit(path, item):
        parts = path.split("/")
        if isinstance(item, h5py.Dataset) and "vars" in parts and "optimizer" not in parts:
            name = "/".join(part for part in parts[:-1] if part not in MARKS + SIDES)
            pools.setdefault(name, []).append((path, item[()]))

    group.visititems(visit)
    return {
        name: sorted(pool, key=lambda pair: (SIDES[1] in pair[0], pair[0])) for name, pool in pools.items()
    }


class Flat:
    """The arrays of a layer and of those within, in one list, from which each of those takes its own by their
    names."""

    def __init__(self, arrays):
        self.arrays = arrays

    def own(self):
        return self.arrays

    def wrapped(self):
        return self

    def within(self, layers):
        for layer in layers:
            # By the model's name where the arrays have it (Keras 3), and else by those of its layers.
            having = lambda names: [pair for pair in self.arrays if names & set(pair[0].split("/"))]
            mine = having({name_of(layer)}) or having(names_within(layer))
            self.arrays = [pair for pair in self.arrays if not any(pair is each for each in mine)]
            yield layer, Flat(mine)


class Tree:
    """The arrays of a layer by its group, which Keras names after the class, with a number from the second
    one on."""

    def __init__(self, pools, key=""):
        self.pools, self.key = pools, key

    def own(self):
        """All that nothing within has taken."""
        mine = [name for name in self.pools if name == self.key or name.startswith(f"{self.key}/")]
        return [pair for name in mine for pair in self.pools.pop(name)]

    def wrapped(self):
        return Tree(self.pools, f"{self.key}/layer")

    def within(self, layers):
        seen = {}
        for layer in layers:
            kind = re.sub(r"\W", "", layer["class_name"].split(">")[-1])
            kind = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)).lower()
            count = seen[kind] = seen.get(kind, -1) + 1
            name = f"{kind}_{count}" if count else kind
            yield layer, Tree(self.pools, f"{self.key}/{name}" if self.key else name)


def by_config(config, pools, old):
    """The layers of a configuration, with their arrays, and whatever arrays are in none of them."""
    pools = dict(pools)
    if old:
        layers = [(layer, Flat(pools.pop(name_of(layer), []))) for layer in children(config)]
    else:
        layers = Tree(pools).within(children(config))
    for layer, pool in layers:
        yield from of_config(layer, (), pool)
    for name, pool in pools.items():
        yield Layer(tuple(name.split("/")), "unknown", {}, plain(pool))


def children(config):
    inner = config.get("config")
    layers = inner if isinstance(inner, list) else (inner or {}).get("layers", [])
    return layers if isinstance(layers, list) else []


def name_of(layer):
    return layer["config"]["name"] if isinstance(layer["config"], dict) else layer.get("name", "")


def of_config(layer, path, pool):
    """A layer and those within, with their arrays."""
    kind, config, path = layer["class_name"], layer["config"], (*path, name_of(layer))
    if children(layer):
        for child, arrays in pool.within(children(layer)):
            yield from of_config(child, path, arrays)
        yield Layer(path, kind, {}, plain(pool.own()), container=True)
        return
    each = Layer(path, kind, config)
    inner = config.get("layer")
    if each.is_recurrent():
        single = inner or layer
        cell = single["class_name"]
        if cell == "RNN":
            cell = CELLS.get((single["config"].get("cell") or {}).get("class_name"))
        # (What is of another cell is refused by name where its options are read.)
        known = cell in CLASSES or cell in CUDNN
        directions = 2 if kind == "Bidirectional" else 1
        each.arrays = recurrent(cell, pool.own(), directions, each) if known else plain(pool.own())
    elif isinstance(inner, dict) and "class_name" in inner:
        yield from of_config(inner, path, pool.wrapped())
        each.container = True
    else:
        arrays = list(plain(pool.own()).items())
        names = NAMES.get(kind, ("kernel", "bias") if kind.startswith("Conv") else ())
        # Numbers, where the file has no names, become those that the layer gives its arrays.
        fits = len(arrays) == len(names) or len(arrays) == 1 and names == ("kernel", "bias")
        renamed = fits and all(name.isdigit() for name, _ in arrays)
        each.arrays = {names[k] if renamed else name: array for k, (name, array) in enumerate(arrays)}
    yield each


def names_within(layer):
    """The names that a layer's arrays may have in theirs: its own, and in Bidirectional those of the
    directions."""
    names = {name_of(layer)}
    for child in children(layer):
        names |= names_within(child)
    inner = layer["config"].get("layer") if isinstance(layer["config"], dict) else None
    if isinstance(inner, dict):
        names |= {f"forward_{name_of(inner)}", f"backward_{name_of(inner)}"}
    return names


def plain(pool):
    """Arrays by the last part of their names, or by all of it where that is not the only one."""
    short = [name.split("/")[-1].split(":")[0] for name, _ in pool]
    return {
        last if short.count(last) == 1 else name.replace(":0", ""): array
        for last, (name, array) in zip(short, pool)
    }


def recurrent(kind, pool, directions, layer):
    """The arrays of a recurrent layer by Keras's names, in CuDNN's layers converted."""
    both = [(layer.config.get(key) or {}).get("config") for key in ("layer", "backward_layer")]
    both = [both[0] or layer.config, both[1] or both[0] or {}]
    both = [each | ((each.get("cell") or {}).get("config") or {}) for each in both]
    bias = both[0].get("use_bias", True)
    count = 3 if bias or kind in CUDNN else 2
    if len(pool) != count * directions:
        name = "/".join(layer.path)
        hint = (
            "; Keras 1 has one array for each gate: load and save the file with Keras 2"
            if len(pool) >= 9
            else ""
        )
        raise Refused(f"{name}: expected {count * directions} arrays, got {len(pool)}{hint}")
    arrays = {}
    for side, prefix in enumerate(("forward.", "backward.") if directions == 2 else ("",)):
        own = [array for _, array in pool[side * count:][:count]]
        if kind in CUDNN:
            own = from_cudnn(*own)
        units, shapes = both[side].get("units"), [array.shape for array in own]
        if len(shapes[1]) != 2 or units not in (None, shapes[1][0]) or shapes[0][1:] != shapes[1][1:]:
            raise Refused(f"{'/'.join(layer.path)}: arrays of shapes {shapes} for {units} units")
        arrays |= {prefix + part: array for part, array in zip(PARTS, own)}
    return arrays


def from_cudnn(kernel, recurrent_kernel, bias):
    """CuDNNLSTM and CuDNNGRU of Keras 2 keep each gate's block as the bytes of its transpose, and two
    biases."""
    gates = recurrent_kernel.shape[1] // recurrent_kernel.shape[0]
    blocks = lambda matrix, turn: np.hstack([turn(block) for block in np.hsplit(matrix, gates)])
    kernel = blocks(kernel, lambda block: block.reshape(block.shape[::-1]).T)
    recurrent_kernel = blocks(recurrent_kernel, lambda block: block.T)
    bias = bias.reshape(2, -1)
    return kernel, recurrent_kernel, bias if gates == 3 else bias.sum(axis=0)


def guess(pool):
    """(class, units, inputs, directions) of arrays that a recurrent layer may have, or None."""
    arrays = [array for _, array in pool]
    directions = 2 if len(arrays) in (4, 6) else 1
    if len(arrays) not in (2, 3, 4, 6) or any(array.ndim != 2 for array in arrays[:2]):
        return None
    (inputs, columns), (units, same) = arrays[0].shape, arrays[1].shape
    if not units or columns != same or columns % units or columns // units not in GATES:
        return None
    return GATES[columns // units], units, inputs, directions


def advice(pools):
    found = {name: guess(pool) for name, pool in pools.items()}
    some = [(name, kind) for name, kind in found.items() if kind]
    like = "; ".join(
        f"{name} may be {'two ' if sides == 2 else ''}{kind}, {units} units, {inputs} inputs"
        for name, (kind, units, inputs, sides) in some
    )
    flag = lambda name, kind, sides: f"--layer {name}={kind}{',merge_mode=concat' if sides == 2 else ''}"
    flags = " ".join(flag(name, kind, sides) for name, (kind, _, _, sides) in some) or "--layer NAME=LSTM"
    return (
        "it has weights alone, which do not say what is computed with them. Give the architecture with "
        "--config model.json, which is what model.to_json() returns; or say of each recurrent layer what it "
        f"is, with those of its options that are not Keras's defaults (--layer NAME=LSTM,activation=relu): "
        f"{flags}"
        f"\nFound: {like or 'no recurrent layer'}"
    )


def by_specs(specs, pools):
    """The layers that --layer names, with their arrays, and all others as arrays alone."""
    pools = dict(pools)
    for spec in specs:
        name, _, rest = spec.partition("=")
        kind, *options = rest.split(",")
        if name not in pools:
            raise Refused(f"--layer {spec}: there is no {name}, but {', '.join(pools)}")
        pool = pools.pop(name)
        found = guess(pool)
        cudnn = kind in CUDNN
        if not found or found[0] != CUDNN.get(kind, kind):
            raise Refused(f"--layer {spec}: {name} has arrays {[array.shape for _, array in pool]}")
        directions = found[3]
        config = {"units": found[1], "use_bias": len(pool) == 3 * directions}
        if kind == "GRU" and config["use_bias"]:
            config["reset_after"] = pool[2][1].ndim == 2
        if len(pool) == 3 * directions and not cudnn and pool[2][1].size > pool[0][1].shape[1] * 2:
            raise Refused(f"--layer {spec}: the bias of {name} has shape {pool[2][1].shape}")
        merge = "concat"
        for option in options:
            key, _, value = option.partition("=")
            if key == "merge_mode" and directions == 2:
                merge = None if value == "None" else value
            else:
                config[key] = value_of(value)
        if kind == "GRU" and not config["use_bias"] and "reset_after" not in config:
            raise Refused(
                f"--layer {spec}: without a bias, nothing in the file says it: add ,reset_after=true or false"
            )
        layer = Layer(tuple(name.split("/")), kind, config)
        if directions == 2:
            inner = {"class_name": kind, "config": config}
            layer = Layer(layer.path, "Bidirectional", {"layer": inner, "merge_mode": merge})
        layer.arrays = recurrent(kind, pool, directions, layer)
        yield layer
    for name, pool in pools.items():
        yield Layer(tuple(name.split("/")), "unknown", {}, plain(pool))


def value_of(value):
    """A value of an option of the command line: true, false, a number or a name."""
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return {"True": True, "False": False, "None": None}.get(value, value)
