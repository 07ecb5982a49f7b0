"""Decode, times beyond ISO 8601: the other ways in which devices write a date and time.

| written | read as |
|---|---|
| `2026-07-19-14:57:54`, `2026/7/19 14:57`, `2026.07.19 14:57:54` | year first |
| `19.07.2026 14:57:54`, `19-07-2026 14:57` | day first; with dashes or slashes where a number above 12 tells |
| `19.07.26 14:57` | day first, the year without its century: with points and a time of day alone |
| `07/19/2026 02:57:54 PM` | month first where AM or PM follows, or a number above 12 tells |
| `Sun, 19 Jul 2026 14:57:54 GMT`, `Sun Jul 19 14:57:54 2026`, `Jul 19, 2026 2:57 PM` | month by name |
| `2026-W29-7T14:57:54Z`, `2026-200T14:57:54` | ISO week date, day of the year |
| `20260719145754`, `20260719 145754`, `260719145754` | compact |
| `260719145754S`, `260119145754W` | DSMR meters: summer and winter time |
| `/Date(1784475474123)/` | milliseconds since 1970 |

A zone may follow each: `Z`, `+02:00`, `+0200 CEST`, `GMT+2`, `CEST`, `Europe/Berlin`, `[Europe/Berlin]`.
Abbreviations that several countries use for different offsets (`CST`, `IST`) are not read. `02/03/2026` alone is not
read either: nothing tells day from month; the codec's `time_format` does.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_MONTHS = {name: i for i, name in enumerate(re.findall("...", "janfebmaraprmayjunjulaugsepoctnovdec"), start=1)}
_MONTH = r"(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_TIME = r"(?P<h>\d{1,2})[:.](?P<m>\d\d)(?:[:.](?P<s>\d\d)(?:[.,](?P<f>\d+))?)?(?:\s*(?P<half>[ap])\.?m\.?)?"
_ZONE = (
    r"\s*(?P<zone>z|[+-]\d\d:?\d\d|[+-]\d\d|(?:utc|gmt)(?:[+-]\d{1,2}(?::?\d\d)?)?|\[[a-z_+\-/0-9]+\]|"
    r"[a-z_]+/[a-z_/+\-0-9]+|[a-z]{2,5})?(?:(?<=[+-]\d{4}) [a-z]{3,4})?"
)
_DATES = (
    r"(?P<y>\d{4})(?P<mark>[-/.])(?P<mo>\d{1,2})(?P=mark)(?P<d>\d{1,2})",
    r"(?P<a>\d{1,2})(?P<mark>[-/.])(?P<b>\d{1,2})(?P=mark)(?P<y>\d{4})",
    r"(?P<d>\d{1,2})\.(?P<mo>\d{1,2})\.(?P<yy>\d\d)(?=[,\s])",
    r"(?:[a-z]{3,9}\.?,?\s+)?(?P<d>\d{1,2})[\s-]+" + _MONTH + r"[\s,-]+(?P<y>\d{4})",
    r"(?:[a-z]{3,9}\.?,?\s+)?" + _MONTH + r"\s+(?P<d>\d{1,2}),?\s+(?P<y>\d{4})",
    r"(?P<y>\d{4})-?w(?P<week>\d\d)-?(?P<weekday>[1-7])",
    r"(?P<y>\d{4})-(?P<ordinal>\d{3})",
)
_FLAGS = re.ASCII | re.IGNORECASE
_FORMS = (
    *(re.compile(rf"{each}(?:[t,_\s-]+{_TIME}{_ZONE})?", _FLAGS) for each in _DATES),
    *(re.compile(rf"{_TIME}[,\s]+{each}", _FLAGS) for each in _DATES[:2]),
    re.compile(rf"(?:[a-z]{{3,9}}\s+)?{_MONTH}\s+(?P<d>\d{{1,2}})\s+{_TIME}{_ZONE}\s+(?P<y>\d{{4}})", _FLAGS),
    re.compile(
        r"(?P<y>20\d\d|19[7-9]\d)(?P<mo>\d\d)(?P<d>\d\d)"
        r"(?:[\s_-]?(?P<h>\d\d)(?P<m>\d\d)(?P<s>\d\d)(?:\.(?P<f>\d+))?)?" + _ZONE,
        _FLAGS,
    ),
    re.compile(r"(?P<yy>\d\d)(?P<mo>\d\d)(?P<d>\d\d)(?P<h>\d\d)(?P<m>\d\d)(?P<s>\d\d)(?P<season>[sw])?", _FLAGS),
)  # fmt: skip
_DATE_CALL = re.compile(r"/?Date\((-?\d{1,16})(?:[+-]\d{4})?\)/?", re.ASCII)
_HOURS = {
    "UT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "MEZ": 1, "CEST": 2, "MESZ": 2, "EET": 2, "EEST": 3, "MSK": 3,
    "JST": 9, "KST": 9,
    "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13, "EST": -5, "EDT": -4, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8,
    "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10, "SAST": 2, "AWST": 8,
}  # fmt: skip
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class UnreadTimeError(ValueError):
    """The text is none of these forms, or no date in its form; the message says which part of it, where one does."""


def parse_form(text: str) -> tuple[int, int, tzinfo | None]:
    """Seconds since 1970 on the clock that wrote `text`, nanoseconds beyond them, and its zone (None: not named).

    Raises UnreadTimeError.
    """
    if found := _DATE_CALL.fullmatch(text):
        seconds, milliseconds = divmod(int(found[1]), 1000)
        return seconds, milliseconds * 1_000_000, UTC
    for form in _FORMS:
        if match := form.fullmatch(text):
            parts = {name: part for name, part in match.groupdict().items() if part is not None}
            return _clock(_day(parts), parts), int(parts.get("f", "")[:9].ljust(9, "0")), _zone(parts)
    raise UnreadTimeError("")


def parse_with_format(text: str, form: str) -> tuple[int, int, tzinfo | None]:
    """As `parse_form`, by a format of strftime(3) such as `%d/%m/%Y %H:%M`. Raises UnreadTimeError."""
    try:
        found = datetime.strptime(text, form)
    except ValueError as error:
        raise UnreadTimeError(str(error)) from None
    passed = found.replace(tzinfo=None) - datetime(1970, 1, 1)
    return passed.days * 86_400 + passed.seconds, passed.microseconds * 1_000, found.tzinfo


def _day(parts: dict[str, str]) -> int:
    """Days since 1970."""
    try:
        if "week" in parts:
            return (
                date.fromisocalendar(int(parts["y"]), int(parts["week"]), int(parts["weekday"])).toordinal()
                - _EPOCH_ORDINAL
            )
        year = int(parts["y"]) if "y" in parts else 2000 + int(parts["yy"])
        if "ordinal" in parts:
            return (date(year, 1, 1) + timedelta(days=int(parts["ordinal"]) - 1)).toordinal() - _EPOCH_ORDINAL
        day, month = _day_and_month(parts)
        return date(year, month, day).toordinal() - _EPOCH_ORDINAL
    except (ValueError, OverflowError) as error:
        raise UnreadTimeError(str(error)) from None


def _day_and_month(parts: dict[str, str]) -> tuple[int, int]:
    if "name" in parts:
        return int(parts["d"]), _MONTHS[parts["name"].lower()]
    if "a" not in parts:
        return int(parts["d"]), int(parts["mo"])
    a, b = int(parts["a"]), int(parts["b"])
    if parts["mark"] == "." or a > 12:
        return a, b
    if b > 12 or "half" in parts:
        return b, a
    if a == b:
        return a, b
    raise UnreadTimeError("day and month cannot be told apart; set time_format")


def _clock(days: int, parts: dict[str, str]) -> int:
    hour, minute, second = (int(parts.get(name, 0)) for name in ("h", "m", "s"))
    if "half" in parts:
        if not 1 <= hour <= 12:
            raise UnreadTimeError(f"hour {hour} with AM or PM")
        hour = hour % 12 + (12 if parts["half"].lower() == "p" else 0)
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute or second)):
        raise UnreadTimeError("hour, minute or second out of range")
    return days * 86_400 + hour * 3_600 + minute * 60 + second


def _zone(parts: dict[str, str]) -> tzinfo | None:
    if "season" in parts:
        return timezone(timedelta(hours=2 if parts["season"].lower() == "s" else 1))
    name = parts.get("zone", "").strip("[]")
    if not name:
        return None
    upper = name.upper()
    if upper in ("Z", "UTC", "GMT"):
        return UTC
    offset = re.fullmatch(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d\d)?", upper)
    if offset is not None:
        ahead = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
        if ahead >= timedelta(days=1):
            raise UnreadTimeError(f"zone {name} out of range")
        return timezone(-ahead if offset[1] == "-" else ahead)
    if upper in _HOURS:
        return timezone(timedelta(hours=_HOURS[upper]))
    if "/" not in name:
        raise UnreadTimeError(f"zone {name} is not one that names a single offset")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UnreadTimeError(f"unknown time zone {name}") from None
