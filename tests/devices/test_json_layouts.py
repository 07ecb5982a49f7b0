"""The compiled path of JSON and the general path read the same."""

from __future__ import annotations

import json
import math
import random
import struct
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.batch import NO_TIME
from devices.codec import Decoded, Role
from devices.codecs.codec_registry import create
from devices.codecs.compile_codecs import compile_all
from devices.codecs.json_payload import JsonCodec
from devices.codecs.kernels import read_layouts
from devices.codecs.readings import Rows
from devices.messages import MessageChunk, Payloads


def payloads_of(items: list[bytes]) -> Payloads:
    return MessageChunk.of([(b"t", item, i + 1, 0) for i, item in enumerate(items)]).payloads()


def named(codec: JsonCodec, decoded: Decoded) -> list[tuple[object, ...]]:
    """Readings with names for codes, words for states, and values by their bits."""
    return [
        (
            m,
            (str(codec.metrics[k]), codec.metrics[k].unit, codec.metrics[k].role),
            codec.devices[d] if d >= 0 else None,
            t,
            codec.words[int(v)] if codec.metrics[k].role == Role.TEXT else struct.pack("<d", v),
        )
        for m, k, d, t, v in zip(
            decoded.message.tolist(),
            decoded.metric.tolist(),
            decoded.device.tolist(),
            decoded.time.tolist(),
            decoded.value.tolist(),
            strict=True,
        )
    ]


def generally(items: list[bytes], **parameters: object) -> tuple[list[tuple[object, ...]], list[object]]:
    """What the general path alone makes of the payloads, one by one."""
    codec = create("json", parameters)
    assert isinstance(codec, JsonCodec)
    rows = Rows()
    for i, item in enumerate(items):
        codec.decode_one(i, item, rows)
    decoded = rows.decoded()
    return named(codec, decoded), [list(decoded.rejected), list(decoded.notes)]


def check(items: list[bytes], **parameters: object) -> JsonCodec:
    """Decode several times, so that all learnable layouts are learned, and compare with the general path."""
    codec = create("json", parameters)
    assert isinstance(codec, JsonCodec)
    expected = generally(items, **parameters)
    for _ in range(3):
        decoded = codec.decode(payloads_of(items))
        assert (named(codec, decoded), [list(decoded.rejected), list(decoded.notes)]) == expected
    return codec


NUMBERS = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)
EPOCHS = st.one_of(
    st.floats(-1e10, 1e20).map(repr),
    st.integers(-10, 2**65).map(str),
    st.decimals(0, 10**19, places=7, allow_nan=False).map(str),
    st.floats(1.0e9, 2.5e9).map(repr),
)
DATES = st.one_of(
    st.from_regex(
        r"(19|20|22)[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]:[0-6][0-9](\.[0-9]{1,10})?"
        r"(Z|[+-][0-2][0-9]:[0-5][0-9])?",
        fullmatch=True,
    ),
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
    st.text(max_size=12),
).map(json.dumps)
TEXTS = st.one_of(
    st.sampled_from(
        ["on", "OFF", "unknown", "inf", "-Infinity", "21.5", "21,5", "7 C", "C", "dev-1", "", " on", "n/a"]
    ),
    st.sampled_from(
        ["00:11:22:33:44:55", "10.0.0.1", "1.2.3", "2024-01-01T00:00:00Z", "a b", "Zürich", 'quo"te', "12a"]
    ),
    st.text(max_size=8),
).map(json.dumps)
OTHERS = st.sampled_from(["true", "false", "null", "[]", "{}", "[1,2.5]", '{"a":1}', "NaN", "tru"])
VALUES = st.one_of(NUMBERS, NUMBERS, TEXTS, OTHERS)
KEYS = st.sampled_from(
    [
        "a",
        "b",
        "id",
        "device",
        "t",
        "ts",
        "time",
        "state",
        "value",
        "name",
        "a.b",
        "x_id",
        "unit",
        "q",
        "values",
        "tags",
    ]
)


@st.composite
def payload_families(draw: st.DrawFn) -> list[bytes]:
    """Payloads of a few layouts, each with several draws of its values."""
    items: list[bytes] = []
    for _ in range(draw(st.integers(1, 2))):
        keys = draw(st.lists(KEYS, min_size=1, max_size=5))
        space = draw(st.sampled_from(["", " "]))
        nested = draw(
            st.sampled_from(
                [
                    "%s",
                    "[%s]",
                    '{"n":%s}',
                    '[{"ts":5,"c":1},%s]',
                    '{"k":[%s,%s]}',
                    '{"values":[%s,%s]}',
                    '{"M":[%s]}',
                    '{"ts":1700000000,"values":%s}',
                    '{"name":"cpu","tags":%s,"fields":%s}',
                    '{"x":["2024-01-01 00:00",1],"y":%s}',
                ]
            )
        )
        kinds = [draw(st.sampled_from([VALUES, NUMBERS, TEXTS, EPOCHS, DATES])) for _ in keys]
        for _ in range(draw(st.integers(2, 4))):
            fields = f",{space}".join(f'"{key}":{space}{draw(kind)}' for key, kind in zip(keys, kinds, strict=True))
            items.append(nested.replace("%s", "{" + fields + "}").encode("utf-8", "surrogatepass"))
    return items


@settings(max_examples=150, deadline=None)
@given(
    items=payload_families(),
    unit=st.sampled_from(["auto", "s", "ms", "ns"]),
    device=st.sampled_from(["", "device", "id"]),
    metric=st.sampled_from(["", "", "name"]),
    time=st.sampled_from([(), ("ts", "t"), ("a",)]),
    zone=st.sampled_from(["UTC", "+02:00"]),
    errors=st.sampled_from([(), (0.0, -127.0)]),
)
def test_both_paths_read_the_same(
    items: list[bytes], unit: str, device: str, metric: str, time: tuple[str, ...], zone: str, errors: tuple[float, ...]
) -> None:
    check(items, time_unit=unit, device=device, metric=metric, time=time, time_zone=zone, error_values=errors)


def test_a_field_that_names_row_and_device_is_read_anew_in_every_payload() -> None:
    """A learned layout gave every device the metric of the first."""
    check([b'[{"id":"pump","a":1}]', b'[{"id":"fan","a":2}]', b'[{"id":"pump","a":3}]'], device="id")


@settings(max_examples=120, deadline=None)
@given(st.lists(NUMBERS, min_size=2, max_size=8))
def test_every_way_to_write_a_number_reads_the_same(numbers: list[str]) -> None:
    check([b'{"a":1}'] + [f'{{"a":{number}}}'.encode() for number in numbers])


@settings(max_examples=120, deadline=None)
@given(st.lists(st.one_of(EPOCHS, DATES), min_size=2, max_size=8), st.sampled_from(["auto", "s", "ms", "us", "ns"]))
def test_every_way_to_write_a_time_reads_the_same(times: list[str], unit: str) -> None:
    first = [b'{"ts":1700000000,"a":1}', b'{"ts":"2024-01-01T00:00:00Z","a":1}']
    check(first + [f'{{"ts":{time},"a":1}}'.encode("utf-8", "surrogatepass") for time in times], time_unit=unit)


def test_doubles_of_all_sizes_are_nearest() -> None:
    source = random.Random(7)
    bits = [source.getrandbits(64) for _ in range(4_000)]
    doubles = [value for (value,) in (struct.unpack("<d", struct.pack("<Q", b)) for b in bits) if math.isfinite(value)]
    doubles += [source.uniform(-1, 1) * 10.0 ** source.randint(-30, 30) for _ in range(4_000)]
    doubles += [(2**53 + source.randint(-3, 3)) * 2.0 ** source.randint(-80, 80) for _ in range(2_000)]
    texts = [repr(value) for value in doubles] + [f"{value:.18e}" for value in doubles]
    codec = create("json", {})
    decoded = codec.decode(payloads_of([b'{"a":1}'] + [f'{{"a":{text}}}'.encode() for text in texts]))
    assert np.array_equal(decoded.value[1:], np.array([float(text) for text in texts]))


def test_payloads_never_merge_with_their_neighbours() -> None:
    whole = b'{"a":1,"b":2}'
    items = [whole, whole, b'{"a":1,', b'"b":2}', whole, b'{"a":1,"b":2', b"}", b'{"a":1,"b":23', b"5}", whole]
    check(items)


def test_payloads_of_a_known_layout_need_no_general_path() -> None:
    items = [
        f'{{"ts":"2024-05-01T12:00:{i:02}.{i}Z","device":"d{i}","t":{i}.25,"on":true,"mode":"m{i}"}}'.encode()
        for i in range(60)
    ]
    codec = check(items, device="device")
    decoded, unread = codec.layouts.read(payloads_of(items))
    assert len(unread) == 0
    assert named(codec, decoded) == generally(items, device="device")[0]


def test_kernels_compiled_ahead_serve_every_setting() -> None:
    compile_all()
    compiled: Any = read_layouts
    signatures = list(compiled.signatures)
    assert signatures
    items = [b'{"device":"d","ts":1700000000,"a":1.5,"b":true,"c":"x y"}'] * 3
    check(items, device="device", error_values=(1.0,), time_unit="s", time_zone="Europe/Berlin")
    check([b'{"a":1}', b'{"a":2}'])
    assert list(compiled.signatures) == signatures


def test_layouts_beyond_the_most_kept_still_read() -> None:
    items = [f'{{"k{i % 150}":{i}.5}}'.encode() for i in range(600)]
    check(items)


def test_names_at_the_limit_are_rejected_on_both_paths() -> None:
    items = [f'{{"device":"d{i}","a":{i}}}'.encode() for i in range(40)]
    check(items, device="device", max_names=10)


def test_the_calendar_of_the_compiled_path_is_the_gregorian_one() -> None:
    days = ["2000-02-29", "2024-02-29", "2096-02-29", "2099-12-31", "2100-02-28", "2100-03-01", "2101-01-01"]
    items = [b'{"ts": "%sT00:00:00Z", "x": %d.5}' % (day.encode(), i) for i, day in enumerate(days)]
    codec = check(items)
    decoded = codec.decode(payloads_of(items))
    second = 1_000_000_000
    assert [time // second for time in decoded.time.tolist()] == [
        951_782_400, 1_709_164_800, 3_981_312_000, 4_102_358_400, 4_107_456_000, 4_107_542_400, 4_133_980_800,
    ]  # fmt: skip
    no_such_day = [*items, b'{"ts": "2100-02-29T00:00:00Z", "x": 1.5}']
    decoded = check(no_such_day).decode(payloads_of(no_such_day))
    assert decoded.rejected == []
    assert decoded.time[-1] == NO_TIME, "the reading is kept, and gets the time of its arrival"
    (note,) = decoded.notes
    assert (note.message, note.kind) == (len(items), "time_unread")
    assert "'2100-02-29T00:00:00Z': day is out of range for month" in note.detail


def test_a_node_of_opc_ua_is_told_from_other_names_of_the_same_layout() -> None:
    names = ["abc", "i=5", "abc", "ns=2;s=Speed", "i=6", "", "i=5"]
    flat = [json.dumps({"nodeId": name, "value": n}).encode() for n, name in enumerate(names)]
    deep = [json.dumps({"NodeId": name, "Value": {"Value": n}}).encode() for n, name in enumerate(names)]
    check(flat * 3)
    check(deep * 3)
