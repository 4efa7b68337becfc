"""What the configuration of a Keras layer says, as the options of `fused_rnn::format::keras`: part of
export_keras.py.

Every key of a recurrent layer's configuration is exported, or known to have no effect on what the layer
computes, or refused by name.
"""
import json
from dataclasses import dataclass, field

CLASSES = ("LSTM", "GRU", "SimpleRNN")
# `RNN(LSTMCell(..))` computes what `LSTM(..)` does. CuDNN's layers of Keras 2 are converted when they are
# read.
CELLS = {"LSTMCell": "LSTM", "GRUCell": "GRU", "SimpleRNNCell": "SimpleRNN"}
CUDNN = {"CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU"}
EXPORTED = (
    """units use_bias activation recurrent_activation reset_after go_backwards stateful return_sequences
    return_state zero_output_for_mask dropout recurrent_dropout""".split()
)
# How Keras computes; where training began; what the layer is called and fed with.
WITHOUT_EFFECT = """unroll use_cudnn implementation kernel_initializer recurrent_initializer
    bias_initializer unit_forget_bias seed name trainable dtype batch_input_shape batch_shape input_shape
    input_dim input_length init inner_init forget_bias_init consume_less ragged""".split()
# A part of training's loss and updates alone: told where there is one.
TRAINING = """kernel_regularizer recurrent_regularizer bias_regularizer activity_regularizer kernel_constraint
    recurrent_constraint bias_constraint""".split()
# The elementwise functions of keras.activations, which are those that the crate has.
ELEMENTWISE = (
    """relu leaky_relu relu6 celu elu selu softplus softsign squareplus soft_shrink sparse_plus silu swish
    gelu tanh tanh_shrink sigmoid sparse_sigmoid exponential hard_sigmoid hard_silu hard_swish hard_tanh
    hard_shrink linear mish log_sigmoid""".split()
)


class Refused(Exception):
    """What is not exported, and why."""


@dataclass
class Layer:
    """A layer of a model: `path` are the names from the model down to it; `same` is the path of the layer
    that it is, where a layer is in the model twice. `recurrent` is for classes that are known as such by more
    than their name, and `container` for what has layers within."""

    path: tuple
    kind: str
    config: dict
    arrays: dict = field(default_factory=dict)
    same: tuple = ()
    recurrent: bool = False
    container: bool = False

    def is_recurrent(self):
        if self.recurrent:
            return True
        inner = self.config.get("layer") or {}
        return (
            is_recurrent(self.kind)
            or self.kind == "Bidirectional"
            and is_recurrent(inner.get("class_name", ""))
        )


def is_recurrent(kind):
    return kind in CLASSES or kind in CUDNN or kind == "RNN" or kind.startswith("ConvLSTM")


def is_old(version):
    """Whether this is Keras 1 or 2, of which `hard_sigmoid` is another function. (Of an empty version it is
    not known.)"""
    return version[:2] in ("0.", "1.", "2.")


def activation_of(value, version):
    """An activation as the crate reads it: a name, with parameters after colons."""
    if value is None:
        return "linear"
    if isinstance(value, str):
        if value == "hard_sigmoid" and is_old(version):
            return "hard_sigmoid:0.2:0.5"
        if value == "hard_sigmoid" and not version:
            raise Refused(
                "hard_sigmoid is one function in Keras 1 and 2 and another in Keras 3, and the file does not "
                "say which wrote it: hard_sigmoid:0.2:0.5 is the former, "
                "hard_sigmoid:0.16666667:0.5 the latter"
            )
        if value.split(":")[0] not in ELEMENTWISE:
            raise Refused(f"activation {value} is none of the elementwise functions of keras.activations")
        return value
    kind, config = value.get("class_name"), value.get("config")
    if (
        kind == "function"
        and value.get("module") in ("builtins", "keras.activations")
        and isinstance(config, str)
    ):
        if value.get("registered_name") in (None, "function", config):
            return activation_of(config, version)
    config = config if isinstance(config, dict) else {}
    slope = config.get("negative_slope", config.get("alpha", 0.0)) or 0.0
    if kind == "Activation":
        return activation_of(config.get("activation"), version)
    if kind == "LeakyReLU":
        return f"leaky_relu:{float(slope)!r}"
    if kind == "ELU":
        return f"elu:{float(config.get('alpha', 1.0))!r}"
    if kind == "ReLU" and not config.get("threshold"):
        if config.get("max_value") is None:
            return f"leaky_relu:{float(slope)!r}" if slope else "relu"
        if config["max_value"] == 6 and not slope:
            return "relu6"
    named = config.get("name") or value.get("registered_name") or json.dumps(config)
    what = "a lambda" if kind in (None, "__lambda__") else f"{kind} {named}"
    raise Refused(f"its activation is {what}, and not by name one of keras.activations")


def cell_options(kind, config, version):
    """The options of a single layer, and notes on what of it is not exported."""
    config = dict(config)
    if kind == "RNN":
        cell = config.pop("cell", None) or {}
        if cell.get("class_name") not in CELLS:
            raise Refused(f"its cell is {cell.get('class_name')}, and not LSTMCell, GRUCell or SimpleRNNCell")
        kind = CELLS[cell["class_name"]]
        config |= cell["config"]
    elif kind in CUDNN:
        kind, more = CUDNN[kind], {"reset_after": True} if kind == "CuDNNGRU" else {}
        config |= more | {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}
    elif kind not in CLASSES:
        raise Refused(f"{kind} is not LSTM, GRU or SimpleRNN")
    # Keras 1 and 2, where the key was not yet written.
    if "output_dim" in config:
        config["units"] = config.pop("output_dim")
    if kind == "GRU":
        config.setdefault("reset_after", not is_old(version))
    if config.pop("time_major", False):
        raise Refused("time_major=True: its x is (T, B, I)")
    options, notes = {"layer": kind}, []
    for key, value in config.items():
        if key in ("activation", "recurrent_activation", "inner_activation"):
            options[key.replace("inner", "recurrent")] = activation_of(value, version)
        elif key in EXPORTED:
            if not isinstance(value, (bool, int, float)):
                raise Refused(f"{key}={value!r} is neither a number nor true or false")
            if key.endswith("dropout") and not 0 <= value < 1:
                raise Refused(f"{key}={value!r} is not below 1")
            options[key] = json.dumps(value)
        elif key in TRAINING:
            if value is not None:
                notes.append(f"{key} is not exported, of training alone")
        elif key not in WITHOUT_EFFECT:
            raise Refused(f"option {key}={value!r} is not known")
    if config.get("stateful"):
        notes.append("its current state is not exported")
    dtype = config.get("dtype")
    dtype = dtype if isinstance(dtype, (str, type(None))) else (dtype.get("config") or {}).get("name")
    if dtype not in (None, "float32"):
        notes.append(f"computed in {dtype} by Keras, in float32 here")
    return options, notes


def options_of(layer, version):
    """The options of a recurrent layer as strings, by the names of `fused_rnn::format::keras`, and notes."""
    if layer.kind != "Bidirectional":
        return cell_options(layer.kind, layer.config, version)
    if layer.config.get("time_major"):
        raise Refused("time_major=True: its x is (T, B, I)")
    forward = layer.config["layer"]
    options, notes = cell_options(forward["class_name"], forward["config"], version)
    backward = layer.config.get("backward_layer") or None
    if options.get("go_backwards") == "true":
        raise Refused("its forward layer runs backwards")
    if backward:
        others, _ = cell_options(backward["class_name"], backward["config"], version)
        wanted = options | {"go_backwards": "true"}
        for key in ("activation", "recurrent_activation"):
            if others.get(key) != wanted.get(key):
                options[f"backward_{key}"] = others.get(key)
                wanted[key] = others.get(key)
        # (Keras sets zero_output_for_mask itself.)
        wanted["zero_output_for_mask"] = others.get("zero_output_for_mask")
        differ = [key for key in wanted | others if wanted.get(key) != others.get(key)]
        if differ:
            raise Refused(f"its two directions differ in {', '.join(differ)}")
    return options | {"merge_mode": str(layer.config.get("merge_mode", "concat"))}, notes
