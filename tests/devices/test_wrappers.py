"""What stands around a payload: compression, marks and NUL bytes; and what a text or bytes look like."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable

import pytest
import zstandard

from devices.codecs.text_forms import (
    is_line_protocol,
    is_log_line,
    key_value_pairs,
    looks_like,
    table,
    time_and_values,
)
from devices.codecs.wrappers import MOST_UNPACKED, UnpackError, is_wrapped, unwrapped

TEXT = b'{"temp":21.5,"on":true}'
NOON = 1_714_564_800_000_000_000


def packed_by_zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize(
    "payload",
    [
        gzip.compress(TEXT, mtime=0), *(zlib.compress(TEXT, level) for level in (1, 6, 9)), packed_by_zstd(TEXT),
        b"\xef\xbb\xbf" + TEXT, b"\xff\xfe" + TEXT.decode().encode("utf-16-le"),
        b"\xfe\xff" + TEXT.decode().encode("utf-16-be"), TEXT + b"\0", TEXT + bytes(7),
        gzip.compress(b"\xef\xbb\xbf" + TEXT + b"\0", mtime=0),
    ],
)  # fmt: skip
def test_what_stands_around_text_is_taken_off(payload: bytes) -> None:
    assert is_wrapped(payload)
    assert unwrapped(payload) == TEXT


@pytest.mark.parametrize(
    "payload",
    [
        TEXT, b"", b"x", b"21.5", b"x\x9cabcdef"[:2], b"\x00\x01\x02\xff", b"\x28\xb6\x2f\xfd", b"\x1f\x8c",
    ],
)  # fmt: skip
def test_a_bare_payload_is_as_it_is(payload: bytes) -> None:
    assert not is_wrapped(payload) or payload[:2] == b"x\x9c"
    assert unwrapped(payload) == payload


def test_nul_bytes_at_the_end_of_numbers_stay() -> None:
    packed = b"\x01\x02\x41\x00\x00"
    assert is_wrapped(packed)
    assert unwrapped(packed) == packed
    assert unwrapped(b"\xff\x00") == b"\xff\x00"
    assert unwrapped(b"a\tb\r\n\x1b[0m\0") == b"a\tb\r\n\x1b[0m"
    assert unwrapped(b"a\x1fb\0") == b"a\x1fb\0"


def test_text_that_begins_like_zlib_is_text_and_so_are_eight_bytes() -> None:
    assert unwrapped(b"x\x01 is a text") == b"x\x01 is a text"
    assert unwrapped(b"x\x01\xff\xff\xff\xff\xff\xff") == b"x\x01\xff\xff\xff\xff\xff\xff"
    with pytest.raises(UnpackError, match="begins like gzip or zlib, and is none"):
        unwrapped(b"x\x01\xff\xff\xff\xff\xff\xff\xff")


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (gzip.compress(TEXT, mtime=0)[:-1], "is gzip or zlib that is cut off"),
        (b"\x1f\x8b\x00\x00", "begins like gzip or zlib, and is none: "),
        (zlib.compress(TEXT)[:-5], "is gzip or zlib that is cut off"),
        (b"\x28\xb5\x2f\xfd\x08\xff\xff\xff\xff", "begins like zstd, and is none: "),
        (b"\x28\xb5\x2f\xfd", "is zstd that is cut off"),
        (packed_by_zstd(bytes(range(256)) * 3)[:-1], "is zstd that is cut off"),
        (b"\xff\xfea", "begins like UTF-16, and is none: byte 2"),
    ],
)
def test_what_begins_like_a_packed_payload_and_is_none_is_named(payload: bytes, said: str) -> None:
    with pytest.raises(UnpackError, match=said):
        unwrapped(payload)


def test_of_zstd_that_is_cut_off_nothing_is_read() -> None:
    """The readings before the cut were read, the last one short: 2 of 21.5."""
    whole = packed_by_zstd(b"temp=21.5 hum=40")
    for at in range(4, len(whole)):
        with pytest.raises(UnpackError, match="is zstd that is cut off"):
            unwrapped(whole[:at])
    noise = random.Random(3).randbytes(70_000)
    assert unwrapped(packed_by_zstd(noise)) == noise


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, packed_by_zstd])
def test_a_payload_unfolds_to_the_limit_and_not_a_byte_beyond(pack: Callable[[bytes], bytes]) -> None:
    assert len(unwrapped(pack(b"\xff" * MOST_UNPACKED))) == MOST_UNPACKED == 16 * 1024 * 1024
    with pytest.raises(UnpackError, match="unfolds to more than 16777216 bytes"):
        unwrapped(pack(b"\xff" * (MOST_UNPACKED + 1)))


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("temp=21.5 hum=40", [("temp", "21.5"), ("hum", "40")]),
        ("temp: 21.5, mode: heat", [("temp", "21.5"), ("mode", "heat")]),
        ("mode=heat", None),
        ("temp=21.5 and so on", None),
        ("", None),
        ("a=1" + ",a=1" * 255, [("a", "1")] * 256),
        ("a=1" + ",a=1" * 256, None),
        ("a=1," + " " * 4_091 + "b", None),
        ("a=" + "1" * 4_094, None),
        ("a=1 b=" + "x" * 4_090, [("a", "1"), ("b", "x" * 4_090)]),
        ("a=1 b=" + "x" * 4_091, None),
    ],
)
def test_pairs_are_those_of_a_text_that_is_nothing_else(text: str, pairs: list[tuple[str, str]] | None) -> None:
    assert key_value_pairs(text) == pairs


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2024-05-01T12:00:00Z,21.5,40", (NOON, ["21.5", "40"])),
        ("2024-05-01T12:00:00Z;21,5;n/a", (NOON, ["21,5", "n/a"])),
        ("1714564800\t7", (NOON, ["7"])),
        ("1000000000,7", (1_000_000_000_000_000_000, ["7"])),
        ("1714564800.5,7", (NOON + 500_000_000, ["7"])),
        ("0999999999,7", None),
        ("9999999999999999999,7", None),
        ("999999999,7", None),
        ("9223372036854775807,7", (9_223_372_036_854_775_807, ["7"])),
        ("10000000000000000000,7", None),
        ("2024-05-01,heat", None),
        ("2024-05-01,7,heat", None),
        ("2024-05-01,7", (NOON - 43_200_000_000_000, ["7"])),
        ("yesterday at ten,7", None),
        ("2024-05-01", None),
        ("2024-13-01T00:00:00Z,7", None),
    ],
)
def test_a_time_with_values_after_it_is_told_by_its_first_member(
    text: str, found: tuple[int, list[str]] | None
) -> None:
    assert time_and_values(text) == found


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("temp,hum\n21,40\n22,41\n", [{"temp": "21", "hum": "40"}, {"temp": "22", "hum": "41"}]),
        ('"temp";"mode"\n\n21;"heat"', [{"temp": "21", "mode": "heat"}]),
        ("temp,hum", None),
        ("temp\n21", None),
        ("temp,temp\n21,40", None),
        ("temp,hum\n21", None),
        ("temp,7\n21,40", None),
        ("temp,\n21,40", None),
        ("temp,hum\n21,40\nheat,cool", None),
        ("a,b\n1," + "x" * 65_530, [{"a": "1", "b": "x" * 65_530}]),
        ("a,b\n1," + "x" * 65_531, None),
    ],
)
def test_a_table_has_names_above_and_a_number_in_every_row(text: str, rows: list[dict[str, str]] | None) -> None:
    assert table(text) == rows


def test_lines_of_logs_and_of_line_protocol_are_told_apart_from_readings() -> None:
    logs = ["[INFO] up", "\x1b[32mok", "12:00:01.5 MQT: on", "ERR: no", "[E][wifi] x"]
    assert [is_log_line(each) for each in [*logs, "21.5", "ERROR", "in 5"]] == [True] * 5 + [False] * 3
    lines = ["cpu,host=a usage=1.5 1714564800000000000", "a b=1\n# said\n\nc d=2", 'a b="x y"']
    others = ["a b", "", "# said", "a b=1\nc", "a b=" + "1" * 4_093, "a=1 b=2 c"]
    assert [is_line_protocol(each) for each in lines + others] == [True] * 3 + [False] * 6
    assert is_line_protocol("a b=" + "1" * 4_092)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"\xa1\x61a\x01", "it looks like CBOR, which codec"),
        (b"\x81\xa1a\x01", "it looks like MessagePack, which codec"),
        (b"\x08\x01\x12\xff", "it looks like protobuf; Sparkplug B is read"),
        (b"\x08\xff\x18\xff", "it looks like protobuf; Sparkplug B is read"),
        (b"\x08\x12\xff", "it looks like 3 bytes of packed numbers"),
        (b"\x08\xff\xff\xff\xff", "it looks like 5 bytes of packed numbers"),
        (b"\x09\xff\x12\xff", "it looks like 4 bytes of packed numbers"),
    ],
)
def test_bytes_that_are_no_text_are_told_with_the_setting_that_reads_them(payload: bytes, said: str) -> None:
    assert looks_like(payload).startswith(said)
