from typing import Any

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float32]
_Flags = npt.NDArray[np.bool_]

class Network:
    kind: str
    input_size: int
    hidden_size: int
    output_size: int
    level: str
    nbytes: int
    precision: str
    states: list[str]
    options: dict[str, Any]
    has_parameters: bool
    def __new__(cls, name: str, input_size: int, hidden_size: int, options: dict[str, Any]) -> Network: ...
    def in_precision(self, name: str) -> Network: ...
    def drop_parameters(self) -> None: ...
    def copy(self) -> Network: ...
    def parameters(self) -> dict[str, _Floats]: ...
    def to_safetensors(self, prefix: str, rounded: bool) -> bytes: ...
    def set_parameters(self, given: dict[str, _Floats]) -> None: ...
    def forward(
        self,
        x: _Floats,
        states: list[_Floats] | None = None,
        lengths: list[int] | None = None,
        mask: _Flags | None = None,
        resets: _Flags | None = None,
        out: _Floats | None = None,
    ) -> tuple[_Floats, list[_Floats]]: ...
    def stream(self, batch: int) -> Stream: ...

class Tape:
    nbytes: int
    def backward(
        self,
        x: _Floats,
        dy: _Floats | None,
        dh: _Floats | None,
        dc: _Floats | None,
        wanted: tuple[bool, bool, bool],
    ) -> tuple[dict[str, _Floats] | None, _Floats | None, _Floats | None, _Floats | None]: ...

def forward_train(
    network: Network,
    x: _Floats,
    states: list[_Floats] | None = None,
    lengths: list[int] | None = None,
    mask: _Flags | None = None,
    resets: _Flags | None = None,
    seed: int = 0,
    every: int | None = None,
    budget: int | None = None,
) -> tuple[_Floats, list[_Floats], Tape]: ...

_Sequences = tuple[int, int, int, int, bool]

class Kernel:
    def __new__(cls, name: str, input_size: int, hidden_size: int, options: dict[str, Any]) -> Kernel: ...
    def shapes(self) -> list[tuple[str, list[int]]]: ...
    def tape_len(self, sequences: _Sequences) -> int: ...
    def dropout_masks(self, layer: int, sequences: _Sequences, seed: int) -> list[float]: ...
    def forward(
        self,
        weights: list[int],
        sequences: _Sequences,
        threads: int,
        inputs: tuple[int, int, int],
        outputs: tuple[int, int, int],
        tape: int,
        tape_len: int,
        seed: int,
    ) -> None: ...
    def backward(
        self,
        weights: list[int],
        sequences: _Sequences,
        threads: int,
        x: int,
        tape: int,
        tape_len: int,
        seed: int,
        upstream: tuple[int, int, int],
        gradients: tuple[int, int, int, int],
        wanted: list[bool],
    ) -> None: ...

class Stream:
    batch: int
    state: _Floats | tuple[_Floats, ...]
    precision: str
    nbytes: int
    has_parameters: bool
    def step(self, frame: _Floats, out: _Floats | None = None) -> _Floats: ...
    def reset(self, rows: list[int] | None = None) -> None: ...
    def in_precision(self, precision: str) -> Stream: ...
    def drop_parameters(self) -> None: ...

class KerasLayer:
    network: Network
    merge_mode: str | None
    return_sequences: bool
    return_state: bool
    stateful: bool
    def in_precision(self, name: str) -> KerasLayer: ...
    def drop_parameters(self) -> None: ...
    def run(
        self,
        x: _Floats,
        states: list[_Floats] | None = None,
        lengths: list[int] | None = None,
        mask: _Flags | None = None,
    ) -> tuple[_Floats, _Floats, list[_Floats]]: ...

class OnnxChain:
    network: Network
    nodes: list[str]
    def initial_state(self, batch: int) -> list[_Floats]: ...

def named_threads() -> int | None: ...
def torch_modules(source: bytes | dict[str, _Floats]) -> list[tuple[str, list[str], str]]: ...
def torch_network(
    source: bytes | dict[str, _Floats], prefix: str, name: str, options: dict[str, Any]
) -> Network: ...
def keras_names(bytes: bytes) -> list[str]: ...
def keras_layer(bytes: bytes, name: str) -> KerasLayer: ...
def onnx_chains(path: str) -> tuple[list[OnnxChain], list[str]]: ...
