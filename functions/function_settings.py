"""Functions, their settings: what runs, on what, with which environment and limits.

Declared once: validation, the JSON Schema, the commented sample and the reference page are derived from these models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from common.durations import Duration, PositiveDuration, parse_duration
from common.setting_texts import PlainName, TimeZoneName
from devices.topics import TopicFilter
from functions.action_settings import ACTIONS, ActionName
from functions.schedule import check_schedule

_LONGEST = parse_duration("15m")

_OF_TRIGGERS: dict[str, tuple[set[str], set[str]]] = {
    "http": (set(), set()),
    "alarm": (set(), {"devices", "states", "severities"}),
    "stream": ({"stream"}, {"shards"}),
    "readings": ({"topics"}, {"shards"}),
    "device": (set(), {"devices", "changes"}),
    "schedule": ({"cron"}, {"time_zone"}),
}
"""Keys that each trigger needs, and those that it may have."""


class TriggerSettings(BaseModel):
    """What a function is called for. Every function may be called by hand and over HTTP too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["http", "alarm", "stream", "readings", "device", "schedule"] = Field(
        default="http",
        description="`http`: requests. `alarm`: an alarm that opens, changes or ends. `stream`: rows of a stream. "
        "`readings`: messages of topics, decoded. `device`: one that is new, silent or back. `schedule`: at times.",
    )
    states: list[Literal["open", "acknowledged", "cleared"]] = Field(
        default=["open", "cleared"], min_length=1, description="Of `alarm`: states that it is called for."
    )
    severities: list[Literal["minor", "major", "critical"]] = Field(
        default=["minor", "major", "critical"],
        min_length=1,
        description="Of `alarm`: severities that it is called for.",
    )
    devices: list[str] = Field(
        default=["*"], min_length=1, description='Of `alarm` and `device`: names; "*" stands for any characters.'
    )
    stream: str = Field(default="", description="Of `stream`: its name.")
    topics: list[TopicFilter] = Field(default=[], description="Of `readings`: topic filters.")
    shards: int = Field(
        default=1,
        ge=1,
        le=16,
        description="Of `stream` and `readings`: rows are spread over so many lanes, by device or key; each lane is in "
        "order, and lanes run side by side.",
    )
    changes: list[Literal["new", "silent", "heard", "online", "offline"]] = Field(
        default=["new", "silent"], min_length=1, description="Of `device`: changes that it is called for."
    )
    cron: str = Field(
        default="", description='Of `schedule`: minute, hour, day, month, weekday: "0 6 * * mon", "*/15 * * * *".'
    )
    time_zone: TimeZoneName = Field(default="UTC", description='Of `schedule`: the time zone, such as "Europe/Berlin".')

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed, allowed = _OF_TRIGGERS[self.type]
        for name in sorted(needed):
            if not getattr(self, name):
                raise ValueError(f"a trigger of type {self.type} needs {name}")
        given = {name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default}
        for name in sorted(given - {"type"} - needed - allowed):
            expected = " and ".join(sorted(needed | allowed)) or "no other key"
            raise ValueError(f"a trigger of type {self.type} has no {name}: expected {expected}")
        if self.type == "schedule":
            check_schedule(self.cron)
        return self

    @property
    def in_order(self) -> bool:
        """Whether rows are given in batches, each lane in order; else each event stands alone."""
        return self.type in ("stream", "readings")


class FunctionSettings(BaseModel):
    """A function: a Python file with `handler(event, context)`, or a ready-made action, and what it is called for."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    name: PlainName = Field(description="Its name: a small letter, then small letters, digits and `_`.")
    file: Path | None = Field(
        default=None, description="The Python file with `handler(event, context)`; relative to the working folder."
    )
    action: ActionName | None = Field(
        default=None, description="In place of a file, a ready-made action. See [functions](../functions.md)."
    )
    with_: dict[str, Any] = Field(
        default={}, alias="with", description="Parameters of the action; `{device}` stands for a field of the event."
    )
    trigger: TriggerSettings = Field(default=TriggerSettings(), description="What it is called for.")
    environment: dict[str, str] = Field(
        default={}, description="Environment variables of the file's process, which has few others."
    )
    secrets: list[str] = Field(
        default=[], description="Names of the service's environment variables that the file's process is given too."
    )
    timeout: PositiveDuration = Field(
        default="30s", description="A call that takes longer is ended, and counts as failed. At most 15m."
    )
    memory_mib: int = Field(
        default=256, ge=32, le=65_536, description="Most memory of one process, in MiB. Linux keeps to it."
    )
    workers: int = Field(default=1, ge=1, le=16, description="Most processes of the function side by side.")
    batch: int = Field(default=100, ge=1, le=10_000, description="Of streams and readings: most rows of one call.")
    retries: int = Field(default=3, ge=0, le=100, description="How often a call that fails is tried again.")
    backoff: Duration = Field(
        default="1s", description="The pause before the first retry; each one doubles it, up to 5m."
    )
    max_age: PositiveDuration = Field(
        default="6h", description="An event older than this is not tried any more, and goes to the failed ones."
    )
    max_waiting: int = Field(
        default=100_000,
        ge=1,
        le=10_000_000,
        description="Most events that wait; beyond, the oldest go, and are counted.",
    )

    @field_validator("timeout")
    @classmethod
    def _is_short(cls, text: str) -> str:
        if parse_duration(text) > _LONGEST:
            raise ValueError(f'got "{text}", expected at most 15m')
        return text

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.file is None) == (self.action is None):
            raise ValueError("expected either file or action")
        if self.action is None:
            if self.with_:
                raise ValueError("with: only an action has parameters; a file has environment")
            return self
        try:
            ACTIONS[self.action].model_validate(self.with_)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(("with", *map(str, first["loc"])))
            raise ValueError(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None
        return self

    @property
    def timeout_seconds(self) -> float:
        """The longest that a call may take."""
        return parse_duration(self.timeout) / 1e9

    @property
    def mode(self) -> str:
        """How its trigger's events are run: in batches in order ("stream"), or each alone ("asynchronous")."""
        return "stream" if self.trigger.in_order else "asynchronous"
