"""What an engineer reads of an alarm of the default detector: the channel, sensible digits, what is usual."""

from __future__ import annotations

import math

import pytest

from alerts.reasons import digits, sentence
from devices.records import SeriesRecord

BAND = (17.012345, 15.1, 18.9)
NONE = (math.nan, math.nan, math.nan)


def said(value: float, channel: str, band: tuple[float, float, float] = BAND) -> str:
    record = SeriesRecord(0, "press", "current", "A")
    return sentence(record, value, 6.0, band, {channel: 6.0, "shape": 1.0})


@pytest.mark.parametrize(
    ("channel", "text"),
    [
        (
            "level",
            "current 32.1 A, usually 15.1 to 18.9 A at this hour; 8 times as far off as nearly all readings",
        ),
        (
            "jump",
            "current 32.1 A, after the last readings expected 15.1 to 18.9 A; "
            "8 times as far off as nearly all readings",
        ),
        (
            "range",
            "current 32.1 A is far outside everything seen of this sensor; usually 15.1 to 18.9 A; "
            "8 times as far off as nearly all readings",
        ),
        ("stuck", "current 32.1 A stands still for longer than this sensor ever did"),
    ],
)
def test_the_sentence_is_that_of_the_channel_that_spoke(channel: str, text: str) -> None:
    assert said(32.123456, channel) == text


def test_a_lasting_deviation_within_the_band_of_single_readings_is_told_as_one_of_the_mean() -> None:
    text = said(17.2, "lasting", (17.0, 16.9, 17.1))
    assert text == (
        "current 17.20 A; the mean of the last readings stays above what is usual at this hour, 16.90 to 17.10 A"
    )


def test_an_error_code_says_what_to_set() -> None:
    text = said(85.0, "error_code", NONE)
    assert text == "current 85 A looks like an error code of the sensor, not a reading; set error_values"


def test_a_detector_without_a_band_gives_its_score_and_no_rarity_that_it_cannot_know() -> None:
    assert said(85.0, "zscore", NONE) == "current 85 A; score 6.0 by zscore"


@pytest.mark.parametrize(
    ("value", "channel", "band", "text"),
    [
        (20.0, "level", (17.0, 15.0, 19.0), "current 20.0 A, usually 15.0 to 19.0 A at this hour; "
         "1.5 times as far off as nearly all readings"),
        (19.9, "level", (17.0, 15.0, 19.0), "current 19.9 A, usually 15.0 to 19.0 A at this hour"),
        (1e6, "level", (17.0, 15.0, 19.0), "current 1000000.0 A, usually 15.0 to 19.0 A at this hour; "
         "1e+03 times as far off as nearly all readings"),
        (20.0, "joint", (17.0, 15.0, 19.0), "current 20.0 A, usually 15.0 to 19.0 A; "
         "1.5 times as far off as nearly all readings; score 6.0 by joint"),
        (17.0, "lasting", (17.0, 15.0, 19.0), "current 17.0 A; the mean of the last readings stays above what is "
         "usual at this hour, 15.0 to 19.0 A"),
        (16.9, "lasting", (17.0, 15.0, 19.0), "current 16.9 A; the mean of the last readings stays below what is "
         "usual at this hour, 15.0 to 19.0 A"),
        (16.9, "jump", (17.0, 15.0, 19.0), "current 16.9 A, within the usual 15.0 to 19.0 A; score 6.0 by jump"),
        (18.0, "level", (17.0, 17.0, 17.0), "current 18 A, usually 17 to 17 A at this hour"),
        (85.0, "ewma", (17.0, math.nan, math.nan), "current 85 A, expected 17 A; score 6.0 by ewma"),
    ],
)  # fmt: skip
def test_how_far_off_is_told_where_it_is_worth_saying(
    value: float, channel: str, band: tuple[float, float, float], text: str
) -> None:
    assert said(value, channel, band) == text


def test_without_parts_and_unit_there_is_the_value_and_the_score() -> None:
    assert sentence(SeriesRecord(0, "press", "load"), 3.0, 4.25, NONE, {}) == "load 3; score 4.2"


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [
        (12.345678, 100.0, "12"),
        (12.345678, 10.0, "12"),
        (12.345678, 9.99, "12.3"),
        (12.345678, 1.0, "12.3"),
        (12.345678, 0.99, "12.35"),
        (0.123456789, 1e-9, "0.123457"),
        (1e9, 1.0, "1e+09"),
        (999_999_999.0, 1.0, "999999999.0"),
        (12.345678, 0.0, "12.3457"),
        (12.345678, math.inf, "12.3457"),
        (12.345678, math.nan, "12.3457"),
        (math.inf, 1.0, "inf"),
    ],
)
def test_a_number_has_digits_down_to_a_tenth_of_its_band(value: float, half: float, text: str) -> None:
    assert digits(value, half) == text


LIMITED = (math.nan, 5.0, 95.0)


@pytest.mark.parametrize(
    ("kind", "value", "band", "text"),
    [
        ("threshold", 96.0, LIMITED, "current 96 A is above 95 A"),
        ("threshold", 4.99, LIMITED, "current 4.99 A is below 5 A"),
        ("threshold", 96.0, (math.nan, math.nan, 95.0), "current 96 A is above 95 A"),
        ("physical_range", -999.0, LIMITED, "current -999 A is below what is possible, 5 A"),
        (
            "rate_of_change",
            60.0,
            (50.0, 48.0, 52.0),
            "current 60 A rose by 10 A since the reading before; the limit allows 2 A in that time",
        ),
        (
            "rate_of_change",
            40.0,
            (50.0, 48.0, math.nan),
            "current 40 A fell by 10 A since the reading before; the limit allows 2 A in that time",
        ),
        ("stuck", 85.0, NONE, "current 85 A stands still for longer than this sensor ever did"),
        ("zscore", 32.1, BAND, "current 32.1 A, usually 15.1 to 18.9 A; 7.9 times as far off as nearly all readings"),
        (
            "holt_winters",
            32.1,
            BAND,
            "current 32.1 A, after the last readings expected 15.1 to 18.9 A; "
            "7.9 times as far off as nearly all readings",
        ),
        ("cusum", 17.9, BAND, "current 17.9 A; the mean of the last readings has moved away from 17.01 A"),
        (
            "river",
            85.0,
            NONE,
            'current 85 A is unusual to the detector "mine" (river), which does not say what it expected',
        ),
        (
            "file",
            85.0,
            (80.0, math.nan, math.nan),
            'current 85 A is unusual to the detector "mine" (file), which expected 80 A',
        ),
    ],
)
def test_a_detector_of_the_configuration_speaks_in_the_words_of_its_kind(
    kind: str, value: float, band: tuple[float, float, float], text: str
) -> None:
    record = SeriesRecord(0, "press", "current", "A")
    assert sentence(record, value, 12.0, band, {"mine": 12.0}, kind) == text


def test_the_name_of_a_detector_is_not_taken_for_a_channel() -> None:
    record = SeriesRecord(0, "press", "current", "A")
    text = "current 32.1 A, usually 15.1 to 18.9 A; 7.9 times as far off as nearly all readings"
    for name in ("stuck", "lasting", "level", "range"):
        assert sentence(record, 32.1, 12.0, BAND, {name: 12.0}, "zscore") == text
