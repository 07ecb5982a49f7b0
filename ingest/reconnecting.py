"""Receive: when to try again after a connection ended, and whether another client takes the session from this one."""

from __future__ import annotations

from random import Random

_FIRST_DELAY, _LONGEST_DELAY = 0.1, 10.0
_SETTLED_AFTER = 2.0
_FLAP_SHORTER_THAN, _MOST_FLAPS = 10.0, 5
_RIVAL_FIRST_DELAY, _RIVAL_LONGEST_DELAY = 5.0, 300.0
_RIVAL_OLDER_DELAY, _RIVAL_OLDER_AFTER = 2.0, 30.0
_MOST_DOUBLINGS = 16


class Reconnecting:
    """The history of a session's connections, as far as the next attempt depends on it. Times are monotonic seconds."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._attempts = 0
        self._flaps = 0
        self._rivalries = 0
        self._first_connected: float | None = None
        self._held_seconds = 0.0

    def connected(self, now: float) -> None:
        """A connection stands."""
        self._first_connected = now if self._first_connected is None else self._first_connected

    def refused(self) -> None:
        """Nothing answered: that is no other client's doing."""
        self._flaps = 0

    def ended(self, lasted: float, *, by_a_rival: bool) -> str | None:
        """A connection ended after `lasted` seconds. What speaks for another client of the same id; None where nothing.

        Connections that are cut off soon, again and again, by a broker that goes on serving, are those of two clients
        that take the session from each other. Not every broker tells so.
        """
        self._held_seconds += lasted
        self._attempts = 0 if lasted >= _SETTLED_AFTER else self._attempts
        self._flaps = self._flaps + 1 if by_a_rival else 0
        if self._flaps < _MOST_FLAPS:
            return None
        return f"{self._flaps} connections in a row were cut off within {_FLAP_SHORTER_THAN:g} s"

    @staticmethod
    def is_short(lasted: float) -> bool:
        """Whether a connection was cut off so soon that another client may be why."""
        return lasted < _FLAP_SHORTER_THAN

    def delay(self, now: float, *, beside_a_rival: bool) -> float:
        """Seconds until the next attempt: longer each time, and different from client to client."""
        longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0**self._attempts)
        if beside_a_rival:
            longest = self._longest_beside_a_rival(now)
        self._attempts = min(self._attempts + 1, _MOST_DOUBLINGS)
        return float(longest * self._random.uniform(0.5, 1.0))

    def _longest_beside_a_rival(self, now: float) -> float:
        """Longest wait, in seconds, before the session is taken back from another client of the same id.

        Who has held it for most of the time is the older one, and comes back soon; the newcomer, who is thrown out by
        that again and again, waits twice as long each time. Neither gives up.
        """
        age = 0.0 if self._first_connected is None else now - self._first_connected
        if age > _RIVAL_OLDER_AFTER and self._held_seconds > age / 2:
            self._rivalries = 0
            return _RIVAL_OLDER_DELAY
        self._rivalries = min(self._rivalries + 1, _MOST_DOUBLINGS)
        return min(_RIVAL_LONGEST_DELAY, _RIVAL_FIRST_DELAY * 2.0 ** (self._rivalries - 1))
