"""What the stages from decode to score make of one message, by the same code as in production, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detectors import detector_registry as detectors
from devices.message_properties import NO_PROPERTIES, MessageProperties, encode_properties
from devices.messages import FLAG_RETAIN, MessageChunk
from devices.recognition import Profiles
from devices.series_registry import SeriesRegistry
from devices.topics import matches
from driftline.config import Config
from driftline.own_topics import routes_in_force
from ingest.decode import Decoder
from ingest.decoded import Readings
from ingest.ingest_settings import ComponentSettings
from ingest.route import Router
from ingest.route_entry import Route
from ingest.rows import PREFIX
from ingest.stage_watch import Stage
from ingest.topic_routes import NEVER_READ, left_out


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an explanation: the stage that it is about, a sentence, and whether something was lost there."""

    stage: Stage
    text: str
    lost: bool = False


def explain(
    config: Config,
    topic: bytes,
    payload: bytes,
    *,
    arrival: int,
    retained: bool = False,
    properties: MessageProperties = NO_PROPERTIES,
) -> Iterator[Line]:
    """What becomes of a message that arrives at `arrival` (ns since the epoch) when nothing has been learned yet."""
    limits = config.limits
    registry = SeriesRegistry(max_series=limits.max_series, max_series_per_device=limits.max_series_per_device)
    chosen: dict[int, tuple[int, int, int]] = {}
    router = Router(
        routes_in_force(config),
        list(config.detectors),
        registry,
        max_topics=2,
        profiles=Profiles(config.own_profiles),
    )
    router.tell(lambda series, *choice: chosen.setdefault(series, choice))
    encoded = encode_properties(properties.content_type, list(properties.user.items()))
    chunk = MessageChunk.of([(topic, payload, arrival, FLAG_RETAIN if retained else 0)], properties=[encoded])
    readings = Decoder(router, max_payload=limits.max_payload).decode(chunk)
    assigned = {
        series: router.first_routes[route].detectors_at(override) for series, (route, override, _) in chosen.items()
    }

    yield Line(Stage.RECEIVE, f"topic of {len(topic)} bytes, payload of {len(payload)} bytes, at {_time(arrival)}")
    yield from _properties(properties)
    yield Line(Stage.JOURNAL, "appended; at QoS 1 and 2 it is acknowledged once it is on disk")
    yield from _routes(router, topic)
    yield from _asked(router, properties)
    yield from _outcomes(readings)
    for row in range(len(readings.series)):
        yield from _reading(config, registry, assigned, readings, row, arrival)
    for state in readings.states:
        record = registry.records[state.series]
        yield Line(
            Stage.DECODE, f'"{record.device}" "{record.metric}" is "{state.text}" (a state, kept as its changes)'
        )
    yield from _devices(config, registry, assigned, readings)
    if any(assigned.get(series) for series in readings.series.tolist()):
        yield Line(Stage.ALARM, "one opens where a score is beyond the threshold of its series")
    stored = len(readings.series)
    kept = f", {len(readings.states)} states" if readings.states else ""
    nothing = not stored and not readings.states and not readings.presence and not readings.retained
    yield Line(Stage.STORE, f"{stored} point{'' if stored == 1 else 's'} would be stored{kept}", lost=nothing)
    if not nothing:
        yield from _beyond_store(config, topic.decode("utf-8", "replace"))


def _beyond_store(config: Config, topic: str) -> Iterator[Line]:
    """Who is told of a message that is stored."""
    for function in config.called:
        if any(matches(each, topic) for each in function.trigger.topics):
            yield Line(Stage.FUNCTION, f'"{function.name}" is called for its readings')
    for sink in config.sinks:
        yield Line(Stage.SINK, f'"{sink.name}" ({sink.url}) takes it too')


def _outcomes(readings: Readings) -> Iterator[Line]:
    """What of a message gave no reading, and what is odd about it."""
    for rejection in readings.rejections:
        what = "the whole message" if rejection.whole else "a reading"
        yield Line(Stage.DECODE, f"{what} is rejected: {rejection.reason}: {rejection.detail}", lost=True)
    for _, reason, detail in readings.no_data_details:
        yield Line(Stage.DECODE, f"no data: {reason}: {detail}")
    if readings.ignored:
        yield Line(
            Stage.DECODE, f"{readings.ignored} readings are dropped: their metrics are set to be ignored", lost=True
        )
    for odd in readings.odd:
        yield Line(
            Stage.DECODE, _ODD[odd.kind].format(detail=odd.detail) if odd.kind in _ODD else f"{odd.kind}: {odd.detail}"
        )


_ODD = {
    "clock_not_set": "{detail}: the device's clock is not set; its arrival counts instead",
    "clock_ahead": "{detail}: too far ahead of its arrival to be believed; its arrival counts instead. Local time "
    "without a zone? `time_zone` on the route says which",
    "long_before_arrival": "{detail}: long before its arrival, as history is and what waited. If it is neither: local "
    "time without a zone? `time_zone` on the route says which",
    "time_unread": "its time cannot be read, and its arrival counts instead: {detail}",
}


def _properties(properties: MessageProperties) -> Iterator[Line]:
    """What MQTT 5 properties a message has."""
    if properties.content_type:
        yield Line(Stage.RECEIVE, f'content type "{properties.content_type}"')
    for name, value in properties.user.items():
        yield Line(Stage.RECEIVE, f'user property "{name}" = "{value}"')


def _asked(router: Router, properties: MessageProperties) -> Iterator[Line]:
    """What the route that takes the message makes of its properties."""
    route = router.taken(0)
    if route is None or router.is_ignored(0):
        return
    settings = route.settings
    asked = settings.properties
    names = dict.fromkeys(settings.named_properties, "names")
    names |= {name: what for what in ("unit", "time") if asked and (name := getattr(asked, what))}
    for name, what in names.items():
        if name in properties.user:
            means = f"says its {what}" if what != "names" else "is in the name of its device or metric"
            yield Line(Stage.ROUTE, f'user property "{name}" {means}')
        else:
            yield Line(Stage.ROUTE, f'it asks for a user property "{name}", which the message does not have')
    if asked and properties.media_type in asked.codecs:
        chosen = router.taken(1)
        component = route.component if chosen is None else chosen.component
        yield Line(Stage.ROUTE, f'content type "{properties.media_type}" chooses the codec {_codec(component)}')
    if not names and not (asked and asked.codecs) and properties.user:
        yield Line(Stage.ROUTE, "it asks for no properties: they decide nothing")


def _routes(router: Router, topic: bytes) -> Iterator[Line]:
    """Which route takes the topic, the first of a router's, and as what."""
    try:
        text = topic.decode()
    except UnicodeDecodeError:
        return
    chosen = router.taken(0)
    for settings in router.settings:
        shown = settings.filter or f"profile {settings.profile}"
        name = settings.name or settings.profile or settings.filter
        if chosen is not None and chosen.settings is settings:
            yield Line(Stage.ROUTE, f'"{name}" ({shown}) takes it, {_way(router, chosen, text)}')
            chosen = None
        elif settings.filter and matches(settings.filter, text):
            yield Line(Stage.ROUTE, f'"{name}" ({shown}) would match too, but another route takes it')
        else:
            yield Line(Stage.ROUTE, f'"{name}" ({shown}) does not match')


def _way(router: Router, route: Route, topic: str) -> str:
    if router.is_ignored(0):
        own = next((each for each in left_out(route.settings) if matches(each, topic)), "")
        if own:
            return f"and ignores it: on {own} Driftline itself publishes, and no device{_asking(own)}"
        return "and ignores it: the topic is among those that hold no readings"
    read = f"and reads it as {_codec(route.component)}"
    if route.profile is None:
        return read
    if route.role.outcome is not None:
        return f"as {route.profile.title or route.profile.name}: messages of the kind {route.role.value}, not decoded"
    return f"as {route.profile.title or route.profile.name} (profile {route.profile.name}), {read}"


def _asking(own: str) -> str:
    return "" if own == NEVER_READ else f"; a route whose own filter begins with {own.removesuffix('#')} reads it"


def _codec(codec: ComponentSettings | str) -> str:
    if isinstance(codec, str):
        return codec
    parameters = ", ".join(f"{name} = {value!r}" for name, value in codec.parameters.items())
    return f"{codec.type} ({parameters})" if parameters else codec.type


def _reading(
    config: Config,
    registry: SeriesRegistry,
    assigned: Mapping[int, Sequence[str]],
    readings: Readings,
    row: int,
    arrival: int,
) -> Iterator[Line]:
    series = int(readings.series[row])
    record = registry.records[series]
    time = int(readings.time[row])
    unit = f" {record.unit}" if record.unit else ""
    source = "on arrival" if time == arrival else f"at {_time(time)}"
    yield Line(Stage.DECODE, f'"{record.device}" "{record.metric}" = {readings.value[row]:.10g}{unit} {source}')
    names = assigned.get(series, ())
    if not names:
        yield Line(Stage.SCORE, "  stored without a score: no detector is set for it")
    for name in names:
        chosen = config.detectors[name]
        if detectors.scores_rows(chosen.type):
            continue
        detector = detectors.create_either(chosen.type, chosen.parameters)
        detector.grow(1)
        needed = int(detector.warming()[1][0])
        warming = f"first score after {needed} readings" if needed else "scores from the first reading on"
        yield Line(Stage.SCORE, f'  by "{name}" ({_codec(chosen)}): {warming}')


def _devices(
    config: Config, registry: SeriesRegistry, assigned: Mapping[int, Sequence[str]], readings: Readings
) -> Iterator[Line]:
    """What detectors of rows make of the metrics that a message has of each device."""
    metrics: dict[tuple[str, str], list[str]] = {}
    for series in dict.fromkeys(readings.series.tolist()):
        record = registry.records[series]
        for name in assigned.get(series, ()):
            if detectors.scores_rows(config.detectors[name].type):
                metrics.setdefault((name, record.device), []).append(record.metric)
    for (name, device), found in metrics.items():
        chosen = config.detectors[name]
        by = f'"{device}" as a whole by "{name}" ({_codec(chosen)})'
        if len(found) < 2:
            yield Line(Stage.SCORE, f"{by}: no score while {found[0]} is the device's one metric; it takes two")
            continue
        detector = detectors.create_either(chosen.type, chosen.parameters)
        detector.grow(1)
        needed = int(detector.warming()[1][0])
        yield Line(
            Stage.SCORE, f'{by}: {", ".join(found)} make a row; first score after {needed} rows, as "{PREFIX}{name}"'
        )


def _time(nanoseconds: int) -> str:
    return f"{np.datetime64(nanoseconds, 'ns')}Z"
