"""The alarms that the service would have raised on columns of readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_step import SILENT
from devices.fault_labels import WHOLE_DEVICE
from ingest.silence import LISTENS_EVERY, SilenceWatch
from tuning.backtest import Plan, score_columns
from tuning.missed_faults import ScoredSeries
from tuning.scorecard import Alarm

Columns = Mapping[tuple[str, str], tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]]
"""Times, int64 ns, values, and times of arrival of each series, by device and metric, in order of arrival."""

CLOCK_STEP = 60_000_000_000
"""So much (ns) of the recording is taken at once."""


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
    """When the service would have called a device silent, or a metric missing, judged by the arrival of readings."""
    names = list(dict.fromkeys(device for device, _ in columns))
    number = {name: i for i, name in enumerate(names)}
    keys = list(columns)
    device_of = np.array([number[device] for device, _ in keys], np.int32)
    series = np.concatenate([np.full(len(t), i, np.int32) for i, (t, _, _) in enumerate(columns.values())])
    arrival = np.concatenate([arrival for _, _, arrival in columns.values()])
    order = np.argsort(arrival, kind="stable")
    series, arrival = series[order], arrival[order]
    watch = SilenceWatch()
    watch.grow(len(names), len(keys))
    since: dict[tuple[int, int], int] = {}
    alarms: list[Alarm] = []
    at, now = 0, int(arrival[0])
    while now < end:
        now += CLOCK_STEP
        last = int(np.searchsorted(arrival, now))
        # The clock goes on between messages, as ticks let it.
        moments = np.unique(np.append(arrival[at:last], np.arange(now - CLOCK_STEP, now + 1, LISTENS_EVERY)))
        while len(moments):
            count = watch.until_look(moments)
            until = at + int(np.searchsorted(arrival[at:last], moments[count - 1], side="right"))
            heard, times = series[at:until], arrival[at:until]
            changes = watch.step(device_of[heard], heard, times, times, moments[:count], device_of, lambda _: True)
            at, moments = until, moments[count:]
            for change in changes:
                key = (change.device, -1) if change.series < 0 else (int(device_of[change.series]), change.series)
                if change.begins:
                    since[key] = change.time
                else:
                    alarms.append(_silence(names, keys, key, since.pop(key), change.time))
    return [*alarms, *(_silence(names, keys, key, start, end) for key, start in since.items())]


def _silence(
    names: Sequence[str], keys: Sequence[tuple[str, str]], key: tuple[int, int], start: int, end: int
) -> Alarm:
    device, series = key
    return Alarm(names[device], WHOLE_DEVICE if series < 0 else keys[series][1], start, end, SILENT)
