"""How often a password may be guessed: failures counted by address and by user within a window of time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

_WINDOW_SECONDS = 300.0
_MOST_A_PAIR = 5
_MOST_AN_ADDRESS = 30
_MOST_A_USER = 100
_MOST_KEYS = 10_000


class Attempts:
    """Failed sign-ins of the last five minutes: 5 of one user from one address, 30 from an address, 100 of a user.

    The bound on a user alone is wide, so that a stranger cannot easily lock somebody out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def wait_seconds(self, user: str, address: str) -> float:
        """How long the next attempt has to wait; 0 where it may be made now."""
        now = self._clock()
        with self._lock:
            return max(self._wait(key, most, now) for key, most in _keys(user, address))

    def failed(self, user: str, address: str) -> None:
        """Count a failure."""
        now = self._clock()
        with self._lock:
            for key, most in _keys(user, address):
                found = self._failures.setdefault(key, deque(maxlen=most))
                found.append(now)
                self._failures.move_to_end(key)
            while len(self._failures) > _MOST_KEYS:
                self._failures.popitem(last=False)

    def succeeded(self, user: str, address: str) -> None:
        """Forget the failures of this user from this address."""
        with self._lock:
            self._failures.pop((address, user), None)

    def _wait(self, key: tuple[str, str], most: int, now: float) -> float:
        found = self._failures.get(key)
        if found is None or len(found) < most:
            return 0.0
        return max(0.0, found[0] + _WINDOW_SECONDS - now)


def _keys(user: str, address: str) -> tuple[tuple[tuple[str, str], int], ...]:
    return ((address, user), _MOST_A_PAIR), ((address, ""), _MOST_AN_ADDRESS), (("", user), _MOST_A_USER)
