"""JSON replies, and times as the API reads them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import time
from decimal import Decimal
from typing import Annotated, Any

import orjson
from fastapi import Response
from pydantic import BeforeValidator, Field

from devices.times import parse_time

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z


def to_json(content: Any) -> bytes:
    """JSON bytes: NumPy arrays as lists, NaN and infinities as null, bytes as base64, dataclasses as objects."""
    return orjson.dumps(content, default=_plain, option=_OPTIONS)


def json_response(content: Any, *, status: int = 200) -> Response:
    """A JSON reply that no cache keeps."""
    return Response(
        to_json(content), status_code=status, media_type="application/json", headers={"Cache-Control": "no-store"}
    )


def plain_value(value: Any) -> Any:
    """A value of a query's answer as JSON can hold it: whole numbers beyond 64 bits, and odd keys, as text."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain_value(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_value(each) for each in value]
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    return str(value)


SeriesNumber = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""A request parameter that is the number of a series."""

Instant = Annotated[int, BeforeValidator(parse_time, json_schema_input_type=str)]
"""A request parameter that holds a time: ISO 8601 or a number of s, ms, us or ns; int64 nanoseconds once read."""
