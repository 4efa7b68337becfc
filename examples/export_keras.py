"""Writes the layers of a Keras model into one safetensors file, for `fused_rnn::format::keras`.

A recurrent layer NAME becomes tensors NAME/kernel, NAME/recurrent_kernel, NAME/bias (in Bidirectional
NAME/forward.kernel, ...) and metadata NAME/layer, NAME/units and its options. Every other layer with weights
becomes tensors NAME/kernel ... by Keras's names and metadata NAME/class and NAME/config (JSON). NAME is the
layer's own, after those of the models that it is in where it occurs twice: encoder/lstm. What is not in the
file is printed, and is in the metadata `not_exported` (a JSON list). A recurrent layer that the crate cannot
compute (another cell, StackedRNNCells, an activation that is not elementwise) has its weights in the file and
the reason in NAME/refused.

usage: python examples/export_keras.py MODEL OUT.safetensors [--config MODEL.json]
                                       [--layer NAME=CLASS,OPTION=VALUE,...]

MODEL          .keras, .h5 of a whole model (Keras 1, 2 or 3), or .h5 of weights alone with one of the two:
--config FILE  the architecture, as the program that had the model writes it:
               open("model.json", "w").write(model.to_json())
--layer ...    what one recurrent layer is: lstm_1=LSTM or gru=GRU,activation=relu,merge_mode=sum. May be
               repeated.

From Python, with a model at hand: export_keras.write(model, "OUT.safetensors")
needs: numpy, safetensors, h5py; for .keras also keras and one of its backends, without which layers of your
own are arrays alone
"""

import argparse
import json
import zipfile
from pathlib import Path

import numpy as np
from keras_config import Layer, Refused, options_of


def own_weights(layer, inner):
    """The weights of a Keras layer that are in none of the layers within."""
    taken = {id(weight) for each in inner for weight in each.weights}
    return [weight for weight in layer.weights if id(weight) not in taken]


def named(weights, array):
    """Arrays by the names of the weights; of names that are alike, the second and later get a number."""
    arrays = {}
    for weight in weights:
        name, count = weight.name, 2
        while name in arrays:
            name, count = f"{weight.name}_{count}", count + 1
        arrays[name] = array(weight)
    return arrays


def layers_of(model):
    """Every layer of a Keras model, with its path, its configuration and its own arrays."""
    import keras

    array = lambda weight: np.asarray(keras.ops.convert_to_numpy(weight))
    config = lambda layer: {"class_name": type(layer).__name__, "config": layer.get_config()}
    seen = {}

    def cell_arrays(layer, prefix=""):
        return {prefix + name: value for name, value in named(layer.cell.weights, array).items()}

    def walk(layer, path):
        for child in layer._flatten_layers(include_self=False, recursive=False):
            here = (*path, child.name)
            if id(child) in seen:
                yield Layer(here, child.name, {}, {}, same=seen[id(child)])
                continue
            seen[id(child)] = here
            kind, inner = type(child).__name__, child._flatten_layers(include_self=False, recursive=False)
            module = type(child).__module__.split(".")[0]
            if type(child) is keras.layers.Bidirectional and isinstance(
                child.forward_layer, keras.layers.RNN
            ):
                pair = [child.forward_layer, child.backward_layer]
                inside = {
                    "layer": config(pair[0]),
                    "backward_layer": config(pair[1]),
                    "merge_mode": child.merge_mode,
                }
                arrays = cell_arrays(pair[0], "forward.") | cell_arrays(pair[1], "backward.")
                yield Layer(here, kind, inside, arrays, recurrent=True)
            elif isinstance(child, keras.layers.RNN) and hasattr(child.cell, "weights"):
                # A subclass may compute anything.
                kind = kind if module == "keras" else f"{type(child).__module__}.{kind}"
                yield Layer(here, kind, child.get_config(), cell_arrays(child), recurrent=True)
            else:
                try:
                    options = child.get_config()
                except NotImplementedError:
                    options = {}
                yield Layer(
                    here, kind, options, named(own_weights(child, inner), array), container=bool(inner)
                )
                yield from walk(child, here)

    top = own_weights(model, model._flatten_layers(include_self=False, recursive=False))
    yield Layer((model.name,), type(model).__name__, {}, named(top, array), container=True)
    yield from walk(model, ())


def plain(config):
    """A configuration without initialisers, and without the numbers that Keras gives to objects."""
    if isinstance(config, dict):
        left = (
            item
            for item in config.items()
            if "initializer" not in str(item[0]) and item[0] != "shared_object_id"
        )
        return {str(key): plain(value) for key, value in left}
    return [plain(value) for value in config] if isinstance(config, (list, tuple)) else config


def names_of(layers):
    """Path to name: the last part where that is the only one of its kind, and else the path."""
    last = [layer.path[-1] for layer in layers if not layer.same]
    names = {}
    for layer in layers:
        if not layer.same:
            name = layer.path[-1] if last.count(layer.path[-1]) == 1 else "/".join(layer.path)
            base, count = name, 2
            while name in names.values():
                name, count = f"{base}#{count}", count + 1
            names[id(layer)] = name
    return names


def export(layers, version=""):
    """(tensors, metadata, lines to print) of layers. `version`: of the Keras that wrote them."""
    layers = list(layers)
    names = names_of(layers)
    tensors, metadata, lines, missing, without = {}, {}, [], [], []
    for layer in layers:
        if layer.same:
            first = next(each for each in layers if each.path == layer.same and not each.same)
            lines.append(f"{'/'.join(layer.path)}: is {names[id(first)]}, once more")
            continue
        name = names[id(layer)]
        for key, value in layer.arrays.items():
            if value.dtype.kind == "f" or value.dtype.name == "bfloat16":
                tensors[f"{name}/{key}"] = np.ascontiguousarray(value, "float32")
            else:
                missing.append(f"{name}/{key}: {value.dtype}, and not floating-point")
        if layer.is_recurrent():
            try:
                options, notes = options_of(layer, version)
                metadata |= {f"{name}/{key}": value for key, value in options.items()}
                missing += [f"{name}: {note}" for note in notes]
                lines.append(f"{name}: {options['layer']}, {options['units']} units")
            except Refused as reason:
                metadata |= {f"{name}/class": layer.kind, f"{name}/refused": str(reason)}
                missing.append(
                    f"{name}: cannot be computed by the crate ({reason}); its weights are in the file"
                )
        elif layer.arrays:
            metadata |= {
                f"{name}/class": layer.kind,
                f"{name}/config": json.dumps(plain(layer.config), default=str),
            }
            lines.append(f"{name}: {layer.kind}, weights alone: {', '.join(layer.arrays)}")
        elif layer.kind != "InputLayer" and not layer.container:
            without.append(f"{name} ({layer.kind})")
    if without:
        missing.append(f"no weights: {', '.join(without)}")
    metadata |= {"not_exported": json.dumps(missing)} | ({"keras_version": version} if version else {})
    return tensors, metadata, lines + [f"not exported: {each}" for each in missing]


def save(layers, path, version=""):
    """Writes the layers into a safetensors file, and prints what is in it and what is not."""
    from safetensors.numpy import save_file

    tensors, metadata, lines = export(layers, version)
    print("\n".join(lines))
    if not any(key.endswith(("/layer", "/refused")) for key in metadata):
        raise SystemExit("no recurrent layer")
    save_file(tensors, path, metadata)


def write(model, path):
    """Writes a Keras model into a safetensors file."""
    import keras

    save(layers_of(model), path, keras.__version__)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--config")
    parser.add_argument("--layer", action="append", default=[])
    arguments = parser.parse_args()
    try:
        with open(arguments.model, "rb") as file:
            magic = file.read(8)
        if magic == b"\x89HDF\r\n\x1a\n":
            import keras_h5

            config = json.loads(Path(arguments.config).read_text()) if arguments.config else None
            layers, version = keras_h5.read(arguments.model, config, arguments.layer)
        elif magic[:4] == b"PK\x03\x04" and "config.json" in zipfile.ZipFile(arguments.model).namelist():
            if arguments.config or arguments.layer:
                raise Refused("a .keras file has its own architecture: leave --config and --layer out")
            layers, version = of_archive(arguments.model)
        else:
            raise Refused("expected a .keras or .h5 file, got one that is neither a Keras archive nor HDF5")
        save(layers, arguments.out, version)
    except (Refused, OSError) as reason:
        raise SystemExit(f"{arguments.model}: {reason}")


def of_archive(path):
    """(layers, version) of a .keras file: as Keras loads it, and else by its configuration."""
    import keras_h5

    try:
        import keras

        model = keras.models.load_model(path, compile=False)
    except (ImportError, TypeError, ValueError) as error:
        print(
            f"Keras cannot load it ({str(error).strip().splitlines()[0]}), so that it is read by its "
            "configuration: layers within those of your own are arrays alone then. With your classes "
            "imported, export_keras.write(model, OUT) tells them."
        )
        return keras_h5.read_archive(path)
    return list(layers_of(model)), keras_h5.archive_version(zipfile.ZipFile(path))


if __name__ == "__main__":
    main()
