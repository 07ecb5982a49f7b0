"""A line now and then about how far a long work is."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_SECONDS = 10.0


class Progress:
    """Passes a line on to `say` where the last one is ten seconds old."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._told = clock()

    def tell(self, line: str) -> None:
        """Say the line, if it is time for one."""
        if self._clock() - self._told >= EVERY_SECONDS:
            self._told = self._clock()
            self._say(line)
