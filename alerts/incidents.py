"""Alarms that belong together: those of one device, and those of one site that come one upon the other.

An incident is derived from the alarms alone, so it needs no state: the same alarms give the same incidents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from devices.records import AlarmRecord

SAME_DEVICE = 300_000_000_000
"""A device's alarm belongs to the incident of its last one if that is open, or ended within this time (ns)."""
SAME_SITE = 120_000_000_000
"""An alarm of a site belongs to its newest incident if that gained an alarm within this time (ns)."""


@dataclass(slots=True)
class Incident:
    """Alarms that are one event, the one that began it first. Its `number` is that alarm's."""

    number: int
    device: str
    site: str
    alarms: list[AlarmRecord] = field(default_factory=list)
    newest: int = 0


def site_of(device: str) -> str:
    """The site of a device by its name: the levels of its topic before the last; a name without levels is a site."""
    return device.rpartition("/")[0] or device


def incidents(
    alarms: Iterable[AlarmRecord], device_of: Callable[[int], str], site: Callable[[str], str] = site_of
) -> list[Incident]:
    """The incidents that alarms form, in the order in which they began.

    `device_of` names the device of a series, `site` the place of a device. Alarms may be given in any order.
    """
    found: list[Incident] = []
    by_device: dict[str, tuple[Incident, int | None]] = {}
    by_site: dict[str, Incident] = {}
    for alarm in sorted(alarms, key=lambda alarm: (alarm.opened, alarm.alarm)):
        device = device_of(alarm.series)
        place = site(device)
        known = by_device.get(device)
        incident = None
        if known is not None and (known[1] is None or alarm.opened - known[1] <= SAME_DEVICE):
            incident = known[0]
        elif (there := by_site.get(place)) is not None and alarm.opened - there.newest <= SAME_SITE:
            incident = there
        if incident is None:
            incident = Incident(alarm.alarm, device, place)
            found.append(incident)
        incident.alarms.append(alarm)
        incident.newest = alarm.opened
        until = known[1] if known is not None and known[0] is incident else alarm.cleared
        ended = None if until is None or alarm.cleared is None else max(until, alarm.cleared)
        by_device[device] = (incident, ended)
        by_site[place] = incident
    return found


def incident_of(found: Iterable[Incident]) -> dict[int, int]:
    """The incident's number by alarm."""
    return {alarm.alarm: incident.number for incident in found for alarm in incident.alarms}
