"""Alarm: the condition of a stream is an alarm of the device that its rows name, for as long as it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from alerts.alarm_life import Alarms
from alerts.alarm_step import OF_STREAM, Opening
from devices.records import AlarmRecord
from devices.series_registry import SeriesRegistry

HOLDS_NO_LONGER = "the condition holds no longer"
NOT_ASKED_ANY_MORE = "its stream was changed or removed"
_METRIC = "stream:"


@dataclass(frozen=True, slots=True)
class ConditionChange:
    """The condition of a stream begins or ends to hold for a device at `time` (event time, ns).

    `opening` says what its alarm tells; None ends it.
    """

    stream: str
    device: str
    time: int
    severity: str = ""
    opening: Opening | None = None


def metric_of_stream(stream: str) -> str:
    """The metric that the alarms of a stream are of, beside those that devices send."""
    return _METRIC + stream


def alarm_of_condition(
    change: ConditionChange, registry: SeriesRegistry, alarms: Alarms, in_service: Callable[[int], bool]
) -> AlarmRecord | None:
    """The alarm's record after the change; None where it changes nothing: its device is out of service, say.

    Raises TooManySeriesError where no series is left for the alarm.
    """
    metric = metric_of_stream(change.stream)
    if change.opening is None:
        found = registry.find(change.device, metric)
        return None if found is None else alarms.over(found, change.time, HOLDS_NO_LONGER)
    series, _ = registry.find_or_add(change.device, metric, "", "diagnostic")
    alarms.grow(registry.records)
    if not in_service(series):
        return None
    opening = replace(change.opening, parts={OF_STREAM: alarms.threshold(series)})
    return alarms.begin(series, change.time, change.severity, opening)
