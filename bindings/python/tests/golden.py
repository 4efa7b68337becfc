"""The golden files of the crate (tests/golden), read for these tests."""

from pathlib import Path

import numpy as np
from safetensors import safe_open

FOLDER = Path(__file__).resolve().parents[3] / "tests/golden"


def read(path):
    """Metadata and tensors of a file."""
    with safe_open(path, "np") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}


def files(folder):
    """The files of a folder, by name."""
    found = sorted((FOLDER / folder).glob("*.safetensors"))
    assert found, folder
    return found


def close(got, expected, what, scale=1.0):
    """Equal but for the rounding of float32 sums."""
    np.testing.assert_allclose(got, expected, rtol=2e-5 * scale, atol=2e-6 * scale, err_msg=what)
