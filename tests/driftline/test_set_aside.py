"""Which alarms that are not cleared ask for nobody."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from alerts.maintenance import MaintenanceSettings
from devices.records import AlarmRecord, AlarmState
from driftline.runtime.set_aside import SetAside

HOUR = 3_600 * 1_000_000_000
SUNDAY_NOON = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000_000
SUNDAYS = [MaintenanceSettings(name="greasing", devices=["pump-*"], hours=["Sun 10:00-14:00"])]


def alarm(number: int, *, opened: int = SUNDAY_NOON, shelved_until: int | None = None) -> AlarmRecord:
    return AlarmRecord(
        alarm=number,
        series=number,
        state=AlarmState.OPEN,
        opened=opened,
        cleared=None,
        severity="major",
        peak_score=5.0,
        value=1.0,
        expected=math.nan,
        reason="",
        parts={},
        shelved_until=shelved_until,
    )


def test_an_alarm_is_set_aside_while_it_is_shelved_or_its_device_muted() -> None:
    alarms = [alarm(1), alarm(2, shelved_until=SUNDAY_NOON + 1), alarm(3)]
    aside = SetAside()
    devices = ["pump-1", "pump-2", "fan-1"]
    assert aside.of(alarms, devices, now=SUNDAY_NOON, muted={"fan-1"}, windows=[]) == [False, True, True]
    assert aside.of(alarms, devices, now=SUNDAY_NOON + 1, muted=set(), windows=[]) == [False, False, False]


def test_an_alarm_that_opened_under_maintenance_stays_set_aside_and_one_before_it_does_not() -> None:
    alarms = [alarm(1), alarm(2, opened=SUNDAY_NOON - 3 * HOUR), alarm(3)]
    devices = ["pump-1", "pump-2", "fan-1"]
    aside = SetAside()
    for now in (SUNDAY_NOON, SUNDAY_NOON + 30 * HOUR):
        assert aside.of(alarms, devices, now=now, muted=(), windows=SUNDAYS) == [True, False, False]
    assert aside.of(alarms, devices, now=SUNDAY_NOON, muted=(), windows=[]) == [False, False, False]
    mondays = [SUNDAYS[0].model_copy(update={"hours": ["Mon 10:00-14:00"]})]
    assert aside.of(alarms, devices, now=SUNDAY_NOON, muted=(), windows=mondays) == [False, False, False]
