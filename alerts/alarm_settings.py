"""Alarm: its settings, when a score becomes an alarm and when the alarm ends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.durations import Duration, parse_duration

_BUDGET = re.compile(
    r"^\s*(?P<count>\d+(?:\.\d+)?)\s+per\s+(?:(?P<scope>sensor|device|site)\s+per\s+)?"
    r"(?P<unit>hour|day|week|month|year)(?P<all>\s+for\s+all)?\s*$"
)
_SECONDS = {"hour": 3600.0, "day": 86400.0, "week": 604800.0, "month": 2629800.0, "year": 31557600.0}


class Scope(StrEnum):
    """What shares one budget of false alarms."""

    SENSOR = "sensor"
    DEVICE = "device"
    SITE = "site"
    ALL = "all"


def read_budget(text: str) -> tuple[float, Scope]:
    """Alarms a second that a budget allows, and to what. Raises ValueError naming the text and what was expected."""
    match = _BUDGET.match(text)
    # One of the two says what shares it: "per site" and "for all" are no budget together.
    if match is None or float(match["count"]) <= 0 or bool(match["scope"]) == bool(match["all"]):
        expected = '"N per sensor per hour|day|week|month|year" ("per device", "per site") or "N per day for all"'
        raise ValueError(f'expected {expected} with N above 0, got "{text}"')
    scope = Scope(match["scope"]) if match["scope"] else Scope.ALL
    return float(match["count"]) / _SECONDS[match["unit"]], scope


def budget_per_second(text: str) -> float:
    """Alarms a second of one series that its own budget allows. Raises ValueError where it is not one of a sensor."""
    rate, scope = read_budget(text)
    if scope is not Scope.SENSOR:
        raise ValueError(f'expected "N per sensor per hour|day|week|month|year" with N above 0, got "{text}"')
    return rate


class AlarmOverride(BaseModel):
    """Another budget for some series; the first override that matches wins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field(default="*", min_length=1, description='Devices that it is for; "*" stands for any characters.')
    metric: str = Field(default="*", min_length=1, description="Metrics of them.")
    budget: str = Field(description="Their budget, in place of the common one.")

    @field_validator("budget")
    @classmethod
    def _readable_budget(cls, text: str) -> str:
        budget_per_second(text)
        return text


class AlarmSettings(BaseModel):
    """From score to verdict to alarm."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget: str = Field(
        default="1 per sensor per week",
        description='How many false alarms a person is willing to see: "N per sensor per hour|day|week|month|year", or '
        '"per device", or "per site", shared by the sensors there are, or "N per day for all". '
        "Sets the score that raises an alarm, from each series' own cadence.",
    )
    threshold: float | None = Field(
        default=None, gt=0, le=12, description="Fixed score that raises an alarm, in place of the budget."
    )
    overrides: list[AlarmOverride] = Field(
        default=[], description="Another budget for some devices or metrics; the first that matches wins."
    )
    clear_ratio: float = Field(
        default=0.6, gt=0, lt=1, description="An alarm may clear below this share of the score that raises it."
    )
    clear_after: Duration = Field(
        default="10m",
        description="An alarm ends when its series has stayed below the clearing score for so long; "
        "what recurs sooner belongs to it.",
    )
    clear_readings: int = Field(
        default=5, ge=1, description="And for at least so many readings: silence alone ends no alarm."
    )
    adopt_after: Duration = Field(
        default="24h",
        description="What has stayed for so long, and twenty readings, is taken as normal: its alarm ends and says so. "
        "A young series adopts after as long as it was known before the alarm, at least `clear_after`.",
    )
    cooldown: int = Field(
        default=0,
        ge=0,
        description="Readings after an alarm has cleared during which no new one opens for the series.",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_former_names(cls, given: Any) -> Any:
        return read_former_names(given)[0] if isinstance(given, dict) else given

    @field_validator("budget")
    @classmethod
    def _readable_budget(cls, text: str) -> str:
        read_budget(text)
        return text

    @property
    def budget_per_second(self) -> float:
        """Alarms a second that the budget allows in its scope."""
        return read_budget(self.budget)[0]

    @property
    def budget_scope(self) -> Scope:
        """What shares the budget."""
        return read_budget(self.budget)[1]

    def override_of(self, device: str, metric: str) -> str | None:
        """The budget that an override gives a series, by its names."""
        for override in self.overrides:
            if fnmatchcase(device, override.device) and fnmatchcase(metric, override.metric):
                return override.budget
        return None

    def budget_of(self, device: str, metric: str) -> str:
        """The budget of a series, by its names."""
        return self.override_of(device, metric) or self.budget

    @property
    def clear_after_ns(self) -> int:
        """`clear_after` in nanoseconds."""
        return parse_duration(self.clear_after)

    @property
    def adopt_after_ns(self) -> int:
        """`adopt_after` in nanoseconds."""
        return parse_duration(self.adopt_after)


def read_former_names(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The table `alarm` under the names of today, and by former name a sentence that says what to write instead.

    The version before called `cooldown` `rest`, and took a number of readings for `clear_after`. Raises ValueError
    where a value under a former name is none that it took.
    """
    table, notes = dict(given), {}
    readings = table.get("clear_after")
    if isinstance(readings, int) and not isinstance(readings, bool):
        table.setdefault("clear_readings", readings)
        table["clear_after"] = "0s"
        notes["clear_after"] = (
            f"a number of readings is called clear_readings now: write clear_readings = {readings} in its place, and "
            'clear_after as a duration ("0s" for none)'
        )
    if "rest" in table:
        rest = table.pop("rest")
        if not isinstance(rest, int) or isinstance(rest, bool):
            raise ValueError(f"rest: got {rest!r}, expected a number of readings; it is called cooldown now")
        table.setdefault("cooldown", rest)
        notes["rest"] = f"is called cooldown now: write cooldown = {table['cooldown']} in its place"
    return table, notes
