"""Route: topic filters pick codec, names, time rules and detectors. Resolved once a topic, then by array."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from common.durations import parse_duration
from common.growth import grown
from detectors.knowledge import Knowledge
from devices.codec import UNNAMED, Codec
from devices.codecs import codec_registry as codecs
from devices.rejection_reasons import Reason
from devices.series_registry import SeriesRegistry, TooManySeriesError
from devices.times import parse_time
from devices.topics import Template, TopicTooShortError, covers, matches
from ingest.ingest_settings import ComponentSettings, MetricSettings, RouteSettings
from ingest.profiles import with_profile
from ingest.rows import PREFIX
from ingest.topic_table import TopicTable

IGNORED = -2
"""In place of a series or route number: dropped by the configuration, and counted."""
REFUSED = -3
_UNKNOWN = -1


NO_OVERRIDE = -1

Assign = Callable[[int, int, int, int], object]
"""Takes a series that a topic brings for the first time, the number of its route, that of the route's override, and
the arrival of the message, in ns."""


class RouteError(ValueError):
    """A route that cannot work; the message names its setting, the value and what was expected."""


class Route:
    """One route of the configuration, checked, with its templates ready; `codec` may be shared with other routes."""

    def __init__(self, settings: RouteSettings, detector_names: Sequence[str], codec: Codec) -> None:
        self.settings = settings
        self.name = settings.name or settings.filter
        self.codec = codec
        self.device = Template(settings.device) if settings.device else None
        self.metric = Template(settings.metric) if settings.metric else None
        self.reorder_window = parse_duration(settings.reorder_window)
        self.future_skew = parse_duration(settings.future_skew)
        self.earliest = parse_time(settings.earliest)
        for names in (settings.detectors, *(m.detectors for m in settings.metrics)):
            for name in names or ():
                if name not in detector_names:
                    raise RouteError(f'route "{self.name}": detector "{name}" is not among {sorted(detector_names)}')

    def names(self, levels: list[str], device: str | None, metric: str) -> tuple[str, str]:
        """Device and metric name of a reading. `device` is what the payload says, if anything."""
        if metric == UNNAMED:
            named = levels[-1] if len(levels) > 1 else "value"
            parent = "/".join(levels[:-1]) if len(levels) > 1 else levels[0]
        else:
            named, parent = metric, "/".join(levels)
        if self.device is not None:
            parent = self.device.render(levels, named)
        elif device is not None:
            parent = device
        return parent, self.metric.render(levels, named) if self.metric is not None else named

    def override_of(self, metric: str) -> int:
        """The number of the first override whose pattern matches the metric's name, -1 where none does."""
        matching = (number for number, m in enumerate(self.settings.metrics) if fnmatchcase(metric, m.match))
        return next(matching, NO_OVERRIDE)

    def override_at(self, number: int) -> MetricSettings | None:
        """The override of a number that `override_of` gave."""
        return None if number == NO_OVERRIDE else self.settings.metrics[number]

    def detectors_at(self, number: int) -> list[str]:
        """Names of the detectors that score the metrics of an override."""
        override = self.override_at(number)
        return override.detectors if override and override.detectors is not None else self.settings.detectors

    @property
    def knows(self) -> bool:
        """Whether the settings say anything of the series beside their detectors."""
        return False

    def knowledge_at(self, number: int) -> Knowledge:
        """What the settings say of the metrics of an override."""
        del number
        return Knowledge()


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
    """What is known of one codec's (topic, metric code) pairs: `series` int32 (topics, metric codes)."""

    series: NDArray[np.int32] = field(default_factory=lambda: np.full((16, 4), _UNKNOWN, np.int32))
    by_device: dict[tuple[int, int, int], int] = field(default_factory=dict)


class Router:
    """All routes, and what has been resolved so far. The first route whose filter matches a topic takes it.

    `assign` is called for each topic that brings a series, before the next series is met: series that it adds to the
    registry are so numbered in the order of the messages, however the journal was cut.
    """

    def __init__(
        self,
        routes: Sequence[RouteSettings],
        detector_names: Sequence[str],
        registry: SeriesRegistry,
        *,
        max_topics: int,
        assign: Assign = lambda _series, _route, _override, _arrival: None,
    ) -> None:
        self.codecs: list[Codec] = []
        self._codec_numbers: dict[str, int] = {}
        chosen = [with_profile(settings) for settings in routes]
        self.routes = [Route(settings, detector_names, self._codec(settings)) for settings in chosen]
        self.codec_of_route = np.array([self.codecs.index(route.codec) for route in self.routes], np.int32)
        self.registry = registry
        self._assign = assign
        self._max_topics = max_topics
        self._topics = TopicTable()
        self._levels: list[list[str]] = []
        self._route_of = np.empty(64, np.int32)
        self._tables = [_CodecTables() for _ in self.codecs]

    def _codec(self, settings: RouteSettings) -> Codec:
        """The codec of a route: one instance for all routes that ask for the same, so that it decodes their messages
        in one call.
        """
        chosen = settings.codec
        if not isinstance(chosen, ComponentSettings):
            chosen = ComponentSettings(type=chosen)
        number = self._codec_numbers.setdefault(chosen.model_dump_json(), len(self.codecs))
        if number == len(self.codecs):
            self.codecs.append(codecs.create(chosen.type, chosen.parameters))
        return self.codecs[number]

    @property
    def filters(self) -> dict[str, int]:
        """What to subscribe to: topic filter to quality of service.

        A filter within a wider one of the same quality is left out: a broker may send a message once for each
        subscription that it matches.
        """
        wanted: dict[str, int] = {}
        for route in self.routes:
            wanted[route.settings.filter] = max(route.settings.qos, wanted.get(route.settings.filter, 0))
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
                    added[topic] = self._add_topic(topic)
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
        self._fit(table, len(self.codecs[readings.codec].metrics))
        series = np.empty(len(topic), np.int32)
        unknown, has_device = _look_up(table.series, topic, metric, device, series)
        if has_device:
            named = device >= 0
            series[named] = [
                table.by_device.get(key, _UNKNOWN)
                for key in zip(topic[named].tolist(), metric[named].tolist(), device[named].tolist(), strict=True)
            ]
        return series, bool(unknown) or has_device

    def _add_topic(self, raw: bytes) -> int | Refusal:
        try:
            topic = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            return Refusal(Reason.BAD_TOPIC, f"topic {raw[:80]!r}: expected UTF-8, byte {error.start} is not")
        if not topic or any(ord(c) < 0x20 or c in "+#\x7f" for c in topic):
            return Refusal(Reason.BAD_TOPIC, f"topic {topic[:80]!r}: expected no control character, + or #")
        route = next((i for i, r in enumerate(self.routes) if matches(r.settings.filter, topic)), None)
        if route is None:
            return Refusal(Reason.NO_ROUTE, f'topic "{topic[:200]}": no route\'s filter matches it')
        if len(self._topics) >= self._max_topics:
            return Refusal(
                Reason.TOO_MANY_SERIES, f'topic "{topic[:200]}": {self._max_topics} topics are known already'
            )
        number = self._topics.add(raw)
        self._levels.append(topic.split("/"))
        self._route_of = grown(self._route_of, number + 1, IGNORED)
        ignored = any(matches(each, topic) for each in self.routes[route].settings.ignore)
        self._route_of[number] = IGNORED if ignored else route
        return number

    def row_series(self, topic: str, metrics: Sequence[str], arrival: int) -> tuple[int, NDArray[np.int32]]:
        """The route of a topic, and the series of metrics whose names are at hand, as if a message had brought them.

        Both are IGNORED where the settings drop them. Raises RouteError where the topic or a metric is refused.
        """
        raw = topic.encode()
        found, _ = self._topics.find(raw, np.array([[0, len(raw), len(raw), len(raw)]], np.int32))
        number: int | Refusal = int(found[0]) if found[0] >= 0 else self._add_topic(raw)
        if isinstance(number, Refusal):
            raise RouteError(number.detail)
        route = int(self._route_of[number])
        if route == IGNORED:
            return route, np.full(len(metrics), IGNORED, np.int32)
        series = []
        for metric in metrics:
            known = self._series_of(number, None, metric, arrival)
            if isinstance(known, Refusal):
                raise RouteError(known.detail)
            series.append(known)
        return route, np.array(series, np.int32)

    def _resolve(self, readings: Unresolved, row: int) -> int | Refusal:
        table = self._tables[readings.codec]
        topic, metric, device = (int(column[row]) for column in (readings.topic, readings.metric, readings.device))
        key = (topic, metric, device)
        known = table.by_device.get(key, _UNKNOWN) if device >= 0 else int(table.series[topic, metric])
        if known != _UNKNOWN:
            return known
        codec = self.codecs[readings.codec]
        device_said = codec.devices[device] if device >= 0 else None
        series = self._series_of(topic, device_said, codec.metrics[metric], int(readings.arrival[row]))
        if isinstance(series, Refusal):
            return series
        if device >= 0:
            table.by_device[key] = series
        else:
            table.series[topic, metric] = series
        return series

    def _series_of(self, topic: int, device_said: str | None, metric: str, arrival: int) -> int | Refusal:
        """The series of a metric as its codec names it, with its detectors; IGNORED by an override."""
        number = int(self._route_of[topic])
        chosen = self.routes[number]
        try:
            device_name, metric_name = chosen.names(self._levels[topic], device_said, metric)
        except TopicTooShortError as error:
            return Refusal(Reason.BAD_TOPIC, str(error))
        if metric_name.startswith(PREFIX):
            return Refusal(
                Reason.RESERVED,
                f'metric "{metric_name[:200]}": names that begin with "{PREFIX}" are of devices\' scores',
            )
        which = chosen.override_of(metric_name)
        override = chosen.override_at(which)
        if override is not None and override.ignore:
            return IGNORED
        try:
            series, _ = self.registry.find_or_add(device_name, metric_name, override.unit if override else "")
        except TooManySeriesError as error:
            return Refusal(Reason.TOO_MANY_SERIES, str(error))
        self._assign(series, number, which, arrival)
        return series

    def _fit(self, table: _CodecTables, metrics: int) -> None:
        rows, columns = table.series.shape
        if len(self._topics) > rows or metrics > columns:
            grown = np.full((_room(rows, len(self._topics)), _room(columns, metrics)), _UNKNOWN, np.int32)
            grown[:rows, :columns] = table.series
            table.series = grown


@njit(nogil=True)
def _look_up(
    table: NDArray[np.int32],
    topic: NDArray[np.int32],
    metric: NDArray[np.int32],
    device: NDArray[np.int32],
    series: NDArray[np.int32],
) -> tuple[int, bool]:
    """Fill `series` from `table`; returns how many are unknown, and whether any row names a device."""
    unknown = 0
    has_device = False
    for row in range(len(topic)):
        series[row] = table[topic[row], metric[row]]
        unknown += series[row] == _UNKNOWN
        has_device |= device[row] >= 0
    return unknown, has_device


def _room(have: int, need: int) -> int:
    while have < need:
        have *= 2
    return have
