"""A device's own clock, which drifts until it is set again."""

from __future__ import annotations

from common.time_units import SECOND


class DeviceClock:
    """Tells the time with a drift, in seconds a second. It is right when it is synchronised, but for a small error."""

    def __init__(self, *, drift: float = 0.0) -> None:
        self._drift = drift
        self._since: int | None = None
        self._error = 0

    def synchronise(self, now: int, error_seconds: float) -> None:
        """Set it at the true time `now`, ns, to within an error."""
        self._since = now
        self._error = int(error_seconds * SECOND)

    def forget(self) -> None:
        """Lose what was known of the time; the drift since goes with it."""
        self._since, self._error = None, 0

    def read(self, now: int) -> int:
        """What it shows at the true time `now`, ns, in whole milliseconds."""
        drifted = 0 if self._since is None else int((now - self._since) * self._drift)
        return (now + self._error + drifted) // 1_000_000 * 1_000_000
