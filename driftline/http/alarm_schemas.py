"""The shapes of the API's replies about alarms, and of the report on them; see `driftline.http.schemas`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from devices.records import AlarmState
from driftline.http.schemas import TIME, example


class AlarmReply(BaseModel):
    """An alarm as it stands now."""

    alarm: int
    series: int
    device: str
    metric: str
    unit: str
    state: AlarmState
    opened: int
    cleared: int | None
    severity: str
    peak_score: float
    value: float | None = Field(description="The reading that opened it; none where no reading did, as of a silence.")
    expected: float | None = Field(description="What was expected instead.")
    reason: str = Field(description="One sentence.")
    parts: dict[str, float] = Field(description="What each detector, or channel of a device, gave the score.")
    acknowledged_by: str = Field(default="", description="Who has taken it on; empty where nobody has.")
    acknowledged_at: int | None = None
    shelved_until: int | None = Field(default=None, description="Until when nobody is to be told of it.")
    cleared_reason: str = Field(default="", description='Why it ended: "back to normal", "by maria", ...')
    note: str = Field(default="", description="What was said about it last.")
    feedback: str = Field(default="", description="right, wrong or expected, where somebody has said so.")
    maintenance: str = Field(default="", description="Name of the maintenance during which it opened; else empty.")
    incident: int | None = Field(
        default=None, description="Number of the alarm that stands first in the incident of which this is part."
    )


class BudgetUseReply(BaseModel):
    """False alarms that a group of sensors is allowed in the time, and those seen."""

    name: str = Field(description='A site or a device, or "all".')
    series: int
    allowed: float | None = Field(description="What the budget allows; null where a fixed threshold sets none.")
    raised: int = Field(description="Alarms that scores raised.")
    right: int
    wrong: int = Field(description='Marked "wrong" or "expected".')
    unjudged: int = Field(description="Marked by nobody.")
    exceeded: bool = Field(description="More were marked wrong than the budget allows, and more than one.")


class ReportReply(BaseModel):
    """The last days: in numbers, and in words as Markdown."""

    start: int
    end: int
    alarms: dict[str, Any] = Field(description="The figures of ISA-18.2.")
    budget: str
    false_alarms: BudgetUseReply
    sites: list[BudgetUseReply] = Field(description="The worst first.")
    devices: list[BudgetUseReply] = Field(description="Those that had alarms, the worst first.")
    silent: list[dict[str, Any]]
    storage: dict[str, Any]
    text: str


class ToldReply(BaseModel):
    """A notice channel that an alarm was told to, or will be."""

    channel: str
    state: str = Field(description="waiting, sent, digested (in a message with others), spared or given up.")
    time: int = Field(description="When it was sent, or is due, ns by the service's clock.")
    error: str = Field(description="What the last attempt ended with; empty where it is well.")


class ListedAlarm(AlarmReply):
    """An alarm of the list, with who was told of it."""

    is_muted: bool = Field(default=False, description="Its device is muted: nobody is told.")
    told: list[ToldReply] = Field(default=[], description="Channels told that it opened, in order of time.")


class AlarmListReply(BaseModel):
    """Alarms, those not cleared first, then newest first."""

    model_config = example(
        alarms=[
            {
                "alarm": 3,
                "series": 7,
                "device": "plant/pump-01",
                "metric": "temperature",
                "unit": "°C",
                "state": "open",
                "opened": TIME,
                "cleared": None,
                "severity": "warning",
                "peak_score": 6.3,
                "value": 35.0,
                "expected": 21.5,
                "reason": "temperature is 35.0 °C where 20.6 to 22.4 °C was expected",
                "parts": {"zscore": 6.3},
            }
        ]
    )
    alarms: list[ListedAlarm]
