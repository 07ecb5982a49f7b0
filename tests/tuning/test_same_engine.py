"""A backtest gives the alarms that the service opens on the same data, whatever the route says."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import orjson
import pytest

from alerts.alarm_settings import AlarmSettings
from devices.messages import MessageChunk
from devices.records import AlarmRecord, SeriesRecord
from ingest.ingest_settings import ComponentSettings, LimitSettings, MetricSettings, RouteSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry
from tuning.backtest import Plan, score_columns

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND
ROWS = 700
CHANNELS = ("flow", "power", "heat")
DETECTORS = {
    "default": ComponentSettings(type="zscore", warmup=20),
    "limits": ComponentSettings(type="threshold", upper=60.0),
    "joint": ComponentSettings(type="joint", warmup=200),
}
ALARM = AlarmSettings(threshold=4.0, clear_after="5s", clear_readings=5)

ROUTES = {
    "as it comes": RouteSettings(filter="#"),
    "profile": RouteSettings(profile="tasmota", filter="replay/#", device="{topic[1]}", detectors=["default"]),
    "ignored topic": RouteSettings(filter="#", ignore=["replay/pump"]),
    "ignored metric": RouteSettings(filter="#", metrics=[MetricSettings(match="pow*", ignore=True)]),
    "reorder window": RouteSettings(filter="#", reorder_window="4s"),
    "metric override": RouteSettings(
        filter="#", metrics=[MetricSettings(match="heat", detectors=["limits"], unit="C")]
    ),
    "names": RouteSettings(filter="#", device="{topic[1]}", metric="x.{metric}"),
    "joint": RouteSettings(filter="#", detectors=["default", "joint"]),
    "joint and a window": RouteSettings(filter="replay/+", detectors=["default", "joint"], reorder_window="2s"),
}

Alarm = tuple[object, ...]


def recording() -> tuple[np.ndarray, np.ndarray]:
    """Times out of order by up to 2 s, and values with an early fault, a late one and one that lasts; with holes."""
    random = np.random.default_rng(5)
    time = START + SECOND * np.arange(ROWS, dtype=np.int64)
    swapped = np.flatnonzero(random.random(ROWS - 2) < 0.05)
    for row in swapped:
        time[[row, row + 2]] = time[[row + 2, row]]
    values = 20 + random.normal(size=(ROWS, 1)) + random.normal(size=(ROWS, 3))
    values[60:63, 0] += 40
    values[400:420] += 15
    values[600:640, 2] = 75
    values[random.random(values.shape) < 0.02] = np.nan
    return time, values


def shown(alarms: Sequence[AlarmRecord], series: Sequence[SeriesRecord]) -> list[Alarm]:
    """What a person sees of the alarms as they stand at the end."""
    newest = {alarm.alarm: alarm for alarm in alarms}
    return [
        (a.alarm, series[a.series].metric, a.state, a.opened, a.cleared, a.severity, a.peak_score, a.value, a.reason)
        for a in newest.values()
    ]


def service(route: RouteSettings, time: np.ndarray, values: np.ndarray) -> list[Alarm]:
    """The alarms of the messages that `driftline replay` publishes, in entries of 50, and of a tick at the end."""
    engine = Engine([route], DETECTORS, ALARM, LimitSettings())
    alarms: list[AlarmRecord] = []
    rows, arrival = [], 0
    for moment, row in zip(time.tolist(), values.tolist(), strict=True):
        arrival = max(arrival + 1, moment)
        said = {name: value for name, value in zip(CHANNELS, row, strict=True) if not math.isnan(value)}
        body = orjson.dumps({"Time" if route.profile else "timestamp": moment // 1_000_000, **said})
        rows.append((b"replay/pump", body, arrival, 1))
    for start in range(0, ROWS, 50):
        chunk = MessageChunk.of(rows[start : start + 50])
        alarms += engine.step(JournalEntry(engine.position, start, chunk)).alarms
    tick = MessageChunk.of([], ticked_at=arrival + 3600 * SECOND)
    alarms += engine.step(JournalEntry(engine.position, ROWS, tick)).alarms
    return shown(alarms, engine.registry.records)


@pytest.mark.parametrize("name", ROUTES)
def test_a_backtest_gives_the_alarms_of_the_service(name: str) -> None:
    time, values = recording()
    track = score_columns(Plan(DETECTORS, [ROUTES[name]], ALARM), "pump", CHANNELS, time, values)
    found = shown(track.alarms, track.series)
    expected = service(ROUTES[name], time, values)
    assert found == expected
    assert len(track.openings) <= len(expected)
    assert (len(expected) == 0) == (name == "ignored topic")


def test_an_early_fault_opens_alarms_of_the_channels_until_the_device_is_scored() -> None:
    time, values = recording()
    track = score_columns(Plan(DETECTORS, [ROUTES["joint"]], ALARM), "pump", CHANNELS, time, values)
    metrics = [track.series[alarm.series].metric for alarm in track.alarms]
    opened = [(alarm.opened - START) // SECOND for alarm in track.alarms]
    assert metrics[0] == "flow"
    assert opened[0] in range(60, 63)
    assert {metric for metric, at in zip(metrics, opened, strict=True) if at >= 400} == {"device:joint"}
