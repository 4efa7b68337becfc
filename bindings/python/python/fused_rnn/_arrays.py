"""Arrays and numbers on their way to the kernels. Nothing is cast silently; what lies in another order than
row-major is copied by the extension."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np


def floats(what: str, values: Any) -> np.ndarray:
    """The array itself, or what is none yet as an array.

    Tensors of other packages on the CPU are read without a copy, through `__dlpack__`.
    """
    if not isinstance(values, np.ndarray):
        values = np.from_dlpack(values) if hasattr(values, "__dlpack__") else np.asarray(values)
    _refuse_mask(what, values, "; give mask= or lengths=")
    if values.dtype != np.float32:
        raise TypeError(
            f"{what}: expected float32, got {values.dtype}; convert it with astype(numpy.float32)"
        )
    return values


def output(what: str, array: np.ndarray | None) -> np.ndarray | None:
    """An array to write to, which cannot be a copy."""
    if array is None or (isinstance(array, np.ndarray) and array.dtype == np.float32):
        return array
    got = getattr(array, "dtype", type(array).__name__)
    raise TypeError(f"{what}: expected an array of float32, got {got}")


def _refuse_mask(what: str, values: Any, instead: str = "") -> None:
    """Refuses a masked array, whose mask NumPy would leave out."""
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"{what}: expected an array without a mask, got a masked array{instead}")


def flags(what: str, values: Any) -> np.ndarray | None:
    """True and false as an array of bool."""
    if values is None:
        return None
    _refuse_mask(what, values)
    values = np.asarray(values)
    if values.dtype != np.bool_:
        raise TypeError(f"{what}: expected bool, got {values.dtype}")
    if values.ndim != 2:
        raise ValueError(f"{what}: expected 2 axes (B, T), got {values.ndim}")
    # (A byte of a view may be neither 0 nor 1, which is true to NumPy and undefined to Rust.)
    return values.view(np.uint8) != 0


def count(what: str, value: Any) -> int:
    """An integer from 0 to 2^64 - 1."""
    value = operator.index(value)
    if not 0 <= value < 1 << 64:
        raise ValueError(f"{what}: expected an integer from 0 to 2^64 - 1, got {value}")
    return value


def lengths(values: Any) -> list[int] | None:
    """The lengths of rows as a list of integers."""
    if values is None:
        return None
    _refuse_mask("lengths", values)
    values = np.asarray(values)
    if values.size and values.dtype.kind not in "iu":
        raise TypeError(f"lengths: expected integers, got {values.dtype}")
    if values.ndim != 1:
        raise ValueError(f"lengths: expected 1 axis (B,), got {values.ndim}")
    if values.size and int(values.max()) >= 1 << 63:
        raise ValueError(f"lengths: expected integers below 2^63, got {values.max()}")
    return [int(length) for length in values]
