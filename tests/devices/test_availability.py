"""Whether a device is there, as it or the broker for it says: which words, which payloads, and what is a reading."""

from __future__ import annotations

import pytest

from devices.codec import Role
from devices.codecs.codec_registry import create
from devices.vectors import decode_alone


def said(payload: bytes) -> list[float]:
    """1 for there, 0 for not; none where the payload is no word about that."""
    codec = create("availability", {})
    decoded = decode_alone(codec, payload)
    roles = [codec.metrics[metric].role for metric in decoded.metric.tolist()]
    return [value for value, role in zip(decoded.value.tolist(), roles, strict=True) if role == Role.AVAILABILITY]


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b"online", [1.0]), (b" Offline\n", [0.0]), (b'"online"', [1.0]), (b"online\0", [1.0]), (b"perhaps", []),
        (b"1", [1.0]), (b"0", [0.0]), (b"7", []), (b"true", [1.0]), (b"false", [0.0]), (b"", []),
        (b'{"state":"online"}', [1.0]), (b'{"state":"offline","ts":5,"id":"a"}', [0.0]),
        (b'{"state":"online","a":1,"b":2}', [1.0]), (b'{"state":"online","a":1,"b":2,"c":3}', []),
        (b'{"state":"online","a":1,"b":2,"ts":3,"id":"x"}', [1.0]), (b'{"state":true}', [1.0]), (b'{"state":1}', []),
        (b'{"state":"heat"}', []), (b'{"state":"onl', []), (b"online".rjust(256), [1.0]), (b"online".rjust(257), []),
    ],
)  # fmt: skip
def test_a_word_of_presence_is_one_alone_or_in_a_small_object(payload: bytes, found: list[float]) -> None:
    assert said(payload) == found


def test_what_is_no_word_of_presence_is_read_as_anything_is() -> None:
    codec = create("availability", {})
    decoded = decode_alone(codec, b'{"state":"running","heat":21.5}')
    assert [str(codec.metrics[metric]) for metric in decoded.metric.tolist()] == ["state", "heat"]
    assert [each.reason for each in decode_alone(codec, b" \0\r\n\t").rejected] == ["cleared"]
    assert [each.reason for each in decode_alone(codec, b'{"x": ').rejected] == ["malformed"]
