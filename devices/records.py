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
    kind: str = "measurement"
    """What the metric is (`devices.kinds.Kind`)."""
    gone_at: int | None = None
    """The journal position at which the series was deleted, or became part of another; None while it is there."""


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """What people and rules say of a device. `name` is what it is shown as; empty: its identity, as nobody named it.

    `first_seen` is the arrival (ns) of the first message that it was seen by, None where that was not noted.
    `retired_at` is the service's clock (ns) when it was taken out of service, `muted_at` since when nobody is told of
    its alarms. `merged_into` is the device that its readings are of since the journal position `merged_at`.
    """

    device: str
    name: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    first_seen: int | None = None
    retired_at: int | None = None
    merged_into: str = ""
    merged_at: int | None = None
    muted_at: int | None = None


@dataclass(frozen=True, slots=True)
class SeriesMove:
    """Points of series `source` become those of `target`: values times `scale` plus `offset`, as its unit asks."""

    source: int
    target: int
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class PointsMark:
    """Stored points of a series from `start` up to and without `end` (ns) are excluded, or included again."""

    series: int
    start: int
    end: int
    excluded: bool


MOST_PAYLOAD_KEPT = 16_384
"""Bytes of a rejected message's payload that are kept with it; the journal has all of it for as long as it keeps it."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not become points, in whole or in part: its payload, and the reasons.

    `offset` is the message's place in the journal, and the key. `payload` is the first `MOST_PAYLOAD_KEPT` bytes of
    the `payload_bytes` that came. `rejected` tells how many readings each reason took (`devices.rejection_reasons`); a
    message that was rejected whole counts as one. `reason` is the first of them, `detail` has a line with place, value
    and expectation for each of the first readings. `properties` are those of MQTT 5, as a frame has them.
    """

    offset: int
    arrival: int
    topic: str
    payload: bytes
    payload_bytes: int
    reason: str
    detail: str
    rejected: dict[str, int]
    properties: bytes = b""


@dataclass(frozen=True, slots=True)
class StateRecord:
    """A change of a state that is told in words: from `time` (ns, event time) on, the series says `text`."""

    series: int
    time: int
    text: str


class AlarmState(StrEnum):
    """Where an alarm stands in its life."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class AlarmRecord:
    """An alarm as it stands after a change; the newest record of an `alarm` id is the alarm.

    Times are event time in ns. `peak_score` is the highest score so far, `value` and `expected` those of the
    reading that opened it (NaN where none did), `reason` one sentence, `parts` how much each detector contributed
    at opening. `acknowledged_at` and `acknowledged_by`: when and by whom, by the service's clock. `shelved_until`:
    event time before which nobody is to be told of it. `cleared_reason`: "back to normal", "by hand", ... `note`:
    what was said of it last. `feedback`: "right", "wrong" or "expected", where somebody has said so.
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
    acknowledged_by: str = ""
    acknowledged_at: int | None = None
    shelved_until: int | None = None
    cleared_reason: str = ""
    note: str = ""
    feedback: str = ""


@dataclass(frozen=True, slots=True)
class SeverityRise:
    """The open alarm of a series, opened at `opened` (ns), is not of this `severity` any more, but of a higher one.

    For databases that know an alarm by its severity: what they hold of it under the lower one has ended.
    """

    series: int
    opened: int
    severity: str


@dataclass(frozen=True, slots=True)
class ActionRecord:
    """Something that a person did, as it is kept: `position` and `number`, its place in the journal, are the key.

    `alarm` is None for what is not about an alarm, `kind` one of `alerts.actions`. `at` is the service's clock in ns.
    `text` is what the person said. `refused` says why nothing came of it, "" where it was done. While it `waits` it is
    in the journal, and the engine, which is behind, does it in its turn.
    """

    position: int
    number: int
    alarm: int | None
    kind: str
    by: str
    at: int
    text: str
    refused: str = ""
    waits: bool = False
