"""Backups, their settings: where they are made, when, and how many are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.setting_texts import TimeZoneName
from functions.schedule import check_schedule


class BackupSettings(BaseModel):
    """Backups that the service makes by itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path | None = Field(
        default=None, description="Where they are made, best on another disk; without it there are none."
    )
    schedule: str = Field(default="0 3 * * *", description="When: minute, hour, day, month, weekday.")
    time_zone: TimeZoneName = Field(default="UTC", description='Time zone of schedule, such as "Europe/Berlin".')
    keep: int = Field(default=7, ge=1, le=10_000, description="How many stay; the oldest go once a new one is good.")
    check: bool = Field(
        default=True, description="Restore each into a scratch folder beside it, and compare what is in there."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_schedule(self.schedule, "schedule")
        return self
