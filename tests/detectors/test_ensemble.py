"""The default detector: what it finds, how long a fault scores, that it recurs, and how seldom normal readings do."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.detector import MAX_SCORE, Scores
from detectors.ensemble import Ensemble, EnsembleParameters
from detectors.ensemble_kernel import PART_NAMES
from detectors.knowledge import Knowledge
from tuning.synthetic import DAY, NORMAL, times

MINUTE = 60_000_000_000
WEEKLY = 4.0
"""Decades of one false alarm a week at a reading a minute."""


def score(values: NDArray[np.float64], detector: Ensemble | None = None, *, step: int = MINUTE) -> Scores:
    detector = detector or Ensemble(EnsembleParameters())
    detector.grow(1)
    count = len(values)
    return detector.step(
        np.zeros(count, np.int32), np.arange(count, dtype=np.int64) * step, values, np.ones(count, np.bool_)
    )


def noise(count: int, seed: int = 3) -> NDArray[np.float64]:
    return 20.0 + np.random.default_rng(seed).normal(size=count)


def heartbeat(count: int, seed: int = 3) -> NDArray[np.float64]:
    """A cycle of 100 readings with a narrow peak and a slow wave."""
    phase = np.arange(count) % 100
    rng = np.random.default_rng(seed)
    return 3 * np.exp(-(((phase - 30) / 4) ** 2)) + np.sin(2 * np.pi * phase / 100) + rng.normal(size=count) * 0.03


def household(days: int, seed: int) -> NDArray[np.float64]:
    """A daily course, a reading every 5 minutes."""
    day = 2 * np.pi * np.arange(days * 288) / 288
    return np.maximum(300 - 250 * np.cos(day), 0) + np.random.default_rng(seed).normal(size=days * 288) * 20


@pytest.mark.parametrize("kind", list(NORMAL))
def test_three_weeks_of_normal_readings_give_few_alarms(kind: str) -> None:
    values = NORMAL[kind](21 * DAY, np.random.default_rng([5, *kind.encode()]))
    detector = Ensemble(EnsembleParameters(shape=False))
    detector.grow(1)
    found = detector.step(np.zeros(len(values), np.int32), times(len(values)), values, np.ones(len(values), np.bool_))
    high = np.flatnonzero(found.score >= WEEKLY)
    excursions = int(np.count_nonzero(np.diff(high) > 60)) + 1 if len(high) else 0
    assert excursions <= 9


def test_a_fault_scores_as_long_as_it_lasts_and_each_time_it_recurs() -> None:
    values = noise(12 * DAY)
    starts = 8 * DAY + np.arange(8) * 600
    for start in starts:
        values[start : start + 60] += 15.0
    result = score(values)
    for start in starts:
        assert (result.score[start : start + 60] >= WEEKLY).all()
        assert (result.score[start + 90 : start + 500] < WEEKLY).all()


def test_a_level_that_stays_is_adopted_within_half_a_day_and_its_return_is_found() -> None:
    values = noise(12 * DAY)
    values[8 * DAY :] += 15.0
    result = score(values)
    assert (result.score[8 * DAY : 8 * DAY + 240] >= WEEKLY).all()
    assert result.score[9 * DAY :].max() < WEEKLY
    assert abs(result.expected[-1] - 35.0) < 1.0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("hour", [3, 13])
@pytest.mark.parametrize("day", [1, 5, 9])
def test_a_lone_reading_of_ten_times_the_maximum_is_found_at_every_hour_of_the_first_weeks(
    seed: int, hour: int, day: int
) -> None:
    values = household(12, seed)
    place = day * 288 + hour * 12
    values[place] = 10 * values.max()
    result = score(values, step=5 * MINUTE)
    assert result.score[place] >= WEEKLY
    assert result.channel is not None
    assert result.score[place + 1 : place + 48].max() < WEEKLY - 0.7


def test_an_absurd_reading_is_found_from_the_fiftieth_on_at_a_reading_a_second() -> None:
    values = noise(200)
    values[60] = 2000.0
    assert score(values, step=MINUTE // 60).score[60] >= 5.8


def test_a_machine_that_is_switched_on_for_the_first_time_is_no_fault_on_its_first_day_and_one_later() -> None:
    rng = np.random.default_rng(3)
    current = np.abs(0.1 * rng.normal(size=3 * DAY))
    running = 15.0 + 0.3 * rng.normal(size=3 * DAY)
    for starts, told in ((360, False), (2 * DAY, True)):
        values = np.where(np.arange(3 * DAY) < starts, current, running)
        assert bool((score(values[: starts + 60]).score[starts:] >= WEEKLY).any()) is told


def test_a_room_that_warms_up_beyond_its_first_night_is_no_fault() -> None:
    rng = np.random.default_rng(3)
    values = np.concatenate([np.full(360, 17.0), 17.0 + 5.0 * np.arange(300) / 300]) + 0.2 * rng.normal(size=660)
    assert np.nanmax(score(values).score) < WEEKLY


def test_a_shift_of_forty_usual_deviations_is_found_in_the_first_half_hour_at_a_reading_a_second() -> None:
    values = noise(1800)
    values[1700:1740] += 40.0
    assert score(values, step=MINUTE // 60).score[1700:1740].max() >= 5.8


def test_each_of_two_equal_faults_of_a_first_hour_is_found_at_a_reading_a_second() -> None:
    values = noise(3600)
    for start in (1200, 2400):
        values[start : start + 60] += 40.0
    found = score(values, step=MINUTE // 60).score
    assert found[1200:1260].max() >= 5.8
    assert found[2400:2460].max() >= 5.8


def test_each_of_eight_equal_spikes_of_a_young_series_is_found() -> None:
    values = noise(3000)
    places = [400, 690, 1050, 1330, 1720, 2010, 2350, 2600]
    values[places] += 20.0
    assert score(values).score[places].min() >= WEEKLY


def test_spikes_of_the_first_hours_hide_none_of_those_after_them() -> None:
    """A reading that the young series is too cautious to call a fault widens neither its range nor its errors."""
    values = noise(700)
    values[[100, 250, 400, 550]] += 27.0
    found = score(values).score
    assert found[100] > 3.5
    assert found[[250, 400, 550]].min() >= WEEKLY


def test_of_four_equal_faults_of_a_first_hour_the_later_ones_are_normal() -> None:
    values = noise(3600)
    starts = (1700, 2300, 2900, 3500)
    for start in starts:
        values[start : start + 60] += 40.0
    found = score(values, step=MINUTE // 60).score
    assert [bool(found[start : start + 60].max() >= 5.8) for start in starts] == [True, True, False, False]


def test_an_outlier_hides_no_threefold_fault() -> None:
    rng = np.random.default_rng(1)
    latency = 100 * np.exp(0.15 * rng.normal(size=12 * DAY))
    latency[9 * DAY : 9 * DAY + 10] *= 500.0
    latency[9 * DAY + 720 : 9 * DAY + 730] *= 3.0
    result = score(latency)
    assert result.score[9 * DAY] >= WEEKLY
    assert result.score[9 * DAY + 720 : 9 * DAY + 730].max() >= WEEKLY


def test_a_missed_beat_is_the_highest_score_of_a_heartbeat() -> None:
    values = heartbeat(8000)
    values[6020:6045] = np.sin(2 * np.pi * np.arange(20, 45) / 100)
    result = score(values)
    highest = 2000 + int(np.argmax(result.score[2000:]))
    assert 6000 <= highest <= 6120
    assert result.channel is not None
    assert PART_NAMES[result.channel[highest]] == "shape"


def test_the_channel_is_the_part_that_gave_the_score() -> None:
    values = noise(6000)
    values[5000] = 500.0
    result = score(values)
    assert result.parts is not None
    assert result.channel is not None
    scored = np.flatnonzero(result.channel >= 0)
    highest = result.parts[scored, result.channel[scored]]
    np.testing.assert_array_equal(highest, result.parts[scored].max(axis=1))
    np.testing.assert_allclose(highest, result.score[scored], rtol=1e-6)


def test_an_alarmed_value_lies_outside_the_band_it_is_told_with() -> None:
    values = noise(12 * DAY)
    values[8 * DAY : 8 * DAY + 60] += 12.0
    result = score(values)
    fault = slice(8 * DAY, 8 * DAY + 60)
    assert (result.upper[fault] < values[fault]).all()
    assert np.abs(result.expected[fault] - 20.0).max() < 3.0


def test_novelty_is_a_second_answer_that_a_repeated_value_lowers() -> None:
    values = noise(6000)
    values[4000] = 60.0
    values[5000] = 60.0
    result = score(values)
    assert result.novelty is not None
    assert result.novelty[4000] > 3.0 > result.novelty[5000]
    assert result.score[5000] >= WEEKLY


def test_scores_of_a_prefix_are_the_prefix_of_the_scores() -> None:
    values = np.concatenate([heartbeat(1500), noise(700)])
    whole = score(values)
    for end in (400, 1025, 1777):
        part = score(values[:end])
        np.testing.assert_array_equal(part.score, whole.score[:end])
        np.testing.assert_array_equal(part.upper, whole.upper[:end])


def test_what_is_not_learned_leaves_no_trace() -> None:
    detector = Ensemble(EnsembleParameters())
    score(noise(600), detector)
    before = detector.state()
    count = 50
    detector.step(
        np.zeros(count, np.int32), np.arange(count, dtype=np.int64), noise(count) + 9, np.zeros(count, np.bool_)
    )
    after = detector.state()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


def test_extreme_scores_keep_their_order() -> None:
    found = []
    for height in (1e3, 1e5, 1e7):
        values = noise(5000)
        values[4500] = height
        found.append(score(values).score[4500])
    assert found == sorted(set(found))
    assert found[-1] < MAX_SCORE


def test_a_constant_series_is_normal_until_it_moves() -> None:
    values = np.zeros(14 * DAY)
    values[12 * DAY] = 1.0
    result = score(values).score
    assert np.nanmax(result[: 12 * DAY]) == 0.0
    assert result[12 * DAY] >= WEEKLY


def test_what_a_person_knows_of_a_series_is_heeded() -> None:
    values = noise(12 * DAY)
    values[14_000:14_020] += 15.0
    values[15_000:15_020] -= 15.0
    values[15_500] = 60.5
    detector = Ensemble(EnsembleParameters())
    detector.grow(1)
    detector.describe(0, Knowledge(direction="below", upper_limit=60.0))
    result = score(values, detector)
    assert result.score[15_000:15_020].min() >= WEEKLY
    assert result.score[14_000:14_020].max() < WEEKLY
    assert result.score[15_500] == MAX_SCORE
    detector = Ensemble(EnsembleParameters())
    detector.grow(1)
    detector.describe(0, Knowledge(smallest_deviation=16.5 + 5.0))
    assert np.nanmax(score(values, detector).score[14_000:15_100]) < WEEKLY


def test_the_hour_of_a_zone_moves_with_summer_time() -> None:
    """A machine that starts at 6 local time: in Berlin nothing is new on the days after the clocks change."""
    start = np.datetime64("2026-03-09T00:00", "ns").astype(np.int64)
    count = 26 * 288
    time = start + np.arange(count, dtype=np.int64) * 5 * MINUTE
    changed = np.datetime64("2026-03-29T01:00", "ns").astype(np.int64)
    local = time + np.where(time >= changed, 2, 1) * 60 * MINUTE
    hour = (local // (60 * MINUTE)) % 24
    values = np.where((hour >= 6) & (hour < 18), 100.0, 20.0) + np.random.default_rng(2).normal(size=count)
    highest = {}
    for zone in ("UTC", "Europe/Berlin"):
        detector = Ensemble(EnsembleParameters(shape=False))
        detector.grow(1)
        detector.describe(0, Knowledge(time_zone=zone))
        result = detector.step(np.zeros(count, np.int32), time, values, np.ones(count, np.bool_))
        highest[zone] = np.nanmax(result.score[time >= changed])
    assert highest["Europe/Berlin"] < highest["UTC"]
    assert highest["Europe/Berlin"] < 3.3


def test_memory_is_declared_and_bounded() -> None:
    for shape, most in ((True, 24 * 1024), (False, 8 * 1024)):
        detector = Ensemble(EnsembleParameters(shape=shape))
        detector.grow(3)
        columns = sum(a.nbytes for a in detector.state().values()) / 3
        # A part's record ends on a multiple of eight bytes.
        assert columns <= detector.bytes_per_slot <= columns + 8 * len(detector.records)
        assert detector.bytes_per_slot <= most
