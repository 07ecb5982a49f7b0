"""The band that is drawn and told: that of the mode a reading is in, and never wider than what was seen."""

from __future__ import annotations

import numpy as np
import pytest

from tuning.backtest import Plan, score_columns
from tuning.track import Track

MINUTE = 60_000_000_000
START = 1_750_032_000_000_000_000
"""A Monday at midnight."""


def scored(values: np.ndarray) -> Track:
    time = START + MINUTE * np.arange(len(values), dtype=np.int64)
    return score_columns(Plan(), "pump", ["power"], time, values[:, None])


def two_modes(stops: int) -> np.ndarray:
    """A pump that draws about 5 W or about 4800 W, for twenty minutes to three hours each."""
    random = np.random.default_rng(1)
    stretches = []
    for _ in range(stops):
        stretches += [random.normal(5.0, 0.5, random.integers(20, 200))]
        stretches += [random.normal(4_800.0, 50.0, random.integers(20, 200))]
    return np.concatenate(stretches)


def test_a_signal_of_two_modes_has_the_band_of_the_mode_that_it_is_in() -> None:
    values = two_modes(60)
    track = scored(values)
    lower, upper, later = track.lower[:, 0], track.upper[:, 0], slice(6_000, None)
    on = values[later] > 1_000.0
    assert lower[later][on].min() > 4_000.0
    assert upper[later][on].max() < 5_300.0
    assert upper[later][~on].max() < 600.0
    assert lower[later][~on].min() > -50.0
    inside = (values >= lower) & (values <= upper)
    assert inside[later].mean() > 0.99


@pytest.mark.parametrize("rows", [300, 2_000, 6_000])
def test_no_band_is_wider_than_what_was_seen_and_a_margin(rows: int) -> None:
    values = two_modes(60)[:rows]
    track = scored(values)
    seen_low, seen_high = np.minimum.accumulate(values), np.maximum.accumulate(values)
    margin = 0.051 * (seen_high - seen_low) + 1e-9
    known = ~np.isnan(track.lower[:, 0])
    assert (track.lower[known, 0] >= (seen_low - margin)[known]).all()
    assert (track.upper[known, 0] <= (seen_high + margin)[known]).all()
    assert (track.lower[known, 0] <= track.expected[known, 0]).all()
    assert (track.expected[known, 0] <= track.upper[known, 0]).all()


def test_a_constant_signal_is_expected_to_be_what_it_is() -> None:
    track = scored(np.full(3_000, 21.5))
    for column in (track.expected, track.lower, track.upper):
        assert set(column[100:, 0].tolist()) == {21.5}
    assert np.nanmax(track.score) == 0.0


def test_a_parked_counter_is_to_show_what_it_showed_or_a_little_more() -> None:
    """Driven from eight till half past four each day, up to a kilometre a minute."""
    minute = np.arange(8 * 1_440) % 1_440
    driven = np.where((minute > 480) & (minute < 1_000), np.random.default_rng(1).random(len(minute)), 0.0)
    values = 52_000.0 + np.cumsum(driven)
    track = scored(values)
    late = slice(4 * 1_440, None)
    before = values[4 * 1_440 - 1 : -1]
    np.testing.assert_allclose(track.lower[late, 0], before)
    assert (track.upper[late, 0] - before).max() < 10.0
    assert (values[late] <= track.upper[late, 0]).mean() > 0.97
    assert np.isnan(track.expected[late, 0]).all(), "there is nothing that it could be back to"
    # What it shows at first is as far outside everything seen as can be; no later night is an alarm.
    assert [alarm.opened > START + 1_440 * MINUTE for alarm in track.alarms] == [False] * len(track.alarms)


def test_a_reading_that_raises_an_alarm_lies_outside_the_band_that_is_told() -> None:
    values = np.random.default_rng(2).normal(20.0, 1.0, 5_000)
    values[[3_000, 4_000]] = [31.0, 8.0]
    track = scored(values)
    for row in (3_000, 4_000):
        lower, upper = track.lower[row, 0], track.upper[row, 0]
        assert track.score[row, 0] > 4.0
        assert not lower <= values[row] <= upper
        assert 15.0 < lower < 18.5
        assert 21.5 < upper < 25.0


def test_the_return_from_a_drift_is_told_with_the_level_that_the_drift_had_reached() -> None:
    """Up from 2.3 to 8.3 within a day, then back at once: the range that was taken for normal never went there."""
    values = 2.3 + np.random.default_rng(0).normal(0.0, 0.1, 10_000)
    values[8_000:9_500] += np.linspace(0.0, 6.0, 1_500)
    track = scored(values)
    lower, upper = track.lower[9_500, 0], track.upper[9_500, 0]
    assert track.score[9_500, 0] > 4.0
    assert 7.8 < lower < 8.3 < upper < 8.8
