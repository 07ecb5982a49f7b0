"""What a text is by its looks, at the bounds of each form: log lines, pairs, times with values, tables, bytes."""

from __future__ import annotations

import cbor2
import msgpack
import pytest

from devices.codecs.text_forms import (
    is_line_protocol,
    is_log_line,
    key_value_pairs,
    looks_like,
    table,
    time_and_values,
)

NOON = 1_714_564_800 * 1_000_000_000


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("[INFO] ready", True), ("[D][sensor:1]: x", True), ("12:00:01 MQT: stat", True), ("WARN - low", True),
        ("\x1b[0;36m x", True), ("INFORM 5", False), ("21.5", False), ("[1,2]", False),
    ],
)  # fmt: skip
def test_a_line_of_a_log_has_its_level_in_front(text: str, is_one: bool) -> None:
    assert is_log_line(text) is is_one


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("cpu load=1", True), ("cpu,host=a load=1,idle=2i 1714564800000000000", True), ("# note\ncpu load=1\n\n", True),
        ("cpu load=1\ncpu load", False), ("cpu load", False), ("# note", False), ("", False),
    ],
)  # fmt: skip
def test_line_protocol_is_so_in_every_line_of_at_most_4096_characters(text: str, is_one: bool) -> None:
    assert is_line_protocol(text) is is_one


def test_a_text_of_4096_characters_is_the_longest_that_is_looked_at_for_lines_and_pairs() -> None:
    lines = [f"cpu {'l' * size}=1" for size in (4_090, 4_091)]
    assert [len(line) for line in lines] == [4_096, 4_097]
    assert [is_line_protocol(line) for line in lines] == [True, False]
    assert [key_value_pairs("x=1".ljust(size)) for size in (4_096, 4_097)] == [[("x", "1")], None]
    assert [key_value_pairs("x=1 " * count) for count in (256, 257)] == [[("x", "1")] * 256, None]


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("temp=21.5 hum=40", [("temp", "21.5"), ("hum", "40")]), ("a=1", [("a", "1")]), ("mode=heat", None),
        ("temp: 21.5, mode: heat", [("temp", "21.5"), ("mode", "heat")]), ("a=1 b", [("a", "1 b")]),
        ("a=1, b", None), ("", None), ("21.5", None),
    ],
)  # fmt: skip
def test_of_pairs_one_value_at_least_is_a_number(text: str, pairs: list[tuple[str, str]] | None) -> None:
    assert key_value_pairs(text) == pairs


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2024-05-01T12:00:00Z,21.5,40", (NOON, ["21.5", "40"])), ("1714564800;21.5", (NOON, ["21.5"])),
        ("1714564800\tnan", (NOON, ["nan"])), ("2024-05-01T12:00:00Z;1,5;2", (NOON, ["1,5", "2"])),
        ("1000000000,1", (10**18, ["1"])), ("999999999,1", None), ("0999999999,1", None),
        ("2024-05-01T12:00:00Z", None),
        ("2024-05-01T12:00:00Z,heat", None), ("2024-05-01,1", (NOON - 43_200 * 10**9, ["1"])), ("2024-05-1,1", None),
        ("temp123456,1", None), ("10000000000000000000,1", None), ("2024-99-99T12:00:00Z,1", None),
    ],
)  # fmt: skip
def test_a_time_comes_before_values_that_are_numbers_or_say_that_there_is_none(
    text: str, found: tuple[int, list[str]] | None
) -> None:
    assert time_and_values(text) == found


def test_a_table_has_names_in_its_first_line_and_a_number_in_every_other() -> None:
    assert table('a,b\n1,x\n\n2,"y"\n') == [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]
    assert table('"a";"b"\n1;2') == [{"a": "1", "b": "2"}]
    for none in (
        "a,b",
        "a\n1",
        "a,a\n1,2",
        "a,b\n1",
        "a,b\n1,2\n3",
        "a,7\n1,2",
        "a,\n1,2",
        "a,b\nx,y",
        "a,b\n1,2\nx,y",
    ):
        assert table(none) is None, none
    long = "a,b\n" + "1,2\n" * 16_383
    assert len(long) == 65_536
    assert len(table(long) or []) == 16_383
    assert table(long + " ") is None


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (cbor2.dumps({"a": 1}), 'CBOR, which codec = "cbor" reads'),
        (msgpack.packb({"a": 1}), 'MessagePack, which codec = "msgpack" reads'),
        (b"\x08\x12\xff\xff", "it looks like protobuf"), (b"\x08\xff\x18\xff", "it looks like protobuf"),
        (b"\x08\x12\xff", "3 bytes of packed numbers"), (b"\x09\x12\xff\xff", "4 bytes of packed numbers"),
        (b"\x08\xff\xff\xff", "4 bytes of packed numbers"), (b"\x00\x00\xac\x41", "4 bytes of packed numbers"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_text_are_told_with_the_setting_that_reads_them(payload: bytes, said: str) -> None:
    assert said in looks_like(payload)
