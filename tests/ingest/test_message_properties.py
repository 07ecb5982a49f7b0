"""MQTT 5 properties: from the frame through the journal to names, units, times and codecs where a route asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.alarm_settings import AlarmSettings
from devices.message_properties import NO_PROPERTIES, encode_properties, parse_properties
from devices.messages import MessageChunk
from driftline.config import parse_config
from driftline.config_errors import ConfigError
from ingest.frames import ReceiveBuffer, Stop
from ingest.ingest_settings import LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.dead_letters import DeadLetters
from storage.journal.sqlite_journal import SqliteJournal
from storage.storage_settings import JournalSettings
from storage.store import JournalEntry, StepOutput

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND

names = st.text(max_size=20)


@given(names, st.lists(st.tuples(names, names), max_size=5), st.booleans(), st.binary(max_size=6))
def test_properties_are_read_as_they_were_written_and_nothing_raises(
    content_type: str, user: list[tuple[str, str]], has_packet_id: bool, other: bytes
) -> None:
    between = (b"\x00\x07" if has_packet_id else b"") + encode_properties(content_type, user)
    found = parse_properties(between, has_packet_id=has_packet_id)
    assert (found.content_type, dict(found.user)) == (content_type, dict(reversed(user)))
    assert isinstance(parse_properties(other, has_packet_id=has_packet_id).content_type, str)


def frame(topic: bytes, payload: bytes, properties: bytes, *, packet_id: int) -> bytes:
    body = len(topic).to_bytes(2) + topic + (packet_id.to_bytes(2) if packet_id else b"") + properties + payload
    return bytes([0x32 if packet_id else 0x30, len(body)]) + body


def test_they_are_in_the_journal_as_the_broker_sent_them(tmp_path: Path) -> None:
    # A property of another kind, payload format, stands before those that say something.
    asked = encode_properties("text/csv", [("device", "pump")])
    mixed = bytes([len(asked) + 1, 0x01, 0x01]) + asked[1:]
    data = frame(b"a", b"1", mixed, packet_id=515) + frame(b"b", b"2", asked, packet_id=0)
    data += frame(b"c", b"3", b"\x00", packet_id=7)
    buffer = ReceiveBuffer(group_bytes=65_536, max_payload=1_000)

    def receive(view: memoryview) -> int:
        view[: len(data)] = data
        return len(data)

    buffer.fill(receive)
    assert buffer.split(version_5=True) == Stop.INCOMPLETE
    buffer.add(b"d", b"4", 1, 9, asked)
    buffer.stamp(0, START)
    chunk, _ = buffer.take()
    with SqliteJournal(tmp_path / "journal.db", JournalSettings()) as journal:
        journal.append(chunk)
        [entry] = journal.read(0)
    found = [entry.chunk.properties(number) for number in range(4)]
    assert [(each.content_type, dict(each.user)) for each in found] == [
        ("text/csv", {"device": "pump"}),
        ("text/csv", {"device": "pump"}),
        ("", {}),
        ("text/csv", {"device": "pump"}),
    ]
    assert [entry.chunk.payload(number) for number in range(4)] == [b"1", b"2", b"3", b"4"]
    assert [entry.chunk.encoded_properties(number) for number in range(3)] == [mixed, asked, b""]
    old = MessageChunk.of([(b"a", b"1", START, 1)])
    assert old.properties(0) is NO_PROPERTIES


def engine_of(**route: Any) -> Engine:
    return Engine([RouteSettings(filter="#", **route)], {}, AlarmSettings(), LimitSettings(max_series=50))


def step(engine: Engine, *messages: tuple[str, Any, str, dict[str, str]], offset: int = 0) -> StepOutput:
    """Messages of topic, payload, content type and user properties, a second apart."""
    rows, properties = [], []
    for number, (topic, payload, content_type, user) in enumerate(messages, start=offset):
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        rows.append((topic.encode(), body, START + number * SECOND, number % 2))
        properties.append(encode_properties(content_type, list(user.items())))
    return engine.step(JournalEntry(engine.position, offset, MessageChunk.of(rows, properties=properties)))


def points(engine: Engine, *outputs: StepOutput) -> list[tuple[str, str, float, float]]:
    """Device, metric, value, and seconds after the start of each point."""
    found = []
    for output in outputs:
        batch = output.points
        for series, time, value in zip(batch.series.tolist(), batch.time.tolist(), batch.value.tolist(), strict=True):
            record = engine.registry.records[series]
            found.append((record.device, record.metric, round(value, 6), (time - START) / SECOND))
    return found


def test_a_user_property_names_the_device_beside_the_topic() -> None:
    engine = engine_of(device="{topic[0]}/{property:serial}", detectors=[])
    output = step(
        engine,
        ("hall", {"heat": 1}, "", {"serial": "A1"}),
        ("hall", {"heat": 2}, "", {"serial": "B2"}),
        ("hall", {"heat": 3}, "", {"serial": "A1"}),
        ("hall", {"heat": 4}, "", {"other": "x"}),
        ("hall", {"heat": 5}, "", {"serial": "a\nb"}),
        ("hall", {"heat": 6, "device": "said"}, "", {"serial": "C3"}),
    )
    assert points(engine, output) == [
        ("hall/A1", "heat", 1, 0),
        ("hall/B2", "heat", 2, 1),
        ("hall/A1", "heat", 3, 2),
        ("hall", "heat", 4, 3),
        ("hall/C3", "heat", 6, 5),
    ]
    [letter] = output.dead_letters
    assert (letter.offset, letter.reason) == (4, "bad_topic")
    assert letter.detail.startswith("user property \"serial\": 'a\\nb': expected text of at most 1024 characters")
    assert parse_properties(letter.properties, has_packet_id=False).user == {"serial": "a\nb"}


def test_other_cuts_give_the_same_series() -> None:
    messages = [("hall", {"heat": n}, "", {"serial": str(n % 3)}) for n in range(9)]
    whole, single = (
        engine_of(device="{property:serial}", detectors=[]),
        engine_of(device="{property:serial}", detectors=[]),
    )
    expected = points(whole, step(whole, *messages))
    outputs = [step(single, each, offset=number) for number, each in enumerate(messages)]
    assert points(single, *outputs) == expected
    assert single.registry.records == whole.registry.records


def test_a_unit_that_a_property_tells_is_the_series_and_another_is_converted() -> None:
    engine = engine_of(properties={"unit": "unit"}, device="{property:id}", detectors=[])
    output = step(
        engine,
        ("a", {"temperature": 20.0}, "", {"unit": "°C", "id": "pump"}),
        ("a", {"temperature": 68.0}, "", {"unit": "°F", "id": "pump"}),
        ("a", {"temperature": 21.0}, "", {"unit": "°C", "id": "pump"}),
    )
    assert [each[2] for each in points(engine, output)] == [20, 20, 21]
    [record] = engine.registry.records
    assert (record.device, record.metric, record.unit) == ("pump", "temperature", "°C")


def test_a_time_that_a_property_tells_comes_before_that_of_the_payload() -> None:
    engine = engine_of(properties={"time": "at"}, detectors=[])
    output = step(
        engine,
        ("a", {"heat": 1, "ts": START // SECOND - 50}, "", {"at": str(START // SECOND - 100)}),
        ("a", {"heat": 2}, "", {"at": "2025-06-15T15:06:30Z"}),
        ("a", {"heat": 3, "ts": START // SECOND - 50}, "", {}),
        ("a", {"heat": 4}, "", {"at": "soon"}),
    )
    assert sorted(points(engine, output)) == [
        ("a", "heat", 1, -100),
        ("a", "heat", 2, -10),
        ("a", "heat", 3, -50),
        ("a", "heat", 4, 3),
    ]


def test_the_content_type_chooses_the_codec() -> None:
    codecs = {"text/plain": {"type": "plain"}, "application/cbor": "cbor"}
    engine = engine_of(properties={"codecs": codecs}, codec="json", detectors=[])
    output = step(
        engine,
        ("a/flow", b"1.5", "text/plain; charset=utf-8", {}),
        ("a", {"heat": 3}, "application/json", {}),
        ("a", bytes([0xA1, 0x64]) + b"heat" + bytes([0x04]), "application/cbor", {}),
        ("a", b"{broken", "", {}),
    )
    assert points(engine, output) == [
        ("a", "flow", 1.5, 0),
        ("a", "heat", 3, 1),
        ("a", "heat", 4, 2),
    ]
    assert [letter.reason for letter in output.dead_letters] == ["malformed"]


def test_dead_letters_keep_them_also_in_a_file_that_is_older(tmp_path: Path) -> None:
    engine = engine_of(device="{property:serial}", detectors=[])
    [letter] = step(engine, ("hall", b"{broken", "", {"serial": "A1"})).dead_letters
    path = tmp_path / "letters.db"
    with_table = DeadLetters(path, max_bytes=10**6, max_letters=100).open()
    with_table._connection.executescript("DROP TABLE letter_properties; DROP TRIGGER properties_of_removed")  # type: ignore[union-attr]
    with_table.close()
    letters = DeadLetters(path, max_bytes=10**6, max_letters=100).open()
    letters.put([letter])
    assert letters.find([0]) == [letter]
    assert parse_properties(letters.find([0])[0].properties, has_packet_id=False).user == {"serial": "A1"}
    letters.close()


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ('device = "{property:}"', "routes[0].device: template '{property:}': character 0: unknown {property:}"),
        ('properties = { codec = "x" }', "routes[0].properties.codec: unknown"),
        ('properties = { codecs = { "text/csv" = "cvs" } }', 'routes[0].properties.codecs.text/csv: unknown "cvs"'),
        ('properties = { codecs = { csv = "json" } }', '"csv": expected a content type in small letters, such as'),
        (
            'device = "{property:id}"\n[broker]\nprotocol = "3.1.1"',
            "routes[0]: it asks for properties, which MQTT 3.1.1",
        ),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_its_place(route: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f'[[routes]]\nfilter = "#"\n{route}\n')
    [found] = caught.value.errors
    assert said in found
