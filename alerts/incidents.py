"""Alarms that belong together: those of one device, those of devices that hang together, and those of a site that come
one upon the other.

An incident is derived from the alarms alone, so it needs no state: the same alarms give the same incidents. What people
know of how devices hang together are labels: `group` names those that share a line, a room or a machine, `fed_by` the
device that a device gets its water, air or power from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from common.time_units import DAY, HOUR, MINUTE
from devices.records import AlarmRecord

SAME_DEVICE = HOUR
"""A device's alarm belongs to the incident of its last one if that is open, or ended within this time (ns)."""
SAME_GROUP = 90 * MINUTE
"""An alarm of a group belongs to its newest incident if that gained an alarm within this time (ns)."""
SAME_SITE = 2 * MINUTE
"""The same of a site."""
LONGEST_PAUSE = DAY
"""A device takes part again in an incident that is open still, if that gained an alarm within this time (ns)."""
SMALL_SITE = 16
"""A site of so many devices at most is one group where its devices have no label that says otherwise."""
SITES_IN_FLOOD = 3
"""So many sites under one roof that begin to alarm within `SAME_SITE` are one incident."""
GROUP_LABEL, FED_BY_LABEL = "group", "fed_by"


def site_of(device: str) -> str:
    """The site of a device by its name: the levels of its topic before the last; a name without levels is a site."""
    return device.rpartition("/")[0] or device


class Topology:
    """How devices hang together: by their labels, and by their sites where these are small.

    `sizes` is how many devices each site has, where not all devices are given.
    """

    def __init__(
        self,
        devices: Iterable[str] = (),
        labels: Mapping[str, Mapping[str, str]] | None = None,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        self._labels = labels or {}
        self._sizes = Counter(map(site_of, devices)) if sizes is None else sizes

    def group(self, device: str) -> str:
        """What the device shares with others that alarm when it does; "" where nothing is known."""
        label = self._labels.get(device, {}).get(GROUP_LABEL)
        site = site_of(device)
        if label:
            return f"{site}\n{label}"
        return site if 1 < self._sizes.get(site, 0) <= SMALL_SITE else ""

    def feeders(self, device: str) -> list[str]:
        """The device that feeds this one, the one that feeds that, and so on."""
        found: list[str] = []
        while (device := self._labels.get(device, {}).get(FED_BY_LABEL, "")) and device not in found:
            found.append(device)
        return found


@dataclass(slots=True, eq=False)
class Incident:
    """Alarms that are one event, in the order in which they opened. `until` is when the last of them ended, None while
    one is open; `newest` is when the newest opened (ns)."""

    alarms: list[AlarmRecord] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    sites: set[str] = field(default_factory=set)
    newest: int = 0
    until: int | None = 0
    root: int = 0
    """The place in `alarms` of the one that stands first: of the device that began it, or of one that feeds that."""

    @property
    def number(self) -> int:
        """The number of the alarm that stands first."""
        return self.alarms[self.root].alarm

    @property
    def device(self) -> str:
        """The device of the alarm that stands first."""
        return self.devices[self.root]

    def add(self, alarm: AlarmRecord, device: str) -> None:
        """One alarm more."""
        self.alarms.append(alarm)
        self.devices.append(device)
        self.sites.add(site_of(device))
        self.newest = max(self.newest, alarm.opened)
        self.until = None if self.until is None or alarm.cleared is None else max(self.until, alarm.cleared)

    def is_open(self, time: int) -> bool:
        """Whether one of its alarms was open at the time."""
        return self.until is None or self.until > time


def incidents(
    alarms: Iterable[AlarmRecord], device_of: Callable[[int], str], topology: Topology | None = None
) -> list[Incident]:
    """The incidents that alarms form, in the order in which they began.

    `device_of` names the device of a series. Alarms may be given in any order.
    """
    ordered = sorted(alarms, key=lambda alarm: (alarm.opened, alarm.alarm))
    topology = topology or Topology({device_of(alarm.series) for alarm in ordered})
    gathering = _Gathering(topology)
    for alarm in ordered:
        gathering.take(alarm, device_of(alarm.series))
    for incident in gathering.found:
        incident.root = _root_of(incident, topology)
    return gathering.found


def incident_of(found: Iterable[Incident]) -> dict[int, int]:
    """The incident's number by alarm."""
    return {alarm.alarm: incident.number for incident in found for alarm in incident.alarms}


class _Gathering:
    """Takes alarms in the order in which they opened."""

    def __init__(self, topology: Topology) -> None:
        self.found: list[Incident] = []
        self._topology = topology
        self._by_device: dict[str, tuple[Incident, int | None]] = {}
        self._by_group: dict[str, Incident] = {}
        self._by_site: dict[str, Incident] = {}
        self._by_roof: dict[str, list[Incident]] = {}

    def take(self, alarm: AlarmRecord, device: str) -> None:
        """Put the alarm where it belongs: of what it may belong to, to the incident that gained an alarm last."""
        fits = self._fitting(alarm.opened, device)
        incident = max(fits, key=lambda each: each.newest) if fits else self._begun(alarm.opened, site_of(device))
        incident.add(alarm, device)
        known = self._by_device.get(device)
        until = known[1] if known is not None and known[0] is incident else alarm.cleared
        ended = None if until is None or alarm.cleared is None else max(until, alarm.cleared)
        self._by_device[device] = (incident, ended)
        self._by_site[site_of(device)] = incident
        if group := self._topology.group(device):
            self._by_group[group] = incident

    def _fitting(self, time: int, device: str) -> list[Incident]:
        fits: list[Incident] = []
        if device in self._by_device:
            incident, ended = self._by_device[device]
            is_lasting = incident.is_open(time) and time - incident.newest <= LONGEST_PAUSE
            if ended is None or time - ended <= SAME_DEVICE or is_lasting:
                fits.append(incident)
        for place, known, within in (
            (site_of(device), self._by_site, SAME_SITE),
            (self._topology.group(device), self._by_group, SAME_GROUP),
        ):
            if (there := known.get(place)) is not None and time - there.newest <= within:
                fits.append(there)
        return fits

    def _begun(self, time: int, site: str) -> Incident:
        """A new incident, or the one that a flood of several sites under one roof is."""
        roof = site.rpartition("/")[0]
        recent = [each for each in self._by_roof.get(roof, ()) if time - each.newest <= SAME_SITE] if roof else []
        sites = {site}.union(*(each.sites for each in recent))
        if len(sites) >= SITES_IN_FLOOD:
            incident = recent[0]
            for other in recent[1:]:
                self._merge(other, incident)
            self._by_roof[roof] = [incident]
            return incident
        incident = Incident()
        self.found.append(incident)
        self._by_roof[roof] = [*recent, incident]
        return incident

    def _merge(self, gone: Incident, into: Incident) -> None:
        for alarm, device in zip(gone.alarms, gone.devices, strict=True):
            into.add(alarm, device)
        order = sorted(range(len(into.alarms)), key=lambda at: (into.alarms[at].opened, into.alarms[at].alarm))
        into.alarms, into.devices = [into.alarms[at] for at in order], [into.devices[at] for at in order]
        self.found.remove(gone)
        for known in (self._by_group, self._by_site):
            known.update({place: into for place, incident in known.items() if incident is gone})
        self._by_device.update(
            {d: (into, ended) for d, (incident, ended) in self._by_device.items() if incident is gone}
        )


def _root_of(incident: Incident, topology: Topology) -> int:
    """The first alarm, or the first of the device furthest up of those that feed its device and alarm too."""
    first = incident.devices[0]
    upward = [device for device in topology.feeders(first) if device in incident.devices]
    return incident.devices.index(upward[-1]) if upward else 0
