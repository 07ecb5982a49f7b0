"""Alarm: what one step tells the alarms, and what became of them by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alerts.policy import Verdicts
from alerts.policy_kernels import Band
from devices.records import AlarmRecord, SeverityRise

SILENT = "silent"
"""The part of an alarm that says nothing comes; such an alarm is opened and ended by arrivals, not by scores."""
UNDELIVERED = "undelivered"
"""The part of an alarm of a notice channel that takes nothing: opened and ended by reports of it, not by scores."""
OF_STREAM = "stream"
"""The part of an alarm that a stream's condition opens, and ends."""
NOT_OF_SCORES = frozenset({SILENT, UNDELIVERED, OF_STREAM})
"""Parts of alarms that no score opens or ends."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What an alarm says of the reading that opened it: see `AlarmRecord`. `expected` is NaN where there is none."""

    value: float
    expected: float
    reason: str
    parts: dict[str, float]


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of n readings to be judged, all arrays (n,): `series`, `time` in ns, `score` in decades, NaN for none.

    `at` is the place of each in the order of readings, by which alarms of several such sets are numbered. `opening`
    says what an alarm that opens at a row tells, `beside` what it adds, by all verdicts, of the device's other metrics;
    `is_replaced` whether an alarm of the whole device takes its place. `band` is what was usual at each, where that is
    known.
    """

    series: NDArray[np.int32]
    time: NDArray[np.int64]
    score: NDArray[np.float64]
    at: NDArray[np.intp]
    opening: Callable[[int], Opening]
    is_replaced: Callable[[int], bool] = lambda _row: False
    band: Band | None = None
    beside: Callable[[int, Verdicts], str] = lambda _row, _verdicts: ""


@dataclass(frozen=True, slots=True)
class SilenceChange:
    """The silence of a series, or of a device by its own series, begins or ends at arrival time `time`, ns.

    `at` is its place before a reading, in the order of readings. `opening` says what its alarm tells; None ends it.
    """

    at: int
    series: int
    time: int
    severity: str = ""
    opening: Opening | None = None


NO_READING = -1
"""The place of a change that no reading made."""


@dataclass(frozen=True, slots=True)
class AlarmStep:
    """What became of the alarms at some readings: a new record for each change, in order.

    `places` are the places of the changes in the order of readings, `opened_at` of those at which an alarm opened;
    `NO_READING` where it was a silence. `rises` are the severities that rose. `rose` are the indices of records by
    which nothing but the highest score of an open alarm has changed.
    """

    records: list[AlarmRecord] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    opened_at: list[int] = field(default_factory=list)
    rises: list[SeverityRise] = field(default_factory=list)
    rose: list[int] = field(default_factory=list)

    @property
    def opened(self) -> int:
        """How many alarms opened."""
        return len(self.opened_at)


def is_of_scores(alarm: AlarmRecord) -> bool:
    """Whether scores have raised the alarm, rather than silence, a notice channel or a stream."""
    return not NOT_OF_SCORES.intersection(alarm.parts)
