from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.frames import PUBACK, PUBREC, ReceiveBuffer, Stop, encode_acknowledgements, split_publishes

GROUP = 4096


@dataclass(frozen=True)
class Message:
    topic: bytes
    payload: bytes
    quality: int = 0
    packet_id: int = 0
    retain: bool = False
    duplicate: bool = False
    properties: bytes = b""

    @property
    def flags(self) -> int:
        return self.quality | self.retain << 2 | self.duplicate << 3

    def encode(self, version_5: bool) -> bytes:
        body = len(self.topic).to_bytes(2) + self.topic
        if self.quality:
            body += self.packet_id.to_bytes(2)
        if version_5:
            body += encode_length(len(self.properties)) + self.properties
        body += self.payload
        first = 0x30 | self.retain | self.quality << 1 | self.duplicate << 3
        return bytes([first]) + encode_length(len(body)) + body


def encode_length(number: int) -> bytes:
    encoded = b""
    while True:
        number, digit = divmod(number, 128)
        encoded += bytes([digit | (0x80 if number else 0)])
        if not number:
            return encoded


def reference_split(data: bytes, version_5: bool) -> tuple[list[tuple[bytes, bytes, int, int]], int, Stop]:
    """The splitter once more, written for reading: messages, bytes taken, and why it stopped."""
    messages: list[tuple[bytes, bytes, int, int]] = []
    position = 0
    while True:
        length, width = reference_length(data[position + 1 : position + 5])
        if width < 0:
            return messages, position, Stop.MALFORMED
        if position >= len(data) or width == 0 or position + 1 + width + length > len(data):
            return messages, position, Stop.INCOMPLETE
        first = data[position]
        body = data[position + 1 + width : position + 1 + width + length]
        if first >> 4 != 3:
            return messages, position, Stop.OTHER
        message = reference_publish(first, body, version_5)
        if message is None:
            return messages, position, Stop.MALFORMED
        messages.append(message)
        position += 1 + width + length


def reference_length(data: bytes) -> tuple[int, int]:
    value = 0
    for i, digit in enumerate(data):
        value += (digit & 0x7F) * 128**i
        if digit < 128:
            return value, i + 1
    return 0, -1 if len(data) == 4 else 0


def reference_publish(first: int, body: bytes, version_5: bool) -> tuple[bytes, bytes, int, int] | None:
    quality = first >> 1 & 3
    if quality == 3 or len(body) < 2:
        return None
    topic_length = int.from_bytes(body[:2])
    topic, rest = body[2 : 2 + topic_length], body[2 + topic_length :]
    packet_id = 0
    if len(topic) < topic_length:
        return None
    if quality:
        packet_id, rest = int.from_bytes(rest[:2]) if len(rest) >= 2 else 0, rest[2:]
        if packet_id == 0:
            return None
    if version_5:
        length, width = reference_length(rest[:4])
        if width <= 0 or width + length > len(rest):
            return None
        rest = rest[width + length :]
    return topic, rest, quality | (first & 1) << 2 | (first & 8), packet_id


def kernel_split(
    data: bytes, version_5: bool, rows: int = 64
) -> tuple[list[tuple[bytes, bytes, int, int]], int, Stop, int]:
    # The bytes lie between others that would betray a read outside of them.
    array = np.frombuffer(b"\xff" * 7 + data + b"\xff" * 7, np.uint8)
    spans = np.full((rows, 4), -1, np.int32)
    flags, packet_ids = np.zeros(rows, np.uint8), np.zeros(rows, np.uint16)
    row, position, stop, length = split_publishes(
        array, 7, 7 + len(data), version_5, 0, spans, flags, packet_ids, False
    )
    whole = array.tobytes()
    messages = [
        (whole[a:b], whole[c:d], int(flag), int(packet_id))
        for (a, b, c, d), flag, packet_id in zip(spans[:row].tolist(), flags[:row], packet_ids[:row], strict=True)
    ]
    assert all(7 <= edge <= 7 + len(data) for edge in spans[:row].ravel().tolist())
    return messages, position - 7, Stop(stop), length


messages = st.builds(
    lambda topic, payload, quality, packet_id, retain, duplicate, properties: Message(
        topic, payload, quality, packet_id if quality else 0, retain, duplicate, properties
    ),
    st.binary(max_size=20),
    st.one_of(st.binary(max_size=40), st.integers(120, 300).map(lambda n: b"p" * n)),
    st.integers(0, 2),
    st.integers(1, 65_535),
    st.booleans(),
    st.booleans(),
    st.one_of(st.just(b""), st.binary(max_size=200)),
)
others = st.sampled_from([b"\xd0\x00", b"\x62\x02\x00\x07", b"\x90\x03\x00\x01\x00", b"\x40\x02\x00\x01"])


@given(st.lists(messages, max_size=6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_messages_come_out_as_they_went_in(sent: list[Message], version_5: bool) -> None:
    data = b"".join(m.encode(version_5) for m in sent)
    got, position, stop, _ = kernel_split(data, version_5)
    assert got == [(m.topic, m.payload, m.flags, m.packet_id) for m in sent]
    assert (position, stop) == (len(data), Stop.INCOMPLETE)


@given(st.lists(messages, min_size=1, max_size=3), st.booleans())
@settings(max_examples=25, deadline=None)
def test_every_truncation_gives_the_whole_frames_and_waits(sent: list[Message], version_5: bool) -> None:
    data = b"".join(m.encode(version_5) for m in sent)
    for end in range(len(data)):
        got, position, stop, length = kernel_split(data[:end], version_5)
        expected, expected_position, _ = reference_split(data[:end], version_5)
        assert (got, position, stop) == (expected, expected_position, Stop.INCOMPLETE)
        assert length == 0 or position + length > end


@given(
    st.lists(st.one_of(messages.map(lambda m: m.encode(True)), others, st.binary(max_size=12)), max_size=6),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_split_as_by_the_reference(parts: list[bytes], version_5: bool) -> None:
    data = b"".join(parts)
    assert kernel_split(data, version_5)[:3] == reference_split(data, version_5)


@given(messages, st.booleans(), st.data())
@settings(max_examples=200, deadline=None)
def test_one_flipped_byte_is_judged_as_by_the_reference(message: Message, version_5: bool, data: st.DataObject) -> None:
    frame = bytearray(message.encode(version_5))
    frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    assert kernel_split(bytes(frame), version_5)[:3] == reference_split(bytes(frame), version_5)


def test_a_frame_that_is_no_publish_stops_with_its_length() -> None:
    data = Message(b"t", b"p").encode(False) + b"\x62\x02\x00\x07" + b"rest"
    got, position, stop, length = kernel_split(data, False)
    assert (len(got), position, stop, length) == (1, 6, Stop.OTHER, 4)


def test_no_row_left_stops_before_the_message() -> None:
    frame = Message(b"t", b"p").encode(False)
    got, position, stop, _ = kernel_split(frame * 3, False, rows=2)
    assert (len(got), position, stop) == (2, 2 * len(frame), Stop.FULL)


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (b"\x36\x05\x00\x01t\x00\x01", "QoS 3"),
        (b"\x30\x01\x00", "no room for a topic"),
        (b"\x30\x03\x00\x09t", "topic longer than the frame"),
        (b"\x32\x04\x00\x01t\x00", "half a packet identifier"),
        (b"\x32\x05\x00\x01t\x00\x00", "packet identifier 0"),
        (b"\x30\xff\xff\xff\xff\x01", "remaining length of five bytes"),
    ],
)
def test_what_breaks_the_specification_is_malformed(frame: bytes, what: str) -> None:
    assert kernel_split(frame, False)[2] == Stop.MALFORMED, what


@pytest.mark.parametrize("properties", [b"", b"\x05abc", b"\x80", b"\xff\xff\xff\xff\x01"])
def test_properties_that_do_not_fit_are_malformed(properties: bytes) -> None:
    body = b"\x00\x01t" + properties
    assert kernel_split(bytes([0x30, len(body)]) + body, True)[2] == Stop.MALFORMED


def test_acknowledgements_are_encoded_in_order() -> None:
    packet_ids = np.array([1, 258, 65_535], np.uint16)
    assert encode_acknowledgements(PUBACK, packet_ids) == bytes.fromhex("40020001 40020102 4002ffff")
    assert encode_acknowledgements(PUBREC, packet_ids[:1]) == bytes.fromhex("50020001")
    assert encode_acknowledgements(PUBACK, packet_ids[:0]) == b""


class Pipe:
    """Bytes to be received, some at a time."""

    def __init__(self, data: bytes, step: int = 1 << 30) -> None:
        self.data = data
        self.step = step

    def __call__(self, view: memoryview) -> int:
        count = min(len(view), len(self.data), self.step)
        assert len(view) > 0
        if count == 0:
            return -1
        view[:count] = self.data[:count]
        self.data = self.data[count:]
        return count


def receive_all(buffer: ReceiveBuffer, pipe: Pipe, version_5: bool) -> list[tuple[bytes, bytes, int, int]]:
    """Everything through the buffer, group by group."""
    got: list[tuple[bytes, bytes, int, int]] = []

    def take() -> None:
        buffer.stamp(0, 1)
        chunk, packet_ids = buffer.take()
        got.extend(
            (chunk.topic(i), chunk.payload(i), int(chunk.flags[i]), int(packet_ids[i])) for i in range(len(chunk))
        )

    while True:
        count, _ = buffer.fill(pipe)
        while (stop := buffer.split(version_5)) == Stop.OTHER:
            buffer.frame()
        assert stop != Stop.MALFORMED
        if buffer.is_full:
            take()
        elif count == -1:
            if buffer.rows:
                take()
            return got


@given(
    st.lists(st.one_of(messages, others), max_size=12),
    st.booleans(),
    st.integers(1, 400),
    st.integers(16, 600),
)
@settings(max_examples=60, deadline=None)
def test_a_stream_cut_anywhere_arrives_whole(
    parts: list[Message | bytes], version_5: bool, step: int, group_bytes: int
) -> None:
    data = b"".join(p.encode(version_5) if isinstance(p, Message) else p for p in parts)
    buffer = ReceiveBuffer(group_bytes=group_bytes, max_payload=1000)
    sent = [(p.topic, p.payload, p.flags, p.packet_id) for p in parts if isinstance(p, Message)]
    assert receive_all(buffer, Pipe(data, step), version_5) == sent


@pytest.mark.parametrize("version_5", [False, True])
@pytest.mark.parametrize("step", [100, 5000, 1 << 30])
def test_a_frame_too_long_to_hold_keeps_its_front_and_the_stream_goes_on(version_5: bool, step: int) -> None:
    limit = 1000
    buffer = ReceiveBuffer(group_bytes=GROUP, max_payload=limit)
    sent = [
        Message(b"before", b"1", 1, 7),
        Message(b"huge", bytes(range(256)) * 2000, 1, 8, properties=b"\x01\x01" if version_5 else b""),
        Message(b"after", b"2", 1, 9),
    ]
    got = receive_all(buffer, Pipe(b"".join(m.encode(version_5) for m in sent), step), version_5)
    assert [(topic, packet_id) for topic, _, _, packet_id in got] == [(b"before", 7), (b"huge", 8), (b"after", 9)]
    assert got[1][1] == sent[1].payload[: limit + 1]
    assert buffer.truncated == 1


def test_properties_too_long_to_hold_do_not_stop_the_stream() -> None:
    buffer = ReceiveBuffer(group_bytes=GROUP, max_payload=1000)
    sent = Message(b"t", b"payload", 1, 8, properties=bytes(300_000)).encode(True) + Message(b"u", b"2").encode(True)
    got = receive_all(buffer, Pipe(sent), True)
    assert [(topic, packet_id) for topic, _, _, packet_id in got] == [(b"t", 8), (b"u", 0)]


def test_a_lost_connection_leaves_no_half_frame_and_nothing_to_acknowledge() -> None:
    buffer = ReceiveBuffer(group_bytes=GROUP, max_payload=1000)
    whole, half = Message(b"t", b"1", 1, 5).encode(False), Message(b"t", b"2", 1, 6).encode(False)[:-1]
    buffer.fill(Pipe(whole + half))
    buffer.split(False)
    buffer.disconnect()
    got = receive_all(buffer, Pipe(Message(b"t", b"3", 1, 5).encode(False)), False)
    assert got == [(b"t", b"1", 1, 0), (b"t", b"3", 1, 5)]


def test_messages_split_elsewhere_are_held_to_the_same_limit() -> None:
    buffer = ReceiveBuffer(group_bytes=GROUP, max_payload=10)
    buffer.add(b"t", b"x" * 50, 1, 3)
    buffer.stamp(0, 100)
    chunk, packet_ids = buffer.take()
    assert (chunk.topic(0), chunk.payload(0), packet_ids.tolist()) == (b"t", b"x" * 11, [3])
    assert (chunk.arrival.tolist(), chunk.ticked_at) == ([100], 100)
