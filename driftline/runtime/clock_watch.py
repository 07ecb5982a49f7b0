"""Beside the way of a message: whether the host's clock can be believed, and the time that nothing old is removed on.

The wall clock is held against the clock that counts on from the machine's start whatever anybody sets (on Linux
CLOCK_BOOTTIME, clock_gettime(2)). Where the two part by more than a minute the wall clock was set: back to the right
time, or to a wrong one. Nobody can tell which from within, so it is said, and shown red until the clock is back, a
person confirms the new time, or it has stood for a day.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from common.durations import format_duration
from common.time_units import DAY, SECOND

log = logging.getLogger(__name__)

_TOLERANCE = 60 * SECOND
_STANDS_AFTER = DAY
_LONG_GAP = DAY


def since_boot() -> int:
    """Nanoseconds since the machine started, sleep included where the system counts it."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime_ns(clock) if clock is not None else time.monotonic_ns()


def boot_identity() -> str:
    """What names this start of the machine; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class ClockWatch:
    """Compares the host's clock with one that nobody sets. Any thread may call it.

    `last_arrival` is the newest arrival of the run before (ns), 0 where there was none. `saved` is what `state` gave
    in that run, empty where nothing is known; `boot` names the machine's start, by which the two are compared.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        steady: Callable[[], int] = since_boot,
        *,
        boot: str = "",
        last_arrival: int = 0,
        saved: Mapping[str, int | str] | None = None,
    ) -> None:
        self._clock = clock
        self._steady = steady
        self._boot = boot
        self._lock = threading.Lock()
        self._said = ""
        now, ticks = clock(), steady()
        self._base = now - ticks
        self._jumped_at: int | None = None
        saved = saved or {}
        base = saved.get("base")
        if boot and saved.get("boot") == boot and isinstance(base, int):
            self._base = base
        elif last_arrival - now > _TOLERANCE:
            # The run before saw a later time than there is now.
            self._base = last_arrival - ticks
        elif last_arrival and now - last_arrival > _LONG_GAP:
            self._base = last_arrival - ticks
            self._jumped_at = ticks
            self._said = "quiet"
        self.look()

    def look(self) -> None:
        """Compare the clocks, and say what changed. Called every second or so."""
        with self._lock:
            ticks = self._steady()
            ahead = self._clock() - ticks - self._base
            if abs(ahead) <= _TOLERANCE:
                if self._said and self._said != "quiet":
                    log.warning("the host's clock is back")
                self._jumped_at, self._said = None, ""
                return
            self._jumped_at = ticks if self._jumped_at is None else self._jumped_at
            if ticks - self._jumped_at > _STANDS_AFTER:
                self._adopt(ticks)
            elif not self._said:
                self._said = self._word(ahead)
                log.error("%s", self._said)

    def confirm(self) -> None:
        """A person says that the clock is right as it stands now."""
        with self._lock:
            self._adopt(self._steady())

    @property
    def problem(self) -> str:
        """What is wrong with the clock, in one sentence; empty where nothing is."""
        return "" if self._said == "quiet" else self._said

    def trusted(self) -> int:
        """The time (ns) by which old data may be removed: never ahead of the clock, nor of where it was believed."""
        with self._lock:
            return min(self._clock(), self._base + self._steady())

    def state(self) -> dict[str, int | str]:
        """What the next run is to know, as JSON."""
        with self._lock:
            return {"boot": self._boot, "base": self._base}

    def _adopt(self, ticks: int) -> None:
        self._base = self._clock() - ticks
        self._jumped_at, self._said = None, ""

    def _word(self, ahead: int) -> str:
        where = "ahead of" if ahead > 0 else "behind"
        far = format_duration(abs(ahead) // SECOND * SECOND)
        shown = np.datetime64(self._clock(), "ns").astype("datetime64[s]")
        return (
            f"the host's clock shows {shown}Z, {far} {where} what it should: messages without a time of their own get "
            "that time, and nothing old is removed by it; set it right, or confirm it with `driftline confirm clock`"
        )
