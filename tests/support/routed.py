"""Messages through the real router and decoder, and what comes of them by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from devices.batch import NO_TIME
from devices.messages import FLAG_RETAIN, MessageChunk
from devices.series_registry import SeriesRegistry
from devices.vectors import ARRIVAL, Vector
from ingest.decode import Decoder
from ingest.decoded import Readings
from ingest.ingest_settings import DEFAULT_ROUTES, RouteSettings
from ingest.route import Router


@dataclass
class Routed:
    """What came of messages: `points` as (device, metric, value), and the rest by name."""

    readings: Readings
    router: Router
    chunk: MessageChunk
    points: list[tuple[str, str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        records = self.router.registry.records
        self.points = [
            (records[s].device, records[s].metric, v)
            for s, v in zip(self.readings.series.tolist(), self.readings.value.tolist(), strict=True)
        ]

    @property
    def times(self) -> list[int]:
        """Event time of each point; NO_TIME where it is the arrival."""
        arrival = self.chunk.arrival[self.readings.message]
        times: list[int] = np.where(self.readings.time == arrival, NO_TIME, self.readings.time).tolist()
        return times

    @property
    def units(self) -> dict[str, str]:
        """Unit by metric, of all series that have one."""
        return {record.metric: record.unit for record in self.router.registry.records if record.unit}

    @property
    def kinds(self) -> dict[str, str]:
        """Kind by metric."""
        return {record.metric: record.kind for record in self.router.registry.records}

    @property
    def devices(self) -> list[str]:
        """All devices, in order of first sight."""
        return list(self.router.registry.device_names)

    @property
    def states(self) -> list[tuple[str, str, str]]:
        """Texts as (device, metric, text)."""
        records = self.router.registry.records
        return [(records[s.series].device, records[s.series].metric, s.text) for s in self.readings.states]

    @property
    def presence(self) -> list[tuple[str, bool]]:
        """What was said of devices being there."""
        return [(each.device, each.online) for each in self.readings.presence]

    @property
    def refused(self) -> list[tuple[str, str]]:
        """Reason and detail of every dead letter."""
        return [(each.reason.value, each.detail) for each in self.readings.rejections]

    @property
    def no_data(self) -> dict[str, int]:
        """What held no data, by reason."""
        return {reason.value: count for reason, count in self.readings.no_data.items()}

    @property
    def odd(self) -> list[str]:
        """Kinds of what was odd about messages."""
        return [each.kind for each in self.readings.odd]


class Broker:
    """Hands messages to a router, all of one run."""

    def __init__(self, routes: Sequence[RouteSettings] = DEFAULT_ROUTES, *, arrival: int = ARRIVAL) -> None:
        registry = SeriesRegistry(max_series=10_000, max_series_per_device=1_000)
        self.router = Router(routes, ["default"], registry, max_topics=10_000)
        self.decoder = Decoder(self.router, max_payload=1 << 20)
        self.arrival = arrival

    def send(self, *messages: tuple[str, bytes], retained: bool = False) -> Routed:
        """What comes of the messages, in one chunk."""
        rows = []
        for topic, payload in messages:
            rows.append((topic.encode(), payload, self.arrival, FLAG_RETAIN if retained else 0))
            self.arrival += 1
        chunk = MessageChunk.of(rows)
        return Routed(self.decoder.decode(chunk), self.router, chunk)


def send_vector(vector: Vector, routes: Sequence[RouteSettings] = DEFAULT_ROUTES) -> Routed:
    """What comes of a profile's vector, after the messages that came before it."""
    broker = Broker(routes)
    for earlier in vector.before:
        broker.send((earlier.topic, earlier.data))
    broker.arrival = ARRIVAL
    return broker.send((vector.topic, vector.data))
