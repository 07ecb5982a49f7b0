"""The public reports' signals with their truth, from the folder in DRIFTLINE_CASES or beside the repository."""

from __future__ import annotations

import gzip
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

_BESIDE = Path(__file__).resolve().parents[2].parent / "shared" / "cases"
_ELSEWHERE = Path(__file__).resolve().parents[2].parent.parent / "shared" / "cases"


@dataclass(frozen=True)
class FieldCase:
    """One signal: times (n,) in ns and values (n,); the stretches in which an alarm is due, with what they are."""

    time: np.ndarray
    value: np.ndarray
    alarms: tuple[tuple[int, int, str], ...]

    @property
    def budget(self) -> float:
        """The decades of an alarm a week at this series' mean cadence."""
        weeks = (self.time[-1] - self.time[0]) / (7 * 86_400e9)
        return math.log10(len(self.time) / weeks)

    def within(self, alarm: int) -> np.ndarray:
        """Which readings lie in an alarm's stretch, (n,)."""
        start, end, _ = self.alarms[alarm]
        return (self.time >= start) & (self.time <= end)

    def elsewhere(self, after: int = 3_600 * 10**9) -> np.ndarray:
        """Which readings lie outside all stretches and the time (ns) after them, (n,)."""
        outside = np.ones(len(self.time), np.bool_)
        for start, end, _ in self.alarms:
            outside &= ~((self.time >= start) & (self.time <= end + after))
        return outside


def field_case(number: int, name: str) -> FieldCase:
    """Read one signal; skips the test, with the reason, where the cases are not there."""
    places = [Path(os.environ["DRIFTLINE_CASES"])] if "DRIFTLINE_CASES" in os.environ else [_BESIDE, _ELSEWHERE]
    folders = [folder for place in places for folder in place.glob(f"**/{number}-*")]
    if not folders:
        pytest.skip(f"no field cases at {' or '.join(map(str, places))}: set DRIFTLINE_CASES to their folder")
    rows = gzip.decompress((folders[0] / f"{name}.csv.gz").read_bytes()).decode().split()[1:]
    times, values = zip(*(row.split(",") for row in rows), strict=True)
    truth = json.loads((folders[0] / "truth.json").read_text())[name]
    return FieldCase(
        _nanoseconds(times),
        np.array([float(value) for value in values]),
        tuple((*_nanoseconds(alarm[:2]).tolist(), alarm[2]) for alarm in truth["alarm"]),
    )


def _nanoseconds(times: tuple[str, ...] | list[str]) -> np.ndarray:
    return np.array([time.rstrip("Z") for time in times], "datetime64[ns]").astype(np.int64)
