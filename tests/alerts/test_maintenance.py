from __future__ import annotations

from datetime import datetime

import pytest
from pydantic import ValidationError

from alerts.maintenance import MaintenanceSettings, maintenance_of


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000


WEEKLY = MaintenanceSettings(
    name="cleaning", devices=["plant/hall-1/*"], hours=["Sun 02:00-04:00"], time_zone="Europe/Berlin"
)
ONCE = MaintenanceSettings(name="new motor", devices=["*/pump-07"], start="2026-03-02T08:00Z", end="2026-03-02T16:00Z")


@pytest.mark.parametrize(
    ("device", "time", "name"),
    [
        ("plant/hall-1/pump-01", "2026-03-01T01:30+00:00", "cleaning"),
        ("plant/hall-1/pump-01", "2026-03-01T03:00+00:00", ""),
        ("plant/hall-2/pump-01", "2026-03-01T01:30+00:00", ""),
        ("plant/hall-2/pump-07", "2026-03-02T08:00+00:00", "new motor"),
        ("plant/hall-2/pump-07", "2026-03-02T16:00+00:00", ""),
    ],
)
def test_a_window_is_for_its_devices_at_its_time(device: str, time: str, name: str) -> None:
    assert maintenance_of([WEEKLY, ONCE], device, at(time)) == name


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "hours: missing"),
        ({"hours": ["at night"]}, 'got "at night", expected days and hours'),
        ({"start": "2026-03-02T08:00Z", "end": "2026-03-01T08:00Z"}, "expected a time after start"),
        ({"start": "soon"}, "soon"),
        ({"hours": ["02:00-04:00"], "time_zone": "Berlin"}, 'unknown "Berlin"'),
    ],
)
def test_what_is_no_window_is_said(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        MaintenanceSettings(name="x", **settings)


def test_a_window_is_for_any_of_its_devices_at_any_of_its_hours() -> None:
    window = MaintenanceSettings(name="x", devices=["a/*", "b/*"], hours=["Mon 02:00-04:00", "Sun 02:00-04:00"])
    sunday = at("2026-03-01T02:00+00:00")
    assert [window.includes(device, sunday) for device in ("a/1", "b/1", "c/1")] == [True, True, False]
    assert not window.includes("a/1", sunday - 1_000_000_000)


def test_a_window_without_an_end_or_a_start_is_for_good_on_that_side() -> None:
    begins = MaintenanceSettings(name="x", start="2026-03-02T08:00Z")
    ends = MaintenanceSettings(name="x", end="2026-03-02T08:00Z")
    time = at("2026-03-02T08:00+00:00")
    assert (begins.includes("a", time - 1), begins.includes("a", time)) == (False, True)
    assert (ends.includes("a", time - 1), ends.includes("a", time)) == (True, False)
    with pytest.raises(ValidationError, match="expected a time after start"):
        MaintenanceSettings(name="x", start="2026-03-02T08:00Z", end="2026-03-02T08:00Z")
