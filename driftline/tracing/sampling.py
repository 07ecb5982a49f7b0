"""Traces: which messages are traced, by their place in the journal alone, so that a replay traces the same ones."""

from __future__ import annotations

from math import ceil

_MASK = (1 << 64) - 1


def sampled_offsets(offset: int, messages: int, share: float) -> list[int]:
    """Journal offsets, among `messages` from `offset` on, of those that are traced.

    One of each run of 1 / `share` messages, at a place that a hash of the run's number picks: it costs nothing for the
    messages between.
    """
    if share <= 0:
        return []
    run = 1 / share
    end = offset + messages
    found = []
    number = max(0, int(offset / run) - 1)
    while (first := ceil(number * run)) < end:
        length = ceil((number + 1) * run) - first
        picked = first + _mixed(number) % length if length else -1
        if offset <= picked < end:
            found.append(picked)
        number += 1
    return found


def _mixed(number: int) -> int:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): 64 bits in which neighbours have nothing in common."""
    mixed = (number + 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)


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
