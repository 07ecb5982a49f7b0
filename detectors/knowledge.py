"""What a person may say of one series, for a detector to use: plain facts, none of them needed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

from common.setting_texts import check_time_zone

Kind = Literal[
    "measurement", "counter", "daily_total", "state", "report_on_change", "battery", "angle", "bursts", "sparse"
]
Direction = Literal["both", "above", "below"]

_DATE = re.compile(r"(\d{4}-)?\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known of one series; a field left out is found from the readings, or has no effect.

    `kind`: what the signal is, in place of the kind recognised. `direction`: the side on which a deviation counts.
    `smallest_deviation` (in the reading's unit) and `smallest_relative_deviation` (a share of the expected value, 0.1
    is 10 %): a deviation smaller than either is no anomaly. `lower_limit`, `upper_limit`: what lies outside is
    physically impossible and always an anomaly. `time_zone`: an IANA name; hours and days are the plant's.
    `shortest_duration` (seconds): a deviation has to last so long. `ignored_hours`: (from, to) pairs of local hours of
    the day in which nothing counts, such as (22.0, 6.0); `ignored_dates` local dates, "2026-12-24", or "12-24" of every
    year. Those three are in force at the alarm; a detector scores and learns on.

    Raises ValueError, naming the field, the value and what was expected.
    """

    kind: Kind | None = None
    direction: Direction = "both"
    smallest_deviation: float = 0.0
    smallest_relative_deviation: float = 0.0
    lower_limit: float = -math.inf
    upper_limit: float = math.inf
    time_zone: str = "UTC"
    shortest_duration: float = 0.0
    ignored_hours: tuple[tuple[float, float], ...] = ()
    ignored_dates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in get_args(Kind):
            raise ValueError(f"kind: expected one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        if self.direction not in get_args(Direction):
            raise ValueError(f"direction: expected both, above or below, got {self.direction!r}")
        for name in ("smallest_deviation", "smallest_relative_deviation", "shortest_duration"):
            number = getattr(self, name)
            if not 0.0 <= number < math.inf:
                raise ValueError(f"{name}: expected a finite number of at least 0, got {number}")
        if not self.lower_limit < self.upper_limit:
            raise ValueError(f"lower_limit: expected less than upper_limit {self.upper_limit}, got {self.lower_limit}")
        for start, end in self.ignored_hours:
            if not (0.0 <= start <= 24.0 and 0.0 <= end <= 24.0):
                raise ValueError(f"ignored_hours: expected hours from 0 to 24, got {start} to {end}")
        for text in self.ignored_dates:
            if not _is_date(text):
                raise ValueError(f'ignored_dates: expected a date such as "2026-12-24" or "12-24", got {text!r}')
        try:
            check_time_zone(self.time_zone)
        except ValueError as error:
            raise ValueError(f"time_zone: expected a name such as Europe/Berlin, got {self.time_zone!r}") from error


def _is_date(text: str) -> bool:
    """Whether it is a date, or the month and day of one: those of a leap year."""
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text if len(text) == len("2026-12-24") else f"2024-{text}")
    except ValueError:
        return False
    return True
