"""Networks on NumPy arrays: `LSTM`, `GRU`, `RNN`, and what they have in common, `Network`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Union

import numpy as np

from . import _arrays, _fused_rnn

#: h, (layers * directions, B, H); of an LSTM the pair (h, c), of an sLSTM (h, c, n, m).
State = Union[np.ndarray, "tuple[np.ndarray, ...]"]
#: A name, or a name and parameters: "tanh", ("leaky_relu", 0.2).
Activation = Union[str, "tuple[Any, ...]"]


class Gradients(NamedTuple):
    """What `Network.backward` gives; None where a gradient was not wanted."""

    #: By name, in the shapes of `Network.parameters`.
    parameters: dict[str, np.ndarray] | None
    #: In the shape of x.
    x: np.ndarray | None
    #: As the initial state: h, or (h, c).
    state: State | None


class Tape:
    """What `Network.forward_train` keeps for `Network.backward`, with the parameters of then."""

    __slots__ = ("_native", "_network")

    def __init__(self, native: _fused_rnn.Tape, network: Network) -> None:
        self._native, self._network = native, network

    @property
    def nbytes(self) -> int:
        """The bytes that it holds."""
        return self._native.nbytes


class Network:
    """A recurrent network: one cell, in one or more layers, in one or both directions.

    Arrays are float32. Sequences are (B, T, I), or (T, B, I) with `batch_first=False`; states are
    (layers * directions, B, H) in either case. Rows may have lengths of their own (`lengths`), steps that are
    left out (`mask`), and places where their state begins anew (`resets`).

    Bit for bit, a row does not depend on the batch, its neighbours or padding; a sequence may be cut
    anywhere, and steps give what the whole sequence gives; and nothing depends on the number of threads.

    A wrong argument is a ValueError that says what was expected and what was got, or a TypeError where it has
    the wrong type; nothing has been written then. Threads may share a network. Long calls do not hold
    Python's lock.
    """

    __slots__ = ("_native",)
    _native: _fused_rnn.Network

    def __init__(self, kind: str, input_size: int, hidden_size: int, **options: Any) -> None:
        """Makes a network of a cell by its name: "lstm", "gru", "gru_reset_before", "rnn_tanh", "rnn_relu",
        "min_gru", "min_lstm", "ind_rnn", "lstm_mult", "slstm".

        The classes, `LSTM` and so on, are the usual way, and list the options.
        """
        sizes = _arrays.count("input_size", input_size), _arrays.count("hidden_size", hidden_size)
        self._native = _fused_rnn.Network(kind, *sizes, options)

    @classmethod
    def _of(cls, native: _fused_rnn.Network) -> Network:
        """The network of the class of its cell."""
        self = object.__new__(_CLASSES[native.kind])
        self._native = native
        return self

    @property
    def kind(self) -> str:
        """The cell by its name, as `Network` takes it."""
        return self._native.kind

    @property
    def input_size(self) -> int:
        """Features of the input, I."""
        return self._native.input_size

    @property
    def hidden_size(self) -> int:
        """Units of each direction, H."""
        return self._native.hidden_size

    @property
    def output_size(self) -> int:
        """Features of the output: directions times H, or times the size of the projection."""
        return self._native.output_size

    @property
    def options(self) -> dict[str, Any]:
        """The options that are not at their defaults, by their keywords."""
        return self._native.options

    @property
    def level(self) -> str:
        """The SIMD level of the kernels: "portable", "avx2", "avx512", "neon"."""
        return self._native.level

    @property
    def nbytes(self) -> int:
        """The bytes of the parameters and of the weights that are packed for the kernels."""
        return self._native.nbytes

    @property
    def precision(self) -> str:
        """The precision of the packed weights: "f32", "bf16_weights", "bf16", "int8"."""
        return self._native.precision

    def __call__(
        self,
        x: Any,
        state: State | None = None,
        *,
        lengths: Any = None,
        mask: Any = None,
        resets: Any = None,
        out: np.ndarray | None = None,
    ) -> tuple[np.ndarray, State]:
        """Runs sequences, from zeros or from a state. Returns the outputs and the final state.

        lengths: (B,), the steps of each row, from 0 to T. Outputs past the end of a row are zero.
        mask: (B, T) of bool, in every layout: a step that is false is left out, as one past the end is.
        resets: (B, T) of bool: the state is zero before a step that is true.
        out: the array that the outputs go to, (B, T, output_size).
        """
        x, states = _arrays.floats("x", x), self._states(state)
        pattern = _arrays.lengths(lengths), _arrays.flags("mask", mask), _arrays.flags("resets", resets)
        y, states = self._native.forward(x, states, *pattern, _arrays.output("out", out))
        return y, _state(states)

    def stream(self, batch: int = 1) -> _fused_rnn.Stream:
        """Streams of this network, one for each row: they keep their state from step to step.

        They keep the weights of now. A network that runs in reverse, or in both directions, has none.
        """
        return self._native.stream(_arrays.count("batch", batch))

    def forward_train(
        self,
        x: Any,
        state: State | None = None,
        *,
        lengths: Any = None,
        mask: Any = None,
        resets: Any = None,
        seed: int = 0,
        every: int | None = None,
        budget: int | None = None,
    ) -> tuple[np.ndarray, State, Tape]:
        """A call for training: also fills a tape. Returns outputs, the final state and the tape.

        seed: decides the masks of dropout and zoneout; give each call another one.
        every, budget: keep states every so many steps, or so many bytes at most, and compute the steps
        between again on the way back. The gradients are the same bits.
        """
        x, states = _arrays.floats("x", x), self._states(state)
        pattern = _arrays.lengths(lengths), _arrays.flags("mask", mask), _arrays.flags("resets", resets)
        seed = _arrays.count("seed", seed)
        every, budget = (
            given if given is None else _arrays.count(what, given)
            for what, given in (("every", every), ("budget", budget))
        )
        y, states, tape = _fused_rnn.forward_train(self._native, x, states, *pattern, seed, every, budget)
        return y, _state(states), Tape(tape, self)

    def backward(
        self,
        x: Any,
        tape: Tape,
        dy: Any = None,
        dstate: State | None = None,
        *,
        wanted: tuple[str, ...] = ("parameters", "x", "state"),
    ) -> Gradients:
        """Gradients of a loss, from its gradients by the outputs, `dy`, and by the final state, `dstate`: by h,
        or of a cell that has c by (h, c).

        x: the input of the call that filled the tape.
        wanted: which gradients are computed, of "parameters", "x" and "state".
        """
        known = ("parameters", "x", "state")
        for name in wanted:
            if name not in known:
                raise ValueError(f"wanted: expected some of {', '.join(known)}, got {name!r}")
        if tape._network is not self:
            raise ValueError("tape: expected one that this network has filled, got one of another network")
        dh, dc = [*(self._states(dstate, self._native.states[:2]) or [None]), None][:2]
        dy = None if dy is None else _arrays.floats("dy", dy)
        which = tuple(name in wanted for name in known)
        parameters, dx, dh0, dc0 = tape._native.backward(_arrays.floats("x", x), dy, dh, dc, which)
        return Gradients(parameters, dx, dh0 if dc0 is None else (dh0, dc0))

    def parameters(self) -> dict[str, np.ndarray]:
        """Copies of all parameters by PyTorch's names: weight_ih_l0 (gates * H, I), bias_hh_l1, ..."""
        return self._native.parameters()

    def to_safetensors(self, prefix: str = "", *, rounded: bool = False) -> bytes:
        """The bytes of a safetensors file: the parameters by PyTorch's names behind `prefix`, "rnn.", and in
        its metadata the cell and its options, which `load_torch` takes. Dropout, layout and precision are not
        in it. Parameters are float32; in a network of "int8" those that were quantised elsewhere are int8,
        with their scales, `weight_ih_l0_scale`.

        rounded: weights as the precision rounds them: int8 with scales in "int8", a quarter of the bytes, and
        bf16 in those of bf16, half of them. `load_torch(.., precision=..)` with the same precision gives a
        network of the same outputs, bit for bit."""
        return self._native.to_safetensors(prefix, rounded)

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Sets some parameters by name. Streams and tapes that were made before keep the old ones.

        Raises ValueError where a name or a shape is wrong; nothing is changed then.
        """
        self._native.set_parameters({name: _arrays.floats(name, value) for name, value in values.items()})

    def in_precision(self, precision: str) -> Network:
        """A network of the same parameters and options in another precision: "f32"; "bf16_weights" or "bf16",
        of weights alone or of products; "int8", which does not train. This one stays as it is.

            small = net.in_precision("int8")
            small.drop_parameters()

        It computes what a network computes that was made in that precision and given these parameters, bit
        for bit. Parameters stay in float32 until `drop_parameters`. The integers of weights that were
        quantised elsewhere (`load_torch(.., precision="int8")`) are kept from "int8" to "int8".

        Raises ValueError for another name, and where the parameters have been dropped.
        """
        return Network._of(self._native.in_precision(precision))

    @property
    def has_parameters(self) -> bool:
        """Whether it still has its parameters: `drop_parameters`."""
        return self._native.has_parameters

    def drop_parameters(self) -> None:
        """Frees the parameters in float32, which inference does not need: what stays are the weights packed for
        it, a quarter of these bytes with precision="int8", half with those of bf16. Outputs are the same bits.

        There is no way back: from then on reading, setting and pickling parameters and `forward_train` raise
        ValueError. Copies, streams and tapes that were made before keep theirs, and until they are gone, both
        are in memory.
        """
        self._native.drop_parameters()

    def _states(self, state: State | None, names: list[str] | None = None) -> list[np.ndarray] | None:
        """The arrays of a state, or of its parts of these names."""
        names = self._native.states if names is None else names
        if state is None:
            return None
        if len(names) == 1:
            return [_arrays.floats("state", state)]
        if not isinstance(state, (tuple, list)) or len(state) != len(names):
            what = "a pair (h, c)" if len(names) == 2 else f"({', '.join(names)})"
            raise TypeError(f"state: expected {what}, got {type(state).__name__}")
        return [_arrays.floats(name, part) for name, part in zip(names, state)]

    def __repr__(self) -> str:
        options = "".join(f", {key}={value!r}" for key, value in self.options.items())
        return f"{type(self).__name__}({self.input_size}, {self.hidden_size}{self._cell_option()}{options})"

    def _cell_option(self) -> str:
        """The option that the kind stands for, as it is written in a call."""
        return {"gru_reset_before": ", reset_after=False", "rnn_relu": ', nonlinearity="relu"'}.get(
            self.kind, ""
        )

    def __reduce__(self) -> tuple[Any, ...]:
        sizes = self.kind, self.input_size, self.hidden_size
        if self.precision == "int8" and self.has_parameters:
            # (With scales, where weights were quantised elsewhere.)
            return _restored, (*sizes, self.options, self.to_safetensors())
        return _restored, (*sizes, self.options, self.parameters())

    def __copy__(self) -> Network:
        return Network._of(self._native.copy())

    def __deepcopy__(self, memo: dict[int, Any]) -> Network:
        return self.__copy__()


def _state(states: list[np.ndarray]) -> State:
    """A state of its arrays."""
    return states[0] if len(states) == 1 else tuple(states)


def _restored(
    kind: str, inputs: int, units: int, options: dict[str, Any], values: dict[str, np.ndarray] | bytes
) -> Network:
    """The network that was pickled."""
    if isinstance(values, bytes):
        return Network._of(_fused_rnn.torch_network(values, "", kind, options))
    network = Network._of(_fused_rnn.Network(kind, inputs, units, {**options, "init": "zero"}))
    network.set_parameters(values)
    return network


_OPTIONS = """

    num_layers: layers; each reads the outputs of the one below.
    direction: "forward", "reverse" (from the end of each row to its beginning) or "both";
        bidirectional=True is "both".
    batch_first: (B, T, I) if true, as by default; else (T, B, I), PyTorch's default.
    bias: true for PyTorch's two vectors, "single" for one, false for none.
    dropout: between layers; recurrent_dropout, input_dropout: one mask for all steps of a row;
        zoneout: the probability to keep a state, or a pair (of h, of c). All of them only in `forward_train`,
        but for zoneout, whose mean is taken elsewhere.
    activations, activations_reverse: {activations}, each a name or a tuple
        of a name and its parameters: "tanh", ("leaky_relu", 0.2).
    clip: bound of pre-activations.{options}
    init, seed: "pytorch", "keras" or "zero", and the seed of the initial weights.
    threads: at most so many; by default those of the machine, or FUSED_RNN_THREADS, where they pay off.
    level: the SIMD level, "portable", "avx2", "avx512" or "neon"; by default the widest of the machine, or
        FUSED_RNN_LEVEL.
    precision: "f32"; "bf16_weights" or "bf16", of weights alone or of products; "int8", which does not train.
        `Network.in_precision` brings a trained network to one.
    schedule: "auto", "rows", "units", "layers": what threads share, for measurements. Same bits.
    """
_NORM = "\n    layer_norm: the epsilon of layer normalisation (Ba, Kiros, Hinton 2016)."


def _directed(options: dict[str, Any], bidirectional: bool | None) -> dict[str, Any]:
    if bidirectional is None:
        return options
    if "direction" in options:
        raise TypeError("direction and bidirectional: expected one of them, got both")
    return {**options, "direction": "both" if bidirectional else "forward"}


class LSTM(Network):
    __slots__ = ()
    __doc__ = "Long short-term memory; see `Network` for calls." + _OPTIONS.format(
        activations="of i, f, o; of g; of the output",
        options=_NORM
        + """
    proj_size: the hidden state is a projection to this size.
    peephole: gates see the cell state (Gers, Schmidhuber 2000).
    coupled: the forget gate is 1 - i.
    cell_clip: bound of the cell state.""",
    )

    def __init__(
        self, input_size: int, hidden_size: int, *, bidirectional: bool | None = None, **options: Any
    ) -> None:
        super().__init__("lstm", input_size, hidden_size, **_directed(options, bidirectional))


class GRU(Network):
    __slots__ = ()
    __doc__ = "Gated recurrent units; see `Network` for calls." + _OPTIONS.format(
        activations="of r, z; of n",
        options=_NORM
        + """
    reset_after: the reset acts on the recurrent product, as in PyTorch and Keras; if false on the state, as
        in ONNX by default. The two are different cells.""",
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bidirectional: bool | None = None,
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        kind = "gru" if reset_after else "gru_reset_before"
        super().__init__(kind, input_size, hidden_size, **_directed(options, bidirectional))


class RNN(Network):
    __slots__ = ()
    __doc__ = "Elman's network; see `Network` for calls." + _OPTIONS.format(
        activations="one",
        options="""
    nonlinearity: "tanh" or "relu".""",
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bidirectional: bool | None = None,
        nonlinearity: str = "tanh",
        **options: Any,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity: expected tanh, relu, got {nonlinearity!r}")
        options = _directed(options, bidirectional)
        super().__init__(f"rnn_{nonlinearity}", input_size, hidden_size, **options)


class _OfOneKind(Network):
    """A class whose cell has one kind."""

    __slots__ = ()
    _kind = ""

    def __init__(
        self, input_size: int, hidden_size: int, *, bidirectional: bool | None = None, **options: Any
    ) -> None:
        super().__init__(self._kind, input_size, hidden_size, **_directed(options, bidirectional))


class MinGRU(_OfOneKind):
    __slots__ = ()
    _kind = "min_gru"
    __doc__ = "Minimal GRU (Feng et al. 2024), whose gates see the input alone; see `Network` for calls."
    __doc__ += _OPTIONS.format(activations="of z; of the candidate", options="")


class MinLSTM(_OfOneKind):
    __slots__ = ()
    _kind = "min_lstm"
    __doc__ = "Minimal LSTM (Feng et al. 2024), whose state is h; see `Network` for calls."
    __doc__ += _OPTIONS.format(activations="of the candidate", options="")


class IndRNN(_OfOneKind):
    __slots__ = ()
    _kind = "ind_rnn"
    __doc__ = "Independently recurrent network (Li et al. 2018); see `Network` for calls."
    __doc__ += _OPTIONS.format(activations="one", options="")


class MultiplicativeLSTM(_OfOneKind):
    __slots__ = ()
    _kind = "lstm_mult"
    __doc__ = "Multiplicative LSTM (Krause et al. 2016); see `Network` for calls."
    __doc__ += _OPTIONS.format(
        activations="of i, f, o; of g; of the output", options="\n    cell_clip: bound of the cell state."
    )


class SLSTM(_OfOneKind):
    __slots__ = ()
    _kind = "slstm"
    __doc__ = """sLSTM of xLSTM (Beck et al. 2024); see `Network` for calls.

    Its state is (h, c, n, m), of which h and c have gradients. It has no other activations, and no clips."""
    __doc__ += _OPTIONS.format(
        activations="none",
        options="""
    heads: a number that divides hidden_size; units see the state of those of their own head alone.""",
    )


#: The classes by kind.
_CLASSES: dict[str, type[Network]] = {
    "lstm": LSTM,
    "gru": GRU,
    "gru_reset_before": GRU,
    "rnn_tanh": RNN,
    "rnn_relu": RNN,
    **{made._kind: made for made in (MinGRU, MinLSTM, IndRNN, MultiplicativeLSTM, SLSTM)},
}
