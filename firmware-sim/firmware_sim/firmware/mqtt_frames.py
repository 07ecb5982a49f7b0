"""The packets of MQTT 3.1.1 that a device needs, as bytes.

Source: MQTT Version 3.1.1, OASIS Standard, sections 2.2 (fixed header) and 3.1 to 3.14.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK = 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90
PINGREQ, PINGRESP, DISCONNECT = b"\xc0\x00", 0xD0, b"\xe0\x00"
DUPLICATE, RETAIN = 0x08, 0x01
REFUSALS = {
    1: "it does not speak MQTT 3.1.1",
    2: "it refuses the client id",
    3: "it is not available",
    4: "user name or password is wrong",
    5: "not authorised",
}


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes for a client that is gone without a goodbye."""

    topic: bytes
    payload: bytes
    retain: bool = True
    qos: int = 1


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as it arrives: kind (the high four bits of its first byte), flags (the low four), and the rest."""

    kind: int
    flags: int
    body: bytes

    @property
    def identifier(self) -> int:
        """The packet identifier that acknowledgements begin with."""
        return self.body[0] << 8 | self.body[1]

    def message(self) -> tuple[bytes, bytes, int | None]:
        """Topic, payload and, above QoS 0, the identifier of a PUBLISH."""
        length = self.body[0] << 8 | self.body[1]
        topic, rest = self.body[2 : 2 + length], self.body[2 + length :]
        if self.flags & 0x06:
            return topic, rest[2:], rest[0] << 8 | rest[1]
        return topic, rest, None


def connect(
    client_id: str,
    *,
    keepalive: int,
    clean: bool = True,
    will: Will | None = None,
    username: str | None = None,
    password: str | None = None,
) -> bytes:
    """CONNECT (3.1)."""
    flags = 0x02 if clean else 0x00
    payload = _text(client_id.encode())
    if will is not None:
        flags |= 0x04 | will.qos << 3 | will.retain << 5
        payload += _text(will.topic) + _text(will.payload)
    if username is not None:
        flags |= 0x80
        payload += _text(username.encode())
    if password is not None:
        flags |= 0x40
        payload += _text(password.encode())
    return _packet(0x10, _text(b"MQTT") + bytes((4, flags)) + keepalive.to_bytes(2, "big") + payload)


def publish(topic: bytes, payload: bytes, *, qos: int = 0, retain: bool = False, identifier: int = 0) -> bytes:
    """PUBLISH (3.3); above QoS 0 with its identifier."""
    head = _text(topic) + (identifier.to_bytes(2, "big") if qos else b"")
    return _packet(PUBLISH | qos << 1 | retain, head + payload)


def subscribe(identifier: int, filters: tuple[bytes, ...], *, qos: int = 1) -> bytes:
    """SUBSCRIBE (3.8)."""
    asked = b"".join(_text(one) + bytes((qos,)) for one in filters)
    return _packet(0x82, identifier.to_bytes(2, "big") + asked)


def acknowledge(kind: int, identifier: int) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP (3.4 to 3.7)."""
    return bytes((kind | (0x02 if kind == PUBREL else 0x00), 2)) + identifier.to_bytes(2, "big")


def take_packets(data: bytearray) -> Iterator[Packet]:
    """The whole packets at the beginning of `data`, which are removed from it; what is not whole yet stays.

    Raises ValueError where the length is no length.
    """
    position = 0
    while (framed := _length(data, position + 1)) is not None:
        length, begin = framed
        if begin + length > len(data):
            break
        yield Packet(data[position] & 0xF0, data[position] & 0x0F, bytes(data[begin : begin + length]))
        position = begin + length
    del data[:position]


def _length(data: bytearray, position: int) -> tuple[int, int] | None:
    """The remaining length that begins there, and where it ends; None where it is not whole yet."""
    length = 0
    for shift in range(4):
        if position + shift >= len(data):
            return None
        byte = data[position + shift]
        length |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return length, position + shift + 1
    raise ValueError("a packet's length takes more than four bytes: the peer does not speak MQTT")


def _text(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _packet(first: int, body: bytes) -> bytes:
    head = bytearray((first,))
    length = len(body)
    while length >= 0x80:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + body
