"""Layers of Keras's HDF5 files, without Keras: part of export_keras.py.

```text
whole model    attributes model_config, keras_version; group model_weights, as below
weights alone  attribute layer_names; a group for each layer of the model, whose attribute weight_names lists its arrays,
               those of a model within flattened
.weights.h5    Keras 3: no names, arrays as .../lstm/cell/vars/0; with an architecture it is read by Keras itself
```

Within a layer the arrays stand in Keras's order: kernel, recurrent_kernel, bias, forward before backward.
"""
import json
import os
import tempfile

import h5py
import numpy as np
from keras_config import CLASSES, CUDNN, Layer, Refused

PARTS = ("kernel", "recurrent_kernel", "bias")
GATES = {4: "LSTM", 3: "GRU", 1: "SimpleRNN"}
MARKS = ("layers", "_layer_checkpoint_dependencies", "vars", "cell")
SIDES = ("forward_layer", "backward_layer")


def read(path, config, specs, layers_of, out):
    """(layers, out, version) of a file, which is read by its configuration, or as `specs` say (NAME=CLASS,OPTION=VALUE)."""
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
        # (Keras writes its version into all but its first files.)
        version = version or ("2." if old else "3.")
        pools = old_pools(group) if old else new_pools(group)
        if config and not old:
            return list(layers_of(by_keras(path, config))), out, version
        if config:
            return list(by_config(config, pools)), out, version
        if not specs:
            raise Refused(advice(pools))
        return list(by_specs(specs, pools)), out, version


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def attribute(group, name):
    """A list of strings, which Keras cuts into name0, name1, ... where it is long."""
    parts = [name] if name in group.attrs else sorted(
        (key for key in group.attrs if key.startswith(name) and key[len(name):].isdigit()), key=lambda k: int(k[len(name):]))
    return [text(each) for part in parts for each in group.attrs[part]]


def old_pools(group):
    """The arrays of each layer of a model, [(name, array)]."""
    layers = attribute(group, "layer_names")
    return {layer: [(name, group[layer][name][()]) for name in attribute(group[layer], "weight_names")] for layer in layers}


def new_pools(group):
    """The same of Keras 3, by the groups that the arrays are in."""
    pools = {}

    def visit(path, item):
        parts = path.split("/")
        if isinstance(item, h5py.Dataset) and "vars" in parts and "optimizer" not in parts:
            name = "/".join(part for part in parts[:-1] if part not in MARKS + SIDES)
            pools.setdefault(name, []).append((path, item[()]))

    group.visititems(visit)
    return {name: sorted(pool, key=lambda pair: (SIDES[1] in pair[0], pair[0])) for name, pool in pools.items()}


def by_keras(path, config):
    """The model of an architecture, with its weights, by Keras 3."""
    import keras

    model = keras.models.model_from_json(json.dumps(config))
    with tempfile.TemporaryDirectory() as folder:
        # Keras goes by the end of the name.
        link = os.path.join(folder, "model.weights.h5")
        os.symlink(os.path.abspath(path), link)
        model.load_weights(link)
    return model


def by_config(config, pools):
    """The layers of a configuration, with their arrays."""
    for layer in children(config):
        yield from of_config(layer, (), pools.get(name_of(layer), []))
    known = {name_of(layer) for layer in children(config)}
    unknown = [name for name in pools if name not in known and pools[name]]
    if unknown:
        raise Refused(f"the file has weights of {', '.join(unknown)}, which the architecture has not")


def children(config):
    inner = config.get("config")
    layers = inner if isinstance(inner, list) else (inner or {}).get("layers", [])
    return layers if isinstance(layers, list) else []


def name_of(layer):
    return layer["config"]["name"] if isinstance(layer["config"], dict) else layer.get("name", "")


def of_config(layer, path, pool):
    """A layer and those within, of the arrays of `pool`, from which each takes its own."""
    kind, config, path = layer["class_name"], layer["config"], (*path, name_of(layer))
    inner = children(layer)
    if inner:
        pool = list(pool)
        for child in inner:
            # By the model's name where the arrays have it (Keras 3), and else by those of its layers.
            having = lambda names: [pair for pair in pool if names & set(pair[0].split("/"))]
            mine = having({name_of(child)}) or having(names_within(child))
            pool = [pair for pair in pool if not any(pair is each for each in mine)]
            yield from of_config(child, path, mine)
        yield Layer(path, kind, {}, plain(pool), container=True)
        return
    each = Layer(path, kind, config)
    if each.is_recurrent():
        inner = (config.get("layer") or {}).get("class_name", kind)
        directions = 2 if kind == "Bidirectional" else 1
        # (What is of another cell is refused by name where its options are read.)
        known = inner in CLASSES or inner in CUDNN or inner == "RNN" and len(pool) <= 3 * directions
        each.arrays = recurrent(inner, pool, directions, each) if known else plain(pool)
    else:
        each.arrays = plain(pool)
    yield each


def names_within(layer):
    """The names that a layer's arrays may have in theirs: its own, and in Bidirectional those of the directions."""
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
        last if short.count(last) == 1 else name.replace(":0", ""): array for last, (name, array) in zip(short, pool)
    }


def recurrent(kind, pool, directions, layer):
    """The arrays of a recurrent layer by Keras's names, in CuDNN's layers converted."""
    bias = (layer.config.get("layer") or {}).get("config", layer.config).get("use_bias", True)
    count = 3 if bias or kind in CUDNN else 2
    if len(pool) != count * directions:
        name = "/".join(layer.path)
        hint = "; Keras 1 has one array for each gate: load and save the file with Keras 2" if len(pool) >= 9 else ""
        raise Refused(f"{name}: expected {count * directions} arrays, got {len(pool)}{hint}")
    arrays = {}
    for side, prefix in enumerate(("forward.", "backward.") if directions == 2 else ("",)):
        own = [array for _, array in pool[side * count:][:count]]
        if kind in CUDNN:
            own = from_cudnn(*own)
        arrays |= {prefix + part: array for part, array in zip(PARTS, own)}
    return arrays


def from_cudnn(kernel, recurrent_kernel, bias):
    """CuDNNLSTM and CuDNNGRU of Keras 2 keep each gate's block as the bytes of its transpose, and two biases."""
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
        "it has weights alone, which do not say what is computed with them. Give the architecture with --config"
        " model.json, which is what model.to_json() returns; or say of each recurrent layer what it is, with those of"
        f" its options that are not Keras's defaults (--layer NAME=LSTM,activation=relu): {flags}"
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
