"""Other settings of a device's series, to be compared with those in force, and put in force where they are better."""

from __future__ import annotations

from glob import escape

from pydantic import ConfigDict, Field, field_validator

from alerts.alarm_settings import AlarmSettings, budget_per_second
from ingest.knowledge_settings import KnowledgeSettings, SeriesSettings


class Candidate(KnowledgeSettings):
    """What is to be different; what is not given stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str | None = Field(default=None, max_length=1_000, description="One metric of the device; unset: all.")
    budget: str | None = Field(
        default=None, description="False alarms to be seen at most.", examples=["1 per sensor per month"]
    )
    detector: str | None = Field(default=None, max_length=200, description="What scores, by its name.")

    @field_validator("budget")
    @classmethod
    def _readable_budget(cls, text: str | None) -> str | None:
        if text is not None:
            budget_per_second(text)
        return text

    @property
    def rescores(self) -> bool:
        """Whether scores themselves would be others; else stored ones are judged again, which is quick."""
        return self.says_something or self.detector is not None

    def is_about(self, metric: str) -> bool:
        """Whether a metric would be judged otherwise."""
        return self.metric is None or self.metric == metric

    def series_settings(self, device: str) -> SeriesSettings:
        """What it says of the device's series, as the configuration says it."""
        facts = {name: getattr(self, name) for name in KnowledgeSettings.model_fields}
        detectors = None if self.detector is None else [self.detector]
        metric = "*" if self.metric is None else escape(self.metric)
        return SeriesSettings(device=escape(device), metric=metric, detectors=detectors, **facts)

    def budget_of(self, settings: AlarmSettings, device: str, metric: str) -> str | None:
        """The budget that a series would have of its own; None for the common one."""
        if self.budget is not None and self.is_about(metric):
            return self.budget
        return settings.override_of(device, metric)
