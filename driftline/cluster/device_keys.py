"""Receivers: the key of a message's record, by which all messages of a device stay in order in one partition."""

from __future__ import annotations

from devices.messages import MessageChunk
from devices.recognition import Profiles
from devices.series_registry import SeriesRegistry
from driftline.config import Config
from driftline.own_topics import routes_in_force
from ingest.route import Router

_TOPICS_PER_SERIES = 2


class DeviceKeys:
    """The device of each message as the router finds it by topic and user properties; where the payload has a say, or
    no route takes the topic, the topic.

    A key depends on nothing but the message's topic, its properties and the configuration: any receiver gives the same.
    """

    def __init__(self, config: Config) -> None:
        limits = config.limits
        registry = SeriesRegistry(max_series=1, max_series_per_device=1)
        self._router = Router(
            routes_in_force(config),
            list(config.detectors),
            registry,
            max_topics=_TOPICS_PER_SERIES * limits.max_series,
            profiles=Profiles(config.own_profiles),
        )
        self._keys: list[bytes] = []

    @property
    def filters(self) -> dict[str, int]:
        """The topic filters of the routes, with their quality of service."""
        return self._router.filters

    def __call__(self, chunk: MessageChunk) -> list[bytes]:
        """The key of each message."""
        numbers, _ = self._router.topics(chunk)
        known = self._keys
        for number in range(len(known), int(numbers.max(initial=-1)) + 1):
            known.append(self._key(number))
        return [known[n] if n >= 0 else chunk.topic(row) for row, n in enumerate(numbers.tolist())]

    def _key(self, topic: int) -> bytes:
        levels = "/".join(self._router.levels(topic))
        if self._router.is_decided_by_payload(topic):
            return levels.encode()
        return self._router.owner(topic).encode()
