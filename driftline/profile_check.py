"""Whether a profile of somebody's own does what its vectors say, by the same router and decoder as in production."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from devices.batch import NO_TIME
from devices.messages import MessageChunk
from devices.profile import Profile
from devices.recognition import Profiles
from devices.rejection_reasons import Reason
from devices.series_registry import SeriesRegistry
from devices.vectors import ARRIVAL, Vector
from driftline.config import Config
from ingest.decode import Decoder
from ingest.ingest_settings import DEFAULT_ROUTES, OWN_PROFILES, RouteSettings
from ingest.route import Router

_MOST_TOPICS = 1_000


def vector_errors(profile: Profile, config: Config) -> Iterator[str]:
    """A sentence for each vector that does not give what it says."""
    for vector in profile.vectors:
        expected, found = _expected(vector), _given(profile, vector, config)
        if found != expected:
            said = (", ".join(lines) or "nothing" for lines in (expected, found))
            yield 'vector "{}" on "{}": expected {}; got {}'.format(vector.name, vector.topic, *said)


def _expected(vector: Vector) -> list[str]:
    readings = [_reading(each.device, each.metric, each.value, each.unit, each.time) for each in vector.readings]
    refused = [f"refused as {each.reason.value}" for each in vector.rejected]
    return sorted([*readings, *refused, *(_life(each.device, each.online) for each in vector.presence)])


def _given(profile: Profile, vector: Vector, config: Config) -> list[str]:
    """What comes of the vector, behind the messages that come before it."""
    route = RouteSettings.model_validate({"profile": profile.name}, context={OWN_PROFILES: [profile.name]})
    limits = config.limits
    registry = SeriesRegistry(max_series=limits.max_series, max_series_per_device=limits.max_series_per_device)
    router = Router(
        [route, *DEFAULT_ROUTES], route.detectors, registry, max_topics=_MOST_TOPICS, profiles=Profiles([profile])
    )
    decoder = Decoder(router, max_payload=limits.max_payload)
    for number, earlier in enumerate(vector.before):
        at = ARRIVAL - len(vector.before) + number
        decoder.decode(MessageChunk.of([(earlier.topic.encode(), earlier.data, at, 0)]))
    chunk = MessageChunk.of([(vector.topic.encode(), vector.data, ARRIVAL, 0)])
    readings = decoder.decode(chunk)
    times = np.where(readings.time == ARRIVAL, NO_TIME, readings.time).tolist()
    given = []
    for series, value, time in zip(readings.series.tolist(), readings.value.tolist(), times, strict=True):
        record = registry.records[series]
        given.append(_reading(record.device, record.metric, value, record.unit, time))
    for state in readings.states:
        record = registry.records[state.series]
        given.append(_reading(record.device, record.metric, state.text, "", NO_TIME))
    given += [f"refused as {each.reason.value}" for each in readings.rejections]
    no_data = (reason for _, reason, _ in readings.no_data_details if reason is not Reason.AVAILABILITY)
    given += [f"refused as {reason.value}" for reason in no_data]
    return sorted([*given, *(_life(each.device, each.online) for each in readings.presence)])


def _reading(device: str, metric: str, value: float | str, unit: str, time: int) -> str:
    if isinstance(value, str):
        return f'{device} {metric} = "{value}"'
    at = "" if time == NO_TIME else f" at {time}"
    return f"{device} {metric} = {value:g}{f' {unit}' if unit else ''}{at}"


def _life(device: str, online: bool) -> str:
    return f"{device} is {'online' if online else 'offline'}"
