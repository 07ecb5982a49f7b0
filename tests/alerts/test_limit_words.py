"""When a limit is reached, as a person reads it."""

from __future__ import annotations

import math

import pytest

from alerts.limit_words import Limit, clock, length, reach_sentence

SECOND = 1e9
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
HIGH, LOW = Limit(80.0, True, "upper"), Limit(5.0, False, "lower")


def said(limit: Limit, now: float, share: float, *, latest: float = 3 * HOUR, earliest: float = 2 * HOUR) -> str:
    horizon = int(24 * HOUR)
    return reach_sentence("level", "bar", limit, now, horizon, (2.5 * HOUR, earliest, latest), share)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (said(HIGH, 80.0, 1.0), "level is above 80 bar already"),
        (said(LOW, 5.0, 1.0), "level is below 5 bar already"),
        (said(HIGH, 79.9, 0.5), "level reaches 80 bar in 2.5 h, 80 %: 2:00 to 3:00"),
        (said(HIGH, 79.9, 0.9, latest=math.inf), "level reaches 80 bar in 2.5 h, 80 %: 2:00 or later than 24:00"),
        (
            said(HIGH, 79.9, 0.49),
            "level stays below 80 bar for the next 24 h more likely than not; it reaches it with 49%, "
            "in 2:00 at the earliest",
        ),
        (
            said(LOW, 5.1, 0.1, earliest=math.inf),
            "level stays above 5 bar for the next 24 h more likely than not; it reaches it with 10%",
        ),
        (said(LOW, 5.1, 0.09), "level stays above 5 bar for the next 24 h"),
    ],
)
def test_the_sentence_says_when_or_how_likely(text: str, expected: str) -> None:
    assert text == expected


def test_without_a_unit_there_is_only_the_number() -> None:
    assert reach_sentence("load", "", HIGH, 90.0, 1, (0.0, 0.0, 0.0), 1.0) == "load is above 80 already"


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (59 * SECOND, "59 s"),
        (60 * SECOND, "1 min"),
        (50 * MINUTE, "50 min"),
        (59 * MINUTE, "59 min"),
        (60 * MINUTE, "1 h"),
        (3.5 * HOUR, "3.5 h"),
        (47 * HOUR, "47 h"),
        (48 * HOUR, "2 days"),
        (12 * DAY, "12 days"),
        (99.4 * DAY, "99 days"),
        (150 * DAY, "150 days"),
    ],
)
def test_a_length_has_two_digits_in_a_unit_that_fits(nanoseconds: float, text: str) -> None:
    assert length(nanoseconds) == text


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (5 * SECOND, "0 min 05 s"),
        (899 * SECOND, "14 min 59 s"),
        (900 * SECOND, "0:15"),
        (160 * MINUTE, "2:40"),
        (2 * DAY - MINUTE, "47:59"),
        (2 * DAY, "2.0 days"),
        (3.5 * DAY, "3.5 days"),
    ],
)
def test_a_clock_is_finer_when_it_is_soon(nanoseconds: float, text: str) -> None:
    assert clock(nanoseconds) == text
