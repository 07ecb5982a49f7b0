"""Route: topic bytes to a dense topic number, one compiled look-up a message."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit, subkernel
from common.growth import grown

_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)


@subkernel
def _hash(data: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """FNV-1a, 64 bits (Fowler, Noll, Vo; draft-eastlake-fnv), over `data[start:end]`."""
    h = _FNV_OFFSET
    for i in range(start, end):
        h = (h ^ np.uint64(data[i])) * _FNV_PRIME
    return h ^ (h >> np.uint64(32))


@njit(nogil=True)
def _find_all(
    data: NDArray[np.uint8],
    spans: NDArray[np.int32],
    arena: NDArray[np.uint8],
    ends: NDArray[np.int64],
    buckets: NDArray[np.int32],
    found: NDArray[np.int32],
) -> int:
    """Fill `found` with topic numbers, -1 where unknown; returns how many are unknown."""
    mask = np.uint64(len(buckets) - 1)
    unknown = 0
    for m in range(len(spans)):
        start, end = spans[m, 0], spans[m, 1]
        at = _hash(data, start, end) & mask
        found[m] = -1
        while buckets[at] >= 0:
            topic = buckets[at]
            first = ends[topic]
            if ends[topic + 1] - first == end - start:
                same = True
                for i in range(end - start):
                    if arena[first + i] != data[start + i]:
                        same = False
                        break
                if same:
                    found[m] = topic
                    break
            at = (at + np.uint64(1)) & mask
        if found[m] < 0:
            unknown += 1
    return unknown


@njit
def _insert(arena: NDArray[np.uint8], ends: NDArray[np.int64], buckets: NDArray[np.int32], topic: int) -> None:
    mask = np.uint64(len(buckets) - 1)
    at = _hash(arena, ends[topic], ends[topic + 1]) & mask
    while buckets[at] >= 0:
        at = (at + np.uint64(1)) & mask
    buckets[at] = topic


class TopicTable:
    """Every topic met, numbered in order of first sight: an open-addressed hash table over one arena of bytes."""

    def __init__(self) -> None:
        self._arena = np.empty(1 << 12, np.uint8)
        self._ends = np.zeros(1 << 6, np.int64)
        self._buckets = np.full(1 << 7, -1, np.int32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, data: bytes, spans: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
        """Topic number of each message (n,) int32, -1 where unknown, and how many are unknown.

        `spans` (n, >=2): topic start and end in `data`.
        """
        found = np.empty(len(spans), np.int32)
        unknown = _find_all(np.frombuffer(data, np.uint8), spans, self._arena, self._ends, self._buckets, found)
        return found, int(unknown)

    def add(self, topic: bytes) -> int:
        """Number a topic that `find` did not know."""
        number = self._count
        start = int(self._ends[number])
        end = start + len(topic)
        self._arena = grown(self._arena, end, 0)
        self._arena[start:end] = np.frombuffer(topic, np.uint8)
        self._ends = grown(self._ends, number + 2, 0)
        self._ends[number + 1] = end
        self._count += 1
        if 2 * self._count > len(self._buckets):
            self._buckets = np.full(2 * len(self._buckets), -1, np.int32)
            for known in range(self._count):
                _insert(self._arena, self._ends, self._buckets, known)
        else:
            _insert(self._arena, self._ends, self._buckets, number)
        return number
