"""What Sparkplug B edge nodes say, as a host application has to take it.

Where a test holds assertions of Sparkplug 3.0.0 it names them as the compatibility kit does (tck-id-...).
"""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from firmware_sim.sparkplug_style import _key, _message, _metric, _number
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.alarm_settings import AlarmSettings
from devices.codec import Decoded
from devices.codecs.codec_registry import create
from devices.codecs.readings import MetricNames
from devices.codecs.sparkplug import SparkplugCodec
from devices.codecs.sparkplug_births import Births, Node
from devices.codecs.sparkplug_wire import metric_of, rebirth, restored
from devices.messages import MessageChunk
from devices.records import SeriesRecord
from devices.vectors import ExpectedReading, named_readings
from ingest.ingest_settings import DEFAULT_ROUTES, ComponentSettings, LimitSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry

START = 1_793_491_200_000_000_000
NODE, DEVICE = "p/line", "p/line/press"


class Host:
    """A codec, and what it made of the messages given to it, one by one or together."""

    def __init__(self) -> None:
        codec = create("sparkplug")
        assert isinstance(codec, SparkplugCodec)
        self.codec = codec
        self.sequence = 0

    def take(self, *messages: tuple[str, list[bytes]], sequence: int | None = None) -> Decoded:
        """Messages with metrics, by kind: `NDATA`, `DDATA press`."""
        rows = []
        for number, (kind, metrics) in enumerate(messages):
            name, _, device = kind.partition(" ")
            if sequence is not None:
                self.sequence, sequence = sequence, None
            if name == "NBIRTH":
                self.sequence = 0
            body = _number(1, START // 10**6 + number) + b"".join(_message(2, each) for each in metrics)
            if name != "NDEATH":
                body += _number(3, self.sequence)
                self.sequence = (self.sequence + 1) % 256
            topic = f"spBv1.0/p/{name}/line" + (f"/{device}" if device else "")
            rows.append((topic.encode(), body, START + number, 0))
        return self.codec.decode(MessageChunk.of(rows).payloads())

    def readings(self, decoded: Decoded) -> list[tuple[str, str, object]]:
        return [(r.device, r.metric, r.value) for r in named_readings(self.codec, decoded)]


def born(session: int = 0) -> list[tuple[str, list[bytes]]]:
    return [
        ("NBIRTH", [_metric(name="bdSeq", number=session), _metric("speed", 1, value=1.0)]),
        ("DBIRTH press", [_metric("temp", 2, value=20.0, unit="°C")]),
    ]


@pytest.fixture
def host() -> Host:
    one = Host()
    one.take(*born())
    return one


def test_births_data_and_deaths_tell_who_is_there() -> None:
    """operational-behavior-edge-node-termination-host-action-ndeath-*, ...-device-ddeath-*, payloads-*birth-*."""
    host = Host()
    assert host.readings(host.take(*born())) == [
        (NODE, "", 1.0),
        (NODE, "speed", 1.0),
        (DEVICE, "", 1.0),
        (DEVICE, "temp", 20.0),
    ]
    data = host.take(("NDATA", [_metric("", 1, value=2.0)]), ("DDATA press", [_metric("", 2, value=21.0)]))
    assert host.readings(data) == [(NODE, "speed", 2.0), (DEVICE, "temp", 21.0)]
    assert named_readings(host.codec, data)[1] == ExpectedReading(
        device=DEVICE, metric="temp", time=START + 1_000_000, value=21.0, unit="°C"
    )
    assert host.readings(host.take(("DDEATH press", []))) == [(DEVICE, "", 0.0)]
    assert host.readings(host.take(("NDEATH", [_metric(name="bdSeq", number=0)]))) == [
        (NODE, "", 0.0),
        (DEVICE, "", 0.0),
    ]
    assert host.codec.needed_births() == {}


def test_a_death_of_a_session_before_tells_nothing(host: Host) -> None:
    """payloads-ndeath-bdseq, topics-nbirth-bdseq-increment."""
    host.take(*born(session=1))
    late = host.take(("NDEATH", [_metric(name="bdSeq", number=0)]))
    assert host.readings(late) == []
    assert [(each.reason, each.detail) for each in late.rejected] == [
        ("availability", "the death of session bdSeq 0; the newest birth is of session 1")
    ]
    assert host.readings(host.take(("NDEATH", [_metric(name="bdSeq", number=1)])))[0] == (NODE, "", 0.0)
    skipped = host.take(*born(session=4))
    assert [note.detail for note in skipped.notes] == ["bdSeq 4, expected 2: a session was missed before it"]


def test_aliases_hold_until_the_node_is_gone(host: Host) -> None:
    """operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale, payloads-alias-*."""
    host.take(("NDEATH", [_metric(name="bdSeq", number=0)]))
    stale = host.take(("NDATA", [_metric("", 1, value=9.0), _metric("speed", value=8.0)]))
    assert host.readings(stale) == [(NODE, "speed", 8.0)]
    assert stale.rejected[0].detail.startswith("alias 1: no birth has named it; ask for one")
    assert host.codec.needed_births() == {NODE: "it sends alias 1, which no birth has named"}
    # The next birth gives the alias to another metric.
    host.take(("NBIRTH", [_metric(name="bdSeq", number=1), _metric("torque", 1, value=5.0)]))
    assert host.readings(host.take(("NDATA", [_metric("", 1, value=6.0)]))) == [(NODE, "torque", 6.0)]


def test_a_gap_is_noted_and_a_message_that_comes_late_fills_it(host: Host) -> None:
    """operational-behavior-host-reordering-start and -success, payloads-sequence-num-*."""
    one = [_metric("", 1, value=2.0)]
    gap = host.take(("NDATA", one), sequence=4)
    assert [note.detail for note in gap.notes] == ["sequence number 4, expected 2: messages are missing before it"]
    assert host.codec.needed_births() == {NODE: "sequence number 4, expected 2"}
    assert host.take(("NDATA", one), sequence=3).notes == []
    assert host.codec.needed_births() != {}
    assert host.take(("NDATA", one), sequence=2).notes == []
    assert host.codec.needed_births() == {}
    assert host.take(("DDEATH press", []), sequence=5).notes == []
    assert host.take(("NDATA", one), sequence=255).notes != []
    host.take(*born())
    assert host.codec.needed_births() == {}


def test_what_is_known_survives_a_restart(host: Host) -> None:
    host.take(("NDATA", [_metric("", 1, value=2.0)]), sequence=7)
    again = Host()
    again.codec.load(host.codec.state())
    assert again.codec.state() == host.codec.state()
    assert again.codec.needed_births() == {NODE: "sequence number 7, expected 2"}
    data = again.take(("DDATA press", [_metric("", 2, value=21.0)]), sequence=8)
    assert (again.readings(data), data.notes) == ([(DEVICE, "temp", 21.0)], [])


@pytest.mark.parametrize("by", ["snapshot", "journal"])
def test_a_restarted_engine_asks_nobody_for_births_that_it_knows(by: str) -> None:
    def message(kind: str, metrics: list[bytes], sequence: int) -> JournalEntry:
        body = b"".join(_message(2, each) for each in metrics) + _number(3, sequence)
        return JournalEntry(sequence, sequence, MessageChunk.of([(f"spBv1.0/p/{kind}/line".encode(), body, START, 0)]))

    def fresh() -> Engine:
        detectors = {"default": ComponentSettings(type="zscore")}
        return Engine(DEFAULT_ROUTES, detectors, AlarmSettings(), LimitSettings(), list(known))

    known: list[SeriesRecord] = []
    birth = message("NBIRTH", [_metric(name="bdSeq", number=0), _metric("speed", 1, value=1.0)], 0)
    before = fresh()
    known += before.step(birth).series
    after = fresh()
    if by == "snapshot":
        arrays, rest = before.state()
        after.load(1, arrays, json.loads(json.dumps(rest)))
    else:
        after.step(birth)
    output = after.step(message("NDATA", [_metric("", 1, value=2.0)], 1))
    assert (output.points.value.tolist(), output.dead_letters) == ([2.0], [])
    codec = next(each for each in after.router.codecs if isinstance(each, SparkplugCodec))
    assert codec.needed_births() == {}


def test_what_a_version_before_saved_is_taken_over() -> None:
    host = Host()
    of_before = [[2, DEVICE, "temp", 10, "°C"], [-1, DEVICE, "temp", 10, "°C"], [-1, NODE, "speed", 3, ""]]
    host.codec.load({NODE: {"sequence": 5, "devices": [NODE, DEVICE], "metrics": of_before}})
    data = host.take(
        ("DDATA press", [_metric("", 2, value=21.0)]), ("NDATA", [_metric("speed", value=2.0)]), sequence=6
    )
    assert (host.readings(data), data.notes) == ([(DEVICE, "temp", 21.0), (NODE, "speed", 2.0)], [])


def test_a_data_set_is_read_with_the_types_of_its_columns(host: Host) -> None:
    """payloads-dataset-*."""

    def row(first: int, second: float) -> bytes:
        cells = [_number(1, first), _key(4, 1) + struct.pack("<d", second)]
        return _message(4, b"".join(_message(1, each) for each in cells))

    of = _number(1, 2) + _message(2, b"x") + _message(2, b"y") + _number(3, 3) + _number(3, 10)
    metric = _message(1, b"trace") + _number(4, 16) + _message(17, of + row(0xFFFF_FFFB, 0.5) + row(7, 1.5))
    assert host.readings(host.take(("NDATA", [metric]))) == [
        (NODE, "trace.0.x", -5.0),
        (NODE, "trace.0.y", 0.5),
        (NODE, "trace.1.x", 7.0),
        (NODE, "trace.1.y", 1.5),
    ]


def test_a_template_gives_its_members_and_its_definition_nothing() -> None:
    """payloads-template-*."""
    host = Host()
    members = _message(2, _metric("rpm", value=900.0))
    birth = [
        _message(1, b"_types_/motor") + _number(4, 19) + _message(18, members + _number(5, 1)),
        _message(1, b"m1") + _number(4, 19) + _message(18, members + _message(4, b"motor") + _number(5, 0)),
    ]
    assert host.readings(host.take(("NBIRTH", birth))) == [(NODE, "", 1.0), (NODE, "m1.rpm", 900.0)]
    assert [name for _, _, name, _, _ in host.codec.state()[NODE]["metrics"]] == ["m1"]


NUMBERS = st.one_of(
    st.tuples(st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 11]), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(10), st.floats()),
    st.tuples(st.just(9), st.floats(width=32)),
)


def written(name: str, alias: int, datatype: int, value: Any) -> bytes:
    """A metric that tells its type."""
    parts = [_message(1, name.encode()) if name else b"", _number(2, alias) if alias else b"", _number(4, datatype)]
    if datatype == 9:
        parts.append(_key(12, 5) + struct.pack("<f", value))
    elif datatype == 10:
        parts.append(_key(13, 1) + struct.pack("<d", value))
    else:
        parts.append(_number(11, value))
    return b"".join(parts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NUMBERS, st.booleans()), max_size=12))
def test_what_the_kernels_read_is_what_is_read_field_by_field(metrics: list[tuple[tuple[int, Any], bool]]) -> None:
    host = Host()
    names = [f"metric {number}" for number in range(len(metrics))]
    host.take(("NBIRTH", [written(name, number + 1, 10, 0.5) for number, name in enumerate(names)]))
    sent = [
        written(names[number] if named else "", 0 if named else number + 1, datatype, value)
        for number, ((datatype, value), named) in enumerate(metrics)
    ]
    expected = {}
    for number, each in enumerate(sent):
        metric = metric_of(each)
        assert metric.number is not None
        value = float(restored(metric.number, metric.datatype))
        if abs(value) < float("inf"):
            expected[names[number]] = value
    found = {metric: value for _, metric, value in host.readings(host.take(("NDATA", sent)))}
    assert found == expected


def test_of_several_messages_each_that_holds_nothing_is_refused_once_beside_those_that_are_left(host: Host) -> None:
    decoded = host.take(
        ("NDATA", [_metric("", 9, value=1.0)]),
        ("NDATA", [_metric("bdSeq", number=0)]),
        ("NDATA", [_metric("", 1, value=2.0), _message(1, b"mode") + _message(15, b"run")]),
        ("NDATA", []),
        ("DDATA press", [_metric("", 2, value=21.0)]),
    )
    assert host.readings(decoded) == [(NODE, "mode", "run"), (NODE, "speed", 2.0), (DEVICE, "temp", 21.0)]
    assert [(each.message, each.whole, each.reason) for each in decoded.rejected] == [
        (0, False, "malformed"), (1, True, "no_reading"), (3, True, "no_reading"),
    ]  # fmt: skip
    assert decoded.message.tolist() == [2, 2, 4]


def test_a_rebirth_is_asked_for_by_a_command_with_its_time() -> None:
    for milliseconds in (0, 127, 128, 1_793_491_200_123):
        body = rebirth(milliseconds)
        name = b"Node Control/Rebirth"
        metric = _message(1, name) + _number(3, milliseconds) + _number(4, 11) + _number(14, 1)
        assert body == _number(1, milliseconds) + _message(2, metric)


@pytest.mark.parametrize(
    ("datatype", "sent", "value"),
    [
        (1, 0x7F, 127), (1, 0x80, -128), (1, 0x1FF, -1), (2, 0x7FFF, 32_767), (2, 0x8000, -32_768),
        (3, 2**31, -(2**31)), (4, 2**63 - 1, 2**63 - 1), (4, 2**63, -(2**63)), (5, 255, 255), (0, 255, 255),
        (8, 2**64 - 1, 2**64 - 1), (1, 1.5, 1.5),
    ],
)  # fmt: skip
def test_a_signed_value_is_restored_from_the_bits_that_it_has(datatype: int, sent: float, value: float) -> None:
    assert restored(sent, datatype) == value


def test_sequence_numbers_go_round_and_so_many_missing_messages_may_still_come() -> None:
    node = Node(1)
    assert [node.follow(each) for each in (254, 255, 0, 1)] == [""] * 4
    assert node.follow(34) == "sequence number 34, expected 2: messages are missing before it"
    assert (len(node.missing), node.missing == set(range(2, 34))) == (32, True)
    assert node.follow(68) == "sequence number 68, expected 35: messages are missing before it"
    assert node.missing == set(), "33 are too many to wait for"
    node.follow(70)
    assert (node.missing, node.needs) == ({69}, "sequence number 70, expected 69")
    assert (node.follow(69), node.needs, node.sequence) == ("", "", 70)


def test_a_session_is_the_next_or_the_same_or_one_was_missed() -> None:
    births = Births(MetricNames(9))
    said = [births.begin("n", session)[1] for session in (254, 255, 0, 0, -1, 7, 9)]
    assert said == ["", "", "", "", "", "", "bdSeq 9, expected 8: a session was missed before it"]
    assert births.begin("n", 0)[1] == "bdSeq 0, expected 10: a session was missed before it"
    assert births.begin("n", 2)[1] == "bdSeq 2, expected 1: a session was missed before it"


def test_what_is_left_to_the_general_path_has_the_type_and_unit_of_its_birth() -> None:
    host = Host()
    unit = _message(9, _message(1, b"engUnit") + _message(2, _number(1, 12) + _message(8, b"bar")))
    small = _message(1, b"small") + _number(2, 1) + _number(4, 1) + _number(10, 0) + unit
    when = _message(1, b"when") + _number(2, 2) + _number(4, 13) + _number(11, 0)
    mode = _message(1, b"mode") + _number(2, 3) + _number(4, 12) + _message(15, b"idle")
    host.take(("NBIRTH", [small, when, mode, _metric("big", 4, number=1)]))
    psi = _message(9, _message(1, b"unit") + _message(2, _number(1, 12) + _message(8, b"psi")))
    data = host.take(
        ("NDATA", [
            _number(2, 1) + _number(10, 0xFE) + _message(9, b""), _number(2, 1) + _number(10, 2) + psi,
            _number(2, 2) + _message(15, b"run"), _number(2, 3) + _message(15, b" run "),
            _number(2, 4) + _number(11, 2**64 - 2**53 - 1),
            _number(2, 3) + _number(7, 1), _number(2, 1) + _number(7, 1),
        ]),
    )  # fmt: skip
    read = named_readings(host.codec, data)
    assert [(each.metric, each.value, each.unit) for each in read] == [
        ("small", -2.0, "bar"), ("small", 2.0, "psi"), ("mode", "run", ""), ("big", -(2.0**53), ""),
    ]  # fmt: skip
    assert [(each.reason, each.detail) for each in data.rejected] == [
        ("no_value", "mode: null"), ("no_value", "small: null"),
    ]  # fmt: skip
    assert [note.detail for note in data.notes] == [
        "big: -9007199254740993 is stored as -9007199254740992: whole numbers beyond 2^53 are rounded"
    ]


def test_messages_that_are_missing_where_the_sequence_begins_anew_may_still_come() -> None:
    node = Node(0, sequence=253)
    assert node.follow(2) == "sequence number 2, expected 254: messages are missing before it"
    assert (node.sequence, node.missing) == (2, {254, 255, 0, 1})
    assert [node.follow(late) for late in (255, 0, 254)] == ["", "", ""]
    assert node.needs == "sequence number 2, expected 254"
    assert (node.follow(1), node.needs, node.follow(3)) == ("", "", "")
