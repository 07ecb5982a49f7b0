"""An alarm lasts as long as its fault: it ends when the series is back, or when what it found is taken as normal."""

from __future__ import annotations

import numpy as np
import pytest

from alerts.alarm_settings import AlarmSettings
from alerts.policy import AlarmPolicy, Verdicts
from alerts.policy_kernels import ADOPTED, CLEARED, OPENED, Band

MINUTE = 60 * 10**9
START = 1_750_000_000 * 10**9
NORMAL, FAULT = 20.0, 30.0


def judged(
    values: list[float], scores: dict[int, float], *, expected: float = NORMAL, known_minutes: int = 600
) -> Verdicts:
    """A reading a minute, within 2 of what is expected usually; `scores` by row, 0 where none is given.

    The series is known for `known_minutes` before.
    """
    policy = AlarmPolicy(AlarmSettings(threshold=4.0, clear_after="5m", clear_readings=5, adopt_after="2h"))
    policy.grow(1)
    minutes = np.arange(-known_minutes, 0)
    policy.step(np.zeros(known_minutes, np.int32), START + MINUTE * minutes, np.zeros(known_minutes))
    rows = len(values)
    score = np.zeros(rows)
    for row, height in scores.items():
        score[row] = height
    value, usual = np.array(values), np.full(rows, expected)
    band = Band(value, usual, usual - 2.0, usual + 2.0)
    return policy.step(np.zeros(rows, np.int32), START + MINUTE * np.arange(rows, dtype=np.int64), score, band)


def events(verdicts: Verdicts) -> list[tuple[int, int]]:
    return [(row, int(event)) for row, event in enumerate(verdicts.event) if event]


def test_a_level_that_stays_keeps_its_alarm_open_though_the_score_falls() -> None:
    verdicts = judged([NORMAL] * 10 + [FAULT] * 60 + [NORMAL] * 30, {10: 8.0})
    (opened, first), (cleared, last) = events(verdicts)
    assert (opened, first, last) == (10, OPENED, CLEARED)
    assert 75 <= cleared <= 80
    assert verdicts.anomaly[10:70].all()
    assert not verdicts.anomaly[70:].any()


def test_the_band_of_a_fault_is_that_of_before_it_though_its_detector_knows_it_by_now() -> None:
    policy = AlarmPolicy(AlarmSettings(threshold=4.0))
    policy.grow(1)
    value = np.array([NORMAL] * 3 + [FAULT] * 4 + [NORMAL])
    score = np.array([0.0] * 3 + [8.0, 8.0, 1.0, 1.0, 0.0])
    widened = np.arange(8) >= 5
    band = Band(value, np.full(8, NORMAL), np.full(8, NORMAL - 2.0), np.where(widened, FAULT + 1.0, NORMAL + 2.0))
    verdicts = policy.step(np.zeros(8, np.int32), START + MINUTE * np.arange(8, dtype=np.int64), score, band)
    told = verdicts.band(band)
    assert verdicts.anomaly.tolist() == [False] * 3 + [True] * 4 + [False]
    assert told.upper.tolist() == [22.0] * 7 + [31.0]
    assert told.lower.tolist() == [18.0] * 8
    assert told.expected.tolist() == [NORMAL] * 8
    outside = (value < told.lower) | (value > told.upper)
    assert outside.tolist() == verdicts.anomaly.tolist()


def test_a_lone_spike_is_over_a_few_readings_later() -> None:
    assert events(judged([NORMAL] * 10 + [FAULT] + [NORMAL] * 30, {10: 8.0})) == [(10, OPENED), (17, CLEARED)]


def test_what_stays_is_taken_as_normal_and_its_return_is_no_alarm() -> None:
    values = [NORMAL] * 10 + [FAULT] * 200 + [NORMAL] * 60
    verdicts = judged(values, {10: 8.0, **dict.fromkeys(range(210, 220), 8.0)})
    assert events(verdicts) == [(10, OPENED), (130, ADOPTED)]


def test_a_young_series_adopts_after_as_long_as_it_was_known() -> None:
    values = [NORMAL] * 10 + [FAULT] * 200
    assert events(judged(values, {10: 8.0}, known_minutes=30)) == [(10, OPENED), (50, ADOPTED)]
    assert events(judged([FAULT] * 200, {0: 8.0}, known_minutes=1)) == [(0, OPENED), (19, ADOPTED)]


def test_a_fault_on_the_other_side_after_that_is_an_alarm() -> None:
    values = [NORMAL] * 10 + [FAULT] * 200 + [60.0] * 20
    assert events(judged(values, {10: 8.0, 210: 8.0})) == [(10, OPENED), (130, ADOPTED), (210, OPENED)]


def test_a_score_that_stays_high_is_not_taken_as_normal() -> None:
    assert events(judged([NORMAL] * 10 + [FAULT] * 200, dict.fromkeys(range(10, 210), 8.0)))[-1][1] != ADOPTED


def test_what_is_within_its_band_ends_by_its_score_alone() -> None:
    assert events(judged([NORMAL + 1.0] * 40, {10: 8.0}, expected=NORMAL)) == [(10, OPENED), (15, CLEARED)]


def test_a_state_of_the_version_before_is_taken_over() -> None:
    before = AlarmPolicy(AlarmSettings(threshold=4.0))
    before.grow(2)
    band = Band(*np.full((4, 1), np.nan))
    before.step(np.zeros(1, np.int32), np.array([START]), np.array([9.0]), band)
    added = ("readings", "normal", "off", "mean_off", "return_until", "first_time")
    state = {name: array for name, array in before.state().items() if name not in added}
    after = AlarmPolicy(AlarmSettings(threshold=4.0))
    after.load(state)
    assert after.open_series.tolist() == [0]
    with pytest.raises(KeyError):
        after.load({name: array for name, array in state.items() if name != "peak"})


def test_by_default_a_fault_of_twenty_hours_is_one_alarm_until_ten_minutes_after_its_end() -> None:
    hours = 20 * 60
    values = np.r_[np.full(3000, NORMAL), np.full(hours, FAULT), np.full(60, NORMAL)]
    policy = AlarmPolicy(AlarmSettings(threshold=4.0))
    policy.grow(1)
    score, usual = np.zeros(len(values)), np.full(len(values), NORMAL)
    score[3000 : 3000 + 480] = 8.0  # The detector gets used to it after eight hours.
    band = Band(values, usual, usual - 2.0, usual + 2.0)
    times = START + MINUTE * np.arange(len(values), dtype=np.int64)
    verdicts = policy.step(np.zeros(len(values), np.int32), times, score, band)
    opened, _, cleared = events(verdicts)
    assert (opened, cleared[1]) == ((3000, OPENED), CLEARED)
    assert 3000 + hours + 10 <= cleared[0] <= 3000 + hours + 14
