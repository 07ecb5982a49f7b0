"""Settings of the report: when it is made, and whom it goes to."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, model_validator

from alerts.notices.hours import DAYS
from common.setting_texts import TimeZoneName
from common.time_units import SECOND

_AT = re.compile(r"(?:(?P<day>[A-Za-z]{3,9})\s+)?(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)")


class ReportSettings(BaseModel):
    """When a report is made by itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: str = Field(
        default="",
        description='When: "Mon 07:00" each week, "07:00" each day; never where empty. It is about the week or the day '
        "before, and is kept in the folder `reports` of the data folder.",
    )
    time_zone: TimeZoneName = Field(default="UTC", description="Time zone of `at`, and of times in the report.")
    notices: list[str] = Field(default=[], description="Names of notice channels that it is sent through.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        found = _AT.fullmatch(self.at.strip())
        if self.at and (found is None or (found["day"] and found["day"].lower()[:3] not in DAYS)):
            raise ValueError(
                f'at: got "{self.at}", expected a day and time such as "Mon 07:00", or a time such as "07:00"'
            )
        return self

    @property
    def days(self) -> int:
        """How many days a report is about."""
        found = _AT.fullmatch(self.at.strip())
        return 1 if found is not None and not found["day"] else 7

    def last_due(self, now: int) -> int | None:
        """The newest moment up to `now` (ns) at which a report was due; None where none ever is."""
        found = _AT.fullmatch(self.at.strip())
        if found is None:
            return None
        local = datetime.fromtimestamp(now // SECOND, ZoneInfo(self.time_zone))
        due = local.replace(hour=int(found["hour"]), minute=int(found["minute"]), second=0, microsecond=0)
        back = (local.weekday() - DAYS.index(found["day"].lower()[:3])) % 7 if found["day"] else 0
        due -= timedelta(days=back)
        if due > local:
            due -= timedelta(days=self.days)
        return int(due.timestamp()) * SECOND
