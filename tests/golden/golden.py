"""What the generators of golden files share: random values that depend on a name alone, and the file writer.

The writer is not the safetensors library's because that one orders the metadata differently on every run, and
generating a file again must give the same bytes.
"""
import json
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
DTYPES = {
    "int64": "I64",
    "int32": "I32",
    "float32": "F32",
    "bool": "BOOL",
}  # widest first: keeps data aligned


def random(name, attempt=0):
    """A random stream for one file. RandomState is numpy's frozen generator: the same numbers in every
    version."""
    return np.random.RandomState([zlib.crc32(name.encode()), attempt])


def uniform(stream, *shape, limit=1.0):
    """Values of f32, uniform in -limit..limit."""
    return stream.uniform(-limit, limit, shape).astype(np.float32)


def clean(folder):
    """An empty tests/golden/`folder`, so that no file of an older list stays."""
    directory = HERE / folder
    directory.mkdir(exist_ok=True)
    for file in directory.glob("*.safetensors"):
        file.unlink()
    return directory


def save(path, metadata, tensors):
    """Write `tensors` (name to numpy array) and `metadata` (name to string) as a safetensors file."""
    names = sorted(tensors, key=lambda name: (list(DTYPES).index(str(tensors[name].dtype)), name))
    header, data = {"__metadata__": dict(sorted(metadata.items()))}, b""
    for name in names:
        array = np.ascontiguousarray(tensors[name])
        begin, data = len(data), data + array.astype(array.dtype.newbyteorder("<")).tobytes()
        header[name] = {
            "dtype": DTYPES[str(array.dtype)],
            "shape": list(tensors[name].shape),
            "data_offsets": [begin, len(data)],
        }
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    Path(path).write_bytes(len(head).to_bytes(8, "little") + head + data)
