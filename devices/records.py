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


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message, or one reading of it, that could not become a point: kept whole, with the reason.

    `offset` is the message's place in the journal, `part` the rejected reading's number within it (0 for the whole
    message): together they are the key. `reason` is one of a bounded set (`devices.rejection_reasons`),
    `detail` a sentence with place, value and expectation.
    """

    offset: int
    part: int
    arrival: int
    topic: str
    payload: bytes
    reason: str
    detail: str


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
