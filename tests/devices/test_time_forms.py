"""The other ways in which devices write a time: each form, each zone, and what is refused with its reason."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from devices.times import BadTimeError, parse_time, parse_zone

SECOND = 1_000_000_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


THEN = at("2026-07-19T14:57:54")


@pytest.mark.parametrize(
    "text",
    [
        "2026-07-19-14:57:54", "2026/7/19 14:57:54", "2026.07.19 14:57:54", "19.07.2026 14:57:54",
        "19-07-2026 14:57:54", "07/19/2026 14:57:54", "07/19/2026 02:57:54 PM", "14:57:54 19.07.2026",
        "Sun, 19 Jul 2026 14:57:54 GMT", "Sun Jul 19 14:57:54 2026", "Jul 19, 2026 2:57:54 PM", "19-Jul-2026 14:57:54",
        "2026-W29-7T14:57:54Z", "2026-200T14:57:54", "20260719145754", "20260719 145754", "260719145754",
        "260719165754S", "260719155754W", "/Date(1784473074000)/", "19.07.2026 16:57:54 +02:00",
        "19.07.2026 16:57:54 GMT+2", "19.07.2026 16:57:54 CEST", "19.07.2026 16:57:54 Europe/Berlin",
        "19.07.2026 16:57:54 [Europe/Berlin]", "19.07.2026 10:27:54 -0430", "19.07.2026 09:57:54 CDT",
    ],
)  # fmt: skip
def test_every_form_is_read_to_the_second(text: str) -> None:
    assert parse_time(text) == THEN


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("19.07.2026 14:57:54.1234567899", THEN + 123_456_789),
        ("19.07.2026 14:57:54,5", THEN + SECOND // 2),
        ("/Date(1784473074123)/", THEN + 123_000_000),
        ("/Date(-1)/", -1_000_000),
        ("19.07.2026", at("2026-07-19T00:00:00")),
        ("19.07.2026 24:00:00", at("2026-07-20T00:00:00")),
        ("03.02.2026 00:00", at("2026-02-03T00:00:00")),
        ("03/03/2026 00:00", at("2026-03-03T00:00:00")),
        ("12/13/2026 00:00", at("2026-12-13T00:00:00")),
        ("13/12/2026 00:00", at("2026-12-13T00:00:00")),
        ("03/12/2026 12:00 AM", at("2026-03-12T00:00:00")),
        ("03/12/2026 12:00 PM", at("2026-03-12T12:00:00")),
        ("03/12/2026 01:00 p.m.", at("2026-03-12T13:00:00")),
        ("2024-366T00:00", at("2024-12-31T00:00:00")),
        ("2024-001T00:00", at("2024-01-01T00:00:00")),
        ("20260719", at("2026-07-19T00:00:00")),
    ],
)
def test_days_halves_and_fractions_are_those_that_are_written(text: str, time: int) -> None:
    assert parse_time(text) == time


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("02/03/2026 10:00", "day and month cannot be told apart; set time_format"),
        ("05/12/2026 10:00", "day and month cannot be told apart; set time_format"),
        ("12/05/2026 10:00", "day and month cannot be told apart; set time_format"),
        ("19.07.2026 13:00 PM", "hour 13 with AM or PM"),
        ("19.07.2026 0:00 AM", "hour 0 with AM or PM"),
        ("19.07.2026 24:00:01", "hour, minute or second out of range"),
        ("19.07.2026 24:01", "hour, minute or second out of range"),
        ("19.07.2026 25:00", "hour, minute or second out of range"),
        ("19.07.2026 10:60", "hour, minute or second out of range"),
        ("19.07.2026 10:00:61", "hour, minute or second out of range"),
        ("31.02.2026 10:00", "day is out of range for month"),
        ("2026-W60-1T10:00", "Invalid week: 60"),
        ("19.07.2026 10:00 CST", "zone CST is not one that names a single offset"),
        ("19.07.2026 10:00 Mars/Olympus", "unknown time zone Mars/Olympus"),
        ("19.07.2026 10:00 +24:00", r"zone \+24:00 out of range"),
    ],
)
def test_what_cannot_be_told_is_refused_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(BadTimeError, match=f"{why}; expected ISO 8601"):
        parse_time(text)


def test_a_leap_second_is_the_first_of_the_next_minute() -> None:
    assert parse_time("31.12.2016 23:59:60") == parse_time("2016-12-31T23:59:60Z") == at("2017-01-01T00:00:00")


def test_a_format_that_is_set_tells_day_from_month_and_the_zone() -> None:
    assert parse_time("02/03/2026 10:00", form="%d/%m/%Y %H:%M") == at("2026-03-02T10:00:00")
    assert parse_time("02/03/2026 10:00", form="%m/%d/%Y %H:%M") == at("2026-02-03T10:00:00")
    assert (
        parse_time("02.03.2026 10:00:01.5 +0200", form="%d.%m.%Y %H:%M:%S.%f %z")
        == at("2026-03-02T08:00:01") + SECOND // 2
    )
    with pytest.raises(BadTimeError, match=r"'soon': time data 'soon' does not match format '%d/%m/%Y'"):
        parse_time("soon", form="%d/%m/%Y")


@pytest.mark.parametrize(
    ("text", "near", "time"),
    [
        ("2026-10-25T02:30:00", None, "2026-10-25T00:30:00"),
        ("2026-10-25T02:30:00", "2026-10-25T00:31:00", "2026-10-25T00:30:00"),
        ("2026-10-25T02:30:00", "2026-10-25T01:29:00", "2026-10-25T01:30:00"),
        ("2026-10-25T02:30:00", "2026-10-25T01:00:00", "2026-10-25T00:30:00"),
        ("25.10.2026 02:30", "2026-10-25T01:29:00", "2026-10-25T01:30:00"),
        ("2026-10-25T03:00:00", "2026-10-25T02:00:00", "2026-10-25T02:00:00"),
        ("2026-03-29T03:00:00", "2026-03-29T02:00:00", "2026-03-29T01:00:00"),
    ],
)
def test_of_the_hour_that_a_clock_shows_twice_the_one_nearer_to_the_arrival_counts(
    text: str, near: str | None, time: str
) -> None:
    arrival = None if near is None else at(near)
    assert parse_time(text, zone=parse_zone("Europe/Berlin"), near=arrival) == at(time)


@pytest.mark.parametrize(
    ("number", "nanoseconds"),
    [
        (10**11 - 1, None),
        (10**11, 10**11 * 1_000_000),
        (10**14, 10**14 * 1_000),
        (10**17, 10**17),
        (-1, -SECOND),
        (2**63 - 1, 2**63 - 1),
    ],
)
def test_the_unit_of_a_number_changes_exactly_at_its_border(number: int, nanoseconds: int | None) -> None:
    if nanoseconds is None:
        with pytest.raises(BadTimeError, match="outside the years 1678 to 2262"):
            parse_time(number)
    else:
        assert parse_time(number) == parse_time(str(number)) == nanoseconds


def test_a_whole_number_of_fourteen_digits_may_be_a_date() -> None:
    assert parse_time(20260719145754) == THEN
    assert parse_time(20_991_231_235_959) == at("2099-12-31T23:59:59")
    with pytest.raises(BadTimeError, match="21000101000000: outside the years 1678 to 2262"):
        parse_time(21_000_101_000_000)
    assert parse_time(19_700_101_000_000) == 0
    assert parse_time(20260719145754, "us") == 20_260_719_145_754 * 1_000


def test_numbers_are_rounded_half_to_even_and_may_have_a_decimal_comma() -> None:
    assert parse_time("1784473074,5") == THEN + SECOND // 2
    assert parse_time("0.0000000005", "s") == 0
    assert parse_time("0.0000000015", "s") == 2
    assert parse_time("2.5", "ns") == 2
    assert parse_time(2.6, "ns") == 3


@pytest.mark.parametrize(("name", "minutes"), [("+00:00", 0), ("-04:30", -270), ("+2359", 1_439), ("UTC", 0), ("Z", 0)])
def test_a_zone_is_a_name_or_an_offset(name: str, minutes: int) -> None:
    offset = parse_zone(name).utcoffset(datetime(2026, 1, 1))
    assert offset is not None
    assert offset.total_seconds() == minutes * 60


@pytest.mark.parametrize("name", ["+24:00", "+02:60", "02:00", "", "../etc/passwd"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"unknown time zone '{name}'".replace("+", r"\+")):
        parse_zone(name)


def test_a_value_that_is_refused_is_shown_short() -> None:
    with pytest.raises(BadTimeError, match=r"^'x{56}\.\.\.; expected"):
        parse_time("x" * 200)
    with pytest.raises(BadTimeError, match=r"^an integer beyond 1e100: outside"):
        parse_time(10**101)
