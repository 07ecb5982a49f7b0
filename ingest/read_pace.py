"""Receive: when a socket that was drained is read again. Each read costs a journal entry, an engine step and a wake-up,
whatever it brings: where few messages come, fewer reads save most of the work."""

from __future__ import annotations

READ_INTERVAL = 0.010
_CALM_INTERVALS = ((16, 0.200), (500, 0.100))
"""Messages that a read brought, and the pause in seconds after one that brought fewer."""


class ReadPace:
    """The pause after each read of a connection.

    A broker holds back what is over its window of messages without acknowledgement, and does not say how large that is.
    So a read that brought half as many of them as any did before is followed by the next at once.
    """

    def __init__(self) -> None:
        self._most = 0

    def connected(self) -> None:
        """A connection begins: nothing is known of its window."""
        self._most = 0

    def pause(self, messages: int, unacknowledged: int) -> float:
        """Seconds until the next read after one that brought `messages`, of which the broker awaits so many answers."""
        self._most = max(self._most, unacknowledged)
        if unacknowledged > 0 and 2 * unacknowledged >= self._most:
            return READ_INTERVAL
        for fewer_than, seconds in _CALM_INTERVALS:
            if messages < fewer_than:
                return seconds
        return READ_INTERVAL
