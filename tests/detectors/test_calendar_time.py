"""The time on the wall at a place: what its zone says from one second to the next."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from common.time_units import DAY, HOUR, SECOND
from detectors.statistics.calendar_time import offsets, tell_clocks

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def told(zone: str, moments: list[datetime]) -> list[str]:
    """The weekday and time on the wall at these moments."""
    times = np.array([int(moment.timestamp()) * SECOND for moment in moments])
    tell_clocks(times, *offsets(zone))
    day, second = times // DAY % 7, times % DAY // SECOND
    return [
        f"{_DAYS[d]} {s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}"
        for d, s in zip(day.tolist(), second.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("zone", "change", "wall"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC), ["Sun 01:59:59", "Sun 03:00:00", "Sun 03:00:01"]),
        ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC), ["Sun 02:59:59", "Sun 02:00:00", "Sun 02:00:01"]),
        ("America/St_Johns", datetime(2026, 3, 8, 5, 30, tzinfo=UTC), ["Sun 01:59:59", "Sun 03:00:00", "Sun 03:00:01"]),
    ],
)
def test_the_wall_clock_is_set_at_the_very_second(zone: str, change: datetime, wall: list[str]) -> None:
    at = int(change.timestamp())
    moments = [datetime.fromtimestamp(at + second, UTC) for second in (-1, 0, 1)]
    assert told(zone, moments) == wall
    assert wall == [moment.astimezone(ZoneInfo(zone)).strftime("%a %H:%M:%S") for moment in moments]


def test_a_zone_that_never_changes_is_ahead_by_the_same_all_year() -> None:
    changes, ahead = offsets("Asia/Kolkata")
    assert (changes.tolist(), ahead.tolist()) == ([], [5 * HOUR + HOUR // 2])
