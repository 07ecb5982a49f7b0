"""What an alarm's reason says of the device's other metrics, whatever pieces the readings come in."""

from __future__ import annotations

import json

import numpy as np
import pytest

from alerts.alarm_settings import AlarmSettings
from alerts.siblings import ODD, UNKNOWN, USUAL, Siblings, beside, findings
from devices.batch import Batch
from devices.messages import MessageChunk
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry

MINUTE = 60_000_000_000
START = 1_750_000_000_000_000_000
DETECTORS = {"default": ComponentSettings(type="zscore", warmup=20)}
ROWS = 300


def reasons(pieces: int, *, restarted: bool = False) -> list[str]:
    """Of a pump with five metrics, one a message each minute; current and power jump, then pressure alone."""
    random = np.random.default_rng(4)
    values = 20.0 + random.normal(size=(ROWS, 5))
    values[100:103, :2] += 30.0
    values[200:203, 2] += 30.0
    names = ("current", "power", "pressure", "flow", "heat")
    rows = []
    for row in range(ROWS):
        body = {name: round(value, 3) for name, value in zip(names, values[row].tolist(), strict=True)}
        if row > 250:
            del body["flow"]
        rows.append((b"pump", json.dumps(body).encode(), START + MINUTE * row, 0))
    engine, found = make(), []
    for piece in np.array_split(np.arange(ROWS), pieces):
        chunk = MessageChunk.of([rows[row] for row in piece.tolist()])
        found += engine.step(JournalEntry(engine.position, int(piece[0]), chunk)).alarms
        if restarted:
            again, (arrays, rest) = make(), engine.state()
            again.registry.load(engine.registry.records)
            again.load(engine.position, arrays, json.loads(json.dumps(rest)))
            engine = again
    return list({alarm.alarm: alarm.reason for alarm in found}.values())


def make() -> Engine:
    alarm = AlarmSettings(threshold=5.0, clear_after="3m", clear_readings=3)
    return Engine([RouteSettings(filter="#")], DETECTORS, alarm, LimitSettings())


def test_what_shows_it_too_is_told_and_what_does_not() -> None:
    current, power, pressure = reasons(1)
    assert current.endswith("; power shows it too; pressure, flow and 1 more as usual")
    assert power.endswith("; current shows it too; pressure, flow and 1 more as usual")
    assert pressure.endswith("; current, power and 2 more as usual")


@pytest.mark.parametrize("pieces", [7, ROWS])
def test_it_does_not_depend_on_the_pieces_that_readings_come_in(pieces: int) -> None:
    assert reasons(pieces) == reasons(1)


def test_a_metric_with_an_open_alarm_is_not_told_to_be_as_usual() -> None:
    random = np.random.default_rng(4)
    values = 20.0 + random.normal(size=(130, 3))
    values[100:103, 0] += 30.0
    values[105:108, 1] += 30.0
    rows = [
        (b"pump", json.dumps(dict(zip(("heat", "current", "flow"), row, strict=True))).encode(), START + MINUTE * at, 0)
        for at, row in enumerate(values.tolist())
    ]
    # The alarm of heat is open for another hour.
    alarm = AlarmSettings(threshold=5.0, clear_after="1h", clear_readings=3)
    engine = Engine([RouteSettings(filter="#")], DETECTORS, alarm, LimitSettings())
    found = engine.step(JournalEntry(engine.position, 0, MessageChunk.of(rows))).alarms
    heat, current = list({alarm.alarm: alarm.reason for alarm in found}.values())
    assert heat.endswith("; current and flow as usual")
    assert current.endswith("; flow as usual")


def test_it_is_the_same_after_restarts() -> None:
    assert reasons(30, restarted=True) == reasons(1)


@pytest.mark.parametrize(
    ("odd", "usual", "text"),
    [
        ([], [], ""),
        (["power"], [], "; power shows it too"),
        (["current", "power"], ["pressure"], "; current and power show it too; pressure as usual"),
        ([], ["a", "b", "c", "d"], "; a, b and 2 more as usual"),
    ],
)
def test_names_are_listed_as_one_says_them(odd: list[str], usual: list[str], text: str) -> None:
    assert beside(odd, usual) == text


def noted(series: list[int], times: list[int], found: list[int]) -> tuple[Siblings, Batch]:
    """What is known of three series, of which some had readings at these times (minutes from the start)."""
    siblings = Siblings()
    siblings.grow(3)
    batch = batch_of(series, times)
    siblings.note(batch, np.array(found, np.int8))
    return siblings, batch


def batch_of(series: list[int], times: list[int]) -> Batch:
    n = len(series)
    return Batch(np.array(series, np.int32), START + MINUTE * np.array(times, np.int64), np.zeros(n))


def test_a_reading_tells_of_an_alarm_for_ten_minutes_and_none_of_what_was_neither() -> None:
    siblings, _ = noted([0, 1], [0, 0], [ODD, UNKNOWN])
    now, unknown = np.zeros(1, np.int64), np.array([UNKNOWN], np.int8)
    assert siblings.at(batch_of([2], [10]), now, unknown, 0, [0, 1]) == {0: ODD}
    assert siblings.at(batch_of([2], [11]), now, unknown, 0, [0, 1]) == {}


def test_of_the_same_message_what_comes_after_counts_too_and_of_the_next_not() -> None:
    siblings, _ = noted([0, 1], [0, 0], [USUAL, USUAL])
    batch, found = batch_of([2, 0, 1, 0], [1, 1, 1, 1]), np.array([ODD, ODD, USUAL, USUAL], np.int8)
    assert siblings.at(batch, np.array([5, 5, 6, 6]), found, 0, [0, 1]) == {0: ODD, 1: USUAL}
    batch = batch_of([2, 0, 1], [1, 2, 2])
    assert siblings.at(batch, np.array([5, 5, 5]), found[:3], 0, [0]) == {0: USUAL}


def test_a_score_below_two_is_usual_and_one_between_is_neither() -> None:
    score = np.array([1.99, 2.0, 9.0, 0.0, np.nan])
    anomaly = np.array([False, False, True, True, False])
    assert findings(score, anomaly).tolist() == [USUAL, UNKNOWN, ODD, ODD, UNKNOWN]
