"""Traces that others began: `traceparent` of W3C Trace Context, from a message's MQTT 5 properties or its payload.

Source: https://www.w3.org/TR/trace-context/ section 3.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

from devices.messages import MessageChunk

NAME = "traceparent"
_NAME_BYTES = NAME.encode()
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


@dataclass(frozen=True, slots=True)
class TraceParent:
    """The trace that a message belongs to, and the span in it that sent the message; both in hexadecimal."""

    trace_id: str
    span_id: str


def parse_trace_parent(text: str) -> TraceParent:
    """Read a `traceparent`. Raises ValueError where it is malformed."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f'traceparent "{text[:80]}": expected "00-", 32 hexadecimal digits, "-", 16, "-", 2')
    version, trace_id, span_id, rest = found.groups()
    if version == "ff" or (version == "00" and rest is not None):
        raise ValueError(f'traceparent "{text[:80]}": expected version 00')
    if not trace_id.strip("0") or not span_id.strip("0"):
        raise ValueError(f'traceparent "{text[:80]}": its trace and its span are not all zeros')
    return TraceParent(trace_id, span_id)


def trace_parent_of(chunk: MessageChunk, row: int) -> TraceParent | None:
    """The `traceparent` of a message: its user property, else the field of its JSON payload; None where it has none.

    Raises ValueError where it is malformed.
    """
    if _NAME_BYTES in chunk.between(row) and (told := chunk.properties(row).user.get(NAME)) is not None:
        return parse_trace_parent(told)
    payload = chunk.payload(row)
    if b'"traceparent"' not in payload:
        return None
    try:
        fields = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    told = fields.get(NAME) if isinstance(fields, dict) else None
    if told is None:
        return None
    return parse_trace_parent(told if isinstance(told, str) else repr(told))
