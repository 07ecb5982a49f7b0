"""Receive, beside its unit: the properties of an MQTT 5 message that say something of its readings.

They stand between topic and payload, in the journal as in the frame that brought them (MQTT 5.0, section 3.3.2.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_CONTENT_TYPE, _USER = 0x03, 0x26
_FIXED = {0x01: 1, 0x02: 4, 0x23: 2}
"""Payload format, expiry and topic alias, with their lengths."""
_TEXTS = {0x08, 0x09, _CONTENT_TYPE}
"""Response topic, correlation data and content type: a length of two bytes, then so many."""
_SUBSCRIPTION = 0x0B
_PACKET_ID = 2


@dataclass(frozen=True, slots=True)
class MessageProperties:
    """The content type, "" where none is given, and the user properties; of one given twice the first counts."""

    content_type: str = ""
    user: Mapping[str, str] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        """The content type in small letters, without parameters such as a character set."""
        return self.content_type.partition(";")[0].strip().lower()


NO_PROPERTIES = MessageProperties()


def parse_properties(between: bytes, *, has_packet_id: bool) -> MessageProperties:
    """The properties of a message, from what stands between its topic and payload.

    Nothing is raised: a message of MQTT 3.1.1 has none, and of those that break the specification the rest is left.
    """
    at = _PACKET_ID if has_packet_id else 0
    length, at = _variable_integer(between, at)
    end = min(at + length, len(between))
    content_type = ""
    user: dict[str, str] = {}
    while at < end:
        kind, at = between[at], at + 1
        if kind in _FIXED:
            at += _FIXED[kind]
        elif kind == _SUBSCRIPTION:
            _, at = _variable_integer(between, at)
        elif kind in _TEXTS:
            text, at = _text(between, at)
            content_type = text if kind == _CONTENT_TYPE else content_type
        elif kind == _USER:
            name, at = _text(between, at)
            value, at = _text(between, at)
            if at <= end:
                user.setdefault(name, value)
        else:
            break
    return MessageProperties(content_type, user) if content_type or user else NO_PROPERTIES


def encode_properties(content_type: str = "", user: Sequence[tuple[str, str]] = ()) -> bytes:
    """Properties as a frame has them, with their length before them."""
    body = b""
    if content_type:
        body += bytes([_CONTENT_TYPE]) + _encoded(content_type)
    for name, value in user:
        body += bytes([_USER]) + _encoded(name) + _encoded(value)
    length, left = b"", len(body)
    while True:
        left, low = divmod(left, 128)
        length += bytes([low | (0x80 if left else 0)])
        if not left:
            return length + body


def _encoded(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2) + data


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = at + 2 + int.from_bytes(data[at : at + 2])
    return data[at + 2 : end].decode("utf-8", "replace"), end


def _variable_integer(data: bytes, at: int) -> tuple[int, int]:
    """Value and end of a variable byte integer (section 1.5.5); 0 where the bytes end before."""
    value = 0
    for shift in range(0, 28, 7):
        if at >= len(data):
            return 0, at
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            break
    return value, at
