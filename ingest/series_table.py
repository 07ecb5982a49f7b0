"""Beside route: which series a topic and a metric stand for, as a hash table of the pairs that were met.

A table of all topics by all metrics would be dense, and a publisher with many of both would fill memory with what never
occurs. This one holds the pairs met, with open addressing (linear probing) in two arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit

UNKNOWN = -1
_EMPTY = -1
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@njit
def _slot(keys: NDArray[np.int64], key: np.int64) -> np.int64:
    """Where the key stands, or the empty slot where it belongs. Fibonacci hashing (Knuth, TAOCP 6.4)."""
    mask = np.int64(len(keys) - 1)
    at = np.int64((np.uint64(key) * _MULTIPLIER) >> np.uint64(20)) & mask
    while keys[at] != _EMPTY and keys[at] != key:
        at = (at + np.int64(1)) & mask
    return at


@njit(nogil=True)
def _find(
    keys: NDArray[np.int64],
    values: NDArray[np.int32],
    topic: NDArray[np.int32],
    metric: NDArray[np.int32],
    device: NDArray[np.int32],
    series: NDArray[np.int32],
) -> tuple[int, bool]:
    """Fill `series`; returns how many are unknown, and whether any row names a device."""
    unknown = 0
    has_device = False
    for row in range(len(topic)):
        at = _slot(keys, (np.int64(topic[row]) << np.int64(32)) | np.int64(metric[row]))
        series[row] = values[at]
        unknown += series[row] == UNKNOWN
        has_device |= device[row] >= 0
    return unknown, has_device


@njit(nogil=True)
def _move(
    keys: NDArray[np.int64], values: NDArray[np.int32], to_keys: NDArray[np.int64], to_values: NDArray[np.int32]
) -> None:
    for i in range(len(keys)):
        if keys[i] != _EMPTY:
            at = _slot(to_keys, keys[i])
            to_keys[at], to_values[at] = keys[i], values[i]


class SeriesTable:
    """Series by topic number and metric code; what is not in it is UNKNOWN."""

    def __init__(self) -> None:
        self._keys = np.full(64, _EMPTY, np.int64)
        self._values = np.full(64, UNKNOWN, np.int32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(
        self, topic: NDArray[np.int32], metric: NDArray[np.int32], device: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], int, bool]:
        """Series of each row (n,) int32, how many are UNKNOWN, and whether any row names a device (`device` >= 0)."""
        series = np.empty(len(topic), np.int32)
        unknown, has_device = _find(self._keys, self._values, topic, metric, device, series)
        return series, int(unknown), bool(has_device)

    def clear(self) -> None:
        """Forget all pairs."""
        self._keys.fill(_EMPTY)
        self._values.fill(UNKNOWN)
        self._count = 0

    def get(self, topic: int, metric: int) -> int:
        """The series of one pair."""
        return int(self._values[_slot(self._keys, np.int64((topic << 32) | metric))])

    def put(self, topic: int, metric: int, series: int) -> None:
        """Note the series of a pair."""
        if 2 * (self._count + 1) > len(self._keys):
            keys, values = (
                np.full(2 * len(self._keys), _EMPTY, np.int64),
                np.full(2 * len(self._keys), UNKNOWN, np.int32),
            )
            _move(self._keys, self._values, keys, values)
            self._keys, self._values = keys, values
        at = _slot(self._keys, np.int64((topic << 32) | metric))
        self._count += self._keys[at] == _EMPTY
        self._keys[at], self._values[at] = (topic << 32) | metric, series
