"""Writes the recurrent layers of a Keras 3 model into one safetensors file, for `fused_rnn::format::keras`.

Each layer NAME becomes tensors NAME/kernel, NAME/recurrent_kernel, NAME/bias (in Bidirectional NAME/forward.kernel, ...)
and metadata NAME/layer, NAME/units and its options. Layers within layers are found too; what the crate cannot
compute (other cells, StackedRNNCells) is refused by name.

usage: python examples/export_keras.py MODEL.keras OUT.safetensors
needs: keras, one of its backends, safetensors
"""
import json
import sys

import keras
import numpy as np
from safetensors.numpy import save_file

CLASSES = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)
OPTIONS = ("units", "use_bias", "go_backwards", "activation", "recurrent_activation", "reset_after")


def options_of(layer):
    """The options of a layer as strings, by Keras's names."""
    if type(layer) not in CLASSES:
        raise SystemExit(f"{layer.name}: {type(layer).__name__} is not LSTM, GRU or SimpleRNN")
    config = layer.get_config()
    given = {key: config[key] for key in OPTIONS if key in config}
    if not all(isinstance(value, (str, bool, int)) for value in given.values()):
        raise SystemExit(f"{layer.name}: an activation that is not one of Keras's own by name")
    return {"layer": type(layer).__name__} | {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()
    }


def arrays_of(layer, prefix):
    return {prefix + weight.name: np.asarray(keras.ops.convert_to_numpy(weight), "float32") for weight in layer.cell.weights}


def export(model):
    """(tensors, metadata) of all recurrent layers of a model."""
    tensors, metadata = {}, {}
    for layer in model._flatten_layers(include_self=False):
        name = layer.name
        if isinstance(layer, keras.layers.Bidirectional):
            options = options_of(layer.forward_layer)
            if options_of(layer.backward_layer) != options | {"go_backwards": "true"}:
                raise SystemExit(f"{name}: the two directions differ in more than their direction")
            metadata |= {f"{name}/{key}": value for key, value in options.items()}
            metadata[f"{name}/merge_mode"] = str(layer.merge_mode)
            tensors |= arrays_of(layer.forward_layer, f"{name}/forward.")
            tensors |= arrays_of(layer.backward_layer, f"{name}/backward.")
        elif isinstance(layer, keras.layers.RNN):
            if any(f"{other.name}/merge_mode" in metadata and layer in (other.forward_layer, other.backward_layer)
                   for other in model._flatten_layers() if isinstance(other, keras.layers.Bidirectional)):
                continue
            metadata |= {f"{name}/{key}": value for key, value in options_of(layer).items()}
            tensors |= arrays_of(layer, f"{name}/")
    return tensors, metadata


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    tensors, metadata = export(keras.models.load_model(sys.argv[1]))
    if not tensors:
        raise SystemExit(f"{sys.argv[1]}: no recurrent layer")
    save_file(tensors, sys.argv[2], metadata)
    print("\n".join(sorted({name.split("/")[0] for name in metadata})))


if __name__ == "__main__":
    main()
