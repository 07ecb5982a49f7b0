"""What a person says of a series decides on the alarms of the default detector: durations, hours and dates."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from alerts.alarm_settings import AlarmSettings
from devices.messages import MessageChunk
from devices.records import AlarmRecord
from ingest.ingest_settings import DEFAULT_DETECTORS, LimitSettings, RouteSettings
from ingest.knowledge_settings import SeriesSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry

MINUTE = 60_000_000_000
START = int(np.datetime64("2026-12-23T00:00", "ns").astype(np.int64))
"""A Wednesday, in winter."""
ROWS = 2_000


def engine(**said: Any) -> Engine:
    known = [SeriesSettings(metric="pressure", **said)] if said else []
    return Engine([RouteSettings(filter="#")], DEFAULT_DETECTORS, AlarmSettings(), LimitSettings(), (), known)


def feed(one: Engine, values: np.ndarray, start: int = 0) -> list[AlarmRecord]:
    """The alarms of a reading a minute from row `start` on, as they stand at the end."""
    chunk = MessageChunk.of(
        [
            (b"pump", b'{"pressure": %.4f}' % value, START + MINUTE * row, 0)
            for row, value in enumerate(values[start:].tolist(), start)
        ]
    )
    step = one.step(JournalEntry(one.position, start, chunk))
    return list({alarm.alarm: alarm for alarm in step.alarms}.values())


def pressure(fault: slice) -> np.ndarray:
    values = np.random.default_rng(3).normal(5.0, 0.1, ROWS)
    values[fault] += 4.0
    return values


@pytest.mark.parametrize(("lasts", "alarms"), [(5, 0), (40, 1)])
def test_a_deviation_counts_once_it_has_lasted(lasts: int, alarms: int) -> None:
    values = pressure(slice(1_500, 1_500 + lasts))
    assert len(feed(engine(), values)) == 1
    found = feed(engine(shortest_duration="10m"), values)
    assert len(found) == alarms
    for alarm in found:
        assert alarm.opened == START + 1_510 * MINUTE
        assert alarm.reason.endswith("; for 10 min")
        assert alarm.cleared is not None
        assert START + 1_540 * MINUTE < alarm.cleared <= START + 1_565 * MINUTE


@pytest.mark.parametrize(
    ("said", "alarms"),
    [
        # The fault begins at 01:00 UTC on 24 December, and lasts for an hour.
        ({"ignored_hours": [(22, 6)]}, 0),
        ({"ignored_hours": [(2, 6)]}, 1),
        ({"ignored_hours": [(2, 6)], "plant_time_zone": "Europe/Berlin"}, 0),
        ({"ignored_dates": ["2026-12-24"]}, 0),
        ({"ignored_dates": ["12-24", "12-25"]}, 0),
        ({"ignored_dates": ["2026-12-25"]}, 1),
        ({"ignored_dates": ["2026-12-23"], "plant_time_zone": "America/New_York"}, 0),
    ],
)
def test_hours_and_dates_that_do_not_count_raise_no_alarm(said: dict[str, Any], alarms: int) -> None:
    assert len(feed(engine(**said), pressure(slice(1_500, 1_560)))) == alarms


def test_an_alarm_stays_as_it_is_while_nothing_counts() -> None:
    # It begins at 21:40, and is over at 22:10: what ends it is the first quarter of an hour that counts again.
    (alarm,) = feed(engine(ignored_hours=[(22, 6)]), pressure(slice(1_300, 1_330)))
    assert alarm.opened == START + 1_300 * MINUTE
    assert alarm.cleared is not None
    assert START + 1_800 * MINUTE < alarm.cleared <= START + 1_815 * MINUTE


def test_they_are_in_force_after_a_restart() -> None:
    values = pressure(slice(1_500, 1_505))
    before = engine(shortest_duration="10m")
    feed(before, values[:1_502])
    after = engine(shortest_duration="10m")
    after.registry.load(before.registry.records)
    arrays, rest = before.state()
    assert after.load(before.position, arrays, json.loads(json.dumps(rest))) == {}
    assert feed(after, values, 1_502) == []
    unbound = engine()
    unbound.registry.load(before.registry.records)
    unbound.load(before.position, arrays, json.loads(json.dumps(rest)))
    assert len(feed(unbound, values, 1_502)) == 1


@pytest.mark.parametrize("text", ["2026-13-01", "24.12.", "02-30", "2026-1-1", "02-29x"])
def test_what_is_no_date_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match='expected a date such as "2026-12-24" or "12-24"'):
        SeriesSettings(ignored_dates=[text])
