"""The properties of MQTT 5 messages, byte by byte as section 2.2.2 and 3.3.2.3 of the specification have them."""

from __future__ import annotations

import pytest

from devices.message_properties import NO_PROPERTIES, MessageProperties, encode_properties, parse_properties
from devices.messages import MessageChunk

USER = b"\x26\x00\x01k\x00\x02vw"
"""The user property k = vw."""


def counted(body: bytes) -> bytes:
    assert len(body) < 128
    return bytes([len(body)]) + body


@pytest.mark.parametrize(
    "before",
    [
        b"", b"\x01\x26", b"\x02\x26\x26\x26\x26", b"\x23\x26\x26", b"\x08\x00\x02&&", b"\x09\x00\x01&", b"\x0b\x26",
        b"\x0b\x80\x26", b"\x0b\xff\xff\xff\x26", b"\x09\x00\x00", b"\x0b\x05\x0b\x06",
    ],
)  # fmt: skip
def test_what_stands_before_a_user_property_is_passed_over_by_its_length(before: bytes) -> None:
    found = parse_properties(counted(before + USER), has_packet_id=False)
    assert found == MessageProperties("", {"k": "vw"})
    assert parse_properties(b"\x26\x26" + counted(before + USER), has_packet_id=True) == found


def test_of_a_property_that_is_given_twice_the_first_counts_and_of_the_content_type_the_last() -> None:
    twice = b"\x26\x00\x01a\x00\x011" + b"\x26\x00\x01b\x00\x012" + b"\x26\x00\x01a\x00\x013"
    typed = b"\x03\x00\x01x" + twice + b"\x08\x00\x01y"
    assert parse_properties(counted(typed), has_packet_id=False) == MessageProperties("x", {"a": "1", "b": "2"})


@pytest.mark.parametrize(
    "between",
    [b"", b"\x00", b"\x80", b"\x80\x80\x80\x80\x01", counted(b"\x07" + USER), b"\x03" + USER, counted(USER[:-1])],
)
def test_without_properties_and_where_they_are_broken_there_are_none(between: bytes) -> None:
    assert parse_properties(between, has_packet_id=False) is NO_PROPERTIES
    assert parse_properties(b"\x00\x07" + between, has_packet_id=True) is NO_PROPERTIES


def test_what_is_read_before_the_place_that_is_broken_holds() -> None:
    assert parse_properties(counted(USER + b"\x07" + b"\x03\x00\x01x"), has_packet_id=False).user == {"k": "vw"}
    assert parse_properties(counted(b"\x03\x00\x04text" + USER[:-1]), has_packet_id=False) == MessageProperties("text")


def test_the_length_before_them_takes_as_many_bytes_as_it_needs() -> None:
    for size, begin in (
        (127 - 5, b"\x7f"),
        (128 - 5, b"\x80\x01"),
        (16_383 - 5, b"\xff\x7f"),
        (16_384 - 5, b"\x80\x80\x01"),
    ):
        encoded = encode_properties(user=[("", "v" * size)])
        assert encoded == begin + b"\x26\x00\x00" + size.to_bytes(2) + b"v" * size
        assert parse_properties(encoded, has_packet_id=False).user == {"": "v" * size}
    assert (encode_properties(), encode_properties("a/b")) == (b"\x00", b"\x06\x03\x00\x03a/b")


@pytest.mark.parametrize(
    ("content_type", "media_type"),
    [("text/CSV; charset=utf-8", "text/csv"), (" Application/JSON ", "application/json"), ("", "")],
)
def test_the_media_type_is_the_content_type_without_its_parameters(content_type: str, media_type: str) -> None:
    assert MessageProperties(content_type).media_type == media_type


def test_a_chunk_holds_the_properties_of_each_message_beside_its_packet_identifier() -> None:
    asked = encode_properties("a/b", [("k", "v")])
    given = [(b"t", b"1", 1, 0), (b"t", b"2", 2, 1), (b"t", b"3", 3, 2), (b"t", b"4", 4, 1)]
    chunk = MessageChunk.of(given, properties=[asked, asked, b"", b"\0"])
    assert [chunk.between(n) for n in range(4)] == [asked, b"\0\0" + asked, b"", b"\0\0\0"]
    assert [chunk.encoded_properties(n) for n in range(4)] == [asked, asked, b"", b""]
    assert [chunk.properties(n).media_type for n in range(4)] == ["a/b", "a/b", "", ""]
    assert [chunk.payload(n) for n in range(4)] == [b"1", b"2", b"3", b"4"]
