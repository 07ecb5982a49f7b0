"""Times as devices write them, to the nanosecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.times import BadTimeError, parse_time, parse_zone

SECOND = 1_000_000_000
NOON = 1_714_564_800 * SECOND


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01T12:00:00Z",
        "2024-05-01t12:00:00z",
        "2024-05-01 12:00:00",
        "2024-05-01T12:00:00.000000000Z",
        "2024-05-01T12:00:00,0+00:00",
        "2024-05-01T14:00:00+02:00",
        "2024-05-01T14:00:00+0200",
        "2024-05-01T14:00+02",
        "2024-05-01T12:00:00 UTC",
        "2024-05-01T07:30:00-04:30",
        "20240501T120000Z",
        " 1714564800 ",
        "1714564800.000",
        "1.7145648e9",
    ],
)
def test_forms_of_one_time(text: str) -> None:
    assert parse_time(text) == NOON


def test_a_date_alone_is_its_first_moment() -> None:
    assert parse_time("2024-05-01") == NOON - 12 * 3600 * SECOND


def test_units_are_told_by_magnitude() -> None:
    for scale in (1, 10**3, 10**6, 10**9):
        assert parse_time(1_714_564_800 * scale) == NOON


def test_a_set_unit_overrules_magnitude() -> None:
    assert parse_time(5, "ms") == 5_000_000
    assert parse_time(1_714_564_800, "ns") == 1_714_564_800


def test_integers_and_fractions_of_date_times_are_exact() -> None:
    assert parse_time(1_714_564_800_123_456_789) == 1_714_564_800_123_456_789
    assert parse_time("2024-05-01T12:00:00.1234567899Z") == NOON + 123_456_789
    assert parse_time("1714564800.123456789") == NOON + 123_456_789


def test_floats_are_rounded_to_the_microsecond() -> None:
    assert parse_time(1680962879.62) == 1_680_962_879_620_000_000
    assert parse_time(1680962879620.25) == 1_680_962_879_620_250_000
    assert parse_time(-1.5) == -1_500_000_000


@given(st.datetimes(datetime(1680, 1, 1), datetime(2260, 1, 1)), st.integers(-23 * 60, 23 * 60))
def test_date_times_agree_with_the_standard_library(at: datetime, minutes: int) -> None:
    there = at.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    passed = there - datetime(1970, 1, 1, tzinfo=UTC)
    nanoseconds = (passed.days * 86_400 + passed.seconds) * SECOND + passed.microseconds * 1_000
    assert parse_time(there.isoformat()) == nanoseconds
    assert parse_time(there) == nanoseconds


def test_zone_of_date_times_that_name_none() -> None:
    assert parse_time("2024-05-01T14:00:00", zone=parse_zone("Europe/Berlin")) == NOON
    assert parse_time("2024-05-01T14:00:00", zone=parse_zone("+02:00")) == NOON
    assert parse_time("2024-05-01T12:00:00Z", zone=parse_zone("Europe/Berlin")) == NOON


def test_unknown_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown time zone 'Mars/Olympus': expected UTC"):
        parse_zone("Mars/Olympus")


@pytest.mark.parametrize(
    "value",
    [
        "", "yesterday", "2024-13-01T00:00:00Z", "2024-02-30", "2024-05-01T24:01:00Z", "2024-05-01T12:61:00Z",
        "2024-05-01T12:00:00+25:00", "3024-05-01T12:00:00Z", "1e999", "١٢٣", "9" * 70, 2**80, -(2**80), 10**4000,
        float("nan"), float("inf"), 1e300, True, None, [], {},
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_the_expectation(value: object) -> None:
    with pytest.raises(BadTimeError, match="expected ISO 8601"):
        parse_time(value)


@given(st.one_of(st.text(max_size=30), st.floats(), st.integers()))
def test_anything_is_a_time_in_range_or_refused(value: object) -> None:
    try:
        nanoseconds = parse_time(value)
    except BadTimeError:
        return
    assert -(2**63) < nanoseconds < 2**63
