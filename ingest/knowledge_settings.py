"""Route: its settings of what a person knows of a series, for the detectors that score it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from alerts.series_rules import SeriesRules
from common.durations import Duration, parse_duration
from detectors.knowledge import Direction, Knowledge
from detectors.knowledge import Kind as SignalKind

SHORTEST_AHEAD = "1m"
Hour = Annotated[float, Field(ge=0, le=24)]


class KnowledgeSettings(BaseModel):
    """Plain facts, none of them needed. What an override of metrics leaves out is its route's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    signal: SignalKind | None = Field(
        default=None, description="How the values behave, in place of what is recognised from them."
    )
    direction: Direction | None = Field(
        default=None, description="The side on which a deviation counts: above, below or both (as where unset)."
    )
    smallest_deviation: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="A smaller deviation from what was expected, in the metric's unit, is no anomaly.",
    )
    smallest_relative_deviation: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="The same as a share of what was expected: 0.1 is a tenth.",
    )
    lower_limit: float | None = Field(
        default=None, description="Lower values are physically impossible, and always an anomaly."
    )
    upper_limit: float | None = Field(
        default=None, description="Higher values are physically impossible, and always an anomaly."
    )
    lowest_allowed: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="Operation is to stay above this: the forecast says when it is reached.",
    )
    highest_allowed: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="Operation is to stay below this: the forecast says when it is reached.",
    )
    warn_ahead: Duration | None = Field(
        default=None,
        description="Raise an alarm so long before lowest_allowed or highest_allowed is reached, by the forecast.",
    )
    shortest_duration: Duration | None = Field(
        default=None, description="A deviation has to last so long before it counts."
    )
    plant_time_zone: str | None = Field(
        default=None,
        description='Where the plant is, such as "Europe/Berlin": hours and days that repeat are those of its clocks.',
    )
    ignored_hours: list[tuple[Hour, Hour]] | None = Field(
        default=None,
        description="Hours of the day, from and to, in which nothing counts: [[22, 6]] is every night.",
    )
    ignored_dates: list[str] | None = Field(
        default=None,
        description='Dates on which nothing counts: "2026-12-24", or "12-24" of every year.',
    )

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        self.knowledge()
        lowest, highest = self.lowest_allowed, self.highest_allowed
        if lowest is not None and highest is not None and not lowest < highest:
            raise ValueError(f"lowest_allowed: expected less than highest_allowed {highest:g}, got {lowest:g}")
        if self.warn_ahead is not None:
            if lowest is None and highest is None:
                raise ValueError("warn_ahead: expected lowest_allowed or highest_allowed beside it")
            if parse_duration(self.warn_ahead) < parse_duration(SHORTEST_AHEAD):
                raise ValueError(f"warn_ahead: expected at least {SHORTEST_AHEAD}, got {self.warn_ahead}")
        return self

    @property
    def says_something(self) -> bool:
        """Whether any fact is given."""
        return any(getattr(self, name) is not None for name in KnowledgeSettings.model_fields)

    def over(self, other: KnowledgeSettings) -> KnowledgeSettings:
        """These facts, and what is not given here from the other."""
        names = KnowledgeSettings.model_fields
        return KnowledgeSettings(**{name: _first(getattr(self, name), getattr(other, name)) for name in names})

    def knowledge(self, route: KnowledgeSettings | None = None) -> Knowledge:
        """The facts as detectors take them; those that are not given here are the route's.

        Raises ValueError where they contradict one another.
        """
        given: dict[str, Any] = {
            name: value
            for name in KnowledgeSettings.model_fields
            if (value := _first(getattr(self, name), None if route is None else getattr(route, name))) is not None
        }
        return Knowledge(
            kind=given.get("signal"),
            direction=given.get("direction", "both"),
            smallest_deviation=given.get("smallest_deviation", 0.0),
            smallest_relative_deviation=given.get("smallest_relative_deviation", 0.0),
            lower_limit=given.get("lower_limit", -math.inf),
            upper_limit=given.get("upper_limit", math.inf),
            time_zone=given.get("plant_time_zone", "UTC"),
            shortest_duration=parse_duration(given.get("shortest_duration", "0s")) / 1e9,
            ignored_hours=tuple((start, end) for start, end in given.get("ignored_hours", ())),
            ignored_dates=tuple(given.get("ignored_dates", ())),
        )


def rules_of(knowledge: Knowledge) -> SeriesRules:
    """What of it decides on alarms."""
    return SeriesRules(
        round(knowledge.shortest_duration * 1e9),
        knowledge.ignored_hours,
        frozenset(knowledge.ignored_dates),
        knowledge.time_zone,
    )


class SeriesSettings(KnowledgeSettings):
    """What is known of some series, by their names, whatever route they come by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field(default="*", min_length=1, description='Devices that it is for; "*" stands for any characters.')
    metric: str = Field(default="*", min_length=1, description="Metrics of them.")
    detectors: list[str] | None = Field(default=None, description="Detectors that score them, instead of the route's.")

    def matches(self, device: str, metric: str) -> bool:
        """Whether it is about this series."""
        return fnmatchcase(device, self.device) and fnmatchcase(metric, self.metric)


def of_series(settings: Sequence[SeriesSettings], device: str, metric: str) -> SeriesSettings | None:
    """All that is said of a series, None where nothing is: of each matter, what the first that says it says."""
    said = [each for each in settings if each.matches(device, metric)]
    if not said:
        return None
    facts: KnowledgeSettings = KnowledgeSettings()
    for each in reversed(said):
        facts = each.over(facts)
    detectors = next((each.detectors for each in said if each.detectors is not None), None)
    return SeriesSettings(device=device, metric=metric, detectors=detectors, **facts.model_dump())


def _first(*values: object) -> object | None:
    return next((value for value in values if value is not None), None)
