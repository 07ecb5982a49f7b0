"""Why a fault was missed that could have been seen: what was open then, what was read, and how high the score rose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from devices.fault_labels import WHOLE_DEVICE
from tuning.scorecard import Alarm, FaultOutcome, Score


class Missed(StrEnum):
    """The causes, the first that applies."""

    OPEN_BEFORE = "an alarm was open before it began"
    NOT_WATCHED = "its metric is never scored"
    NOT_SCORED = "no reading was scored while it lasted"
    ODD_YET_NO_ALARM = "readings were odd, yet no alarm opened"
    SCORE_TOO_LOW = "no reading was odd enough"


@dataclass(frozen=True, slots=True)
class ScoredSeries:
    """What a series' readings were found to be, (n,): times int64 ns, scores float32, NaN for none, and whether odd."""

    time: NDArray[np.int64]
    score: NDArray[np.float32]
    anomaly: NDArray[np.bool_]


def with_causes(score: Score, alarms: Sequence[Alarm], scored: Mapping[tuple[str, str], ScoredSeries]) -> Score:
    """The score of one run, each missed fault with its cause and the highest score while it lasted."""
    return replace(score, faults=tuple(_with_cause(fault, alarms, scored) for fault in score.faults))


def _with_cause(
    fault: FaultOutcome, alarms: Sequence[Alarm], scored: Mapping[tuple[str, str], ScoredSeries]
) -> FaultOutcome:
    if fault.found or fault.unseen:
        return fault
    score, odd, watched = [np.empty(0, np.float32)], False, False
    for series in _of(fault, scored):
        watched |= not np.isnan(series.score).all()
        during = slice(*np.searchsorted(series.time, (fault.start, fault.end + 1)).tolist())
        score.append(series.score[during])
        odd |= bool(series.anomaly[during].any())
    given = np.concatenate(score)
    given = given[~np.isnan(given)]
    peak = float(given.max()) if len(given) else float("nan")
    if any(_was_open(alarm, fault) for alarm in alarms):
        cause = Missed.OPEN_BEFORE
    elif not len(given):
        cause = Missed.NOT_SCORED if watched else Missed.NOT_WATCHED
    else:
        cause = Missed.ODD_YET_NO_ALARM if odd else Missed.SCORE_TOO_LOW
    return replace(fault, missed=cause.value, peak=peak)


def _of(fault: FaultOutcome, scored: Mapping[tuple[str, str], ScoredSeries]) -> list[ScoredSeries]:
    return [
        series
        for (device, metric), series in scored.items()
        if device == fault.device and fault.metric in (metric, WHOLE_DEVICE)
    ]


def _was_open(alarm: Alarm, fault: FaultOutcome) -> bool:
    concerned = alarm.device == fault.device and (
        fault.metric == WHOLE_DEVICE or alarm.metric in (fault.metric, WHOLE_DEVICE)
    )
    return concerned and alarm.start < fault.start < alarm.end
