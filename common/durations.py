"""Durations as people write them ("30s", "1h30m", "1.5d"), read into the nanoseconds that every stage counts in."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator

NANOSECONDS = {
    "w": 604_800_000_000_000,
    "d": 86_400_000_000_000,
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
"""Nanoseconds of each unit that a duration may be written in, largest first."""

_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|us|ns|w|d|h|m|s)\s*", re.ASCII)
_LONGEST = 2**63 - 1


def parse_duration(text: str) -> int:
    """Nanoseconds of a duration such as "90s", "1h30m", "1.5d" or "250ms".

    Units are w, d, h, m (minutes), s, ms, us and ns, each at most once, from large to small. Raises ValueError
    naming the text and what was expected.
    """
    expected = 'a duration such as "30s", "1h30m" or "7d" (units w, d, h, m, s, ms, us, ns, from large to small)'
    stripped = text.strip()
    units = list(NANOSECONDS)
    total, place, last_unit = Decimal(0), 0, -1
    while match := _PART.match(stripped, place):
        number, unit = match.groups()
        if units.index(unit) <= last_unit:
            break
        last_unit = units.index(unit)
        total += Decimal(number) * NANOSECONDS[unit]
        place = match.end()
    if place == 0 or place < len(stripped):
        raise ValueError(f'"{text}" is not a duration: expected {expected}')
    if total != total.to_integral_value():
        raise ValueError(f'"{text}" is finer than a nanosecond: expected {expected}')
    if total > _LONGEST:
        raise ValueError(f'"{text}" is too long: expected at most 292 years')
    return int(total)


def parse_positive_duration(text: str) -> int:
    """Nanoseconds of a duration above 0 and below 146 years, so that sums of two stay in range. Raises ValueError."""
    length = parse_duration(text)
    if not 0 < length < 2**62:
        raise ValueError(f'"{text}": expected a duration above 0 and below 146 years')
    return length


def format_duration(nanoseconds: int) -> str:
    """An exact, short writing of a duration, such as "1h30m", that `parse_duration` reads back.

    Raises ValueError below 0.
    """
    if nanoseconds < 0:
        raise ValueError(f"{nanoseconds} is not a duration: expected nanoseconds, 0 or more")
    parts: list[str] = []
    rest = nanoseconds
    for unit, size in NANOSECONDS.items():
        if unit == "w" and rest % size:
            continue
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def spoken_duration(nanoseconds: int) -> str:
    """About how long it is, whatever its sign, with three digits in its largest unit: "4.5 h", "3 min"."""
    seconds = abs(nanoseconds) / 1e9
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            count = f"{seconds / size:.3g}"
            return f"{count} {'day' if (count, unit) == ('1', 'days') else unit}"
    return f"{seconds:.0f} s"


def _check_duration(text: str) -> str:
    parse_duration(text)
    return text


def _check_positive_duration(text: str) -> str:
    parse_positive_duration(text)
    return text


Duration = Annotated[str, AfterValidator(_check_duration)]
"""A settings field that holds a duration as written; `parse_duration` gives its nanoseconds."""

PositiveDuration = Annotated[str, AfterValidator(_check_positive_duration)]
"""A `Duration` above 0."""
