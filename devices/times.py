"""Decode, times: what devices write as a time, to exact nanoseconds since the epoch.

Read are ISO 8601 date-times (RFC 3339 and its usual relaxations), the forms of `devices.time_forms`, and numbers since
the Unix epoch, also as text. The
unit of a bare number is told by its magnitude, so that each unit covers the years 1973 to 5138 (seconds: from 1970):

| magnitude | unit |
|---|---|
| below 1e11 | seconds |
| below 1e14 | milliseconds |
| below 1e17 | microseconds |
| from 1e17 | nanoseconds |
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from math import floor, isfinite
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from common.excerpts import shortened
from devices.time_forms import UnreadTimeError, parse_form, parse_with_format

TimeUnit = Literal["auto", "s", "ms", "us", "ns"]

SCALES: dict[str, int] = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
"""Nanoseconds in one unit."""

AUTO_BOUNDS: tuple[tuple[float, int], ...] = ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000))
"""Magnitudes below which a number is in seconds, milliseconds, microseconds, with the unit's nanoseconds."""

EXPECTED = (
    "expected ISO 8601 such as 2024-05-01T12:00:00Z, or a number of s, ms, us or ns since 1970; `time_format` reads "
    "other forms"
)

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_LARGEST = 2**63 - 1
_LONGEST = 64
_RANGE = "outside the years 1678 to 2262"

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt_ ]+(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
    r"\s*(?:([Zz]|UTC|GMT)|([+-])(\d\d):?(\d\d)?)?)?",
    re.ASCII,
)
_ISO_BASIC = re.compile(
    r"(\d{4})(\d\d)(\d\d)[Tt](\d\d)(\d\d)(?:(\d\d)(?:[.,](\d+))?)?(?:([Zz])|([+-])(\d\d):?(\d\d)?)?", re.ASCII
)
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d*)?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_COMPACT = (19_700_101_000_000, 21_000_101_000_000)
"""Whole numbers between these write a date and time (20260719145754); as milliseconds they would be after 2594."""
_COMPACT_LENGTHS = frozenset({8, 12, 14})


class BadTimeError(ValueError):
    """A value that is no time; the message gives the value and what was expected."""

    def __init__(self, value: object, why: str = "") -> None:
        huge = isinstance(value, int) and abs(value) > 10**100
        shown = "an integer beyond 1e100" if huge else shortened(value)
        super().__init__(f"{shown}{': ' + why if why else ''}; {EXPECTED}")


def parse_zone(name: str) -> tzinfo:
    """The zone of a name such as `UTC`, `+02:00` or `Europe/Berlin`. Raises ValueError naming what was expected."""
    if name in ("UTC", "Z"):
        return UTC
    if found := re.fullmatch(r"([+-])(\d\d):?(\d\d)", name):
        sign, hours, minutes = found.groups()
        if int(hours) < 24 and int(minutes) < 60:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            return timezone(-offset if sign == "-" else offset)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name!r}: expected UTC, +02:00 or a name such as Europe/Berlin") from None


def parse_time(
    value: object, unit: TimeUnit = "auto", zone: tzinfo = UTC, *, form: str = "", near: int | None = None
) -> int:
    """Nanoseconds since the epoch (int64 range) for a time as devices write it.

    `value` is text, int, float or datetime; `unit` is that of bare numbers; `zone` that of date-times that name none;
    `form`, where given, the format of strftime(3) that text has. Of the two times that a clock shows twice when it is
    put back, the one nearer to `near` (ns, usually the arrival) counts, else the earlier.
    Integers and text are exact to the nanosecond, what is finer being cut off in date-times and rounded half to even
    in numbers. A float is rounded to the microsecond, about the resolution that a float64 of seconds since 1970 has:
    1680962879.62 is .620000000.
    Raises BadTimeError.
    """
    if isinstance(value, bool):
        raise BadTimeError(value)
    if isinstance(value, int):
        if abs(value) > _LARGEST:
            raise BadTimeError(value, _RANGE)
        if unit == "auto" and _COMPACT[0] <= value < _COMPACT[1]:
            return _text(str(value), value, unit, zone, "", near)
        return _checked(value * _scale(abs(value), unit), value)
    if isinstance(value, float):
        if not isfinite(value):
            raise BadTimeError(value)
        return _float(value, unit)
    if isinstance(value, datetime):
        return _datetime(value, zone)
    if not isinstance(value, str):
        raise BadTimeError(value)
    text = value.strip()
    if not text or len(text) > _LONGEST:
        raise BadTimeError(value)
    return _text(text, value, unit, zone, form, near)


def _text(text: str, value: object, unit: TimeUnit, zone: tzinfo, form: str, near: int | None) -> int:
    if form:
        try:
            return _placed(*parse_with_format(text, form), zone, value, near)
        except UnreadTimeError as error:
            raise BadTimeError(value, str(error)) from None
    if found := _ISO.fullmatch(text) or _ISO_BASIC.fullmatch(text):
        return _iso(value, found, zone, near)
    if _NUMBER.fullmatch(text) and (unit != "auto" or len(text) not in _COMPACT_LENGTHS or not text.isdigit()):
        return _number(text.replace(",", "."), unit, value)
    try:
        return _placed(*parse_form(text), zone, value, near)
    except UnreadTimeError as error:
        if _NUMBER.fullmatch(text):
            return _number(text.replace(",", "."), unit, value)
        raise BadTimeError(value, str(error)) from None


def _number(text: str, unit: TimeUnit, value: object) -> int:
    if text.lstrip("+-").isdigit():
        number = int(text)
        return _checked(number * _scale(abs(number), unit), value)
    try:
        return _decimal(Decimal(text), unit, value)
    except InvalidOperation:
        raise BadTimeError(value) from None


def _placed(seconds: int, nanoseconds: int, named: tzinfo | None, zone: tzinfo, value: object, near: int | None) -> int:
    """The time at which a clock in its named zone, else in `zone`, shows these seconds since 1970."""
    seconds -= _offset(seconds, named or zone, value, near)
    return _checked(seconds * 1_000_000_000 + nanoseconds, value)


def _scale(magnitude: float | Decimal, unit: TimeUnit) -> int:
    if unit != "auto":
        return SCALES[unit]
    for bound, scale in AUTO_BOUNDS:
        if float(magnitude) < bound:
            return scale
    return 1


def _checked(nanoseconds: int, value: object) -> int:
    if not -_LARGEST <= nanoseconds <= _LARGEST:
        raise BadTimeError(value, _RANGE)
    return nanoseconds


def _datetime(value: datetime, zone: tzinfo) -> int:
    try:
        passed = (value if value.tzinfo else value.replace(tzinfo=zone)) - datetime(1970, 1, 1, tzinfo=UTC)
    except OverflowError:
        raise BadTimeError(value, _RANGE) from None
    return _checked((passed.days * 86_400 + passed.seconds) * 1_000_000_000 + passed.microseconds * 1_000, value)


def _float(value: float, unit: TimeUnit) -> int:
    if abs(value) > _LARGEST:
        raise BadTimeError(value, _RANGE)
    scale = _scale(abs(value), unit)
    whole = floor(value)
    if scale == 1:
        return _checked(round(value), value)
    return _checked(whole * scale + round((value - whole) * (scale // 1_000)) * 1_000, value)


def _decimal(number: Decimal, unit: TimeUnit, value: object) -> int:
    if abs(number) > _LARGEST:
        raise BadTimeError(value, _RANGE)
    scaled = number * _scale(abs(number), unit)
    return _checked(int(scaled.to_integral_value(ROUND_HALF_EVEN)), value)


def _iso(value: object, found: re.Match[str], zone: tzinfo, near: int | None) -> int:
    year, month, day, hour, minute, second, fraction, utc, sign, zone_hours, zone_minutes = found.groups()
    h, m, s = int(hour or 0), int(minute or 0), int(second or 0)
    if h > 24 or (h == 24 and (m or s)) or m > 59 or s > 60 or int(zone_hours or 0) > 23 or int(zone_minutes or 0) > 59:
        raise BadTimeError(value, "hour, minute, second or zone out of range")
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_ORDINAL
    except ValueError as error:
        raise BadTimeError(value, str(error)) from None
    seconds = days * 86_400 + h * 3_600 + m * 60 + s
    if sign is not None:
        offset = int(zone_hours) * 3_600 + int(zone_minutes or 0) * 60
        seconds -= offset if sign == "+" else -offset
    elif utc is None and zone is not UTC:
        seconds -= _offset(seconds, zone, value, near)
    return _checked(seconds * 1_000_000_000 + int((fraction or "")[:9].ljust(9, "0")), value)


def _offset(local_seconds: int, zone: tzinfo, value: object, near: int | None) -> int:
    """Seconds that `zone` is ahead of UTC at a local time; of two in the hour that repeats, the nearer to `near`."""
    if zone is UTC:
        return 0
    try:
        local = (datetime(1970, 1, 1) + timedelta(seconds=local_seconds)).replace(tzinfo=zone)
        first, second = (int((local.replace(fold=fold).utcoffset() or timedelta()).total_seconds()) for fold in (0, 1))
    except OverflowError as error:
        raise BadTimeError(value, str(error)) from None
    if first <= second or near is None:
        return first
    arrival = near // 1_000_000_000
    return second if abs(local_seconds - second - arrival) < abs(local_seconds - first - arrival) else first
