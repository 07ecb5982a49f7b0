"""What the compiled path of Sparkplug takes in of each metric, which it reads itself, and which it leaves."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from firmware_sim.sparkplug_style import _key, _message, _number

from devices.batch import NO_TIME
from devices.codecs.readings import MetricNames
from devices.codecs.sparkplug_births import Births, Known
from devices.codecs.sparkplug_kernels import (
    DOUBLE,
    HAS_NAME,
    HAS_UNIT,
    IS_NULL,
    LEFT,
    NONE,
    PARTS,
    SINGLE,
    TAKEN,
    TEXT,
    UNSEEN,
    WHOLE,
    Found,
    Scanned,
    count_metrics,
    look_up,
    scan,
)
from devices.codecs.sparkplug_wire import WireError, check, metric_of
from devices.messages import MessageChunk


def scanned(*payloads: bytes) -> tuple[np.ndarray, Scanned]:
    spans = MessageChunk.of([(b"t", each, number, 0) for number, each in enumerate(payloads, 1)]).payloads()
    data = np.frombuffer(spans.data, np.uint8)
    n, m = len(payloads), count_metrics(data, spans.start, spans.end)
    told = Scanned(
        time=np.zeros(n, np.int64), sequence=np.zeros(n, np.int64), is_good=np.zeros(n, np.bool_),
        first=np.zeros(n + 1, np.int64), flags=np.zeros(m, np.uint8), alias=np.zeros(m, np.int64),
        metric_time=np.zeros(m, np.int64), datatype=np.zeros(m, np.int32), kind=np.zeros(m, np.uint8),
        bits=np.zeros(m, np.uint64), hash=np.zeros(m, np.uint64), name=np.zeros((m, 2), np.int32),
        span=np.zeros((m, 2), np.int32),
    )  # fmt: skip
    scan(data, spans.start, spans.end, told)
    return data, told


def double(value: float) -> bytes:
    return _key(13, 1) + struct.pack("<d", value)


def single(value: float) -> bytes:
    return _key(12, 5) + struct.pack("<f", value)


def bits_of(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def test_a_payload_s_time_sequence_and_metrics_are_where_they_stand() -> None:
    first, second = _message(1, b"ab") + double(2.5), _number(2, 300) + _number(3, 77) + _number(4, 3) + _number(10, 5)
    full = _number(1, 1_700_000_000_000) + _message(2, first) + _number(3, 255) + _message(2, second) + _number(9, 4)
    data, told = scanned(full, b"", _message(2, b""), _number(3, 0))
    assert told.time.tolist() == [1_700_000_000_000, -1, -1, -1]
    assert (told.sequence.tolist(), told.first.tolist()) == ([255, -1, -1, 0], [0, 2, 2, 3, 3])
    assert told.is_good.tolist() == [True] * 4
    assert told.flags.tolist() == [HAS_NAME, 0, 0]
    assert (told.alias.tolist(), told.metric_time.tolist()) == ([-1, 300, -1], [-1, 77, -1])
    assert (told.datatype.tolist(), told.kind.tolist()) == ([0, 3, 0], [DOUBLE, WHOLE, NONE])
    assert told.bits.tolist() == [bits_of(2.5), 5, 0]
    assert [bytes(data[begin:end]) for begin, end in told.span.tolist()] == [first, second, b""]
    assert bytes(data[told.name[0, 0] : told.name[0, 1]]) == b"ab"
    code = 0xCBF29CE484222325
    for byte in b"ab":
        code = (code ^ byte) * 0x100000001B3 % 2**64
    assert told.hash.tolist() == [code, 0, 0]


@pytest.mark.parametrize(
    ("metric", "kind", "flags", "bits"),
    [
        (_number(10, 1), WHOLE, 0, 1),
        (_number(11, 2**64 - 1), WHOLE, 0, 2**64 - 1),
        (_number(14, 1), WHOLE, 0, 1),
        (_number(12, 1), NONE, 0, 1),
        (_number(13, 1), NONE, 0, 1),
        (_number(15, 1), NONE, 0, 1),
        (single(1.5), SINGLE, 0, int.from_bytes(struct.pack("<f", 1.5), "little")),
        (_key(13, 5) + b"\x01\x02\x03\x04", NONE, 0, 0x04030201),
        (double(1.5), DOUBLE, 0, bits_of(1.5)),
        (_key(12, 1) + b"\x01\x02\x03\x04\x05\x06\x07\x08", NONE, 0, 0x0807060504030201),
        (_message(15, b"on"), TEXT, 0, 2),
        (_message(16, b"abc"), PARTS, 0, 3),
        (_message(10, b""), PARTS, 0, 0),
        (_message(19, b"x"), PARTS, 0, 1),
        (_message(20, b"x"), NONE, 0, 0),
        (_number(9, 1), NONE, HAS_UNIT, 0),
        (_message(9, b""), NONE, HAS_UNIT, 0),
        (_number(7, 1), NONE, IS_NULL, 0),
        (_number(7, 0), NONE, 0, 0),
        (_message(7, b"\x01"), NONE, 0, 0),
        (_message(8, b"x"), NONE, 0, 0),
        (_message(1, b"") + _number(7, 1) + _number(10, 3), WHOLE, HAS_NAME | IS_NULL, 3),
    ],
)
def test_what_the_value_of_a_metric_is_is_told_by_its_field_and_its_wire_type(
    metric: bytes, kind: int, flags: int, bits: int
) -> None:
    _, told = scanned(_message(2, metric))
    assert (told.kind.tolist(), told.flags.tolist(), told.bits.tolist()) == ([kind], [flags], [bits])


def test_fields_of_another_wire_type_than_theirs_tell_nothing() -> None:
    metric = _number(1, 5) + _message(2, b"\x05") + _message(3, b"\x05") + _message(4, b"\x05")
    _, told = scanned(_message(1, b"\x05") + _message(3, b"\x05") + _number(2, 5) + _message(2, metric))
    assert (told.time.tolist(), told.sequence.tolist(), told.first.tolist()) == ([-1], [-1], [0, 1])
    assert (told.flags.tolist(), told.alias.tolist(), told.metric_time.tolist(), told.datatype.tolist()) == (
        [0], [-1], [-1], [0],
    )  # fmt: skip


METRIC = _message(1, b"speed") + _number(2, 200) + _number(4, 10) + double(1.5)
GOOD = _number(1, 1_700_000_000_000) + _message(2, METRIC) + _number(3, 7)


def is_protobuf(payload: bytes) -> bool:
    try:
        check(payload)
    except WireError:
        return False
    return True


BROKEN = [
    *(GOOD[:at] for at in range(len(GOOD))),
    *(_message(2, METRIC[:at]) for at in range(len(METRIC))),
    *(bytes([5 << 3 | wire]) + bytes(12) for wire in range(8)),
    *(bytes([5 << 3 | wire]) + bytes(size) for wire in (1, 5) for size in (3, 4, 5, 7, 8, 9)),
    *(b"\x08" + b"\x80" * count + b"\x01" for count in (1, 8, 9, 10, 11)),
    *(b"\x2a" + bytes([announced]) + b"xyz" for announced in (0, 1, 2, 3, 4, 127)),
    b"\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01xyz",
]


def test_what_is_no_protobuf_is_told_as_the_general_path_tells_it() -> None:
    _, told = scanned(*BROKEN)
    expected = [is_protobuf(each) for each in BROKEN]
    assert True in expected
    assert False in expected
    assert told.is_good.tolist() == expected


BORN = [
    Known("speed", 1, 10, ""), Known("count", 2, 8, ""), Known("small", 3, 1, ""), Known("when", 4, 13, ""),
    Known("bdSeq", 5, 4, ""), Known("mode", 6, 12, ""), Known("é", -1, 10, ""),
]  # fmt: skip


def outcomes(*metrics: bytes, is_birth: bool = False, time: int = 5_000) -> tuple[int, list[tuple[object, ...]]]:
    """How many metrics were left, and of each what came of it: `(TAKEN, name, time in ms, value)`, or LEFT, UNSEEN."""
    names = MetricNames(100)
    births = Births(names)
    node, _ = births.begin("p/line")
    births.bear(node, "p/line", BORN)
    payload = (_number(1, time) if time >= 0 else b"") + b"".join(_message(2, each) for each in metrics)
    data, told = scanned(payload)
    m = len(metrics)
    number = np.where(
        told.kind == SINGLE, told.bits.astype(np.uint32).view(np.float32).astype(np.float64), told.bits.view(np.float64)
    )
    found = Found(np.zeros(m, np.uint8), np.zeros(m, np.int32), np.zeros(m, np.int64), np.zeros(m))
    scopes = np.array([(node.scope, births.owner(node, "p/line").scope, is_birth)], np.int64)
    left = look_up(data, number, np.zeros(1, np.int64), scopes, told, births.born, found)
    told_of = zip(found.outcome.tolist(), found.code.tolist(), found.time.tolist(), found.value.tolist(), strict=True)
    return left, [
        (outcome, str(names.items[code]), at if at == NO_TIME else at / 1_000_000, value)
        if outcome == TAKEN
        else (outcome,)
        for outcome, code, at, value in told_of
    ]


def named(name: str, value: bytes) -> bytes:
    return _message(1, name.encode()) + value


@pytest.mark.parametrize(
    ("metric", "name", "at", "value"),
    [
        (_number(2, 1) + double(2.5), "speed", 5_000, 2.5),
        (named("speed", double(-2.5)), "speed", 5_000, -2.5),
        (named("é", double(0.0)), "é", 5_000, 0.0),
        (named("speed", single(0.1)), "speed", 5_000, float(np.float32(0.1))),
        (_number(2, 2) + _number(11, 2**53 - 1), "count", 5_000, 2.0**53 - 1),
        (_number(2, 3) + _number(10, 127), "small", 5_000, 127.0),
        (_number(2, 3) + _number(10, 128), "small", 5_000, -128.0),
        (_number(2, 3) + _number(10, 2**32 - 1), "small", 5_000, -1.0),
        (_number(2, 2) + _number(4, 1) + _number(10, 0x1FF), "count", 5_000, -1.0),
        (_number(2, 2) + _number(4, 2) + _number(10, 0x7FFF), "count", 5_000, 32_767.0),
        (_number(2, 2) + _number(4, 2) + _number(10, 0x18000), "count", 5_000, -32_768.0),
        (_number(2, 2) + _number(4, 3) + _number(10, 0x7FFFFFFF), "count", 5_000, 2_147_483_647.0),
        (_number(2, 2) + _number(4, 3) + _number(10, 0x80000000), "count", 5_000, -2_147_483_648.0),
        (_number(2, 2) + _number(4, 4) + _number(11, 2**64 - 5), "count", 5_000, -5.0),
        (_number(2, 2) + _number(4, 7) + _number(10, 2**32 - 1), "count", 5_000, 4_294_967_295.0),
        (_number(2, 2) + _number(4, 11) + _number(14, 1), "count", 5_000, 1.0),
        (_number(2, 1) + _number(3, 0) + double(1.0), "speed", 0, 1.0),
        (_number(2, 1) + _number(3, 7_000) + double(1.0), "speed", 7_000, 1.0),
        (_number(2, 1) + _number(3, 8_999_999_999_999) + double(1.0), "speed", 8_999_999_999_999, 1.0),
        (_number(2, 1) + _number(3, 9_000_000_000_000) + double(1.0), "speed", NO_TIME, 1.0),
        (_number(2, 6) + double(1.0), "mode", 5_000, 1.0),
        (_number(7, 0) + _number(2, 1) + double(1.0), "speed", 5_000, 1.0),
    ],
)
def test_a_metric_that_is_known_is_read_with_its_time_and_its_sign(
    metric: bytes, name: str, at: int, value: float
) -> None:
    assert outcomes(metric) == (0, [(TAKEN, name, at, value)])


@pytest.mark.parametrize(
    "metric",
    [
        _number(2, 9) + double(1.0),
        named("torque", double(1.0)),
        named("speec", double(1.0)),
        named("spee", double(1.0)),
        named("", double(1.0)),
        double(1.0),
        _number(2, 1) + _number(7, 1) + double(1.0),
        _number(2, 1) + _message(9, b"") + double(1.0),
        _number(2, 1),
        _number(2, 1) + _message(15, b"x"),
        _number(2, 1) + _message(17, b""),
        _number(2, 1) + double(float("nan")),
        _number(2, 1) + double(float("inf")),
        _number(2, 1) + single(float("-inf")),
        _number(2, 2) + _number(11, 2**53),
        _number(2, 2) + _number(11, 2**53 + 1),
        _number(2, 2) + _number(4, 4) + _number(11, 2**64 - 2**53 - 1),
    ],
)
def test_a_metric_that_is_unknown_or_odd_is_left_to_the_general_path(metric: bytes) -> None:
    good = _number(2, 1) + double(3.0)
    assert outcomes(metric, good, metric) == (2, [(LEFT,), (TAKEN, "speed", 5_000, 3.0), (LEFT,)])


def test_what_is_no_reading_is_passed_over_and_units_count_in_a_birth() -> None:
    passed = [
        _number(2, 4) + _number(11, 5),
        _number(2, 5) + _number(11, 5),
        _number(2, 1) + _number(4, 13) + double(1),
    ]
    assert outcomes(*passed) == (0, [(UNSEEN,)] * 3)
    with_unit = _number(2, 1) + _message(9, b"") + double(1.0)
    assert outcomes(with_unit, is_birth=True) == (0, [(TAKEN, "speed", 5_000, 1.0)])
    assert outcomes(_number(2, 1) + double(1.0), time=-1) == (0, [(TAKEN, "speed", NO_TIME, 1.0)])
    assert outcomes(_number(2, 1) + double(1.0), time=0) == (0, [(TAKEN, "speed", 0, 1.0)])


def test_every_metric_of_many_is_found_by_name_and_by_alias() -> None:
    names = MetricNames(1_000)
    births = Births(names)
    nodes = [births.begin(f"p/{each}")[0] for each in "ab"]
    for node, first in zip(nodes, (0, 300), strict=True):
        births.bear(node, "x", [Known(f"m{first + each}", each, 10, "") for each in range(300)])
    for node, first in zip(nodes, (0, 300), strict=True):
        by_alias = [_number(2, each) + double(each) for each in range(300)]
        by_name = [named(f"m{first + each}", double(each)) for each in range(300)]
        data, told = scanned(b"".join(_message(2, each) for each in by_alias + by_name))
        found = Found(np.zeros(600, np.uint8), np.zeros(600, np.int32), np.zeros(600, np.int64), np.zeros(600))
        scopes = np.array([(node.scope, births.owner(node, "x").scope, 0)], np.int64)
        one = np.zeros(1, np.int64)
        assert look_up(data, told.bits.view(np.float64), one, scopes, told, births.born, found) == 0
        assert [str(names.items[code]) for code in found.code.tolist()] == [f"m{first + n}" for n in range(300)] * 2
        assert found.value.tolist() == [float(n) for n in range(300)] * 2


def test_a_metric_is_read_field_by_field_as_it_is_written() -> None:
    metric = metric_of(
        _message(1, b"speed") + _number(2, 7) + _number(3, 8_999_999_999_999) + _number(4, 9) + single(1.5)
    )
    assert (metric.name, metric.alias, metric.time, metric.datatype, metric.number, metric.is_null) == (
        "speed", 7, 8_999_999_999_999 * 1_000_000, 9, 1.5, False,
    )  # fmt: skip
    assert metric_of(_number(3, 9_000_000_000_000)).time == NO_TIME
    assert [metric_of(_number(field, 5)).number for field in (9, 10, 11, 12, 13, 14, 15)] == [
        None,
        5,
        5,
        None,
        None,
        5,
        None,
    ]
    assert [metric_of(_number(7, value)).is_null for value in (0, 1, 2)] == [False, True, True]
    assert metric_of(_message(12, bytes(3))).number is None
    assert metric_of(_message(13, bytes(4))).number is None


def nested(depth: int) -> bytes:
    return _message(1, b"t") + _message(18, _message(2, nested(depth - 1))) if depth else named("t", double(1.0))


def test_templates_are_read_to_a_depth_of_eight_below_the_first() -> None:
    assert metric_of(nested(8)).parts[0].parts[0].name == "t"
    with pytest.raises(WireError, match="templates nested deeper than 8"):
        metric_of(nested(9))


def test_a_payload_at_the_very_beginning_of_the_bytes_is_counted_and_scanned() -> None:
    data = np.frombuffer(GOOD + GOOD, np.uint8)
    start, end = np.array([0, len(GOOD)], np.int32), np.array([len(GOOD), 2 * len(GOOD)], np.int32)
    assert (count_metrics(data, start, end), count_metrics(data, start[:1], end[:1])) == (2, 1)
    assert count_metrics(data, start[:1], start[:1]) == 0
