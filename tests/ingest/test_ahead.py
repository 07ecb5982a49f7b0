"""Alarms ahead of a limit: what is said and when, whatever the journal was cut into."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from alerts.alarm_settings import AlarmSettings
from devices.messages import MessageChunk
from devices.records import AlarmRecord, AlarmState
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.knowledge_settings import SeriesSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry, StepOutput

SECOND = 10**9
MINUTE = 60 * SECOND
START = 1_750_032_000 * SECOND
WARNED = SeriesSettings(device="*", metric="level", highest_allowed=95.0, lowest_allowed=5.0, warn_ahead="2h")


def engine(known: Sequence[SeriesSettings] = (WARNED,)) -> Engine:
    return Engine(
        [RouteSettings(filter="#", detectors=["default"])],
        {"default": ComponentSettings(type="zscore")},
        AlarmSettings(),
        LimitSettings(),
        series=known,
    )


FIVE = 5 * MINUTE
RISES = START + 12 * 60 * MINUTE
FULL = RISES + 10 * 60 * MINUTE
EMPTIED = FULL + 30 * MINUTE


def tank(hours: float) -> list[tuple[int, float]]:
    """A level read each five minutes: 45 % until it rises by 5 % an hour, to 95 at FULL, until it is let out."""
    times = [START + n * FIVE for n in range(int(hours * 12))]
    noise = np.random.default_rng(3).normal(0, 0.3, len(times))
    level = [45.0 if at >= EMPTIED else 45.0 + max(at - RISES, 0) / (60 * MINUTE) * 5 for at in times]
    return [(at, round(float(value), 2)) for at, value in zip(times, level + noise, strict=True)]


def run(plant: Engine, readings: Sequence[tuple[int, float]], cut: int) -> list[StepOutput]:
    messages = [(b"site/tank", json.dumps({"level": v, "ts": at // 10**6}).encode(), at, 0) for at, v in readings]
    return [
        plant.step(JournalEntry(plant.position, n, MessageChunk.of(messages[n : n + cut])))
        for n in range(0, len(messages), cut)
    ]


def forecasts(
    plant: Engine, outputs: Sequence[StepOutput]
) -> tuple[list[AlarmRecord], list[tuple[int, float, float, float]]]:
    """Alarms of the forecast's series, and its points."""
    names = {record.series: record.metric for record in plant.registry.records}
    alarms = [alarm for output in outputs for alarm in output.alarms if names[alarm.series] == "forecast:level"]
    points = [
        (int(p.time[row]), float(p.value[row]), float(p.lower[row]), float(p.upper[row]))
        for p in (output.points for output in outputs)
        for row in range(len(p))
        if names[int(p.series[row])] == "forecast:level"
    ]
    return alarms, points


def test_a_tank_that_fills_is_an_alarm_two_hours_before_it_is_full_and_ends_when_it_is_let_out() -> None:
    plant = engine()
    alarms, points = forecasts(plant, run(plant, tank(26), 60))
    assert [alarm.state for alarm in alarms] == [AlarmState.OPEN, AlarmState.OPEN, AlarmState.CLEARED]
    opened, lasting, closed = alarms
    assert (FULL - opened.opened) / MINUTE == 110
    assert opened.reason == "level reaches 95 in 2 h, 80 %: 1:01 to 2:06"
    assert opened.value == pytest.approx(85.8, abs=1)
    assert (opened.severity, lasting.severity) == ("major", "critical")
    assert (closed.alarm, closed.cleared_reason) == (opened.alarm, "back to normal")
    assert closed.cleared is not None
    assert 0 < closed.cleared - EMPTIED <= 30 * MINUTE
    (coming,) = [row for row in points if row[0] == FULL - 2 * 60 * MINUTE]
    assert coming[1] == pytest.approx(95, abs=1)
    assert coming[2] < 95 < coming[3]


@pytest.mark.parametrize("cut", [1, 7])
def test_the_same_is_said_however_the_journal_is_cut(cut: int) -> None:
    whole, other = engine(), engine()
    assert forecasts(other, run(other, tank(23), cut)) == forecasts(whole, run(whole, tank(23), 5000))


def test_a_restart_changes_nothing() -> None:
    whole, before, after = engine(), engine(), engine()
    readings = tank(23)
    expected = forecasts(whole, run(whole, readings, 60))
    first = forecasts(before, run(before, readings[:200], 60))
    arrays, rest = before.state()
    after.registry.load(before.registry.records)
    after.load(before.position, arrays, json.loads(json.dumps(rest)))
    second = forecasts(after, run(after, readings[200:], 60))
    assert (first[0] + second[0], first[1] + second[1]) == expected


def test_who_asks_for_no_warning_gets_neither_alarm_nor_series() -> None:
    plant = engine([SeriesSettings(metric="level", highest_allowed=95.0)])
    assert forecasts(plant, run(plant, tank(30), 500)) == ([], [])
    assert [record.metric for record in plant.registry.records] == ["level"]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"warn_ahead": "2h"}, "warn_ahead: expected lowest_allowed or highest_allowed beside it"),
        ({"warn_ahead": "5s", "highest_allowed": 3}, "warn_ahead: expected at least 1m, got 5s"),
        (
            {"lowest_allowed": 5, "highest_allowed": 3},
            "lowest_allowed: expected less than highest_allowed 3, got 5",
        ),
    ],
)
def test_warnings_that_cannot_be_are_refused_by_name(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        SeriesSettings.model_validate(given)
