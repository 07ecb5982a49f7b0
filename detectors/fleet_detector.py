"""Score: what fleet detectors share: named state arrays indexed by slot, their growth, copies and checks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from pydantic import BaseModel

from common.growth import grown
from detectors.detector import BaseDetector, Detector, Scores, State

MINIMUM_CAPACITY = 64

_INT32, _INT64, _FLOAT64, _BOOL = (np.dtype(name) for name in ("int32", "int64", "float64", "bool"))


class Column(NamedTuple):
    """One state array: `shape` is what one slot holds, `fill` what a fresh slot starts with."""

    dtype: DTypeLike
    shape: tuple[int, ...] = ()
    fill: float = 0


class Inputs(NamedTuple):
    """A batch as the kernels take it: contiguous, writable, slots checked; all arrays (n,)."""

    slot: NDArray[np.int32]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    learn: NDArray[np.bool_]


def take_inputs(size: int, slot: NDArray[Any], time: NDArray[Any], value: NDArray[Any], learn: NDArray[Any]) -> Inputs:
    """The batch in the one memory layout that the kernels are compiled for.

    Raises ValueError where lengths differ and IndexError where a slot is outside [0, `size`): a kernel does not check
    bounds.
    """
    inputs = Inputs(
        _laid_out(slot, _INT32), _laid_out(time, _INT64), _laid_out(value, _FLOAT64), _laid_out(learn, _BOOL)
    )
    shape = inputs.slot.shape
    if len(shape) != 1 or any(array.shape != shape for array in inputs):
        raise ValueError(f"batch: expected four arrays of one length, got shapes {[array.shape for array in inputs]}")
    if shape[0] and (inputs.slot.min() < 0 or inputs.slot.max() >= size):
        raise IndexError(
            f"slot: expected 0 to {size - 1}, got {inputs.slot.min()} to {inputs.slot.max()}; call grow() first"
        )
    return inputs


def _laid_out(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    # np.require would do, but takes as long as a small batch's kernel.
    if type(array) is np.ndarray and array.dtype is dtype and array.flags.c_contiguous and array.flags.writeable:
        return array
    return np.require(array, dtype, ["C", "W"])


def empty_scores(n: int) -> Scores:
    """Scores of n readings, every entry NaN: what a slot that warms up is given."""
    score, expected, lower, upper = np.full((4, n), np.nan)
    return Scores(score, expected, lower, upper)


def check_state(state: Mapping[str, NDArray[Any]], layout: Mapping[str, Column], detector: str) -> int:
    """The number of slots in `state`. Raises ValueError where names, types or shapes differ from `layout`."""
    if set(state) != set(layout):
        raise ValueError(f"{detector} state: expected arrays {sorted(layout)}, got {sorted(state)}")
    sizes = set()
    for name, column in layout.items():
        array = state[name]
        if array.dtype != np.dtype(column.dtype) or array.ndim == 0 or array.shape[1:] != column.shape:
            expected = f"{np.dtype(column.dtype)} (size, {', '.join(map(str, column.shape))})"
            raise ValueError(f"{detector} state: {name}: expected {expected}, got {array.dtype} {array.shape}")
        sizes.add(array.shape[0])
    if len(sizes) != 1:
        raise ValueError(f"{detector} state: expected arrays of one length, got lengths {sorted(sizes)}")
    return int(sizes.pop())


class ArrayState(BaseDetector):
    """A detector whose state is a set of arrays, grown by doubling. A subclass states its `layout`."""

    def __init__(self, parameters: BaseModel) -> None:
        super().__init__(parameters)
        self.columns = self.layout()
        self.arrays: dict[str, NDArray[Any]] = {name: _fresh(column, 0) for name, column in self.columns.items()}

    @abstractmethod
    def layout(self) -> dict[str, Column]:
        """The state arrays by name, settled by the parameters alone."""

    @property
    def layout_text(self) -> str:
        """Name, type and shape of each array."""
        return ", ".join(f"{name} {np.dtype(c.dtype).str}{list(c.shape)}" for name, c in sorted(self.columns.items()))

    @property
    def bytes_per_slot(self) -> int:
        """Bytes of state that one series takes."""
        return sum(np.dtype(c.dtype).itemsize * int(np.prod(c.shape, dtype=np.int64)) for c in self.columns.values())

    def grow(self, size: int) -> None:
        """Make room for slots 0 to `size` - 1; capacity at least doubles, so that a growing fleet copies little."""
        if size <= self.size:
            return
        for name, column in self.columns.items():
            self.arrays[name] = grown(self.arrays[name], size, column.fill, MINIMUM_CAPACITY)
        self.size = size

    def state(self) -> State:
        """A copy of the arrays, cut to the slots in use."""
        return {name: array[: self.size].copy() for name, array in self.arrays.items()}

    def load(self, state: State) -> None:
        """Replace the arrays. Raises ValueError where names, types or shapes do not fit."""
        size = check_state(state, self.columns, self.name)
        self.arrays = {name: np.array(state[name], order="C") for name in self.columns}
        self.size = size


class FleetDetector(ArrayState, Detector):
    """A detector of single series whose state is a set of arrays. A subclass states its `layout` and its `step`."""


def _fresh(column: Column, size: int) -> NDArray[Any]:
    shape = (size, *column.shape)
    # Zeroed pages are handed out only when touched, so spare capacity costs no memory.
    return np.zeros(shape, column.dtype) if column.fill == 0 else np.full(shape, column.fill, column.dtype)
