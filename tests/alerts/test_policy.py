from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alerts.alarm_life import Alarms
from alerts.alarm_settings import AlarmSettings, read_former_names
from alerts.feedback import HIGHEST_SCORE
from alerts.policy import AlarmPolicy, Verdicts
from alerts.policy_kernels import CLEARED, OPENED, ROSE
from alerts.threshold import MAX_THRESHOLD, MIN_THRESHOLD
from devices.records import SeriesRecord

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND


def judge(
    policy: AlarmPolicy, scores: list[float], *, series: int = 0, every: int = SECOND, start: int = START
) -> Verdicts:
    policy.grow(series + 1)
    n = len(scores)
    times = start + every * np.arange(n, dtype=np.int64)
    return policy.step(np.full(n, series, np.int32), times, np.array(scores, np.float64))


def test_one_burst_is_one_alarm_that_clears_after_calm() -> None:
    policy = AlarmPolicy(AlarmSettings(threshold=4.0, clear_after=3, clear_ratio=0.5, cooldown=0))
    verdicts = judge(policy, [0.1, 5.0, 6.0, 1.0, 3.0, 1.0, 1.0, 1.0, 0.0])
    assert verdicts.event.tolist() == [0, OPENED, ROSE, 0, 0, 0, 0, CLEARED, 0]
    assert verdicts.anomaly.tolist() == [False, True, True, False, False, False, False, False, False]
    assert verdicts.peak.tolist() == [0.0, 5.0, *[6.0] * 7]


def test_the_highest_threshold_that_may_be_set_is_reached_by_the_highest_score_there_is() -> None:
    policy = AlarmPolicy(AlarmSettings(threshold=HIGHEST_SCORE))
    verdicts = judge(policy, [0.1, 11.99, HIGHEST_SCORE])
    assert verdicts.event.tolist() == [0, 0, OPENED]
    assert verdicts.anomaly.tolist() == [False, False, True]


def test_a_score_between_the_two_thresholds_keeps_an_alarm_open_but_opens_none() -> None:
    policy = AlarmPolicy(AlarmSettings(threshold=4.0, clear_after=2, clear_ratio=0.5, cooldown=0))
    assert judge(policy, [3.0] * 10).events == 0
    assert judge(policy, [5.0, *[3.0] * 50]).event.tolist() == [OPENED, *[0] * 50]
    assert policy.open_series.tolist() == [0]


def test_no_alarm_opens_while_the_series_cools_down() -> None:
    policy = AlarmPolicy(AlarmSettings(threshold=4.0, clear_after=1, cooldown=5))
    verdicts = judge(policy, [5.0, 0.0, *[5.0] * 6])
    assert verdicts.event.tolist() == [OPENED, CLEARED, 0, 0, 0, 0, 0, OPENED]


def test_warming_readings_are_no_verdict_and_change_no_alarm() -> None:
    policy = AlarmPolicy(AlarmSettings(threshold=4.0, clear_after=2))
    verdicts = judge(policy, [5.0, math.nan, math.nan, math.nan])
    assert verdicts.event.tolist() == [OPENED, 0, 0, 0]
    assert not verdicts.anomaly[1:].any()


@pytest.mark.parametrize(
    ("every", "budget", "expected"),
    [
        (300 * SECOND, "1 per sensor per week", math.log10(2016)),
        (SECOND, "1 per sensor per week", math.log10(604_800)),
        (3600 * SECOND, "1 per sensor per day", MIN_THRESHOLD),
        (1_000_000, "1 per sensor per year", MAX_THRESHOLD),
    ],
)
def test_the_threshold_comes_from_budget_and_cadence(every: int, budget: str, expected: float) -> None:
    policy = AlarmPolicy(AlarmSettings(budget=budget))
    judge(policy, [0.0] * 50, every=every)
    assert policy.threshold(0) == pytest.approx(expected, abs=1e-6)


def test_an_outage_does_not_stretch_the_cadence() -> None:
    policy = AlarmPolicy(AlarmSettings())
    judge(policy, [0.0] * 50)
    before = policy.threshold(0)
    judge(policy, [0.0], start=START + 30 * 86_400 * SECOND)
    assert policy.threshold(0) == pytest.approx(before, abs=0.1)


@given(st.lists(st.floats(0, 12) | st.just(math.nan), max_size=60), st.integers(0, 60))
def test_cutting_the_readings_anywhere_changes_nothing(scores: list[float], cut: int) -> None:
    settings = AlarmSettings(threshold=6.0, clear_after=2, cooldown=3)
    whole, parts = AlarmPolicy(settings), AlarmPolicy(settings)
    once = judge(whole, scores)
    first = judge(parts, scores[:cut])
    restored = AlarmPolicy(settings)
    restored.load(parts.state())
    second = judge(restored, scores[cut:], start=START + SECOND * len(scores[:cut]))
    assert once.event.tolist() == [*first.event.tolist(), *second.event.tolist()]
    assert once.anomaly.tolist() == [*first.anomaly.tolist(), *second.anomaly.tolist()]


@given(st.lists(st.floats(0, 12), max_size=100))
def test_openings_and_clearings_alternate(scores: list[float]) -> None:
    verdicts = judge(AlarmPolicy(AlarmSettings(threshold=6.0, clear_after=2, cooldown=1)), scores)
    assert verdicts.events == np.count_nonzero(verdicts.event)
    events = [e for e in verdicts.event.tolist() if e in (OPENED, CLEARED)]
    assert events == [OPENED if i % 2 == 0 else CLEARED for i in range(len(events))]


@pytest.mark.parametrize("text", ["often", "0 per sensor per week", "1 per week", "1 per sensor per fortnight"])
def test_a_budget_that_cannot_be_read_says_what_is_expected(text: str) -> None:
    with pytest.raises(ValidationError, match=r"N per sensor per hour\|day\|week"):
        AlarmSettings(budget=text)


def test_a_series_with_a_budget_of_its_own_keeps_to_that() -> None:
    policy = AlarmPolicy(AlarmSettings(threshold=5.0))
    policy.grow(2)
    policy.set_budget(1, 1 / (60.0 * 10**6))
    scores = [0.5, 0.5, 5.5]
    assert judge(policy, scores, series=0, every=60 * SECOND).anomaly.tolist() == [False, False, True]
    assert judge(policy, scores, series=1, every=60 * SECOND).anomaly.tolist() == [False, False, False]
    assert (policy.threshold(0), policy.threshold(1)) == (5.0, pytest.approx(6.0))


@pytest.mark.parametrize(
    ("budget", "shares"),
    [
        ("1 per sensor per day", (1.0, 1.0, 1.0, 1.0)),
        ("1 per device per day", (1 / 2, 1 / 2, 1.0, 1.0)),
        ("1 per site per day", (1 / 3, 1 / 3, 1 / 3, 1.0)),
        ("8 per day for all", (2.0, 2.0, 2.0, 2.0)),
    ],
)
def test_a_budget_of_many_is_shared_by_the_sensors_there_are(budget: str, shares: tuple[float, ...]) -> None:
    places = [("hall/pump", "level"), ("hall/pump", "speed"), ("hall/fan", "speed"), ("yard/gate", "level")]
    records = [SeriesRecord(number, device, metric) for number, (device, metric) in enumerate(places)]
    told_of = SeriesRecord(4, "hall/pump", "firmware", kind="text")
    alarms = Alarms(AlarmSettings(budget=budget))
    alarms.grow(records[:2])
    alarms.grow([*records, told_of])
    a_day_by_minutes = math.log10(86_400 / 60)
    expected = [max(a_day_by_minutes - math.log10(share), MIN_THRESHOLD) for share in shares]
    assert alarms.thresholds()[:4] == pytest.approx(expected)


@pytest.mark.parametrize(
    "budget", ["6 per day", "6 per plant per day", "0 per day for all", "1 per site per day for all"]
)
def test_a_budget_that_is_none_is_refused_with_what_it_may_be(budget: str) -> None:
    with pytest.raises(ValidationError, match=r"N per sensor per hour.*per site.*N per day for all"):
        AlarmSettings(budget=budget)


def test_the_names_of_the_version_before_are_read_with_what_to_write_instead() -> None:
    given = {"rest": 3, "clear_after": 7, "threshold": 4.0}
    table, notes = read_former_names(given)
    assert table == {"cooldown": 3, "clear_readings": 7, "clear_after": "0s", "threshold": 4.0}
    assert notes["rest"] == "is called cooldown now: write cooldown = 3 in its place"
    assert "write clear_readings = 7 in its place" in notes["clear_after"]
    assert (given["rest"], read_former_names({"clear_after": "5m"})) == (3, ({"clear_after": "5m"}, {}))
    settings = AlarmSettings.model_validate({"rest": 3, "cooldown": 5, "clear_after": 7, "clear_readings": 9})
    assert (settings.cooldown, settings.clear_readings, settings.clear_after) == (5, 9, "0s")


@pytest.mark.parametrize("rest", ["3", 3.5, True])
def test_a_former_name_with_a_value_that_it_never_took_is_refused(rest: object) -> None:
    with pytest.raises(ValueError, match=f"rest: got {rest!r}, expected a number of readings; it is called cooldown"):
        read_former_names({"rest": rest})
    with pytest.raises(ValidationError, match="clear_after"):
        AlarmSettings.model_validate({"clear_after": True})
