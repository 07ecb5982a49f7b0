"""What a person said of a series: hours and dates that do not count, and how long a deviation has to last."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from alerts.alarm_settings import AlarmSettings
from alerts.policy import AlarmPolicy
from alerts.policy_kernels import OPENED, Band
from alerts.series_rules import NO_RULES, SeriesRules, without_ignored

MINUTE = 60_000_000_000
START = 1_750_000_000 * 1_000_000_000
NORMAL, FAULT = 20.0, 30.0


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("rules", "time", "ignored"),
    [
        (SeriesRules(hours=((8.5, 10.0),)), "2026-03-02T08:29:59Z", False),
        (SeriesRules(hours=((8.5, 10.0),)), "2026-03-02T08:30:00Z", True),
        (SeriesRules(hours=((8.5, 10.0),)), "2026-03-02T09:59:59Z", True),
        (SeriesRules(hours=((8.5, 10.0),)), "2026-03-02T10:00:00Z", False),
        (SeriesRules(hours=((22.0, 6.0),)), "2026-03-02T21:59:59Z", False),
        (SeriesRules(hours=((22.0, 6.0),)), "2026-03-02T22:00:00Z", True),
        (SeriesRules(hours=((22.0, 6.0),)), "2026-03-02T05:59:59Z", True),
        (SeriesRules(hours=((22.0, 6.0),)), "2026-03-02T06:00:00Z", False),
        (SeriesRules(hours=((1.0, 2.0), (4.0, 5.0))), "2026-03-02T04:30:00Z", True),
        (SeriesRules(hours=((4.0, 5.0),), time_zone="Asia/Tokyo"), "2026-03-02T04:30:00Z", False),
        (SeriesRules(hours=((4.0, 5.0),), time_zone="Asia/Tokyo"), "2026-03-01T19:30:00Z", True),
        (SeriesRules(dates=frozenset({"2026-03-02"})), "2026-03-02T12:00:00Z", True),
        (SeriesRules(dates=frozenset({"2026-03-02"})), "2027-03-02T12:00:00Z", False),
        (SeriesRules(dates=frozenset({"12-24"})), "2031-12-24T12:00:00Z", True),
        (SeriesRules(dates=frozenset({"12-24"})), "2031-12-25T12:00:00Z", False),
        (NO_RULES, "2026-03-02T12:00:00Z", False),
    ],
)
def test_hours_and_dates_are_those_of_the_local_clock(rules: SeriesRules, time: str, ignored: bool) -> None:
    assert rules.ignores(at(time)) is ignored


def test_only_a_rule_with_hours_or_dates_ignores_something() -> None:
    assert not SeriesRules(shortest=MINUTE).ignores_something
    assert SeriesRules(hours=((1.0, 2.0),)).ignores_something
    assert SeriesRules(dates=frozenset({"12-24"})).ignores_something


def test_scores_of_an_ignored_time_are_none_and_the_others_and_the_given_ones_stay() -> None:
    score = np.array([1.0, 2.0, 3.0])
    time = np.array([at("2026-03-02T01:30Z"), at("2026-03-02T02:00Z"), at("2026-03-02T01:30Z")])
    counted = without_ignored({1: SeriesRules(hours=((1.0, 2.0),))}, np.array([1, 1, 0], np.int32), time, score)
    assert np.array_equal(counted, [np.nan, 2.0, 3.0], equal_nan=True)
    assert score.tolist() == [1.0, 2.0, 3.0]


def policy_of(rules: SeriesRules) -> AlarmPolicy:
    policy = AlarmPolicy(AlarmSettings(threshold=4.0, clear_after="5m", clear_readings=5))
    policy.describe(0, rules)
    return policy


def told(policy: AlarmPolicy, scores: list[float], values: list[float]) -> tuple[list[int], list[bool], list[float]]:
    """The rows at which an alarm opens, whether each reading is an anomaly, and the peaks; a reading a minute."""
    n = len(scores)
    usual = np.full(n, NORMAL)
    band = Band(np.array(values), usual, usual - 2.0, usual + 2.0)
    times = START + MINUTE * np.arange(n, dtype=np.int64)
    verdicts = policy.step(np.zeros(n, np.int32), times, np.array(scores), band)
    return np.flatnonzero(verdicts.event == OPENED).tolist(), verdicts.anomaly.tolist(), verdicts.peak.tolist()


def test_what_has_to_last_opens_no_sooner_with_the_highest_score_since_it_began() -> None:
    opened, anomaly, peak = told(policy_of(SeriesRules(3 * MINUTE)), [0.0, 9.0, 5.0, 5.0, 5.0, 5.0], [FAULT] * 6)
    assert opened == [4]
    assert anomaly == [False] * 4 + [True] * 2
    assert peak[4] == 9.0


def test_a_level_that_stays_has_lasted_though_its_score_falls() -> None:
    values = [NORMAL, FAULT, NORMAL + 5.0, FAULT, FAULT]
    assert told(policy_of(SeriesRules(3 * MINUTE)), [0.0, 9.0, 0.0, 0.0, 0.0], values)[0] == [4]


def test_what_is_over_sooner_is_no_alarm_and_the_next_one_lasts_from_its_own_beginning() -> None:
    scores = [9.0, 9.0, 0.0, 9.0, 9.0, 4.0, 4.0]
    values = [FAULT, FAULT, NORMAL + 4.9, FAULT, FAULT, NORMAL, NORMAL]
    opened, anomaly, _ = told(policy_of(SeriesRules(3 * MINUTE)), scores, values)
    assert opened == [6]
    assert anomaly == [False] * 6 + [True]


def test_readings_within_their_band_last_by_their_score_alone() -> None:
    assert told(policy_of(SeriesRules(2 * MINUTE)), [9.0, 0.0, 0.0, 0.0], [NORMAL + 1.0] * 4)[0] == []
    assert told(policy_of(SeriesRules(2 * MINUTE)), [9.0, 9.0, 9.0, 0.0], [NORMAL + 1.0] * 4)[0] == [2]


def test_what_a_person_says_later_takes_the_place_of_what_was_said() -> None:
    always = SeriesRules(hours=((0.0, 24.0),))
    policy = policy_of(always)
    assert told(policy, [9.0], [FAULT])[0] == []
    policy.describe(0, NO_RULES)
    assert told(policy, [9.0], [FAULT])[0] == [0]
    assert policy.shortest(0) == 0
    assert policy_of(SeriesRules(shortest=3 * MINUTE)).shortest(0) == 3 * MINUTE
