"""Which alarms that are not cleared ask for nobody: shelved, of a muted device, or opened under maintenance."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from alerts.maintenance import MaintenanceSettings, maintenance_of
from devices.records import AlarmRecord


class SetAside:
    """Tells which alarms are set aside. Whether one opened under maintenance is looked up once."""

    def __init__(self) -> None:
        self._windows: Sequence[MaintenanceSettings] = ()
        self._maintained: Mapping[tuple[int, str], bool] = {}

    def of(
        self,
        alarms: Sequence[AlarmRecord],
        devices: Sequence[str],
        *,
        now: int,
        muted: Collection[str],
        windows: Sequence[MaintenanceSettings],
    ) -> list[bool]:
        """Of each alarm whether it is set aside `now` (ns); `devices` are those that they are about."""
        maintained = self._looked_up(alarms, devices, windows) if windows else {}
        return [
            (alarm.shelved_until is not None and alarm.shelved_until > now)
            or device in muted
            or maintained.get((alarm.alarm, device), False)
            for alarm, device in zip(alarms, devices, strict=True)
        ]

    def _looked_up(
        self, alarms: Sequence[AlarmRecord], devices: Sequence[str], windows: Sequence[MaintenanceSettings]
    ) -> Mapping[tuple[int, str], bool]:
        known = self._maintained if windows == self._windows else {}
        found = {
            (alarm.alarm, device): known[alarm.alarm, device]
            if (alarm.alarm, device) in known
            else bool(maintenance_of(windows, device, alarm.opened))
            for alarm, device in zip(alarms, devices, strict=True)
        }
        # Requests come side by side: what is known is put in place whole.
        self._maintained, self._windows = found, windows
        return found
