"""What the API takes and gives for tuning."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ingest.knowledge_settings import KnowledgeSettings
from tuning.candidate import Candidate


class PreviewAlarmReply(BaseModel):
    """An alarm that would have been."""

    opened: int
    cleared: int | None
    peak: float


class WasReply(BaseModel):
    """An alarm that was."""

    alarm: int
    opened: int
    cleared: int | None
    reason: str
    feedback: str = Field(description="right, wrong or expected, where somebody has said so.")
    kept: bool = Field(description="Whether it would have been raised, too.")


class MarkReply(BaseModel):
    """A stretch of time that somebody has marked."""

    start: int
    end: int
    mark: Literal["fault", "normal"]
    by: str


class SeriesPreviewReply(BaseModel):
    """One metric: the alarms that were, and those that would have been."""

    series: int
    metric: str
    unit: str
    threshold: float
    threshold_now: float | None
    budget_now: str
    facts: KnowledgeSettings = Field(description="What is known of the series, in force now.")
    detectors: list[str] = Field(description="What scores it now.")
    were: list[WasReply]
    would: list[PreviewAlarmReply]
    marked: list[MarkReply]


class PreviewReply(BaseModel):
    """A device's last days under other settings."""

    start: int
    end: int
    budget: str
    budget_now: str
    rescored: bool = Field(description="Whether readings were scored again; else stored scores were judged again.")
    verdict: str = Field(description="One sentence: how many alarms, against what people have marked.")
    detectors: list[str] = Field(description="Detectors that can be named.")
    series: list[SeriesPreviewReply]


class PreviewRequest(Candidate):
    """Settings to look at."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"device": "plant/pump-07", "direction": "above"}]}
    )
    device: str = Field(min_length=1, max_length=1_000)
    days: float = Field(default=30, gt=0, le=92, description="How far back from the newest reading.")


class WorkReply(BaseModel):
    """How far a look at other settings is: rows done of all, and what came of it once it is there."""

    work: int = Field(description="Its number, 0 where it was done at once.")
    done: int
    rows: int
    seconds: float
    error: str
    result: PreviewReply | None


class SettingsChange(Candidate):
    """Settings to put in place: for one device, or where none is named, a budget for all."""

    model_config = ConfigDict(extra="forbid")
    device: str | None = Field(default=None, min_length=1, max_length=1_000)
    write: bool = Field(default=False, description="Write the configuration file; else only show the change.")


class SettingsChangeReply(BaseModel):
    """The change of the configuration file."""

    file: str
    difference: str
    written: bool


class MarkRequest(BaseModel):
    """A stretch of a metric to be marked, in ns since the epoch, up to and without `end`."""

    model_config = ConfigDict(extra="forbid")
    device: str = Field(min_length=1, max_length=200)
    metric: str = Field(min_length=1, max_length=200)
    start: int = Field(ge=0, le=2**63 - 1)
    end: int = Field(ge=0, le=2**63 - 1)
    mark: Literal["fault", "normal", "none"] = Field(description="none: nothing is said of it any more.")
    note: str = Field(default="", max_length=2_000)


class MarksReply(BaseModel):
    """All stretches of a metric that are marked."""

    marked: list[MarkReply]
