"""Row-wise records that several rooms share: series, dead letters, alarms. Rare next to points, so not columnar."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """One metric of one device. `series` is its dense index, given in order of first sight and never reused."""

    series: int
    device: str
    metric: str
    unit: str = ""


MOST_PAYLOAD_KEPT = 16_384
"""Bytes of a rejected message's payload that are kept with it; the journal has all of it for as long as it keeps it."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not become points, in whole or in part: its payload, and the reasons.

    `offset` is the message's place in the journal, and the key. `payload` is the first `MOST_PAYLOAD_KEPT` bytes of
    the `payload_bytes` that came. `rejected` tells how many readings each reason took (`devices.rejection_reasons`); a
    message that was rejected whole counts as one. `reason` is the first of them, `detail` has a line with place, value
    and expectation for each of the first readings.
    """

    offset: int
    arrival: int
    topic: str
    payload: bytes
    payload_bytes: int
    reason: str
    detail: str
    rejected: dict[str, int]


class AlarmState(StrEnum):
    """Where an alarm stands in its life."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class AlarmRecord:
    """An alarm as it stands after a change; the newest record of an `alarm` id is the alarm.

    Times are event time in ns. `peak_score` is the highest score so far, `value` and `expected` those of the reading
    that opened it, `reason` one sentence, `parts` how much each detector contributed at opening.
    """

    alarm: int
    series: int
    state: AlarmState
    opened: int
    cleared: int | None
    severity: str
    peak_score: float
    value: float
    expected: float
    reason: str
    parts: dict[str, float] = field(default_factory=dict)
