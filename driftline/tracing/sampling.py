"""Traces: which messages are traced, by their place in the journal alone, so that a replay traces the same ones."""

from __future__ import annotations

from math import ceil
from zlib import crc32

from common.time_units import SECOND


class Sampling:
    """One message of each run of 1 / `share` messages, at a place that a hash (CRC-32) of the run's number picks.

    Nothing is calculated for the messages between. `share` is above 0, and at most 1.
    """

    def __init__(self, share: float) -> None:
        self._run = 1 / share

    def numbers(self, offset: int, messages: int) -> range:
        """The numbers of the runs whose picked message is among `messages` from the journal's `offset` on."""
        return range(self._picked_before(offset), self._picked_before(offset + messages))

    def offset(self, number: int) -> int:
        """The journal offset of the message that is picked of a run."""
        first = ceil(number * self._run)
        return first + crc32(number.to_bytes(8)) % (ceil((number + 1) * self._run) - first)

    def _picked_before(self, offset: int) -> int:
        number = max(0, int(offset / self._run) - 1)
        while self.offset(number) < offset:
            number += 1
        return number


class Budget:
    """At most `most` a second, by the arrival of messages (ns)."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._second = -1
        self._used = 0

    def take(self, arrival: int) -> bool:
        """Whether a message that arrived then still has room in its second."""
        second = arrival // SECOND
        if second != self._second:
            self._second, self._used = second, 0
        self._used += 1
        return self._used <= self._most
