"""What an engineer reads of an alarm of the default detector: the channel, sensible digits, what is usual."""

from __future__ import annotations

import math

import pytest

from alerts.reasons import sentence
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
