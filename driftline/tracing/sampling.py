"""Traces: which messages are traced, by their place in the journal alone, so that a replay traces the same ones."""

from __future__ import annotations

from math import ceil
from zlib import crc32


def sampled_offsets(offset: int, messages: int, share: float) -> list[int]:
    """Journal offsets, among `messages` from `offset` on, of those that are traced.

    One of each run of 1 / `share` messages, at a place that a hash (CRC-32) of the run's number picks: it costs nothing
    for the messages between.
    """
    if share <= 0:
        return []
    run = 1 / share
    end = offset + messages
    found = []
    number = max(0, int(offset / run) - 1)
    first = ceil(number * run)
    while first < end:
        number += 1
        following = ceil(number * run)
        if following > first:
            picked = first + crc32(number.to_bytes(8)) % (following - first)
            if offset <= picked < end:
                found.append(picked)
        first = following
    return found


class Budget:
    """At most `most` a second, by the arrival of messages (ns)."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._second = -1
        self._used = 0

    def take(self, arrival: int) -> bool:
        """Whether a message that arrived then still has room in its second."""
        second = arrival // 1_000_000_000
        if second != self._second:
            self._second, self._used = second, 0
        self._used += 1
        return self._used <= self._most
