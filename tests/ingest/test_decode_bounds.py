"""Which time of a reading is believed, and how long a payload may be: to the nanosecond and the byte."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from alerts.alarm_settings import AlarmSettings
from devices.messages import FLAG_RETAIN, MessageChunk
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry, StepOutput

SECOND = 10**9
START = 1_750_000_000 * SECOND
EARLIEST = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp()) * SECOND


def engine(limits: LimitSettings | None = None) -> Engine:
    codec = ComponentSettings(type="json", time_unit="ns")
    route = RouteSettings(filter="#", codec=codec, detectors=["z"], future_skew="10s", earliest="2020-01-01T00:00:00Z")
    return Engine([route], {"z": ComponentSettings(type="zscore")}, AlarmSettings(), limits or LimitSettings())


def step(made: Engine, *payloads: bytes, flags: int = 0) -> StepOutput:
    rows = [(b"pump", payload, START + at, flags) for at, payload in enumerate(payloads)]
    return made.step(JournalEntry(made.position, 0, MessageChunk.of(rows)))


def reading(time: int | None, value: float = 1.0) -> bytes:
    return json.dumps({"v": value} | ({} if time is None else {"ts": time})).encode()


@pytest.mark.parametrize(
    ("said", "taken", "odd"),
    [
        (START, START, ""),
        (START + 10 * SECOND, START + 10 * SECOND, ""),
        (START + 10 * SECOND + 1, START, "clock_ahead"),
        (START - 840 * SECOND, START - 840 * SECOND, ""),
        (START - 840 * SECOND - 1, START - 840 * SECOND - 1, "long_before_arrival"),
        (EARLIEST, EARLIEST, "long_before_arrival"),
        (EARLIEST - 1, START, "clock_not_set"),
        (None, START, ""),
    ],
)
@pytest.mark.parametrize("beside", [(), (reading(None, 7.0),)], ids=["alone", "beside one without a time"])
def test_a_time_is_believed_within_its_bounds_else_the_arrival_counts(
    said: int | None, taken: int, odd: str, beside: tuple[bytes, ...]
) -> None:
    output = step(engine(), reading(said), *beside)
    assert output.points.time.tolist()[:1] == [taken]
    assert {name: count for name, count in output.counts.items() if name.startswith("odd.")} == (
        {f"odd.{odd}": 1} if odd else {}
    )


def test_of_a_device_s_odd_times_in_one_message_the_latest_is_noted_and_all_are_counted() -> None:
    made = engine()
    payload = [{"ts": START + second * SECOND, "a": 1, "b": 2} for second in (11, 30, 20)]
    output = step(made, json.dumps(payload).encode())
    assert output.counts["odd.clock_ahead"] == 6
    status = made.observer.statuses.of("pump")
    assert (status.offset, status.clock_ahead) == (30 * SECOND, 1)


@pytest.mark.parametrize(("size", "is_taken"), [(100, True), (101, False)])
def test_a_payload_of_just_the_most_bytes_is_taken(size: int, is_taken: bool) -> None:
    payload = reading(START).ljust(size)
    output = step(engine(LimitSettings(max_payload=100)), payload, reading(START + 1))
    assert (len(output.points), output.counts["received"]) == (2 if is_taken else 1, 2)
    letters = [(each.reason, each.detail, each.payload_bytes) for each in output.dead_letters]
    expected = "payload of 101 bytes: expected at most limits.max_payload = 100"
    assert letters == ([] if is_taken else [("too_large", expected, 101)])


def test_a_retained_value_without_a_time_is_kept_as_the_last_known_one_until_a_newer_comes() -> None:
    made = engine()
    output = step(made, reading(None, 5.0), flags=FLAG_RETAIN)
    assert (len(output.points), output.counts["dropped.retained"], made.observer.last_known) == (0, 1, {0: 5.0})
    output = step(made, reading(START, 6.0), flags=FLAG_RETAIN)
    assert (output.points.value.tolist(), made.observer.last_known) == ([6.0], {})
