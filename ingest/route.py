"""Route: topic filters pick codec, names, time rules and detectors. Resolved once a topic, then by array."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.growth import grown
from devices.codec import Codec, MetricName, StatefulCodec
from devices.codec import Role as ValueRole
from devices.codecs import codec_registry as codecs
from devices.device_book import DeviceBook
from devices.kinds import SCORED, Kind
from devices.profile import Profile, find_profile, load_profiles
from devices.quantities import conversion
from devices.recognition import profile_index
from devices.rejection_reasons import Reason
from devices.series_registry import SeriesRegistry, TooManySeriesError
from devices.topics import TopicTooShortError, covers, matches
from ingest.discovery import Discovery
from ingest.ingest_settings import ComponentSettings, RouteSettings
from ingest.route_entry import Route, RouteError, component_of
from ingest.rows import PREFIX
from ingest.series_table import SeriesTable
from ingest.topic_table import TopicTable

__all__ = ["IGNORED", "REFUSED", "Refusal", "Route", "RouteError", "Router", "Unresolved"]

LONGEST_TOPIC, MOST_LEVELS = 1_024, 32
"""Longest topic and name that is remembered, since memory must hold them all."""

IGNORED = -2
"""In place of a series or route number: dropped by the configuration, and counted."""
REFUSED = -3
_UNKNOWN = -1


Assign = Callable[[int, int, int, int], object]
"""Takes a series that a topic brings for the first time, the place of its route in the configuration, what the route
decides for it (`Route.override_of`), and the arrival of the message, in ns."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reading or message that routing refused."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Readings of one codec before they have a series, all (n,): topic numbers, the codec's codes, and the arrival of
    the message of each, in ns.
    """

    codec: int
    topic: NDArray[np.int32]
    metric: NDArray[np.int32]
    device: NDArray[np.int32]
    arrival: NDArray[np.int64]


@dataclass(slots=True)
class _CodecTables:
    """Series of one codec by topic and metric code, and by the device too where the payload names it."""

    series: SeriesTable = field(default_factory=SeriesTable)
    by_device: dict[tuple[int, int, int], int] = field(default_factory=dict)
    conversions: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)
    roles: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))


class Router:
    """All routes, and what has been resolved so far. The first route whose filter matches a topic takes it.

    A route that sets nothing but its filter leaves it to the topic and payload: where they are of a profile, the
    profile says how they are read. `routes` grows by the profiles' kinds of messages as they are met; `first_routes`
    has one for each route of the configuration.

    `assign` is called for each topic that brings a series, before the next series is met: series that it adds to the
    registry are so numbered in the order of the messages, however the journal was cut. `book` tells which devices were
    merged into others.
    """

    def __init__(
        self,
        routes: Sequence[RouteSettings],
        detector_names: Sequence[str],
        registry: SeriesRegistry,
        *,
        max_topics: int,
        assign: Assign = lambda _series, _place, _override, _arrival: None,
        book: DeviceBook | None = None,
    ) -> None:
        self.book = DeviceBook() if book is None else book
        self.settings = list(routes)
        self.codecs: list[Codec] = []
        self.routes: list[Route] = []
        self.registry = registry
        self.discovery = Discovery()
        self._assign = assign
        self._detector_names = list(detector_names)
        self._codec_numbers: dict[str, int] = {}
        self._tables: list[_CodecTables] = []
        self._numbers: dict[tuple[int, str, int], int] = {}
        self._places: list[int] = []
        self._recognised: dict[str, str] = {}
        self._max_topics = max_topics
        self._topics = TopicTable()
        self._levels: list[list[str]] = []
        self._chosen: list[Route] = []
        self._route_of = np.empty(64, np.int32)
        self.first_routes: list[Route] = []
        for place, settings in enumerate(self.settings):
            profile = find_profile(settings.profile) if settings.profile else None
            numbers = [self._number(place, profile, each) for each in range(len(profile.messages) if profile else 1)]
            self.first_routes.append(self.routes[numbers[0]])

    @property
    def codec_of_route(self) -> NDArray[np.int32]:
        """Number of each route's codec, (routes,) int32."""
        return np.array([self.codecs.index(route.codec) for route in self.routes], np.int32)

    @property
    def filters(self) -> dict[str, int]:
        """What to subscribe to: topic filter to quality of service.

        A filter within a wider one of the same quality is left out: a broker may send a message once for each
        subscription that it matches.
        """
        wanted: dict[str, int] = {}
        for settings in self.settings:
            for each in topic_filters(settings):
                wanted[each] = max(settings.qos, wanted.get(each, 0))
        return {
            narrow: qos
            for narrow, qos in wanted.items()
            if not any(wide != narrow and wanted[wide] >= qos and covers(wide, narrow) for wide in wanted)
        }

    def topics(self, data: bytes, spans: NDArray[np.int32]) -> tuple[NDArray[np.int32], Mapping[int, Refusal]]:
        """Topic number of each message, (n,) int32, -1 where refused, and why, by message."""
        found, unknown = self._topics.find(data, spans)
        refused: dict[int, Refusal] = {}
        if unknown:
            added: dict[bytes, int | Refusal] = {}
            for message in np.flatnonzero(found < 0).tolist():
                topic = data[spans[message, 0] : spans[message, 1]]
                if topic not in added:
                    payload = data[spans[message, 2] : spans[message, 3]]
                    added[topic] = self._add_topic(topic, payload)
                outcome = added[topic]
                if isinstance(outcome, Refusal):
                    refused[message] = outcome
                else:
                    found[message] = outcome
        return found, refused

    def route_of(self, topics: NDArray[np.int32]) -> NDArray[np.int32]:
        """Route number of each topic number; -1 stays -1, and a topic that its route ignores has IGNORED."""
        if len(topics) and topics.min() < 0:
            return np.where(topics < 0, np.int32(-1), self._route_of[topics])
        return self._route_of[topics]

    def taken(self, topic: int) -> Route | None:
        """The route that takes a topic, by its number; None where there is no such topic."""
        if topic >= len(self._topics):
            return None
        return self._chosen[topic]

    def is_ignored(self, topic: int) -> bool:
        """Whether the route that takes a topic ignores it."""
        return int(self._route_of[topic]) == IGNORED

    def route_for(self, profile: Profile, message: int) -> Route:
        """The route of the first place of the configuration, for a kind of message of a profile."""
        return self.routes[self._number(0, profile, message)]

    def levels(self, topic: int) -> list[str]:
        """The levels of a topic, by its number."""
        return self._levels[topic]

    def owner(self, topic: int) -> str:
        """The device that messages on a topic are of, as far as the topic tells."""
        route = int(self._route_of[topic])
        levels = self._levels[topic]
        return self.book.current(self.routes[route].owner(levels) if route >= 0 else "/".join(levels))

    def roles(self, codec: int) -> NDArray[np.uint8] | None:
        """The role of each of a codec's metrics, (metrics,) uint8; None where all are numbers."""
        metrics = self.codecs[codec].metrics
        table = self._tables[codec]
        if len(table.roles) < len(metrics):
            table.roles = np.array([name.role for name in metrics], np.uint8)
        return table.roles if table.roles.any() else None

    def series(self, readings: Unresolved) -> tuple[NDArray[np.int32], Mapping[int, Refusal]]:
        """Series of each reading of one codec, (n,) int32, and why for each row that is REFUSED. IGNORED by settings.

        New series are added to the registry in row order.
        """
        series, unknown = self._known(readings)
        refused: dict[int, Refusal] = {}
        for row in np.flatnonzero(series == _UNKNOWN).tolist() if unknown else ():
            known = self._resolve(readings, row)
            if isinstance(known, Refusal):
                refused[row] = known
                series[row] = REFUSED
            else:
                series[row] = known
        return series, refused

    def meet(self, parts: Sequence[Unresolved]) -> None:
        """Resolve what is new in the readings of several codecs, in the order of their messages.

        Series are numbered as if each message had come alone; `series` then finds them all.
        """
        found: list[tuple[int, int, int]] = []
        for number, part in enumerate(parts):
            series, _ = self._known(part)
            found += [(int(part.arrival[row]), number, row) for row in np.flatnonzero(series == _UNKNOWN).tolist()]
        for _, number, row in sorted(found):
            self._resolve(parts[number], row)

    def _known(self, readings: Unresolved) -> tuple[NDArray[np.int32], bool]:
        """Series of each reading, `_UNKNOWN` where it is to be resolved yet, and whether any is."""
        table = self._tables[readings.codec]
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
        self, codec: int, series: NDArray[np.int32], metric: NDArray[np.int32], value: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The values in the units of their series: a payload may tell another unit than the series began with."""
        conversions = self._tables[codec].conversions
        if not conversions:
            return value
        value = value.copy()
        for (number, code), (scale, offset) in conversions.items():
            rows = (series == number) & (metric == code)
            value[rows] = value[rows] * scale + offset
        return value

    def describe(self, topic: int, payload: bytes) -> None:
        """Take in a message that describes devices: units of series that are known and of those that will be."""
        route = self.routes[int(self._route_of[topic])]
        form = route.message.describes if route.message is not None else ""
        levels = self._levels[topic]
        if not form or not self.discovery.learn(form, route.owner(levels), "/".join(levels), payload):
            return
        self.resolve_anew()

    def resolve_anew(self) -> None:
        """Forget which series topics and metrics stand for: units, or devices, have changed."""
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

    def _number(self, place: int, profile: Profile | None, message: int) -> int:
        """The number of the route at a place of the configuration, for a kind of message of a profile."""
        key = (place, "" if profile is None else profile.name, message)
        if key not in self._numbers:
            settings = self.settings[place]
            kind = None if profile is None else profile.messages[message]
            component = component_of(settings, kind)
            codec = self._codec(component)
            route = Route(settings, self._detector_names, codec, component, profile=profile, message=kind)
            self._numbers[key] = len(self.routes)
            self._places.append(place)
            self.routes.append(route)
        return self._numbers[key]

    def _codec(self, chosen: ComponentSettings) -> Codec:
        """The codec of a route: one instance for all routes that ask for the same, so that it decodes their messages
        in one call.
        """
        number = self._codec_numbers.setdefault(chosen.model_dump_json(), len(self.codecs))
        if number == len(self.codecs):
            self.codecs.append(codecs.create(chosen.type, chosen.parameters))
            self._tables.append(_CodecTables())
        return self.codecs[number]

    def _add_topic(self, raw: bytes, payload: bytes) -> int | Refusal:
        try:
            topic = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            return Refusal(Reason.BAD_TOPIC, f"topic {raw[:80]!r}: expected UTF-8, byte {error.start} is not")
        if not topic or any(ord(c) < 0x20 or c in "+#\x7f" for c in topic):
            return Refusal(Reason.BAD_TOPIC, f"topic {topic[:80]!r}: expected no control character, + or #")
        if len(raw) > LONGEST_TOPIC or topic.count("/") >= MOST_LEVELS:
            return Refusal(
                Reason.BAD_TOPIC,
                f'topic "{topic[:80]}..." of {len(raw)} bytes and {topic.count("/") + 1} levels: expected at most '
                f"{LONGEST_TOPIC} bytes and {MOST_LEVELS} levels",
            )
        chosen = ((place, self._choose(place, topic, payload)) for place in range(len(self.settings)))
        place, route = next(((place, route) for place, route in chosen if route is not None), (-1, None))
        if route is None:
            return Refusal(Reason.NO_ROUTE, f'topic "{topic[:200]}": no route\'s filter matches it')
        if len(self._topics) >= self._max_topics:
            return Refusal(
                Reason.TOO_MANY_SERIES, f'topic "{topic[:200]}": {self._max_topics} topics are known already'
            )
        number = self._topics.add(raw)
        self._levels.append(topic.split("/"))
        self._chosen.append(self.routes[route])
        self._route_of = grown(self._route_of, number + 1, IGNORED)
        ignored = any(matches(each, topic) for each in self.settings[place].ignore)
        self._route_of[number] = IGNORED if ignored else route
        return number

    def _choose(self, place: int, topic: str, payload: bytes) -> int | None:
        """The number of the route that takes a topic, of those at a place of the configuration; None if none does."""
        settings = self.settings[place]
        if not any(matches(each, topic) for each in topic_filters(settings)):
            return None
        if settings.profile:
            profile = find_profile(settings.profile)
            found = self._recognise(topic, payload, profile)
            if found is not None:
                return self._number(place, *found)
            readings = (i for i, each in enumerate(profile.messages) if each.role.outcome is None)
            return self._number(place, profile, next(readings, 0)) if settings.filter else None
        if settings.is_open:
            found = self._recognise(topic, payload, None)
            if found is not None:
                return self._number(place, *found)
        return self._number(place, None, 0)

    def _recognise(self, topic: str, payload: bytes, only: Profile | None) -> tuple[Profile, int] | None:
        """The profile of a topic, and which of its messages; of one profile alone where it is given.

        What its first payload decides is remembered, so that a restart decides the same.
        """
        known = self._recognised.get(topic)
        if known is not None:
            name, _, number = known.partition(" ")
            profile = load_profiles().get(name)
            return None if profile is None or int(number) >= len(profile.messages) else (profile, int(number))
        index = profile_index("" if only is None else only.name)
        found = index.recognise(topic, payload)
        if index.depends_on_payload(topic):
            self._recognised[topic] = "" if found is None else f"{found[0].name} {found[1]}"
        return found

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
        table = self._tables[readings.codec]
        topic, metric, device = (int(column[row]) for column in (readings.topic, readings.metric, readings.device))
        key = (topic, metric, device)
        known = table.by_device.get(key, _UNKNOWN) if device >= 0 else table.series.get(topic, metric)
        if known != _UNKNOWN:
            return known
        codec = self.codecs[readings.codec]
        device_said = codec.devices[device] if device >= 0 else None
        said = codec.metrics[metric]
        series = self._series_of(topic, device_said, said, int(readings.arrival[row]))
        if isinstance(series, Refusal):
            return series
        if said.unit and series >= 0:
            carried = conversion(said.unit, self.registry.records[series].unit) or (1.0, 0.0)
            if carried != (1.0, 0.0):
                table.conversions[series, metric] = carried
        if device >= 0:
            table.by_device[key] = series
        else:
            table.series.put(topic, metric, series)
        return series

    def _series_of(self, topic: int, device_said: str | None, said: MetricName, arrival: int) -> int | Refusal:
        """The series of a metric as its codec names it, with its detectors; IGNORED by an override."""
        chosen = self.routes[int(self._route_of[topic])]
        try:
            device, metric = chosen.names(self._levels[topic], device_said, said)
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
            series, kind = self._find(chosen, topic, said, device, metric)
        except TooManySeriesError as error:
            return Refusal(Reason.TOO_MANY_SERIES, str(error))
        self.book.meet(self.registry.records[series].device, self._levels[topic], arrival)
        if kind != Kind.TEXT:
            which = chosen.override_of(metric, scored=kind in SCORED)
            self._assign(series, self._places[int(self._route_of[topic])], which, arrival)
        return series

    def _find(self, route: Route, topic: int, said: MetricName, device: str, metric: str) -> tuple[int, Kind]:
        """The series and kind of a metric, in the unit that the route states, else the payload, a description, the
        profile. Raises TooManySeriesError.
        """
        words = said.role == ValueRole.TEXT
        described = "" if words else self.discovery.unit("/".join(self._levels[topic]), str(said), device, metric)
        told = said.unit or described
        device = self.book.current(device)
        override = route.override_at(route.override_of(metric))
        unit = (override.unit if override else "") or told or route.usual_unit(metric)
        kind = route.kind(metric, unit, words=words)
        series, new = self.registry.find_or_add(device, metric, unit, kind.value)
        if new is not None or words:
            return series, kind
        known = self.registry.records[series]
        if said.unit and known.unit and conversion(said.unit, known.unit) is None:
            # Nothing carries one unit to the other: two quantities under one name are two series.
            series, _ = self.registry.find_or_add(device, f"{metric} ({said.unit})", said.unit, kind.value)
        elif known.kind == Kind.TEXT:
            self.registry.describe(series, unit=unit, kind=kind.value)
        elif (unit and not known.unit) or (described and not said.unit and known.unit != unit):
            self.registry.describe(series, unit=unit)
        return series, kind


def topic_filters(settings: RouteSettings) -> Sequence[str]:
    """The topic filters of a route: its own, else those of its profile."""
    if settings.filter:
        return (settings.filter,)
    return find_profile(settings.profile).subscribe
