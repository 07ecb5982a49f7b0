"""How well incidents gather the alarms of one fault of a plant, and whether the device that began it stands first.

A cascade is a fault of the plant whose alarms are of two devices or more: those from its first until none is open for
an hour. Its roots are the devices that show it within a quarter of an hour of the first, and what feeds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from alerts.incidents import FED_BY_LABEL, Incident, Topology, incidents
from common.time_units import HOUR
from devices.fault_labels import WHOLE_DEVICE, Expected, FaultLabel
from devices.records import AlarmRecord, AlarmState
from tuning.scorecard import Alarm, Watch, alarms_of_label

_ROOTS_WITHIN = HOUR // 4


@dataclass(frozen=True, slots=True)
class IncidentScore:
    """Of `cascades`, how many are `one` incident, and in how many a `root` stands first. Of incidents of more than one
    alarm, `several`, how many are `mixed`: of faults that have nothing in common. Runs are added up with `+`."""

    cascades: int = 0
    one: int = 0
    root: int = 0
    several: int = 0
    mixed: int = 0
    alarms: int = 0
    incidents: int = 0

    def __add__(self, other: IncidentScore) -> IncidentScore:
        return IncidentScore(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


def score_incidents(
    watch: Watch,
    labels: Sequence[FaultLabel],
    alarms: Iterable[Alarm],
    site: str,
    device_labels: Mapping[str, Mapping[str, str]],
) -> IncidentScore:
    """Score one plant, whose devices all stand at `site`. `device_labels` are what people know of them."""
    given = sorted(alarms, key=lambda alarm: (alarm.start, alarm.device, alarm.metric))
    names: list[str] = sorted({alarm.device for alarm in given} | set(device_labels))
    number = {name: i for i, name in enumerate(names)}
    records = [
        AlarmRecord(i, number[alarm.device], AlarmState.CLEARED, alarm.start, alarm.end, "minor", 0.0, 0.0, 0.0, "")
        for i, alarm in enumerate(given)
    ]
    placed = {f"{site}/{name}": _placed(known, site) for name, known in device_labels.items()}
    found = incidents(records, lambda one: f"{site}/{names[one]}", Topology(placed, placed))
    incident_of = {alarm.alarm: incident for incident in found for alarm in incident.alarms}
    by_device: dict[str, list[Alarm]] = {}
    for alarm in given:
        by_device.setdefault(alarm.device, []).append(alarm)
    place = {alarm: i for i, alarm in enumerate(given)}
    faults: dict[str, list[FaultLabel]] = {}
    for label in labels:
        if label.expected is Expected.ALARM and label.device != WHOLE_DEVICE:
            faults.setdefault(label.root, []).append(label)
    causes: dict[int, set[str]] = {}
    score = IncidentScore(alarms=len(given), incidents=len(found))
    for root, members in faults.items():
        owned = sorted({place[alarm] for label in members for alarm in alarms_of_label(watch, label, by_device)})
        for one in owned:
            causes.setdefault(one, set()).add(root)
        episode = _first_episode(owned, given)
        if len({given[one].device for one in episode}) > 1:
            within = {id(incident_of[one]) for one in episode}
            first = incident_of[episode[0]].device.removeprefix(f"{site}/")
            is_root = first in _roots(members, device_labels)
            score += IncidentScore(cascades=1, one=int(len(within) == 1), root=int(is_root))
    return score + _mixed(found, causes)


def _placed(labels: Mapping[str, str], site: str) -> dict[str, str]:
    fed_by = labels.get(FED_BY_LABEL)
    return dict(labels) | ({FED_BY_LABEL: f"{site}/{fed_by}"} if fed_by else {})


def _first_episode(owned: Sequence[int], alarms: Sequence[Alarm]) -> list[int]:
    episode: list[int] = []
    ended = 0
    for one in owned:
        if episode and alarms[one].start > ended + HOUR:
            break
        episode.append(one)
        ended = max(ended, alarms[one].end)
    return episode


def _roots(members: Sequence[FaultLabel], device_labels: Mapping[str, Mapping[str, str]]) -> set[str]:
    seen = [label for label in members if not label.unseen] or list(members)
    first = min(label.visible_start for label in seen)
    roots = {label.device for label in seen if label.visible_start <= first + _ROOTS_WITHIN}
    feeders = {device_labels.get(device, {}).get(FED_BY_LABEL, "") for device in roots}
    return roots | (feeders & {label.device for label in seen})


def _mixed(found: Sequence[Incident], causes: Mapping[int, set[str]]) -> IncidentScore:
    several = mixed = 0
    for incident in found:
        known = [causes[alarm.alarm] for alarm in incident.alarms if alarm.alarm in causes]
        several += len(incident.alarms) > 1
        mixed += len(known) > 1 and not set.intersection(*known)
    return IncidentScore(several=several, mixed=mixed)
