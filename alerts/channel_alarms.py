"""Alarm: a notice channel that takes nothing is an alarm of Driftline itself, of a device of that name."""

from __future__ import annotations

import math

from alerts.actions import ReportChannel
from alerts.alarm_life import Alarms
from alerts.alarm_step import UNDELIVERED, Opening
from common.durations import spoken_duration
from devices.records import AlarmRecord
from devices.series_registry import SeriesRegistry, TooManySeriesError

OWN_DEVICE = "driftline"
"""The device whose alarms are about Driftline itself."""
_METRIC = "notices:"
_ENDINGS = {"well": "takes messages again", "removed": "channel removed"}


def channel_of(device: str, metric: str) -> str:
    """The notice channel that alarms of this series are about; "" for any other series."""
    return metric.removeprefix(_METRIC) if device == OWN_DEVICE and metric.startswith(_METRIC) else ""


def alarm_of_channel(report: ReportChannel, registry: SeriesRegistry, alarms: Alarms) -> AlarmRecord | None:
    """The alarm's record after the report; None where it changes nothing, or no series is left."""
    try:
        series, _ = registry.find_or_add(OWN_DEVICE, _METRIC + report.channel, "s", "diagnostic")
    except TooManySeriesError:
        return None
    alarms.grow(registry.records)
    if report.state != "dead":
        return alarms.over(series, report.at, _ENDINGS[report.state])
    waited = max(0, report.at - report.since)
    reason = f'notice channel "{report.channel}" has taken nothing for {spoken_duration(waited)}: {report.error}'
    opening = Opening(math.nan, math.nan, reason, {UNDELIVERED: alarms.threshold(series)})
    return alarms.begin(series, report.at, "major", opening)
