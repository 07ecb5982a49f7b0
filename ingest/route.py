"""Route: topics bring series: their names, kinds and units. Resolved once a topic and metric, then by array."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from devices.batch import NO_TIME
from devices.codec import MetricName, StatefulCodec
from devices.codec import Role as ValueRole
from devices.device_book import DeviceBook
from devices.kinds import SCORED, Kind
from devices.messages import FLAG_RETAIN, MessageChunk
from devices.quantities import conversion, unit_of_name
from devices.recognition import Profiles
from devices.rejection_reasons import Reason
from devices.series_registry import SeriesRegistry, TooManySeriesError
from devices.topics import TopicTooShortError
from ingest.discovery import LONGEST_NAME, Discovery
from ingest.ingest_settings import ComponentSettings, RouteSettings
from ingest.refusals import Refusal, RefusalMemory
from ingest.route_entry import UNTELLING, Route, RouteError
from ingest.rows import PREFIX
from ingest.series_table import SeriesTable
from ingest.topic_routes import IGNORED, LONGEST_TOPIC, TopicRouter

REFUSED = -3
"""In place of a series number: refused, with a reason of its own."""
_UNKNOWN = -1
_ANY_TOPIC = -1


Assign = Callable[[int, int, int, int], object]
"""Takes a series that a topic brings for the first time, the place of its route in the configuration, what the route
decides for it (`Route.override_of`), and the arrival of the message, in ns."""

Expect = Callable[[int, int, int], object]
"""Takes a series that a topic brings, the ns within which it comes again by its description (0: none says), and the
arrival of the message, in ns."""


class Waits(Protocol):
    """Series that are known and wait until they have sent enough to be scored."""

    @property
    def waiting(self) -> int:
        """How many there are."""
        ...

    def are_waiting(self, series: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of these (n,) wait; a negative one is no series."""
        ...


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Readings of one codec before they have a series, all (n,): topic numbers, the codec's codes, their time as the
    payload says it, and their message. `chunk` are all messages.
    """

    codec: int
    topic: NDArray[np.int32]
    metric: NDArray[np.int32]
    device: NDArray[np.int32]
    time: NDArray[np.int64]
    message: NDArray[np.int32]
    chunk: MessageChunk

    def arrival(self, row: int) -> int:
        """The arrival of a row's message, in ns."""
        return int(self.chunk.arrival[self.message[row]])

    def is_measured(self, row: int) -> bool:
        """Whether it is known when a row was measured: not of retained messages that do not say it."""
        return bool(self.time[row] != NO_TIME or not self.chunk.flags[self.message[row]] & FLAG_RETAIN)


@dataclass(slots=True)
class _CodecTables:
    """Series of one codec by topic and metric code, and by the device too where the payload names it."""

    series: SeriesTable = field(default_factory=SeriesTable)
    by_device: dict[tuple[int, int, int], int] = field(default_factory=dict)
    conversions: dict[tuple[int, int, int], tuple[float, float]] = field(default_factory=dict)
    """By series, metric code, and topic where properties tell the unit."""
    roles: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))


def _called(route: Route, readings: Unresolved, row: int) -> str:
    """What the message of a row calls its device, where the profile knows the field; else empty."""
    if route.message is None or not route.message.calls:
        return ""
    try:
        node: object = orjson.loads(readings.chunk.payload(int(readings.message[row])))
    except orjson.JSONDecodeError:
        return ""
    for key in route.message.calls.split("."):
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, str) and len(node) <= LONGEST_NAME else ""


class Router(TopicRouter):
    """All routes, and the series that their topics have brought so far.

    `assign` is called for each topic that brings a series, and `heard` for each reading of a new series or one that
    `waits`, before the next series is met: series that they add to the registry are so numbered in the order of the
    messages, however the journal was cut.
    """

    def __init__(
        self,
        routes: Sequence[RouteSettings],
        detector_names: Sequence[str],
        registry: SeriesRegistry,
        *,
        max_topics: int,
        waits: Waits | None = None,
        book: DeviceBook | None = None,
        profiles: Profiles | None = None,
    ) -> None:
        super().__init__(routes, detector_names, max_topics=max_topics, book=book, profiles=profiles)
        self.registry = registry
        self.discovery = Discovery()
        self._waits = waits
        self._tables: list[_CodecTables] = []
        self._refused: RefusalMemory[tuple[int, int, int, int]] = RefusalMemory()
        self.tell(lambda _series, _place, _override, _arrival: None)

    def tell(
        self,
        assign: Assign,
        expect: Expect = lambda _series, _within, _arrival: None,
        heard: Callable[[int, int], object] = lambda _series, _arrival: None,
    ) -> None:
        """Whom to tell of series from here on: see above."""
        self._assign, self._expect, self._heard = assign, expect, heard

    def roles(self, codec: int) -> NDArray[np.uint8] | None:
        """The role of each of a codec's metrics, (metrics,) uint8; None where all are numbers."""
        metrics = self.codecs[codec].metrics
        table = self._table(codec)
        if len(table.roles) < len(metrics):
            told = [ValueRole.VALUE if name.role == ValueRole.TRUTH else name.role for name in metrics]
            table.roles = np.array(told, np.uint8)
        return table.roles if table.roles.any() else None

    def series(
        self, readings: Unresolved, met: Mapping[int, Refusal] = MappingProxyType({})
    ) -> tuple[NDArray[np.int32], Mapping[int, Refusal]]:
        """Series of each reading of one codec, (n,) int32, and why for each row that is REFUSED. IGNORED by settings.

        New series are added to the registry in row order. `met` are the rows that `meet` refused.
        """
        series, unknown = self._known(readings)
        refused: dict[int, Refusal] = {}
        for row in np.flatnonzero(series == _UNKNOWN).tolist() if unknown else ():
            known = met.get(row) or self._meet(readings, row)
            if isinstance(known, Refusal):
                refused[row] = known
                series[row] = REFUSED
            else:
                series[row] = known
        return series, refused

    def meet(self, parts: Sequence[Unresolved]) -> list[dict[int, Refusal]]:
        """Resolve what is new in the readings of all codecs, in the order of their messages.

        Series are numbered as if each message had come alone; `series` then finds them all, and is enough by itself
        where there is one codec and no series waits. Returns the rows of each part that are refused, and why.
        """
        refused: list[dict[int, Refusal]] = [{} for _ in parts]
        waits = self._waits if self._waits is not None and self._waits.waiting else None
        if len(parts) < 2 and waits is None:
            return refused
        found: list[tuple[int, int, int]] = []
        for number, part in enumerate(parts):
            series, _ = self._known(part)
            rows = series == _UNKNOWN
            if waits is not None:
                rows |= waits.are_waiting(series)
            found += [(int(part.message[row]), number, row) for row in np.flatnonzero(rows).tolist()]
        for _, number, row in sorted(found):
            known = self._meet(parts[number], row)
            if isinstance(known, Refusal):
                refused[number][row] = known
        return refused

    def _meet(self, readings: Unresolved, row: int) -> int | Refusal:
        """Resolve a row, and tell that its series was heard."""
        known = self._resolve(readings, row)
        if not isinstance(known, Refusal) and known >= 0 and readings.is_measured(row):
            self._heard(known, readings.arrival(row))
        return known

    def _known(self, readings: Unresolved) -> tuple[NDArray[np.int32], bool]:
        """Series of each reading, `_UNKNOWN` where it is to be resolved yet, and whether any is."""
        table = self._table(readings.codec)
        topic, metric, device = readings.topic, readings.metric, readings.device
        series, unknown, has_device = table.series.find(topic, metric, device)
        if has_device:
            named = device >= 0
            series[named] = [
                table.by_device.get(key, _UNKNOWN)
                for key in zip(topic[named].tolist(), metric[named].tolist(), device[named].tolist(), strict=True)
            ]
        return series, bool(unknown) or has_device

    def convert(
        self, readings: Unresolved, series: NDArray[np.int32], value: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The values in the units of their series: a message may tell another unit than the series began with."""
        conversions = self._table(readings.codec).conversions
        if not conversions:
            return value
        value = value.copy()
        for (number, code, topic), (scale, offset) in conversions.items():
            rows = (series == number) & (readings.metric == code)
            if topic != _ANY_TOPIC:
                rows &= readings.topic == topic
            value[rows] = value[rows] * scale + offset
        return value

    def describe(self, topic: int, payload: bytes) -> None:
        """Take in a message that describes devices: units of series that are known and of those that will be."""
        if self.discovery.learn(*self._described(topic), payload):
            self.resolve_anew()

    def is_news(self, topic: int, payload: bytes) -> bool:
        """Whether a message describes devices, and otherwise than they are known."""
        return self.discovery.is_news(*self._described(topic), payload)

    def _described(self, topic: int) -> tuple[str, str, str]:
        """How messages on a topic describe devices ("": not at all), the device that they are of, and the topic."""
        route, levels = self.routes[int(self._route_of[topic])], self._levels[topic]
        return route.message.describes if route.message is not None else "", route.owner(levels), "/".join(levels)

    def resolve_anew(self) -> None:
        """Forget which series topics and metrics stand for: units, or devices, have changed."""
        self._refused.clear()
        for table in self._tables:
            table.series.clear()
            table.by_device.clear()
            table.conversions.clear()

    def state(self) -> dict[str, Any]:
        """What was learned from messages and would not be learned again from later ones, as JSON."""
        codecs_ = {str(i): codec.state() for i, codec in enumerate(self.codecs) if isinstance(codec, StatefulCodec)}
        names = {number: name for name, number in self._codec_numbers.items()}
        return {
            "discovery": self.discovery.state(),
            "recognised": dict(self._recognised),
            "codecs": {names[int(i)]: state for i, state in codecs_.items()},
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self.discovery.load(saved.get("discovery", {}))
        self._recognised = dict(saved.get("recognised", {}))
        for name, state in saved.get("codecs", {}).items():
            component = ComponentSettings.model_validate_json(name)
            codec = self._codec(component)
            if isinstance(codec, StatefulCodec):
                codec.load(state)

    def row_series(self, topic: str, metrics: Sequence[str], arrival: int) -> tuple[int, NDArray[np.int32]]:
        """The route of a topic, and the series of metrics whose names are at hand, as if a message had brought them.

        Both are IGNORED where the settings drop them. Raises RouteError where the topic or a metric is refused.
        """
        raw = topic.encode()
        found, _ = self._topics.find(raw, np.array([[0, len(raw), len(raw), len(raw)]], np.int32))
        number: int | Refusal = int(found[0]) if found[0] >= 0 else self._add_topic(raw, b"{}")
        if isinstance(number, Refusal):
            raise RouteError(number.detail)
        route = int(self._route_of[number])
        if route == IGNORED:
            return route, np.full(len(metrics), IGNORED, np.int32)
        series = []
        for metric in metrics:
            known = self._series_of(number, None, MetricName(metric), arrival)
            if isinstance(known, Refusal):
                raise RouteError(known.detail)
            series.append(known)
        return route, np.array(series, np.int32)

    def _resolve(self, readings: Unresolved, row: int) -> int | Refusal:
        table = self._table(readings.codec)
        topic, metric, device = (int(column[row]) for column in (readings.topic, readings.metric, readings.device))
        key = (topic, metric, device)
        if (refusal := self._refused.get((readings.codec, *key))) is not None:
            return refusal
        known = table.by_device.get(key, _UNKNOWN) if device >= 0 else table.series.get(topic, metric)
        if known != _UNKNOWN:
            return known
        codec = self.codecs[readings.codec]
        device_said = codec.devices[device] if device >= 0 else None
        said = codec.metrics[metric]
        series = self._series_of(topic, device_said, said, readings.arrival(row))
        if isinstance(series, Refusal):
            self._refused.note((readings.codec, *key), series)
            return series
        if series >= 0 and (name := _called(self.routes[int(self._route_of[topic])], readings, row)):
            self.book.suggest_name(self.registry.records[series].device, name)
        if series >= 0 and (unit := said.unit or self.unit_told(topic)):
            carried = conversion(unit, self.registry.records[series].unit) or (1.0, 0.0)
            if carried != (1.0, 0.0):
                table.conversions[series, metric, _ANY_TOPIC if said.unit else topic] = carried
        if device >= 0:
            table.by_device[key] = series
        else:
            table.series.put(topic, metric, series)
        return series

    def _series_of(self, topic: int, device_said: str | None, said: MetricName, arrival: int) -> int | Refusal:
        """The series of a metric as its codec names it, with its detectors; IGNORED by an override."""
        chosen = self.routes[int(self._route_of[topic])]
        called = self.discovery.metric("/".join(self._levels[topic]), said) or said
        try:
            device, metric = chosen.names(self._levels[topic], device_said, called, self._properties[topic])
        except TopicTooShortError as error:
            return Refusal(Reason.BAD_TOPIC, str(error))
        if len(device) > LONGEST_TOPIC or len(metric) > LONGEST_TOPIC:
            return Refusal(
                Reason.TOO_MANY_SERIES,
                f'"{device[:80]}" "{metric[:80]}": expected names of at most {LONGEST_TOPIC} characters',
            )
        if metric.startswith(PREFIX):
            return Refusal(
                Reason.RESERVED, f'metric "{metric[:200]}": names that begin with "{PREFIX}" are of devices\' scores'
            )
        override = chosen.override_at(chosen.override_of(metric))
        if override is not None and override.ignore:
            return IGNORED
        try:
            series, kind = self._find(chosen, topic, said, device, metric, arrival)
        except TooManySeriesError as error:
            return Refusal(Reason.TOO_MANY_SERIES, str(error))
        self.book.meet(self.registry.records[series].device, self._levels[topic], arrival)
        self._take_description(series, topic, said, arrival, names_device=device_said is None)
        if kind != Kind.TEXT:
            which = chosen.override_of(metric, scored=kind in SCORED)
            self._assign(series, self._places[int(self._route_of[topic])], which, arrival)
        return series

    def _take_description(self, series: int, topic: int, said: MetricName, arrival: int, *, names_device: bool) -> None:
        """Let what a discovery message says of a reading hold: the name of its device, how often it comes."""
        full = "/".join(self._levels[topic])
        if names_device and (name := self.discovery.name(full)):
            self.book.suggest_name(self.registry.records[series].device, name)
        self._expect(series, self.discovery.within(full, str(said)), arrival)

    def _find(
        self, route: Route, topic: int, said: MetricName, device: str, metric: str, arrival: int
    ) -> tuple[int, Kind]:
        """The series and kind of a metric, in the unit that the route states, else the payload, a description, the
        profile. Raises TooManySeriesError.
        """
        words = said.role == ValueRole.TEXT
        described = "" if words else self.discovery.unit("/".join(self._levels[topic]), str(said), device, metric)
        by_message = said.unit or ("" if words else self.unit_told(topic))
        told = by_message or described
        device = self.book.current(device)
        override = route.override_at(route.override_of(metric))
        unit = (override.unit if override else "") or told
        if not unit and said.role == ValueRole.VALUE:
            named = self._levels[topic][-1] if metric in UNTELLING else metric
            unit = route.usual_unit(metric) or unit_of_name(named)
        kind = route.kind(metric, unit, said.role)
        series, new = self.registry.find_or_add(device, metric, unit, kind.value)
        if new is not None or words:
            return series, kind
        known = self.registry.records[series]
        if by_message and known.unit and conversion(by_message, known.unit) is None:
            # Nothing carries one unit to the other: two quantities under one name are two series.
            series, _ = self.registry.find_or_add(device, f"{metric} ({by_message})", by_message, kind.value)
        elif known.kind == Kind.TEXT:
            self.registry.describe(series, arrival=arrival, unit=unit, kind=kind.value)
        elif (unit and not known.unit) or (described and not by_message and known.unit != unit):
            self.registry.describe(series, arrival=arrival, unit=unit)
        return series, kind

    def _table(self, codec: int) -> _CodecTables:
        while len(self._tables) <= codec:
            self._tables.append(_CodecTables())
        return self._tables[codec]
