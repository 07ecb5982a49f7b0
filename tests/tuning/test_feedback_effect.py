"""What an answer about an alarm would have changed in the last days, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from alerts.alarm_settings import AlarmSettings
from devices.records import AlarmRecord, AlarmState
from storage.store import SeriesPoints
from tuning.feedback_effect import effect_of

MINUTE = 60_000_000_000
START = 1_772_366_400_000_000_000
PEAKS = {500: 4.6, 1_000: 5.2, 1_500: 6.4}


def points() -> SeriesPoints:
    n = 2_000
    score = np.full(n, 0.5)
    for row, peak in PEAKS.items():
        score[row : row + 5] = peak
    none = np.full(n, np.nan)
    time = START + np.arange(n, dtype=np.int64) * MINUTE
    return SeriesPoints(time, np.zeros(n), score, none, none, none, np.zeros(n, np.bool_), n)


def alarms(feedback: Sequence[str] = ("", "", "")) -> list[AlarmRecord]:
    return [
        AlarmRecord(
            number, 0, AlarmState.CLEARED, START + row * MINUTE, START + (row + 10) * MINUTE, "minor", peak, 1.0, 0.0,
            "odd", feedback=said,
        )
        for number, ((row, peak), said) in enumerate(zip(PEAKS.items(), feedback, strict=True), 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("threshold", "feedback", "sentence"),
    [
        (4.0, ("", "", ""), "the 3 alarms of the last 30 days would have been raised as well"),
        (4.7, ("wrong", "right", "right"),
         "1 of 3 alarms in the last 30 days would not have been raised; 2 true ones kept"),
        (5.3, ("wrong", "wrong", "right"),
         "2 of 3 alarms in the last 30 days would not have been raised; 1 true one kept"),
        (5.3, ("", "right", "right"),
         "2 of 3 alarms in the last 30 days would not have been raised; of 2 true ones 1 kept"),
        (9.0, ("wrong", "", ""), "would not have alarmed in the last 30 days: there were 3 alarms"),
    ],
)  # fmt: skip
def test_the_past_is_judged_by_the_threshold_of_now(threshold: float, feedback: Sequence[str], sentence: str) -> None:
    effect = effect_of(points(), alarms(feedback), AlarmSettings(), budget=None, threshold=threshold, days=30)
    assert effect.sentence == sentence
    assert effect.were == 3


def test_a_past_without_alarms_says_that_there_is_nothing_to_compare_with() -> None:
    effect = effect_of(points(), [], AlarmSettings(), budget=None, threshold=9.0, days=30)
    assert effect.sentence == "no alarm in the last 30 days to compare with"


def test_the_series_own_budget_holds_beside_the_threshold() -> None:
    rare = effect_of(points(), alarms(), AlarmSettings(), budget="1 per sensor per year", threshold=4.0, days=30)
    assert (rare.kept, rare.were) == (1, 3)
