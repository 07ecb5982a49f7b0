"""The engine as a whole, by what it makes of journal entries: names, times, states, refusals, alarms."""

from __future__ import annotations

import numpy as np
import pytest
from fed_engine import SECOND, START, Feeder, at, columns, make_engine, names

from alerts.alarm_settings import AlarmSettings
from devices.messages import FLAG_RETAIN, MessageChunk
from ingest.ingest_settings import LimitSettings, RouteSettings
from storage.store import JournalEntry


def test_names_a_device_by_its_topic_and_metrics_by_the_payload() -> None:
    engine = make_engine()
    output = Feeder(engine)(("plant/press-1", {"ts": at(-5), "temperature": 21.5, "motor": {"current": 3}}))
    assert names(engine) == [("plant/press-1", "temperature"), ("plant/press-1", "motor.current")]
    assert columns(output.points) == [(0, START - 5 * SECOND, 21.5), (1, START - 5 * SECOND, 3.0)]
    assert [r.series for r in output.series] == [0, 1]


def test_a_bare_number_is_named_by_the_last_level_of_its_topic() -> None:
    engine = make_engine()
    Feeder(engine)(("house/kitchen/temperature", b"21.5"), ("lonely", b"3"))
    assert names(engine) == [("house/kitchen", "temperature"), ("lonely", "value")]


def test_a_reading_without_a_time_has_its_arrival() -> None:
    feed = Feeder(make_engine())
    output = feed(("a", {"x": 1}), ("a", {"x": 2}))
    assert output.points.time.tolist() == [START + 1, START + 2]


@pytest.mark.parametrize(
    ("topic", "payload", "flags", "reason"),
    [
        ("d", b'{"x": 1', 0, "malformed"),
        ("d", b'{"x": {}}', 0, "no_reading"),
        ("d", b'{"x": Infinity}', 0, "not_finite"),
        ("d", b'{"x": "' + b"y" * 2_000_000 + b'"}', 0, "too_large"),
        ("d\udcff", b"1", 0, "bad_topic"),
    ],
)
def test_bad_input_lands_in_the_dead_letters_with_its_reason(
    topic: str, payload: bytes, flags: int, reason: str
) -> None:
    feed = Feeder(make_engine())
    output = feed(("d", {"ok": 1}), (topic, payload, flags), ("d", {"ok": 2}))
    assert [d.reason for d in output.dead_letters] == [reason]
    letter = output.dead_letters[0]
    assert letter.offset == 1
    assert letter.payload == payload[:16_384]
    assert letter.payload_bytes == len(payload)
    assert letter.detail
    assert output.counts[f"rejected.{reason}"] == 1
    assert [v for _, _, v in columns(output.points)] == [1.0, 2.0]


def test_a_payload_of_exactly_the_limit_is_read_and_one_byte_more_is_not() -> None:
    engine = make_engine()
    limit = LimitSettings().max_payload
    whole = b'{"x": 7, "note": "' + b"y" * (limit - 20) + b'"}'
    assert len(whole) == limit
    output = Feeder(engine)(("d", whole), ("d", whole + b" "))
    assert [v for _, _, v in columns(output.points)] == [7.0]
    assert [(d.offset, d.reason, d.detail) for d in output.dead_letters] == [
        (1, "too_large", f"payload of {limit + 1} bytes: expected at most limits.max_payload = {limit}")
    ]


def test_one_bad_reading_does_not_take_its_neighbours_along() -> None:
    output = Feeder(make_engine())(("d", b'{"a": 1, "b": "unavailable", "c": 3}'))
    assert [v for _, _, v in columns(output.points)] == [1.0, 3.0]
    assert output.dead_letters == []
    assert (output.counts["received"], output.counts["dropped.no_value"]) == (3, 1)


@pytest.mark.parametrize(
    ("topic", "payload", "flags", "reason"),
    [
        ("d", b'{"x": NaN}', 0, "no_value"),
        ("d", b"unavailable", 0, "no_value"),
        ("d", b"", 0, "cleared"),
        ("d/set", b"1", 0, "command"),
        ("d/availability", b"online", 0, "availability"),
        ("d", b'{"mode": "heat"}', 0, "state"),
        ("d", b'{"x": 1}', FLAG_RETAIN, "retained"),
    ],
)
def test_what_holds_no_data_is_counted_and_is_no_dead_letter(
    topic: str, payload: bytes, flags: int, reason: str
) -> None:
    feed = Feeder(make_engine())
    output = feed(("d", {"ok": 1}), (topic, payload, flags), ("d", {"ok": 2}))
    assert output.dead_letters == []
    assert {name: n for name, n in output.counts.items() if name.startswith("dropped.")} == {f"dropped.{reason}": 1}
    assert [v for _, _, v in columns(output.points)] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("time", "kind", "clock"),
    [
        ("yesterday", "time_unread", "time not understood, its readings are placed at their arrival: ts: 'yesterday'"),
        (4_102_444_800, "clock_ahead", "clock 2.72e+04 days ahead"),
        ("1970-01-02T00:00:00Z", "clock_not_set", "clock not set: its readings are placed at their arrival"),
        (0, "clock_not_set", "clock not set: its readings are placed at their arrival"),
        (123456, "clock_not_set", "clock not set: its readings are placed at their arrival"),
    ],
)
def test_a_time_that_cannot_be_believed_costs_nothing(time: object, kind: str, clock: str) -> None:
    engine = make_engine()
    output = Feeder(engine)(("d", {"x": 1, "ts": time}))
    assert columns(output.points) == [(0, START + 1, 1.0)]
    assert output.counts[f"odd.{kind}"] == 1
    status = engine.observer.statuses.get("d")
    assert status is not None
    assert status.clock.startswith(clock)


def test_local_time_without_a_zone_is_told_with_its_remedy() -> None:
    engine = make_engine()
    feed = Feeder(engine)
    for minute in range(6):
        feed(
            ("west", {"ts": at(60 * minute - 4 * 3600), "x": 1}),
            ("east", {"ts": at(60 * minute + 5400), "x": 1}),
            tick=60 * SECOND,
        )
    told = {name: status.clock for name, status in engine.observer.statuses}
    assert told == {
        "west": 'clock 4 h behind: local time without a zone; set time_zone = "-04:00" on its route',
        "east": 'clock 1.5 h ahead: local time without a zone; set time_zone = "+01:30" on its route',
    }


def test_states_told_in_words_are_kept_as_changes() -> None:
    feed = Feeder(make_engine())
    outputs = [
        feed(("d", {"ts": at(s), "mode": mode, "x": 1})) for s, mode in enumerate(["heat", "heat", "idle", "heat"])
    ]
    assert [[s.text for s in output.states] for output in outputs] == [["heat"], [], ["idle"], ["heat"]]
    assert [record.kind for record in outputs[0].series] == ["text", "measurement"]


def test_a_device_whose_every_message_is_refused_is_seen() -> None:
    engine = make_engine()
    feed = Feeder(engine)
    for _ in range(3):
        feed(("pump", b'{"x": 1'))
    status = engine.observer.statuses.get("pump")
    assert status is not None
    assert status.refusal.startswith("3 of 3 messages refused, the last one as malformed: byte 7")


def test_a_last_will_is_no_sign_of_life_and_a_reading_is() -> None:
    engine = make_engine()
    feed = Feeder(engine)
    feed(("dev-1/temp", b"21"))
    heard = engine.liveness.last_arrival.copy()
    feed(("dev-1/status", b"offline"))
    status = engine.observer.statuses.get("dev-1")
    assert status is not None
    assert (status.online, engine.liveness.last_arrival.tolist()) == (False, heard.tolist())
    feed(("dev-1/temp", b"22"))
    assert status.online


def test_what_was_observed_survives_a_restart() -> None:
    engine = make_engine()
    Feeder(engine)(("pump", b'{"x": 1'), ("d", {"mode": "heat"}), ("d", b'{"y": 7}', FLAG_RETAIN))
    other = make_engine()
    other.registry.load(engine.registry.records)
    other.load(engine.position, *engine.state())
    assert other.observer.state() == engine.observer.state()
    assert engine.observer.last_known == {1: 7.0}


def test_readings_behind_their_series_are_late_stored_and_not_learned() -> None:
    feed = Feeder(make_engine())
    for second in range(20):
        feed(("d", {"ts": at(second - 100), "x": second % 2}))
    before = feed.engine.state()
    output = feed(("d", {"ts": at(-95.5), "x": 1000.0}))
    assert output.points.late.tolist() == [True]
    assert np.isnan(output.points.score[0])
    for part in ("order", "alarm"):
        for name, array in feed.engine.state()[0][part].items():
            assert np.array_equal(array, before[0][part][name], equal_nan=array.dtype.kind == "f")


def test_limits_on_series_reject_by_name() -> None:
    engine = make_engine(limits=LimitSettings(max_series=3, max_series_per_device=2))
    output = Feeder(engine)(("d", {"a": 1, "b": 2, "c": 3}), ("e", {"a": 1, "b": 1}))
    assert names(engine) == [("d", "a"), ("d", "b"), ("e", "a")]
    assert [d.reason for d in output.dead_letters] == ["too_many_series"] * 2
    assert '"d"' in output.dead_letters[0].detail
    assert "max_series_per_device = 2" in output.dead_letters[0].detail
    assert "max_series = 3" in output.dead_letters[1].detail


def test_an_alarm_opens_once_carries_a_reason_and_clears_after_calm() -> None:
    alarm = AlarmSettings(threshold=5.0, clear_after=3)
    feed = Feeder(make_engine(RouteSettings(filter="#", detectors=["limits"]), alarm=alarm))
    values = [20.0, 60.0, 61.0, 20.0, 70.0, 20.0, 20.0, 20.0, 20.0]
    changes = [
        record for i, value in enumerate(values) for record in feed(("press", {"ts": at(i - 50), "temp": value})).alarms
    ]
    assert [(c.alarm, c.state) for c in changes] == [(1, "open"), (1, "cleared")]
    opened, cleared = changes
    assert opened.opened == START - 49 * SECOND
    assert opened.reason.startswith("temp 60")
    assert opened.parts
    assert cleared.cleared == START - 43 * SECOND
    assert cleared.opened == opened.opened


def test_a_reorder_window_puts_readings_into_event_order() -> None:
    feed = Feeder(make_engine(RouteSettings(filter="#", reorder_window="2s")))
    seen: list[int] = []
    for second in (0, 2, 1, 4, 3, 6, 5):
        seen += feed(("d", {"ts": at(second - 60), "x": second})).points.value.astype(int).tolist()
    assert seen == [0, 1, 2, 3, 4]
    assert feed.engine.waiting == 2
    last = feed(tick=3 * SECOND)
    assert last.points.value.tolist() == [5.0, 6.0]
    assert not last.points.late.any()
    assert feed.engine.waiting == 0


def test_retained_messages_are_no_sign_of_life() -> None:
    feed = Feeder(make_engine())
    feed(("d", {"ts": at(-60), "x": 1}, FLAG_RETAIN), ("e", {"ts": at(-60), "x": 1}))
    liveness = feed.engine.liveness
    assert liveness.last_arrival[:2].tolist() == [-1, START + 2]


def test_refuses_an_entry_out_of_turn() -> None:
    engine = make_engine()
    chunk = MessageChunk.of([(b"d", b"1", START, 0)])
    with pytest.raises(ValueError, match="expected 0, got 5"):
        engine.step(JournalEntry(5, 0, chunk))
