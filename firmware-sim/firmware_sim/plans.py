"""When which fault comes: none, at random by rate, or by a schedule file."""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np

from common.durations import parse_duration
from common.suggestions import unknown
from common.time_units import SECOND
from firmware_sim.faults import WHOLE_DEVICE, Fault, FaultKind
from firmware_sim.injection import Injection
from firmware_sim.models import Channel

DURATIONS: dict[FaultKind, tuple[float, float, int]] = {
    FaultKind.SPIKE: (1, 8, 1),
    FaultKind.LEVEL_SHIFT: (20, 60, 10),
    FaultKind.DRIFT: (60, 150, 40),
    FaultKind.STUCK: (45, 120, 30),
    FaultKind.NOISE_BURST: (15, 40, 10),
    FaultKind.DROPOUT: (20, 60, 10),
    FaultKind.OSCILLATION: (30, 80, 30),
    FaultKind.CORRELATION_BREAK: (120, 240, 60),
    FaultKind.MISSING_CHANNEL: (30, 90, 10),
}
"""Shortest and longest duration in seconds of a random fault, and its least number of readings."""

FIRST_FAULT_SECONDS = (15.0, 18.0)
FIRST_FAULT_STRENGTH = 12.0
QUIET_START = 300 * SECOND
QUIET_END = 60 * SECOND
HISTORY_SPARSER = 3.0
RECURS = 0.45
"""Share of the faults that are an earlier one again: the same kind on the same metric, as large."""
MOST_RECURRING = 5
"""Faults that recur at the same time over the fleet."""
LASTS = 0.2
LASTING_TIMES = (8.0, 25.0)
"""Share of the faults of kinds that may last, and how many times as long these are."""
LASTING_KINDS = (FaultKind.LEVEL_SHIFT, FaultKind.DRIFT, FaultKind.STUCK, FaultKind.DROPOUT, FaultKind.NOISE_BURST)
COLUMNS = ("device", "metric", "kind", "start", "end")

Targets = dict[str, tuple[Channel, ...]]
"""The channels of each device by its name, in the fleet's order."""


class FaultPlan(Protocol):
    """Says which faults come, in the order of their start."""

    def begin_live(self, time: int) -> None:
        """The history is told; what follows from `time` (ns) on is live."""
        ...

    def until(self, time: int) -> list[Fault]:
        """The faults that start before `time` (ns) and were not given yet."""
        ...


class Scheduled:
    """The faults given, at their times."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self._faults = sorted(faults, key=lambda fault: fault.start)

    def begin_live(self, time: int) -> None:
        """Makes no difference here."""

    def until(self, time: int) -> list[Fault]:
        """The faults that start before `time` (ns) and were not given yet."""
        place = bisect_left(self._faults, time, key=lambda fault: fault.start)
        begun, self._faults = self._faults[:place], self._faults[place:]
        return begun


class WithInjected:
    """A plan, and the faults that were asked for while it runs."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._injected: list[Fault] = []

    def inject(self, fault: Fault) -> None:
        """Let this fault come too."""
        self._injected.append(fault)

    def begin_live(self, time: int) -> None:
        """The history is told; what follows from `time` (ns) on is live."""
        self._plan.begin_live(time)

    def until(self, time: int) -> list[Fault]:
        """The faults that start before `time` (ns) and were not given yet."""
        begun, self._injected = self._injected, []
        return [*self._plan.until(time), *begun]


def faults_of(channels: Sequence[Channel]) -> dict[str, list[str]]:
    """The metrics of a device by the kinds of fault that can begin on them."""
    fitting = {kind: [one.name for one in channels if kind.value in one.faults] for kind in FaultKind}
    fitting[FaultKind.DROPOUT] = [WHOLE_DEVICE]
    return {kind.value: metrics for kind, metrics in fitting.items() if metrics}


def wanted_fault(wanted: Injection, channels: Sequence[Channel], start: int) -> Fault:
    """The fault that a person asks for on a device of these channels. Raises ValueError naming what was expected."""
    kinds = [kind.value for kind in FaultKind]
    name = wanted.kind.replace(" ", "_")
    if name not in kinds:
        raise ValueError(unknown(wanted.kind, kinds, "fault"))
    kind = FaultKind(name)
    fitting = [channel.name for channel in channels if kind.value in channel.faults]
    metrics = [WHOLE_DEVICE] if kind is FaultKind.DROPOUT else fitting
    metric = wanted.metric or next(iter(metrics), "")
    if metric not in metrics:
        raise ValueError(f"{wanted.device}: {unknown(metric, metrics, 'metric')} for {name}")
    return Fault(wanted.device, metric, kind, start, start + int(wanted.sensor_seconds * SECOND), wanted.size)


class Random:
    """Faults at random over the fleet, one at a time on a device.

    Live, the first comes 15 to 18 s after the start, large, on the first channel of the first device; then one every
    `every` ns on average (two thirds to four thirds of it). As in a real plant, nearly half of them are an earlier one
    again, and some last many times as long as the others. The history holds them three times sparser, leaves its first
    five minutes and its last minute in order, and spares the first device.
    """

    def __init__(
        self, targets: Targets, random: np.random.Generator, *, first: int, now: int, interval: int, every: int
    ) -> None:
        self._targets = targets
        self._random = random
        self._interval = interval
        self._every = every
        self._busy: dict[str, int] = {}
        self._recurring: list[Fault] = []
        self._coming = self._history(first + QUIET_START, now - QUIET_END)
        self._next: Fault | None = None

    def begin_live(self, time: int) -> None:
        """Start the live series of faults; those left of the history are dropped."""
        self._coming, self._next = self._live(time), None

    def until(self, time: int) -> list[Fault]:
        """The faults that start before `time` (ns) and were not given yet."""
        begun: list[Fault] = []
        while True:
            if self._next is None:
                self._next = next(self._coming, None)
            if self._next is None or self._next.start >= time:
                return begun
            begun.append(self._next)
            self._next = None

    def _history(self, first: int, last: int) -> Iterator[Fault]:
        spared = next(iter(self._targets))
        start = first + self._pause(HISTORY_SPARSER) // 2
        while start < last:
            fault = self._draw(start)
            if fault is not None and fault.device != spared and fault.end <= last:
                yield fault
            start += self._pause(HISTORY_SPARSER)

    def _live(self, begin: int) -> Iterator[Fault]:
        device, channels = next(iter(self._targets.items()))
        start = begin + int(self._random.uniform(*FIRST_FAULT_SECONDS) * SECOND)
        end = start + max(20 * SECOND, 10 * self._interval)
        self._busy[device] = end
        yield Fault(device, channels[0].name, FaultKind.LEVEL_SHIFT, start, end, FIRST_FAULT_STRENGTH)
        while True:
            start += self._pause(1.0)
            if (fault := self._draw(start)) is not None:
                yield fault

    def _pause(self, factor: float) -> int:
        return int(self._random.uniform(2 / 3, 4 / 3) * factor * self._every)

    def _draw(self, start: int) -> Fault | None:
        """A fault that starts then, on a device that has none; None where no such device can have the kind drawn."""
        random = self._random
        if (again := self._again(start)) is not None:
            return again
        kind = list(FaultKind)[random.integers(len(FaultKind))]
        free = [(name, channels) for name, channels in self._targets.items() if self._busy.get(name, 0) <= start]
        places = [
            (device, metric)
            for device, channels in free
            for metric in (
                [WHOLE_DEVICE]
                if kind is FaultKind.DROPOUT
                else [channel.name for channel in channels if kind.value in channel.faults]
            )
        ]
        if not places:
            return None
        device, metric = places[random.integers(len(places))]
        strength = float(random.uniform(7, 12) * random.choice((-1, 1), p=(0.3, 0.7)))
        fault = self._lasting(Fault(device, metric, kind, start, start, strength))
        self._recurring = [*self._recurring, fault][-MOST_RECURRING:]
        return fault

    def _again(self, start: int) -> Fault | None:
        """One of those that recur, on a device that has no other fault."""
        free = [fault for fault in self._recurring if self._busy.get(fault.device, 0) <= start]
        if not free or self._random.random() > RECURS:
            return None
        return self._lasting(replace(free[self._random.integers(len(free))], start=start))

    def _lasting(self, fault: Fault) -> Fault:
        """The fault with an end, until which its device has no other."""
        random = self._random
        shortest, longest, readings = DURATIONS[fault.kind]
        seconds = random.uniform(shortest, longest)
        if fault.kind in LASTING_KINDS and random.random() < LASTS:
            seconds *= random.uniform(*LASTING_TIMES)
        duration = max(int(seconds * SECOND), readings * self._interval)
        self._busy[fault.device] = fault.start + duration + 30 * SECOND
        return replace(fault, end=fault.start + duration)


def read_schedule(path: Path, targets: Targets, *, live: int) -> list[Fault]:
    """Faults of a CSV file with the columns of the labels: device, metric, kind, start, end, and perhaps strength.

    Times are ISO 8601, or a duration after a plus sign ("+30s"), counted from `live` (ns), the start of the live
    phase. The metric is "*" for a whole device. Raises ValueError naming file, line, column and value; OSError.
    """
    faults: list[Fault] = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or [])]:
            raise ValueError(f"{path}: line 1: no column {missing[0]!r}; expected {', '.join(COLUMNS)}")
        for row in reader:
            place = f"{path}: line {reader.line_num}"
            channels = targets.get(row["device"])
            if channels is None:
                raise ValueError(_unknown(place, "device", row["device"], list(targets)))
            if row["kind"] not in list(FaultKind):
                raise ValueError(_unknown(place, "kind", row["kind"], [kind.value for kind in FaultKind]))
            kind = FaultKind(row["kind"])
            metrics = [WHOLE_DEVICE] if kind is FaultKind.DROPOUT else [channel.name for channel in channels]
            if row["metric"] not in metrics:
                raise ValueError(_unknown(place, "metric", row["metric"], metrics))
            start, end = (_time(row[name], live, f"{place}: {name}") for name in ("start", "end"))
            if end <= start:
                raise ValueError(f"{place}: end {row['end']!r}: expected a time after start {row['start']!r}")
            strength = _strength(row.get("strength") or "8", place)
            faults.append(Fault(row["device"], row["metric"], kind, start, end, strength))
    return faults


def _time(text: str, live: int, place: str) -> int:
    try:
        if text.startswith("+"):
            return live + parse_duration(text[1:])
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'{place} {text!r}: expected ISO 8601, or "+30s" from the start of the live phase') from None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    return round(moment.timestamp() * 1000) * 1_000_000


def _strength(text: str, place: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{place}: strength {text!r}: expected a number") from None


def _unknown(place: str, column: str, value: str, known: list[str]) -> str:
    return f"{place}: {column}: {unknown(value, known)}"
