"""JSON replies, and times as the API reads them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import orjson
from fastapi import Response
from pydantic import BeforeValidator

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_json(content: Any) -> bytes:
    """JSON bytes: NumPy arrays as lists, NaN and infinities as null, bytes as base64, dataclasses as objects."""
    return orjson.dumps(content, default=_plain, option=_OPTIONS)


def json_response(content: Any, *, status: int = 200) -> Response:
    """A JSON reply that no cache keeps."""
    return Response(
        to_json(content), status_code=status, media_type="application/json", headers={"Cache-Control": "no-store"}
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    return str(value)


def read_instant(text: object) -> int:
    """Nanoseconds since the epoch of a time given as such, or in ISO 8601 (UTC where no offset is given).

    Raises ValueError naming the text and what was expected.
    """
    expected = "expected ISO 8601 such as 2026-03-01T12:00:00Z, or nanoseconds since the epoch"
    written = str(text).strip()
    try:
        nanoseconds = int(written) if written.lstrip("-").isdigit() else _from_iso(written)
    except (ValueError, OverflowError):
        raise ValueError(expected) from None
    if not -(2**63) < nanoseconds < 2**63:
        raise ValueError(f"{expected}, between the years 1678 and 2262")
    return nanoseconds


def _from_iso(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    passed = moment - _EPOCH
    return ((passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds) * 1_000


Instant = Annotated[int, BeforeValidator(read_instant, json_schema_input_type=str)]
"""A request parameter that holds a time; int64 nanoseconds since the epoch once read."""
