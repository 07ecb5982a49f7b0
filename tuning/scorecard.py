"""Alarms joined with the truth about faults: what was found, how soon, and what was said for nothing.

Rules, all in event time:

- A fault is found where an alarm *opens* from its start until shortly after its end, on its metric, or on the device as
  a whole. An alarm that was open before does not count: else one that never closes would find everything.
- The faults of several metrics with one root are one fault: an alarm on any of them finds it.
- An alarm that opens at no fault is false. At a stretch labelled as ordinary operation it is false too; where the past
  could not teach what comes (a public holiday) it does not count.
- A fault that nothing could see that only knows the past counts in no share; its reason is told instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from devices.fault_labels import WHOLE_DEVICE, Expected, FaultLabel

WEEK = 604_800_000_000_000
GRACE_SHARE, GRACE_READINGS = 0.1, 15
"""After its end a fault still owns an alarm that opens within this share of its duration and so many readings more: the
return to normal is a change of its own."""
EARLY_READINGS = 2
LEAST_READINGS_OPEN = 10
"""A fault of fewer readings has no share of its time that an alarm could be open."""
DEFAULT_CADENCE = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm: from `start` until `end` in ns of event time; the metric is "*" where it is of the whole device."""

    device: str
    metric: str
    start: int
    end: int
    detector: str = ""


class Verdict(StrEnum):
    """What an alarm was worth."""

    TRUE = "true"
    FALSE = "false"
    EXCUSED = "excused"


@dataclass(frozen=True, slots=True)
class FaultOutcome:
    """What became of one fault. `delay_seconds` and `delay_readings` from when it can be seen to the alarm's opening.

    `open_share` is the share of its visible time with an alarm open; NaN for a fault of few readings. `alarms` is how
    many opened for each metric that had any. `missed` says why one was missed that can be seen, `peak` the highest
    score while it lasted; empty and NaN where that was not looked at.
    """

    world: str
    kind: str
    device: str
    metric: str
    start: int
    end: int
    occurrence: int
    abrupt: bool
    unseen: str
    found: bool
    found_by: str
    delay_seconds: float
    delay_readings: float
    open_share: float
    alarms: float
    missed: str = ""
    peak: float = float("nan")


@dataclass(frozen=True, slots=True)
class AlarmOutcome:
    """What one alarm was worth; `learning` where it opened in the time that is free of faults."""

    world: str
    alarm: Alarm
    verdict: Verdict
    learning: bool


@dataclass(frozen=True, slots=True)
class Watch:
    """What was watched: the times of each series' readings, ns, and until when nothing was wrong on purpose."""

    world: str
    times: Mapping[tuple[str, str], NDArray[np.int64]]
    start: int
    end: int
    learned_by: int

    def cadence(self, device: str, metric: str) -> int:
        """The usual time between readings, ns."""
        return _cadence(self.times.get((device, metric)))

    @property
    def sensor_weeks(self) -> float:
        """Weeks of all series after the learning time."""
        return len(self.times) * max(self.end - max(self.learned_by, self.start), 0) / WEEK

    @property
    def learning_weeks(self) -> float:
        """Weeks of all series within it."""
        return len(self.times) * max(self.learned_by - self.start, 0) / WEEK


@dataclass(frozen=True, slots=True)
class Score:
    """Outcomes of one or more runs, and how long was watched; runs are added up with `+`."""

    faults: tuple[FaultOutcome, ...] = ()
    alarms: tuple[AlarmOutcome, ...] = ()
    sensor_weeks: Mapping[str, float] = field(default_factory=dict)
    learning_weeks: Mapping[str, float] = field(default_factory=dict)
    readings: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(
            self.faults + other.faults,
            self.alarms + other.alarms,
            _summed(self.sensor_weeks, other.sensor_weeks),
            _summed(self.learning_weeks, other.learning_weeks),
            self.readings + other.readings,
        )


def score_alarms(watch: Watch, labels: Sequence[FaultLabel], alarms: Iterable[Alarm]) -> Score:
    """Join the alarms of one run with its labels."""
    given = sorted(alarms, key=lambda alarm: alarm.start)
    by_device: dict[str, list[Alarm]] = {}
    for alarm in given:
        by_device.setdefault(alarm.device, []).append(alarm)
    roots: dict[str, list[FaultLabel]] = {}
    true, excused = set[Alarm](), set[Alarm]()
    for label in labels:
        owned = alarms_of_label(watch, label, by_device)
        if label.expected is Expected.ALARM:
            roots.setdefault(label.root, []).append(label)
            true.update(owned)
        elif label.expected is Expected.EITHER:
            excused.update(owned)
    faults = tuple(_fault(watch, members, by_device) for members in roots.values())
    outcomes = tuple(
        AlarmOutcome(
            watch.world,
            alarm,
            Verdict.TRUE if alarm in true else Verdict.EXCUSED if alarm in excused else Verdict.FALSE,
            alarm.start < watch.learned_by,
        )
        for alarm in given
    )
    readings = sum(len(times) for times in watch.times.values())
    return Score(faults, outcomes, {watch.world: watch.sensor_weeks}, {watch.world: watch.learning_weeks}, readings)


def alarms_of_label(watch: Watch, label: FaultLabel, by_device: Mapping[str, list[Alarm]]) -> list[Alarm]:
    """The alarms that open because of what a label tells."""
    cadence = watch.cadence(label.device, label.metric)
    grace = int(GRACE_SHARE * (label.end - label.start)) + GRACE_READINGS * cadence
    first, last = label.start - EARLY_READINGS * cadence, label.end + grace
    return [alarm for alarm in _of(label, by_device) if first <= alarm.start <= last]


def _of(label: FaultLabel, by_device: Mapping[str, list[Alarm]]) -> list[Alarm]:
    """All alarms on the label's metric, or its device as a whole."""
    if label.device == WHOLE_DEVICE:
        return [alarm for alarms in by_device.values() for alarm in alarms]
    whole = label.metric == WHOLE_DEVICE
    return [alarm for alarm in by_device.get(label.device, []) if whole or alarm.metric in (label.metric, WHOLE_DEVICE)]


def _fault(watch: Watch, members: Sequence[FaultLabel], by_device: Mapping[str, list[Alarm]]) -> FaultOutcome:
    lead = min(members, key=lambda label: (label.unseen != "", label.visible_start))
    seen = [label for label in members if not label.unseen] or [lead]
    opened = [(label, owned) for label in seen if (owned := alarms_of_label(watch, label, by_device))]
    delay_seconds = delay_readings = float("nan")
    first: Alarm | None = None
    if opened:
        label, first = min(((label, owned[0]) for label, owned in opened), key=lambda pair: pair[1].start)
        visible = min(label.visible_start for label in seen)
        delay_seconds = max(first.start - visible, 0) / 1e9
        delay_readings = _readings_between(watch, label, visible, first.start)
    alarms = sum(len(owned) for _, owned in opened) / max(len(opened), 1)
    return FaultOutcome(
        watch.world, lead.kind, lead.device, lead.metric, lead.start, max(label.end for label in seen),
        lead.occurrence, lead.abrupt, "" if seen[0] is not lead else lead.unseen, first is not None,
        first.detector if first else "", delay_seconds, delay_readings, _open_share(watch, seen, by_device), alarms,
    )  # fmt: skip


def _open_share(watch: Watch, seen: Sequence[FaultLabel], by_device: Mapping[str, list[Alarm]]) -> float:
    start, end = min(label.visible_start for label in seen), max(label.end for label in seen)
    if end - start < LEAST_READINGS_OPEN * watch.cadence(seen[0].device, seen[0].metric):
        return float("nan")
    spans = sorted(
        (max(alarm.start, start), min(alarm.end, end))
        for alarm in {alarm for label in seen for alarm in _of(label, by_device)}
        if alarm.start < end and alarm.end > start
    )
    covered, reached = 0, start
    for begin, over in spans:
        covered += max(over - max(begin, reached), 0)
        reached = max(reached, over)
    return covered / (end - start)


def _readings_between(watch: Watch, label: FaultLabel, first: int, last: int) -> float:
    times = watch.times.get((label.device, label.metric))
    if times is None:
        times = next((t for (device, _), t in watch.times.items() if device == label.device), np.empty(0, np.int64))
    return float(np.count_nonzero((times >= first) & (times < last)))


def _summed(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}


def _cadence(times: NDArray[np.int64] | None) -> int:
    if times is None or len(times) < 2:
        return DEFAULT_CADENCE
    gaps = np.diff(times[:20_000])
    gaps = gaps[gaps > 0]
    return int(np.median(gaps)) if len(gaps) else DEFAULT_CADENCE
