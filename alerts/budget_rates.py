"""Alarm: the false alarms a second that the budget allows each series: its own, or its share of a common one."""

from __future__ import annotations

from collections.abc import Sequence

from alerts.alarm_settings import AlarmSettings, Scope, budget_per_second
from alerts.incidents import site_of
from devices.kinds import SCORED
from devices.records import SeriesRecord


def budget_rates(series: Sequence[SeriesRecord], settings: AlarmSettings) -> dict[int, float]:
    """Alarms a second by number of series. A budget of a device, a site or all is shared equally by those of its series
    that are scored and have no budget of their own."""
    rates: dict[int, float] = {}
    groups: dict[str, list[int]] = {}
    for record in series:
        if own := settings.override_of(record.device, record.metric):
            rates[record.series] = budget_per_second(own)
        elif record.kind in SCORED:
            groups.setdefault(_group(record.device, settings.budget_scope), []).append(record.series)
    for members in groups.values():
        share = settings.budget_per_second / (1 if settings.budget_scope is Scope.SENSOR else len(members))
        rates |= dict.fromkeys(members, share)
    return rates


def _group(device: str, scope: Scope) -> str:
    if scope is Scope.DEVICE:
        return device
    return site_of(device) if scope is Scope.SITE else ""
