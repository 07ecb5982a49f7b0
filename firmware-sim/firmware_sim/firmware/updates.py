"""An update over the air: downloaded in steps, checked, applied."""

from __future__ import annotations

from enum import StrEnum

STEPS = 5


class UpdateState(StrEnum):
    """How far an update is."""

    DOWNLOADING = "downloading"
    FAILED = "failed"
    APPLYING = "applying"
    DONE = "done"
    ROLLED_BACK = "rolled back"


class Update:
    """One update to `version` that takes `seconds` to download. `broken`: its checksum is wrong; `bad`: it crashes."""

    def __init__(self, version: str, seconds: float, *, bad: bool = False, broken: bool = False) -> None:
        self.version = version
        self.bad = bad
        self.step = int(seconds * 1e9 / STEPS)
        """Time between two steps, ns."""
        self._broken = broken
        self._done = 0

    def advance(self) -> tuple[UpdateState, int]:
        """The next step: its state, and how much is loaded, in per cent."""
        self._done += 1
        if self._done <= STEPS:
            return UpdateState.DOWNLOADING, 100 * self._done // STEPS
        return (UpdateState.FAILED if self._broken else UpdateState.APPLYING), 100
