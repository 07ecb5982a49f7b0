"""Decode, codec `sparkplug`: what of its payloads is read field by field: templates, data sets, units, and what is
broken. Commands are written here too.

Source: Sparkplug 3.0.0, section 6.4 (payloads), and protobuf's description of its encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from devices.batch import NO_TIME
from devices.codec import Role

BDSEQ = "bdSeq"
"""The metric that numbers the sessions of an edge node: its birth and its death have the same."""

DATE_TIME = 13
TEXT_TYPES = frozenset({12, 14, 15})

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
_BOOLEAN = 11
_MOST_DEPTH = 8
_MOST_ROWS = 1_000
_LATEST = 9_000_000_000_000


class WireError(ValueError):
    """The bytes are no protobuf message; the text says where."""


@dataclass(slots=True)
class Metric:
    """A metric as it is written, with what its kind of value has: a number, text, or parts."""

    name: str = ""
    alias: int = -1
    time: int = NO_TIME
    datatype: int = 0
    is_null: bool = False
    number: float | int | None = None
    text: str | None = None
    unit: str = ""
    parts: list[Metric] = field(default_factory=list)
    is_definition: bool = False


def role_of(datatype: int) -> Role:
    """What the numbers of a data type are: those of booleans are truth values."""
    return Role.TRUTH if datatype == _BOOLEAN else Role.VALUE


def restored(number: float | int, datatype: int) -> float | int:
    """A signed value, which travels in an unsigned field."""
    bits = _SIGNED_BITS.get(datatype)
    if bits is None or isinstance(number, float):
        return number
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> (bits - 1) else number


def check(data: bytes) -> None:
    """Raise WireError where a payload is no protobuf message."""
    for number, value in _fields(data):
        if number == 2 and isinstance(value, bytes):
            metric_of(value)


def metric_of(data: bytes, depth: int = 0) -> Metric:
    """A metric from its bytes. Raises WireError."""
    metric = Metric()
    if depth > _MOST_DEPTH:
        raise WireError(f"templates nested deeper than {_MOST_DEPTH}")
    for number, value in _fields(data):
        if isinstance(value, bytes):
            _take_bytes(metric, number, value, depth)
        elif number == 2:
            metric.alias = int(value)
        elif number == 3:
            metric.time = int(value) * 1_000_000 if value < _LATEST else NO_TIME
        elif number == 4:
            metric.datatype = int(value)
        elif number == 7:
            metric.is_null = bool(value)
        elif number in (10, 11, 14):
            metric.number = int(value)
    return metric


def rebirth(milliseconds: int) -> bytes:
    """The command that asks an edge node for its births, of a time since the epoch (sections 6.4.18 and 5.10)."""
    name = b"Node Control/Rebirth"
    metric = b"".join(
        [bytes([1 << 3 | _BYTES, len(name)]), name, b"\x18", _encoded(milliseconds), bytes([0x20, _BOOLEAN, 0x70, 1])]
    )
    return b"\x08" + _encoded(milliseconds) + bytes([2 << 3 | _BYTES, len(metric)]) + metric


def _encoded(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _take_bytes(metric: Metric, number: int, value: bytes, depth: int) -> None:
    if number == 1:
        metric.name = text_of(value)
    elif number == 12 and len(value) == 4:
        metric.number = float(struct.unpack("<f", value)[0])
    elif number == 13 and len(value) == 8:
        metric.number = float(struct.unpack("<d", value)[0])
    elif number == 15:
        metric.text = text_of(value)
    elif number == 9:
        metric.unit = _unit(value)
    elif number == 17:
        metric.parts = _data_set(value)
    elif number == 18:
        fields = list(_fields(value))
        metric.is_definition = any(field_ == 5 and each == 1 for field_, each in fields)
        inner = [each for field_, each in fields if field_ == 2 and isinstance(each, bytes)]
        metric.parts = [metric_of(each, depth + 1) for each in inner]


def _unit(data: bytes) -> str:
    """The property `engUnit` of a property set."""
    keys: list[str] = []
    values: list[bytes] = []
    for number, value in _fields(data):
        if isinstance(value, bytes):
            (keys.append(text_of(value)) if number == 1 else values.append(value))
    for key, packed in zip(keys, values, strict=False):
        if key.lower() in ("engunit", "unit", "units"):
            texts = (each for number, each in _fields(packed) if number == 8 and isinstance(each, bytes))
            return next(map(text_of, texts), "")
    return ""


def _data_set(data: bytes) -> list[Metric]:
    columns = [text_of(value) for number, value in _fields(data) if number == 2 and isinstance(value, bytes)]
    types = _types(data) or [0] * len(columns)
    rows = [value for number, value in _fields(data) if number == 4 and isinstance(value, bytes)]
    parts = []
    for i, row in enumerate(rows[:_MOST_ROWS]):
        cells = [value for number, value in _fields(row) if number == 1 and isinstance(value, bytes)]
        for column, datatype, cell in zip(columns, types, cells, strict=False):
            parts.append(_cell(column if len(rows) == 1 else f"{i}.{column}", datatype, cell))
    return parts


def _types(data: bytes) -> list[int]:
    """The datatypes of a data set's columns, one field each or packed into one."""
    found: list[int] = []
    for number, value in _fields(data):
        if number != 3:
            continue
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value):
            one, at = _varint(value, at)
            found.append(one)
    return found


def _cell(name: str, datatype: int, data: bytes) -> Metric:
    part = Metric(name=name, datatype=datatype)
    for number, value in _fields(data):
        if number in (1, 2, 5) and isinstance(value, int):
            part.number = value
        elif number == 3 and isinstance(value, bytes) and len(value) == 4:
            part.number = float(struct.unpack("<f", value)[0])
        elif number == 4 and isinstance(value, bytes) and len(value) == 8:
            part.number = float(struct.unpack("<d", value)[0])
        elif number == 6 and isinstance(value, bytes):
            part.text = text_of(value)
    return part


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protobuf message; fixed-width values as their bytes."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise WireError(f"byte {at}: wire type {wire} is none of protobuf's")
        if size > end - at:
            raise WireError(f"byte {at}: {size} bytes are announced, {end - at} follow")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise WireError(f"byte {at}: a number that does not end")


def text_of(data: bytes) -> str:
    """Text from its UTF-8. Raises WireError."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WireError(f"a text that is no UTF-8: byte {error.start}") from None
