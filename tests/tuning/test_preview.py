from __future__ import annotations

import numpy as np

from alerts.alarm_settings import AlarmSettings
from storage.store import SeriesPoints
from tuning.preview import preview

SECOND = 1_000_000_000
START = 1_772_366_400 * SECOND


def points(score: np.ndarray) -> SeriesPoints:
    n = len(score)
    time = START + np.arange(n, dtype=np.int64) * 60 * SECOND
    value, none = np.zeros(n), np.full(n, np.nan)
    return SeriesPoints(time, value, score, none, none, none, np.zeros(n, np.bool_), n)


def scores() -> np.ndarray:
    score = np.full(2_000, 0.5)
    score[:50] = np.nan
    score[500:505] = 4.5
    score[1_200:1_205] = 6.5
    return score


def test_a_smaller_budget_keeps_the_rare_alarm_and_drops_the_common_one() -> None:
    touchy = preview(points(scores()), AlarmSettings(budget="3 per sensor per day", clear_after="5m"))
    calm = preview(points(scores()), AlarmSettings(budget="1 per sensor per year"))
    assert [(each.opened - START) // (60 * SECOND) for each in touchy.alarms] == [500, 1_200]
    assert [(each.opened - START) // (60 * SECOND) for each in calm.alarms] == [1_200]
    assert [each.peak for each in touchy.alarms] == [4.5, 6.5]
    assert touchy.alarms[0].cleared is not None
    assert touchy.threshold < 4.5 < calm.threshold < 6.5


def test_an_alarm_at_the_end_is_open() -> None:
    score = scores()
    score[1_990:] = 8.0
    assert preview(points(score), AlarmSettings()).alarms[-1].cleared is None


def test_no_point_gives_no_alarm() -> None:
    assert preview(points(np.empty(0)), AlarmSettings()).alarms == ()
