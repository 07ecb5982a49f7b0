"""Which families of devices speak on a broker: what is recognised, by what, and samples of what is not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from devices.profile import COMMON, Profile
from devices.recognition import recognise
from devices.series_registry import SeriesRegistry
from ingest.ingest_settings import RouteSettings
from ingest.route import Router

_SHOWN = 80


@dataclass(slots=True)
class Family:
    """Devices of one profile: their topics, and the pattern by which the first was recognised."""

    profile: Profile
    pattern: str
    example: str
    topics: set[str] = field(default_factory=set)
    devices: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Identification:
    """The families found, by name, and the topics that are of none, with the beginning of a payload of each."""

    families: dict[str, Family] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    @property
    def routes(self) -> str:
        """Routes for the families found, as TOML for the configuration."""
        named = "".join(f'[[routes]]\nprofile = "{name}"\n\n' for name in sorted(self.families) if name != COMMON)
        return f'{named}[[routes]]\nfilter = "#"\n'


def identify(messages: Iterable[tuple[str, bytes]]) -> Identification:
    """Tell the families of messages (topic, payload)."""
    found = Identification()
    registry = SeriesRegistry(max_series=1, max_series_per_device=1)
    router = Router([RouteSettings(filter="#")], ["default"], registry, max_topics=0)
    for topic, payload in messages:
        recognised = recognise(topic, payload)
        if recognised is None:
            found.others.setdefault(topic, payload[:_SHOWN].decode("utf-8", "replace"))
            continue
        profile, number = recognised
        message = profile.messages[number]
        if profile.name not in found.families:
            pattern = next(each.text for each in message.patterns if each.matches(topic))
            found.families[profile.name] = Family(profile, pattern, topic)
        family = found.families[profile.name]
        family.topics.add(topic)
        if message.role.outcome is None:
            family.devices.add(router.route_for(profile, number).owner(topic.split("/")))
    return found
