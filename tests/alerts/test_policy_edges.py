"""The policy at its borders: exactly at a threshold, at a time, at a number of readings."""

from __future__ import annotations

import math

import numpy as np
import pytest

from alerts.alarm_settings import AlarmSettings
from alerts.policy import AlarmPolicy, Verdicts
from alerts.policy_kernels import ADOPTED, CLEARED, ESCALATED, OPENED, Band
from alerts.severity import SEVERITIES
from common.time_units import DAY, HOUR, MINUTE, SECOND

START = 1_750_000_000 * SECOND
NORMAL, FAULT = 20.0, 30.0
USUAL = {"threshold": 4.0, "clear_ratio": 0.6, "clear_after": "5m", "clear_readings": 5, "adopt_after": "12h"}


def policy_of(**settings: object) -> AlarmPolicy:
    policy = AlarmPolicy(AlarmSettings.model_validate(USUAL | settings))
    policy.grow(1)
    return policy


def judge(policy: AlarmPolicy, times: list[int], scores: list[float], values: list[float] | None = None) -> Verdicts:
    """Readings of series 0 at `times` (ns from the start), usually 18 to 22; without `values` no band is known."""
    n = len(times)
    usual = np.full(n, NORMAL)
    band = None if values is None else Band(np.array(values), usual, usual - 2.0, usual + 2.0)
    return policy.step(np.zeros(n, np.int32), START + np.array(times, np.int64), np.array(scores, np.float64), band)


def events(verdicts: Verdicts) -> list[tuple[int, int]]:
    return [(row, int(event)) for row, event in enumerate(verdicts.event) if event]


def severities(verdicts: Verdicts) -> list[str]:
    return [SEVERITIES[number] for number in verdicts.severity]


def every(length: int, count: int) -> list[int]:
    return [length * number for number in range(count)]


def test_two_readings_of_one_moment_say_nothing_of_the_cadence() -> None:
    policy = policy_of(threshold=None, budget="1 per sensor per week")
    judge(policy, every(MINUTE, 50), [0.0] * 50)
    before = policy.threshold(0)
    assert before == pytest.approx(math.log10(7 * 24 * 60))
    judge(policy, [49 * MINUTE] * 5, [0.0] * 5)
    assert policy.threshold(0) == before


def test_one_long_gap_moves_the_threshold_by_a_twentieth_of_a_bounded_step() -> None:
    policy = policy_of(threshold=None)
    judge(policy, every(MINUTE, 50), [0.0] * 50)
    before = policy.threshold(0)
    judge(policy, [100 * DAY], [0.0])
    assert policy.threshold(0) == pytest.approx(before - 0.05 * 2.0 / math.log(10))
    judge(policy, [100 * DAY + 1], [0.0])
    assert policy.threshold(0) == pytest.approx(before)


def test_a_series_beyond_those_known_has_the_threshold_of_an_unknown_one() -> None:
    policy = policy_of(threshold=None)
    room = len(policy.thresholds())
    assert policy.threshold(room) == policy.threshold(room - 1) == pytest.approx(math.log10(7 * 24 * 60))


@pytest.mark.parametrize(("score", "severity"), [(7.9, "minor"), (8.0, "major")])
def test_an_alarm_opens_as_major_where_it_is_very_far_at_once(score: float, severity: str) -> None:
    assert severities(judge(policy_of(), [0], [score])) == [severity]


def test_the_fifth_reading_at_five_minutes_raises_the_severity_and_the_fourth_does_not() -> None:
    five = judge(policy_of(), every(75 * SECOND, 5), [6.0] * 5)
    assert (events(five), severities(five)[-1]) == ([(0, OPENED), (4, ESCALATED)], "major")
    four = judge(policy_of(), every(100 * SECOND, 5), [6.0] * 5)
    assert events(four) == [(0, OPENED), (4, ESCALATED)]
    assert severities(four) == ["minor"] * 4 + ["major"]


def test_a_score_exactly_at_the_threshold_opens_counts_and_is_an_anomaly() -> None:
    verdicts = judge(policy_of(), every(MINUTE, 242), [4.0] * 242)
    assert events(verdicts) == [(0, OPENED), (240, ESCALATED)]
    assert verdicts.anomaly.all()


def test_a_score_exactly_at_the_clearing_share_keeps_an_alarm_open() -> None:
    settings = {"clear_ratio": 0.5, "clear_readings": 2, "clear_after": "0s"}
    assert events(judge(policy_of(**settings), every(SECOND, 6), [5.0, *[2.0] * 5])) == [(0, OPENED)]
    assert events(judge(policy_of(**settings), every(SECOND, 3), [5.0, 1.99, 1.99])) == [(0, OPENED), (2, CLEARED)]


def test_an_alarm_that_grew_worse_has_to_be_calm_from_then_on() -> None:
    seconds = [0, 1, 10, 11, 30, 31]
    settings = {"clear_after": "10s", "clear_readings": 3}
    verdicts = judge(policy_of(**settings), [SECOND * at for at in seconds], [5.0, 0.0, 9.0, 0.0, 0.0, 0.0])
    assert events(verdicts) == [(0, OPENED), (2, ESCALATED), (5, CLEARED)]
    seconds = [0, 1, 2, 3, 4, 11, 12]
    verdicts = judge(policy_of(**settings), [SECOND * at for at in seconds], [5.0, 0.0, 9.0, 0.0, 0.0, 0.0, 0.0])
    assert events(verdicts) == [(0, OPENED), (2, ESCALATED), (6, CLEARED)]


def test_an_alarm_is_calm_from_the_last_reading_that_was_not() -> None:
    settings = {"clear_after": "10s", "clear_readings": 2}
    verdicts = judge(policy_of(**settings), every(SECOND, 30), [5.0, 0.0, 0.0, 5.0, *[0.0] * 26])
    assert events(verdicts) == [(0, OPENED), (13, CLEARED)]


@pytest.mark.parametrize(("edge", "cleared"), [(22.0, 5), (22.1, None)])
def test_what_opens_at_the_edge_of_its_band_ends_by_its_score_and_beyond_it_by_its_value(
    edge: float, cleared: int | None
) -> None:
    verdicts = judge(policy_of(), every(MINUTE, 10), [5.0, *[0.0] * 9], [edge] * 10)
    assert events(verdicts) == [(0, OPENED), *([(cleared, CLEARED)] if cleared else [])]
    assert verdicts.anomaly[1:5].tolist() == [cleared is None] * 4


def test_a_reading_half_as_far_off_as_the_one_that_opened_is_an_anomaly_and_a_nearer_one_is_not() -> None:
    verdicts = judge(policy_of(), every(MINUTE, 3), [5.0, 0.0, 0.0], [FAULT, 25.0, 24.9])
    assert verdicts.anomaly.tolist() == [True, True, False]


def test_one_wild_reading_counts_for_no_more_than_twice_the_fault() -> None:
    beyond = judge(policy_of(), every(MINUTE, 14), [8.0, 8.0, *[0.0] * 12], [FAULT, 1_030.0, *[NORMAL] * 12])
    assert events(beyond) == [(0, OPENED), (9, CLEARED)]
    other_side = judge(policy_of(), every(MINUTE, 14), [8.0, *[0.0] * 13], [FAULT, -1_000.0, *[FAULT] * 12])
    assert events(other_side) == [(0, OPENED)]


def adopting(**settings: object) -> AlarmPolicy:
    """A policy that has known its series for a day, and has just taken 30 as normal: at 2 h after the start."""
    policy = policy_of(adopt_after="2h", **settings)
    judge(policy, [-DAY], [0.0])
    verdicts = judge(policy, every(MINUTE, 121), [8.0, *[0.0] * 120], [FAULT] * 121)
    assert events(verdicts) == [(0, OPENED), (120, ADOPTED)]
    return policy


@pytest.mark.parametrize(("later", "opened"), [(DAY - 1, []), (DAY, [(0, OPENED)])])
def test_the_return_raises_no_alarm_for_a_day(later: int, opened: list[tuple[int, int]]) -> None:
    assert events(judge(adopting(), [2 * HOUR + later], [8.0], [NORMAL])) == opened


def test_half_way_back_is_no_return() -> None:
    assert events(judge(adopting(), [3 * HOUR], [8.0], [25.0])) == [(0, OPENED)]
    assert events(judge(adopting(), [3 * HOUR], [8.0], [24.9])) == []


@pytest.mark.parametrize(("later", "opened"), [(2 * HOUR - 1, []), (2 * HOUR, [(0, OPENED)])])
def test_once_it_has_returned_it_is_judged_again_after_as_long_as_it_took_to_adopt(
    later: int, opened: list[tuple[int, int]]
) -> None:
    policy = adopting()
    judge(policy, [3 * HOUR], [8.0], [NORMAL])
    assert events(judge(policy, [3 * HOUR + later], [8.0], [NORMAL])) == opened


def test_no_alarm_opens_for_the_cooldown_after_one_was_taken_as_normal() -> None:
    policy = adopting(cooldown=2)
    assert events(judge(policy, [3 * HOUR + at for at in range(4)], [8.0] * 4, [60.0] * 4)) == [(2, OPENED)]


def test_a_series_whose_age_is_not_known_adopts_after_the_time_that_is_set() -> None:
    before, after = policy_of(adopt_after="2h"), policy_of(adopt_after="2h")
    judge(before, [-MINUTE], [0.0])
    state = {name: array for name, array in before.state().items() if name != "first_time"}
    after.load(state)
    verdicts = judge(after, every(MINUTE, 130), [8.0, *[0.0] * 129], [FAULT] * 130)
    assert events(verdicts) == [(0, OPENED), (120, ADOPTED)]


def test_alarms_that_a_store_holds_are_the_open_ones_and_go_on_from_when_they_opened() -> None:
    policy = policy_of(clear_after="1m", clear_readings=2)
    policy.grow(2)
    judge(policy, [0], [5.0])
    policy.adopt([(1, START, 6.0, 1)])
    assert (policy.open_series.tolist(), policy.peak(1)) == ([1], 6.0)
    verdicts = policy.step(np.ones(3, np.int32), START + SECOND * np.array([30, 59, 60]), np.zeros(3))
    assert verdicts.event.tolist() == [0, 0, CLEARED]
    assert severities(verdicts) == ["major"] * 3


def test_an_adopted_alarm_counts_its_opening_as_one_reading_and_needs_its_calm_ones_again() -> None:
    policy = policy_of(clear_after="0s", clear_readings=2)
    policy.adopt([(0, START, 6.0, 0)])
    assert events(judge(policy, [MINUTE, 2 * MINUTE, 3 * MINUTE, 5 * MINUTE], [6.0] * 4)) == [(3, ESCALATED)]
    again = policy_of(clear_after="0s", clear_readings=2)
    judge(again, [0, SECOND], [5.0, 0.0])
    again.adopt([(0, START, 6.0, 0)])
    assert events(judge(again, [2 * SECOND, 3 * SECOND], [0.0, 0.0])) == [(1, CLEARED)]
