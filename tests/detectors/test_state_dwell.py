"""Time in state: which visit speaks, when, and how loudly; and the silence of ordinary use."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.channels import dwell
from detectors.channels.state_dwell import StateDwell, StateDwellParameters

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MONDAY = 1_767_571_200 * 10**9
"""2026-01-05T00:00:00Z."""


def fresh(**parameters: object) -> StateDwell:
    detector = StateDwell(StateDwellParameters.model_validate(parameters))
    detector.grow(1)
    return detector


def feed(detector: StateDwell, time: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Scores, 0 while warming up."""
    count = len(time)
    score = detector.step(np.zeros(count, np.int32), time, np.asarray(value, float), np.ones(count, np.bool_)).score
    return np.nan_to_num(score)


def cause(detector: StateDwell) -> int:
    return int(detector.arrays["present"][0, dwell.CAUSE])


def pump(days: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A pump sampled each minute, on and off for about twenty minutes each."""
    rng = np.random.default_rng(seed)
    lengths = np.maximum(rng.normal(20, 3, days * 80), 5).round().astype(int)
    value = np.repeat(np.arange(len(lengths)) % 2, lengths)[: days * 1440].astype(float)
    return MONDAY + np.arange(len(value)) * MINUTE, value


def door(days: int, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A contact that reports changes: opened about twenty times a day between 7 and 21 h, for half a minute."""
    rng = np.random.default_rng(seed)
    opened = np.sort(np.concatenate([rng.uniform(7, 21, 20) * HOUR + day * DAY for day in range(days)]))
    closed = opened + rng.gamma(3, 10, len(opened)) * 10**9
    keep = np.append(closed[:-1] < opened[1:], True)
    time = np.column_stack([opened, closed])[keep].ravel().astype(np.int64) + MONDAY
    return time, np.tile([1.0, 0.0], keep.sum())


def test_a_pump_that_stays_on_speaks_within_eighty_minutes_until_it_stops_and_is_quiet_before() -> None:
    time, value = pump(14)
    fault = slice(10 * 1440, 10 * 1440 + 480)
    value[fault] = 1.0
    detector = fresh()
    score = feed(detector, time, value)
    assert score[: fault.start].max() < 3.0
    assert score[fault.start + 80 : fault.stop].min() > 4.0
    assert score[fault.stop + 2 :].max() < 3.0


def test_a_pump_that_does_not_start_is_a_long_visit_to_off() -> None:
    time, value = pump(14)
    value[10 * 1440 : 10 * 1440 + 480] = 0.0
    detector = fresh()
    score = feed(detector, time[: 10 * 1440 + 300], value[: 10 * 1440 + 300])
    assert score[-1] > 4.0
    assert cause(detector) == dwell.LONG_VISIT


def test_one_long_fault_does_not_make_the_next_one_usual() -> None:
    time, value = pump(20)
    for day in (8, 12, 16):
        value[day * 1440 : day * 1440 + 480] = 1.0
    score = feed(fresh(), time, value)
    peaks = [score[day * 1440 : day * 1440 + 480].max() for day in (8, 12, 16)]
    assert min(peaks) > 4.5
    assert peaks[2] > peaks[0] - 1.0


def test_a_door_closed_all_night_is_usual_and_one_left_open_is_told_while_nobody_reports() -> None:
    time, value = door(30)
    detector = fresh()
    score = feed(detector, time, value)
    assert np.sort(score[200:])[-3] < 2.3
    zero = np.zeros(1, np.int32)
    closed = MONDAY + 30 * DAY + 6 * HOUR
    assert detector.overdue(zero, closed)[0] < 1.0
    opened = MONDAY + 30 * DAY + 12 * HOUR
    feed(detector, np.array([opened]), np.array([1.0]))
    assert detector.overdue(zero, opened + MINUTE)[0] < 1.0
    assert detector.overdue(zero, opened + HOUR)[0] > 3.0
    assert detector.overdue(zero, opened + 8 * HOUR)[0] > 5.0


def test_a_door_closed_through_a_working_day_is_told_too() -> None:
    time, value = door(30)
    detector = fresh()
    feed(detector, time, value)
    zero = np.zeros(1, np.int32)
    assert detector.overdue(zero, MONDAY + 30 * DAY + 8 * HOUR)[0] < 2.5
    assert detector.overdue(zero, MONDAY + 30 * DAY + 19 * HOUR)[0] > 3.0


def test_the_first_opening_at_three_in_the_night_is_told_by_its_hour() -> None:
    time, value = door(40)
    detector = fresh()
    feed(detector, time, value)
    score = feed(detector, np.array([MONDAY + 40 * DAY + 3 * HOUR]), np.array([1.0]))
    assert score[0] > 2.5
    assert cause(detector) == dwell.ODD_HOUR
    usual = feed(detector, MONDAY + 40 * DAY + np.array([4 * HOUR, 10 * HOUR]), np.array([0.0, 1.0]))
    assert usual[1] < 2.0


def test_hours_are_those_of_the_time_zone() -> None:
    time, value = door(40)
    night = np.array([MONDAY + 40 * DAY + 22 * HOUR])
    scores = {}
    for zone in ("UTC", "Asia/Kolkata"):
        detector = fresh(time_zone=zone)
        feed(detector, time, value)
        feed(detector, night, np.array([1.0]))
        hours = detector.arrays["tables"][0, 0, : dwell.BY_DAY].astype(float)
        scores[zone] = np.flatnonzero(hours)
    assert scores["UTC"].min() == 7
    assert scores["Asia/Kolkata"].min() == 0 or scores["Asia/Kolkata"].min() == 12


def test_an_office_door_opened_on_a_sunday_is_told_after_weeks_without_one() -> None:
    time, value = door(56)
    weekday = (time - MONDAY) // DAY % 7
    time, value = time[weekday < 5], value[weekday < 5]
    detector = fresh()
    score = feed(detector, time, value)
    assert np.sort(score[300:])[-3] < 2.6, "weekends are no long visit"
    sunday = feed(detector, np.array([MONDAY + 55 * DAY + 12 * HOUR]), np.array([1.0]))
    assert sunday[0] > 2.4
    assert cause(detector) == dwell.ODD_HOUR


def test_chatter_is_told_and_passes() -> None:
    time, value = pump(10)
    at = 9 * 1440
    value[at : at + 60] = np.arange(60) % 2
    detector = fresh()
    score = feed(detector, time[: at + 60], value[: at + 60])
    assert score[at + 20 : at + 60].min() > 4.0
    assert cause(detector) == dwell.CHATTER
    assert score[:at].max() < 3.0


def test_a_contact_that_chatters_is_told_until_it_stops_and_ordinary_use_after_it_is_quiet() -> None:
    time, value = door(30)
    begin = MONDAY + 20 * DAY + 12 * HOUR
    loose = begin + np.arange(1440) * 20 * 10**9
    before, after = time < begin, time > loose[-1] + HOUR
    assert value[before][-1] == 0.0
    detector = fresh()
    feed(detector, time[before], value[before])
    chatter = feed(detector, loose, np.tile([1.0, 0.0], 720))
    assert int(np.argmax(chatter >= 4.8)) == 20, "seven minutes after it began"
    assert chatter[20:].min() >= 4.8
    assert cause(detector) == dwell.CHATTER
    ordinary = feed(detector, time[after], value[after])
    assert ordinary.max() < 3.0


def test_a_leak_sensor_that_was_dry_for_a_month_is_told_each_of_the_first_times() -> None:
    count = 30 * 1440
    value = np.zeros(count)
    wet = [20 * 1440, 23 * 1440, 26 * 1440]
    for at in wet:
        value[at : at + 30] = 1.0
    score = feed(fresh(), MONDAY + np.arange(count) * MINUTE, value)
    assert score[: wet[0]].max() == 0.0
    for at in wet:
        assert score[at : at + 30].min() > 3.4
        assert score[at + 31 : at + 1440].max() < 3.0


def test_an_outage_is_no_long_visit() -> None:
    time, value = pump(10)
    time[8 * 1440 :] += 9 * HOUR
    detector = fresh()
    score = feed(detector, time, value)
    assert score[8 * 1440 - 5 : 8 * 1440 + 60].max() < 2.0
    last = int(time[-1])
    assert np.isnan(detector.overdue(np.zeros(1, np.int32), last + 5 * HOUR)[0])


@pytest.mark.parametrize("values", [np.random.default_rng(3).normal(20, 1, 3000), np.arange(3000) % 7])
def test_what_has_more_than_four_values_is_no_state(values: np.ndarray) -> None:
    detector = fresh()
    assert feed(detector, MONDAY + np.arange(3000) * MINUTE, values)[200:].max() == 0.0
    assert np.isnan(detector.overdue(np.zeros(1, np.int32), MONDAY + 3000 * MINUTE)[0])


def test_ordinary_pumps_keep_the_budget() -> None:
    loud = 0
    for seed in range(10):
        time, value = pump(28, seed)
        score = feed(fresh(), time, value) >= 4.0
        loud += int((score[1:] & ~score[:-1]).sum())
    assert loud <= 10, "one a sensor-week would be 40"
