"""Hours of the week, as people write them: "Mon-Fri 07:00-18:00", "22:00-06:00", "Sat,Sun 00:00-24:00"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TEXT = re.compile(r"(?:(?P<days>[A-Za-z,\- ]+?)\s+)?(?P<start>\d{1,2}:\d{2})\s*-\s*(?P<end>\d{1,2}:\d{2})")


@dataclass(frozen=True, slots=True)
class Hours:
    """A stretch of the day on some days of the week; one that ends before it begins runs over midnight.

    `days` counts from Monday, 0; `start` and `end` are minutes of the day, 0 to 1440.
    """

    days: frozenset[int]
    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Hours:
        """Raises ValueError naming the text and what was expected."""
        found = _TEXT.fullmatch(text.strip())
        wrong = ValueError(f'got "{text}", expected days and hours such as "Mon-Fri 07:00-18:00" or "22:00-06:00"')
        if found is None:
            raise wrong
        days = _days(found["days"]) if found["days"] else set(range(7))
        start, end = _minutes(found["start"]), _minutes(found["end"])
        if not days or start is None or end is None or start == end:
            raise wrong
        return cls(frozenset(days), start, end)

    def includes(self, time: datetime) -> bool:
        """Whether the local time lies within."""
        minute = time.hour * 60 + time.minute
        if self.start < self.end:
            return time.weekday() in self.days and self.start <= minute < self.end
        if minute >= self.start:
            return time.weekday() in self.days
        return minute < self.end and (time - timedelta(days=1)).weekday() in self.days


def _days(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.lower().replace(" ", "").split(","):
        first, _, last = part.partition("-")
        try:
            start, end = DAYS.index(first[:3]), DAYS.index((last or first)[:3])
        except ValueError:
            return set()
        found |= {(start + i) % 7 for i in range((end - start) % 7 + 1)}
    return found


def _minutes(text: str) -> int | None:
    hour, minute = map(int, text.split(":"))
    total = hour * 60 + minute
    return total if minute < 60 and total <= 1440 else None
