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


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01T25:00:00Z", "2024-05-01T24:00:01Z", "2024-05-01T12:60:00Z", "2024-05-01T12:00:61Z",
        "2024-05-01T12:00:00+24:00", "2024-05-01T12:00:00+02:60", "20240501T126000Z", "2024-00-01", "2024-01-00",
    ],
)  # fmt: skip
def test_a_part_that_is_one_beyond_its_last_is_refused(text: str) -> None:
    with pytest.raises(BadTimeError, match=r"out of range|must be in"):
        parse_time(text)


def test_parts_up_to_their_last_are_taken() -> None:
    assert parse_time("2024-05-01T24:00:00Z") == parse_time("2024-05-02T00:00:00Z") == NOON + 12 * 3_600 * SECOND
    assert parse_time("2024-05-01T11:59:60Z") == NOON
    assert parse_time("2024-05-01T12:59:59Z") == NOON + 3_599 * SECOND
    assert parse_time("2024-05-01T12:00:00+23:59") == NOON - (23 * 3_600 + 59 * 60) * SECOND
    assert parse_time("2024-05-01T12:00:00-23:59") == NOON + (23 * 3_600 + 59 * 60) * SECOND


@pytest.mark.parametrize("as_text", [False, True])
def test_the_unit_changes_at_each_bound_of_magnitude(as_text: bool) -> None:
    for size, scale in ((10**10 - 1, 10**9), (10**11, 10**6), (-(10**11), 10**6), (10**13 - 1, 10**6), (10**14, 1_000),
                        (10**17 - 1, 1_000), (10**17, 1), (2**63 - 1, 1)):  # fmt: skip
        if abs(size) * scale < 2**63:
            assert parse_time(str(size) if as_text else size) == size * scale
    for size in (10**11 - 1, 2**63, -(2**63)):
        with pytest.raises(BadTimeError, match="outside the years 1678 to 2262"):
            parse_time(str(size) if as_text else size)


def test_whole_numbers_that_write_a_date_are_read_as_one_between_their_bounds() -> None:
    assert parse_time(20_240_501_120_000) == NOON
    assert parse_time(19_700_101_000_000) == 0
    for beyond in (19_700_100_999_999, 21_000_101_000_000):
        with pytest.raises(BadTimeError, match="outside the years 1678 to 2262"):
            parse_time(beyond)
    assert parse_time(20_240_501_120_000, "us") == 20_240_501_120_000_000


def test_a_fraction_is_rounded_half_to_even_in_numbers_and_cut_off_in_date_times() -> None:
    assert parse_time("0.0000000005", "s") == 0
    assert parse_time("0.0000000015", "s") == 2
    assert parse_time("1.5", "ns") == 2
    assert parse_time(1.5, "ns") == 2
    assert parse_time("1,5", "ms") == 1_500_000
    assert parse_time("+5", "s") == 5 * SECOND
    assert parse_time("2024-05-01T12:00:00.0000000019Z") == NOON + 1


def test_the_value_shown_is_cut_at_sixty_characters_and_the_longest_text_has_64() -> None:
    def said(value: object) -> str:
        with pytest.raises(BadTimeError) as caught:
            parse_time(value)
        return str(caught.value).partition("; ")[0]

    assert said("x" * 58) == "'" + "x" * 58 + "'"
    assert said("x" * 59) == "'" + "x" * 56 + "..."
    assert said(10**100).startswith("1000000000")
    assert said(10**100 + 1).startswith("an integer beyond 1e100")
    assert parse_time("1714564800." + "0" * 53) == NOON
    with pytest.raises(BadTimeError):
        parse_time("1714564800." + "0" * 54)


def test_a_zone_by_its_offset_has_23_hours_and_59_minutes_at_most() -> None:
    assert parse_time("2024-05-01T12:00:00", zone=parse_zone("-0430")) == NOON + 16_200 * SECOND
    assert parse_time("2024-05-01T12:00:00", zone=parse_zone("+23:59")) == NOON - (23 * 3_600 + 59 * 60) * SECOND
    assert parse_zone("Z") is UTC
    for beyond in ("+24:00", "+02:60", "-24:00"):
        with pytest.raises(ValueError, match="unknown time zone"):
            parse_zone(beyond)


@pytest.mark.parametrize(
    ("near", "time"),
    [
        (None, "00:30:00"), ("00:00:00", "00:30:00"), ("00:59:59", "00:30:00"), ("01:00:00", "00:30:00"),
        ("01:00:01", "01:30:00"), ("09:00:00", "01:30:00"),
    ],
)  # fmt: skip
def test_of_an_hour_that_a_clock_shows_twice_the_nearer_to_the_arrival_counts_else_the_earlier(
    near: str | None, time: str
) -> None:
    zone = parse_zone("Europe/Berlin")
    arrival = None if near is None else parse_time(f"2026-10-25T{near}Z")
    expected = parse_time(f"2026-10-25T{time}Z")
    assert parse_time("2026-10-25T02:30:00", zone=zone, near=arrival) == expected
    assert parse_time("25.10.2026 02:30", zone=zone, form="%d.%m.%Y %H:%M", near=arrival) == expected


def test_an_hour_that_a_clock_leaves_out_is_read_as_before_it_was_put_on() -> None:
    zone = parse_zone("Europe/Berlin")
    for near in (None, "2026-03-29T00:00:00Z", "2026-03-29T09:00:00Z"):
        arrival = None if near is None else parse_time(near)
        assert parse_time("2026-03-29T02:30:00", zone=zone, near=arrival) == parse_time("2026-03-29T01:30:00Z")
