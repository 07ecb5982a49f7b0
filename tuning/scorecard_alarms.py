"""The alarms that the service would have raised on columns of readings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.fault_labels import WHOLE_DEVICE
from ingest.liveness import Liveness
from tuning.backtest import Plan, score_columns
from tuning.missed_faults import ScoredSeries
from tuning.scorecard import SILENCE, Alarm

Columns = Mapping[tuple[str, str], tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]]
"""Times, int64 ns, values, and times of arrival of each series, by device and metric, in order of arrival."""

CLOCK_STEP = 60_000_000_000
"""The service looks for silent devices more often than this; for hours of silence a minute is enough."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the service would have made of columns: its alarms, and the scores of each series by device and metric."""

    alarms: list[Alarm]
    scored: Mapping[tuple[str, str], ScoredSeries]


def judged(plan: Plan, columns: Columns, end: int) -> Judged:
    """The alarms of the detectors on each series, and of silence on each device, up to `end`, ns; and the scores."""
    alarms: list[Alarm] = []
    scored: dict[tuple[str, str], ScoredSeries] = {}
    for (device, metric), (time, value, _) in columns.items():
        if not len(time):
            continue
        track = score_columns(plan, device, [metric], time, value[:, None])
        for alarm in track.alarms:
            channel = max(alarm.parts, key=lambda name: alarm.parts[name], default="")
            alarms.append(Alarm(device, metric, alarm.opened, end if alarm.cleared is None else alarm.cleared, channel))
        order = np.argsort(time, kind="stable")
        score, odd = track.score[order, 0].astype(np.float32), track.anomaly[order, 0]
        scored[device, metric] = ScoredSeries(time[order], score, odd)
    return Judged([*alarms, *_silences(columns, end)], scored)


def _silences(columns: Columns, end: int) -> list[Alarm]:
    """When the service would have called each device silent, judged by the arrival of its readings."""
    names = list(dict.fromkeys(device for device, _ in columns))
    number = {name: i for i, name in enumerate(names)}
    device = np.concatenate([np.full(len(t), number[d], np.int32) for (d, _), (t, _, _) in columns.items()])
    arrival = np.concatenate([arrival for _, _, arrival in columns.values()])
    order = np.argsort(arrival, kind="stable")
    device, arrival = device[order], arrival[order]
    liveness = Liveness()
    liveness.grow(len(names))
    since: dict[int, int] = {}
    alarms: list[Alarm] = []
    at, now = 0, int(arrival[0])
    while now < end:
        now += CLOCK_STEP
        last = int(np.searchsorted(arrival, now))
        liveness.observe(device[at:last], arrival[at:last], arrival[at:last])
        at = last
        silent = set(
            np.flatnonzero(liveness.silent(now)[: len(names)] & (liveness.last_arrival[: len(names)] >= 0)).tolist()
        )
        for one in silent - since.keys():
            since[one] = now
        for one in since.keys() - silent:
            alarms.append(Alarm(names[one], WHOLE_DEVICE, since.pop(one), now, SILENCE))
    return [*alarms, *(Alarm(names[one], WHOLE_DEVICE, start, end, SILENCE) for one, start in since.items())]
