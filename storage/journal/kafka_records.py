"""Journal and receivers: a message as a record of the Kafka topic, and back. docs/scale.md has the format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devices.messages import FLAG_REDELIVERED, MessageChunk

TOPIC, ARRIVED, FLAGS = "topic", "arrived", "flags"
"""Headers that every record has: the MQTT topic, the arrival (ns since the epoch), QoS and retain as the journal keeps
them; numbers in decimal ASCII."""

PROPERTIES, RECEIVER, PACKET = "properties", "receiver", "packet"
"""Headers that a record may have: the properties of MQTT 5 as they were encoded, and, of QoS 1 and 2, the receiver and
the packet identifier, by which that receiver knows what the broker delivers again."""

Headers = list[tuple[str, bytes]]


class RecordError(ValueError):
    """A record that no receiver wrote; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as a record holds it. `arrived` is ns since the epoch."""

    topic: bytes
    payload: bytes
    arrived: int
    flags: int
    properties: bytes = b""


def headers_of(chunk: MessageChunk, row: int, packet_id: int, receiver: bytes) -> Headers:
    """The headers of a message; `packet_id` is 0 where it needs no acknowledgement."""
    flags = int(chunk.flags[row])
    headers = [
        (TOPIC, chunk.topic(row)),
        (ARRIVED, b"%d" % int(chunk.arrival[row])),
        (FLAGS, b"%d" % (flags & ~FLAG_REDELIVERED)),
    ]
    if packet_id:
        headers += [(RECEIVER, receiver), (PACKET, b"%d" % packet_id)]
    if properties := chunk.encoded_properties(row):
        headers.append((PROPERTIES, properties))
    return headers


def message_of(headers: Sequence[tuple[str, bytes]] | None, value: bytes | None) -> Message:
    """The message of a record. Raises RecordError."""
    found = dict(headers or ())
    topic, arrived, flags = found.get(TOPIC), found.get(ARRIVED, b""), found.get(FLAGS, b"")
    if topic is None:
        raise RecordError(f'header "{TOPIC}" is missing')
    if not arrived.isdigit() or not 0 < int(arrived) < 2**63:
        raise RecordError(f'header "{ARRIVED}": {arrived[:40]!r}: expected ns since the epoch')
    if not flags.isdigit() or int(flags) >= FLAG_REDELIVERED:
        raise RecordError(f'header "{FLAGS}": {flags[:40]!r}: expected a number below {FLAG_REDELIVERED}')
    return Message(topic, value or b"", int(arrived), int(flags), found.get(PROPERTIES, b""))


def packet_of(headers: Sequence[tuple[str, bytes]] | None, receiver: bytes) -> int:
    """The packet identifier of a record that this receiver wrote; 0 of any other."""
    found = dict(headers or ())
    packet = found.get(PACKET, b"")
    return int(packet) if found.get(RECEIVER) == receiver and packet.isdigit() else 0
