"""Alarms that would be, against what people have said: of alarms, and of stretches of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alerts.marked_stretches import MarkedStretch
from devices.records import AlarmRecord
from tuning.preview import PreviewAlarm


@dataclass(frozen=True, slots=True)
class Against:
    """How many stretches are said to be faults, and normal, and how many of each some alarm is in."""

    faults: int = 0
    faults_found: int = 0
    normals: int = 0
    normals_alarmed: int = 0

    def __add__(self, other: Against) -> Against:
        return Against(
            self.faults + other.faults,
            self.faults_found + other.faults_found,
            self.normals + other.normals,
            self.normals_alarmed + other.normals_alarmed,
        )

    def sentence(self, alarms: int) -> str:
        """For people; `alarms` is how many there would be."""
        text = "1 alarm" if alarms == 1 else f"{alarms} alarms"
        if self.faults:
            text += f"; {self.faults_found} of {self.faults} marked real among them"
        if self.normals:
            text += f"; {self.normals_alarmed} of {self.normals} marked normal would alarm"
        return text


def against(
    would: Sequence[PreviewAlarm], were: Iterable[AlarmRecord], stretches: Iterable[MarkedStretch], end: int
) -> Against:
    """Compare alarms of a series that would be, up to `end` (ns), with what is said of those that were, and of time."""
    faults: list[tuple[int, int]] = []
    normals: list[tuple[int, int]] = []
    for alarm in were:
        if alarm.feedback:
            (faults if alarm.feedback == "right" else normals).append((alarm.opened, alarm.cleared or end))
    for stretch in stretches:
        (faults if stretch.mark == "fault" else normals).append((stretch.start, stretch.end))
    found = sum(_any_in(would, start, until, end) for start, until in faults)
    alarmed = sum(_any_in(would, start, until, end) for start, until in normals)
    return Against(len(faults), found, len(normals), alarmed)


def _any_in(would: Sequence[PreviewAlarm], start: int, until: int, end: int) -> bool:
    return any(each.opened <= until and (each.cleared or end) >= start for each in would)
