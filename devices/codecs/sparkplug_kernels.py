"""Decode, compiled: Sparkplug B payloads scanned into columns, and their metrics looked up among those that were born.

Source: Sparkplug 3.0.0, section 6.4 (payloads), and protobuf's description of its encoding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit, subkernel

NONE, WHOLE, SINGLE, DOUBLE, TEXT, PARTS = range(6)
"""What the value of a metric is: none, a whole number or truth value, a float, a double, text, anything else."""

IS_NULL, HAS_UNIT, HAS_NAME = 1, 2, 4
"""Flags of a metric."""

UNSEEN, TAKEN, LEFT = range(3)
"""What came of a metric: nothing, a reading, or it is left to the general path."""

NO_READING, GENERAL = -1, -2
"""In place of a metric's code: it gives no reading, or is left to the general path."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DATE_TIME = 13
_FNV_BASIS = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_MOST_EXACT = 2.0**53
_LATEST = 9_000_000_000_000
_NO_TIME = -(2**63)


class Scanned(NamedTuple):
    """Payloads (n,): time in ms and sequence number, -1 where there is none; whether they are protobuf; where the
    metrics of each begin, (n + 1,). Metrics (m,): flags, alias and time, -1 where there is none; datatype, what the
    value is and its 64 bits; the hash and the span (2,) of the name; the span of the whole metric.
    """

    time: NDArray[np.int64]
    sequence: NDArray[np.int64]
    is_good: NDArray[np.bool_]
    first: NDArray[np.int64]
    flags: NDArray[np.uint8]
    alias: NDArray[np.int64]
    metric_time: NDArray[np.int64]
    datatype: NDArray[np.int32]
    kind: NDArray[np.uint8]
    bits: NDArray[np.uint64]
    hash: NDArray[np.uint64]
    name: NDArray[np.int32]
    span: NDArray[np.int32]


class Born(NamedTuple):
    """Metrics that births have named. By place in a hash table: the scope (of a node's aliases, or a device's names),
    the alias or hash, and the number of the entry, -1 where the place is empty. By entry: the codec's code of the
    metric, its datatype, and the span (2,) of its name in `names`.
    """

    scope: NDArray[np.int64]
    key: NDArray[np.uint64]
    entry: NDArray[np.int32]
    code: NDArray[np.int32]
    datatype: NDArray[np.int32]
    name: NDArray[np.int32]
    names: NDArray[np.uint8]


class Found(NamedTuple):
    """What came of each metric (m,), and of those that are TAKEN the codec's code, time in ns and value."""

    outcome: NDArray[np.uint8]
    code: NDArray[np.int32]
    time: NDArray[np.int64]
    value: NDArray[np.float64]


@subkernel
def _varint(data: NDArray[np.uint8], at: int, end: int) -> tuple[np.uint64, int]:
    """The number that begins at `at`, and where it ends; -1 where it does not."""
    value = np.uint64(0)
    shift = np.uint64(0)
    while at < end and shift < np.uint64(70):
        byte = np.uint64(data[at])
        at += 1
        value |= (byte & np.uint64(0x7F)) << shift
        if byte < np.uint64(0x80):
            return value, at
        shift += np.uint64(7)
    return value, -1


@subkernel
def _hash(data: NDArray[np.uint8], at: int, end: int) -> np.uint64:
    """The FNV-1a hash of some bytes."""
    code = _FNV_BASIS
    for i in range(at, end):
        code = (code ^ np.uint64(data[i])) * _FNV_PRIME
    return code


@subkernel
def _fixed(data: NDArray[np.uint8], at: int, size: int) -> np.uint64:
    value = np.uint64(0)
    for i in range(size - 1, -1, -1):
        value = (value << np.uint64(8)) | np.uint64(data[at + i])
    return value


@subkernel
def _field(data: NDArray[np.uint8], at: int, end: int) -> tuple[int, int, np.uint64, int, int]:
    """Number, wire type, value, and the span of the value of the field at `at`; where it ends is -1 if it is broken."""
    tag, at = _varint(data, at, end)
    wire = int(np.int64(tag & np.uint64(7)))
    number = int(np.int64(tag >> np.uint64(3)))
    if at < 0:
        return number, wire, tag, 0, -1
    if wire == _VARINT:
        value, stop = _varint(data, at, end)
        return number, wire, value, at, stop
    if wire == _BYTES:
        size, at = _varint(data, at, end)
        if at < 0 or size > np.uint64(end - at):
            return number, wire, size, at, -1
        return number, wire, size, at, at + int(np.int64(size))
    size_ = 8 if wire == _FIXED64 else 4
    if (wire != _FIXED64 and wire != _FIXED32) or size_ > end - at:  # noqa: PLR1714 (numba has no set of numbers)
        return number, wire, tag, at, -1
    return number, wire, _fixed(data, at, size_), at, at + size_


@subkernel
def _scan_metric(data: NDArray[np.uint8], at: int, end: int, m: int, told: Scanned) -> bool:
    """Take in one metric; False where it is no protobuf message."""
    told.alias[m] = told.metric_time[m] = -1
    told.span[m, 0], told.span[m, 1] = at, end
    while at < end:
        number, wire, value, start, at = _field(data, at, end)
        if at < 0:
            return False
        if number == 1 and wire == _BYTES:
            told.flags[m] |= HAS_NAME
            told.name[m, 0], told.name[m, 1] = start, at
            told.hash[m] = _hash(data, start, at)
        elif number == 2 and wire == _VARINT:
            told.alias[m] = np.int64(value)
        elif number == 3 and wire == _VARINT:
            told.metric_time[m] = np.int64(value)
        elif number == 4 and wire == _VARINT:
            told.datatype[m] = np.int32(value & np.uint64(0x7FFFFFFF))
        elif number == 7 and wire == _VARINT and value:
            told.flags[m] |= IS_NULL
        elif number == 9:
            told.flags[m] |= HAS_UNIT
        elif number >= 10 and number <= 19:
            told.bits[m] = value
            told.kind[m] = _kind_of(number, wire)
    return True


@subkernel
def _kind_of(number: int, wire: int) -> int:
    if wire == _VARINT:
        return WHOLE if number in (10, 11, 14) else NONE
    if wire == _FIXED32:
        return SINGLE if number == 12 else NONE
    if wire == _FIXED64:
        return DOUBLE if number == 13 else NONE
    return TEXT if number == 15 else PARTS


@njit(nogil=True)
def count_metrics(data: NDArray[np.uint8], start: NDArray[np.int32], end: NDArray[np.int32]) -> int:
    """How many metrics the payloads hold together, (n,) spans of `data`."""
    found = 0
    for i in range(len(start)):
        at, stop = int(start[i]), int(end[i])
        while 0 <= at < stop:
            number, wire, _, _, at = _field(data, at, stop)
            found += number == 2 and wire == _BYTES and at >= 0
    return found


@njit(nogil=True)
def scan(data: NDArray[np.uint8], start: NDArray[np.int32], end: NDArray[np.int32], told: Scanned) -> None:
    """Fill `told`, all zero before, from payloads (n,) that are spans of `data`."""
    m = 0
    for i in range(len(start)):
        told.time[i] = told.sequence[i] = -1
        told.first[i] = m
        told.is_good[i] = True
        at, stop = int(start[i]), int(end[i])
        while at < stop:
            number, wire, value, begin, at = _field(data, at, stop)
            if at < 0:
                told.is_good[i] = False
                break
            if number == 1 and wire == _VARINT:
                told.time[i] = np.int64(value)
            elif number == 3 and wire == _VARINT:
                told.sequence[i] = np.int64(value)
            elif number == 2 and wire == _BYTES:
                if not _scan_metric(data, begin, at, m, told):
                    told.is_good[i] = False
                m += 1
    told.first[len(start)] = m


@subkernel
def _place(born: Born, scope: int, key: np.uint64) -> int:
    """Where a key of a scope stands in the table, or the empty place where it belongs."""
    mask = len(born.entry) - 1
    mixed = (key ^ (np.uint64(scope) * _FNV_PRIME)) * _MULTIPLIER
    at = int(np.int64(mixed >> np.uint64(20))) & mask
    while born.entry[at] >= 0 and (born.scope[at] != scope or born.key[at] != key):
        at = (at + 1) & mask
    return at


@subkernel
def _put(born: Born, scope: int, key: np.uint64, entry: int) -> None:
    at = _place(born, scope, key)
    born.scope[at], born.key[at], born.entry[at] = scope, key, entry


@njit(nogil=True)
def put_aliases(scope: int, alias: NDArray[np.uint64], entry: NDArray[np.int32], born: Born) -> None:
    """Put entries (k,) into the table, each under its alias; it must have room for them."""
    for i in range(len(entry)):
        _put(born, scope, alias[i], entry[i])


@njit(nogil=True)
def put_names(scope: int, entry: NDArray[np.int32], born: Born) -> None:
    """Put entries (k,) into the table, each under its name; it must have room for them."""
    for i in range(len(entry)):
        span = born.name[entry[i]]
        _put(born, scope, _hash(born.names, span[0], span[1]), entry[i])


@subkernel
def _entry_of(data: NDArray[np.uint8], m: int, told: Scanned, scopes: NDArray[np.int64], born: Born) -> int:
    """The entry of a metric: by its name where it has one, else by its alias; -1 where no birth has named it."""
    if not told.flags[m] & HAS_NAME:
        return int(born.entry[_place(born, int(scopes[0]), np.uint64(told.alias[m]))])
    found = int(born.entry[_place(born, int(scopes[1]), told.hash[m])])
    if found < 0:
        return -1
    begin, size = told.name[m, 0], told.name[m, 1] - told.name[m, 0]
    known = born.name[found, 0]
    if born.name[found, 1] - known != size:
        return -1
    for i in range(size):
        if data[begin + i] != born.names[known + i]:
            return -1
    return found


@subkernel
def _signed(bits: np.uint64, datatype: int) -> float:
    """A whole number, which travels without its sign (section 6.4.17)."""
    if datatype == 1:
        return float(np.int8(bits & np.uint64(0xFF)))
    if datatype == 2:
        return float(np.int16(bits & np.uint64(0xFFFF)))
    if datatype == 3:
        return float(np.int32(bits & np.uint64(0xFFFFFFFF)))
    if datatype == 4:
        return float(np.int64(bits))
    return float(bits)


@njit(nogil=True)
def look_up(
    data: NDArray[np.uint8],
    number: NDArray[np.float64],
    messages: NDArray[np.int64],
    scopes: NDArray[np.int64],
    told: Scanned,
    born: Born,
    found: Found,
) -> int:
    """Fill `found` for the metrics of some messages (k,); returns how many are LEFT.

    `number` (m,) holds the values that are floats and doubles, `scopes` (k, 3) the scopes of the message's aliases and
    names, and whether it is a birth, whose units are known already.
    """
    left = 0
    for k in range(len(messages)):
        i = messages[k]
        for m in range(told.first[i], told.first[i + 1]):
            entry = _entry_of(data, m, told, scopes[k], born)
            code = born.code[entry] if entry >= 0 else GENERAL
            datatype = told.datatype[m]
            if datatype == 0 and entry >= 0:
                datatype = born.datatype[entry]
            if code == NO_READING or datatype == _DATE_TIME:
                continue
            kind, flags = told.kind[m], told.flags[m]
            is_odd = flags & IS_NULL or (flags & HAS_UNIT and not scopes[k, 2])
            value = _signed(told.bits[m], datatype) if kind == WHOLE else number[m]
            if (
                code < 0 or is_odd or kind == NONE or kind > DOUBLE
                or not np.isfinite(value) or (kind == WHOLE and abs(value) >= _MOST_EXACT)
            ):  # fmt: skip
                found.outcome[m] = LEFT
                left += 1
                continue
            time = told.metric_time[m] if told.metric_time[m] >= 0 else told.time[i]
            found.outcome[m] = TAKEN
            found.code[m] = code
            found.time[m] = time * 1_000_000 if 0 <= time < _LATEST else _NO_TIME
            found.value[m] = value
    return left
