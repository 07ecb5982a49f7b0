"""Maintenance: times at which alarms of some devices are expected. They are recorded, but nobody is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from alerts.notices.hours import Hours
from alerts.notices.notice_settings import HoursText
from common.setting_texts import TimeZoneName
from devices.times import parse_time


def _check_time(text: str) -> str:
    if text:
        parse_time(text)
    return text


TimeText = Annotated[str, AfterValidator(_check_time)]


class MaintenanceSettings(BaseModel):
    """One maintenance window: for which devices, and when, once or every week."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=100, description="What is done, as the alarm list says it.")
    devices: list[str] = Field(
        default=["*"], min_length=1, description='Devices that it is for; "*" stands for any characters.'
    )
    hours: list[HoursText] = Field(
        default=[], description='Every week at these times, such as ["Sun 02:00-04:00"]; where empty, all the time.'
    )
    time_zone: TimeZoneName = Field(default="UTC", description="Time zone of hours.")
    start: TimeText = Field(default="", description="From when on, ISO 8601; from always where empty.")
    end: TimeText = Field(default="", description="Until when; for good where empty.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.start and self.end and parse_time(self.start) >= parse_time(self.end):
            raise ValueError(f'end: got "{self.end}", expected a time after start = "{self.start}"')
        if not (self.hours or self.start or self.end):
            raise ValueError("hours: missing: expected hours, or a start and an end")
        return self

    def includes(self, device: str, time: int) -> bool:
        """Whether the device is under this maintenance at the time (ns since the epoch)."""
        if not any(fnmatchcase(device, pattern) for pattern in self.devices):
            return False
        if (self.start and time < parse_time(self.start)) or (self.end and time >= parse_time(self.end)):
            return False
        local = datetime.fromtimestamp(time / 1e9, ZoneInfo(self.time_zone))
        return not self.hours or any(Hours.parse(text).includes(local) for text in self.hours)


def maintenance_of(windows: Sequence[MaintenanceSettings], device: str, time: int) -> str:
    """The name of the first window that includes the device at the time; "" where none does."""
    return next((window.name for window in windows if window.includes(device, time)), "")
