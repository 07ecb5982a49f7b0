"""Streams, their settings: where the rows come from, the windows, the SQL, and where its rows go.

Declared once: validation, the JSON Schema, the commented sample and the reference page are derived from these models.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.durations import Duration, PositiveDuration, parse_duration
from common.setting_texts import PlainName
from devices.topics import TopicFilter

SOURCES = ("readings", "points", "alarms", "dead_letters", "devices")
"""What a stream may come from, beside other streams."""

TABLE = "table"
MQTT = "mqtt:"
FUNCTION = "function:"
ALARM = "alarm"
SINK = "sink:"
STREAM_NAME = "stream"
STREAM_PLACE = f"{{{STREAM_NAME}}}"
WINDOW_PLACES = ("window_start", "window_end")
PLACE = re.compile(r"\{([^{}]*)\}")
"""A place for a column's value in what an alarm says."""
MOST_PANES = 1_000
"""Most windows of a stream that one row may belong to."""


class WindowSettings(BaseModel):
    """Which rows one run of the SQL sees."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["tumbling", "hopping", "sliding", "session"] = Field(
        default="tumbling",
        description="`tumbling`: one after the other. `hopping`: of length `size`, a new one every `hop`. `sliding`: "
        "the `size` before each row, and the row. `session`: rows with less than `gap` between them.",
    )
    size: PositiveDuration | None = Field(default=None, description="Length; of all types but `session`.")
    hop: PositiveDuration | None = Field(
        default=None, description="From the start of a `hopping` window to the next; `size` is a multiple of it."
    )
    gap: PositiveDuration | None = Field(default=None, description="So long without a row ends a `session`.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        wanted = {"tumbling": {"size"}, "hopping": {"size", "hop"}, "sliding": {"size"}, "session": {"gap"}}[self.type]
        for name in ("size", "hop", "gap"):
            given = getattr(self, name) is not None
            if name in wanted and not given:
                raise ValueError(f'a {self.type} window needs {name}, such as {name} = "10s"')
            if given and name not in wanted:
                raise ValueError(f"a {self.type} window has no {name}: expected {' and '.join(sorted(wanted))}")
        if self.type == "hopping" and self.size and self.hop:
            size, hop = parse_duration(self.size), parse_duration(self.hop)
            if size % hop or size // hop > MOST_PANES:
                raise ValueError(
                    f'size "{self.size}" and hop "{self.hop}": expected size to be 1 to {MOST_PANES:,} times hop'
                )
        return self

    @property
    def size_ns(self) -> int:
        """Length in ns; of a session the gap."""
        return parse_duration(self.size or self.gap or "0s")

    @property
    def hop_ns(self) -> int:
        """From one window to the next in ns; of sliding windows and sessions their length."""
        return parse_duration(self.hop) if self.hop else self.size_ns


class StreamAlarmSettings(BaseModel):
    """The alarm of a stream: open while a condition holds of its rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: str = Field(min_length=1, description="The condition, in SQL over the columns that the stream's SQL gives.")
    device: str = Field(
        default="",
        description="The device that the alarm is of, with `{column}` for a column's value: each has an alarm of its "
        "own. By default `{device}`, where the SQL gives that column, else the stream's name.",
    )
    severity: Literal["minor", "major", "critical"] = Field(default="major", description="How bad it is.")
    sentence: str = Field(
        default="",
        max_length=500,
        description="The reason that people read, with `{column}` for a column's value, `{window_start}`, "
        "`{window_end}` and `{stream}`. By default the condition and all values of the row.",
    )
    value: str = Field(default="", description="The column of numbers that the alarm shows as its value.")
    clear_after: PositiveDuration | None = Field(
        default=None,
        description="The alarm is cleared once so much event time has passed since the end of the last window in which "
        "the condition was met. By default one `hop`: the `size` of other windows, the `gap` of a session.",
    )


class StreamSettings(BaseModel):
    """A standing question: SQL over a window of rows, answered each time a window is complete."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    name: PlainName = Field(
        description="Its name, and its table's: a small letter, then small letters, digits and `_`."
    )
    from_: str = Field(
        alias="from",
        description=f"Where the rows come from: {', '.join(f'`{name}`' for name in SOURCES)}, or another stream.",
    )
    topics: list[TopicFilter] = Field(
        default=["#"], min_length=1, description="Of `readings`: topic filters; rows of other topics are left out."
    )
    window: WindowSettings = Field(description="Which rows one run of the SQL sees, by event time.")
    lateness: Duration = Field(
        default="1s",
        description="How long a window waits for late rows after its end. Rows that come later are counted as late.",
    )
    corrections: Duration = Field(
        default="0s",
        description="For so long after its end, late rows make a window give its result anew, as a correction.",
    )
    early: PositiveDuration | None = Field(
        default=None, description="Give what a window holds so far each time so much of it has passed."
    )
    by: list[str] = Field(
        default=[], max_length=4, description="Columns that split the rows: each value has windows of its own."
    )
    sql: str = Field(min_length=1, description="One SELECT in DuckDB's SQL over a table that is called `window`.")
    tables: dict[PlainName, str] = Field(
        default={},
        max_length=8,
        description="Small tables of your own that the SQL may join: a name, and a `.csv` or `.parquet` file, relative "
        "to the folder of this file.",
    )
    history: PositiveDuration = Field(
        default="1h",
        description="How far back from its end a window sees the rows of other streams that its SQL joins.",
    )
    to: list[str] = Field(
        default=[TABLE],
        min_length=1,
        description="Where the rows go: `table` keeps them under the stream's name; `mqtt:TOPIC` publishes each row, "
        "with `{stream}` for the name; `function:NAME` calls a function for them; `alarm` opens an alarm while "
        "`alarm.when` is met; `sink:NAME` writes them to one of `[[sinks]]`.",
    )
    alarm: StreamAlarmSettings | None = Field(
        default=None, description='The alarm of `to = ["alarm"]`: when, of what, and what it says.'
    )
    max_rows: int = Field(
        default=200_000,
        ge=1,
        le=10_000_000,
        description="Most rows of a window; others are left out, and counted.",
    )
    max_keys: int = Field(
        default=1_000,
        ge=1,
        le=100_000,
        description="Most values of `by` in a window; rows of those beyond are left out, and counted.",
    )
    max_result_rows: int = Field(
        default=1_000, ge=1, le=100_000, description="Most rows that the SQL may give a window; then it fails."
    )

    @field_validator("to")
    @classmethod
    def _are_targets(cls, targets: list[str]) -> list[str]:
        for target in targets:
            topic = target.removeprefix(MQTT)
            is_topic = target.startswith(MQTT) and topic and not set(topic) & set("+#\0")
            is_named = any(target.startswith(kind) and target != kind for kind in (FUNCTION, SINK))
            if not (target in (TABLE, ALARM) or is_topic or is_named):
                raise ValueError(
                    f'"{target}": expected "table", "alarm", "mqtt:" with a topic, which has no + or #, "function:" '
                    'with a function\'s name, or "sink:" with the name of one of the sinks'
                )
        if len(set(targets)) < len(targets):
            raise ValueError("expected each target once")
        return targets

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.window.type in ("session", "sliding"):
            for name in ("early", "corrections"):
                if getattr(self, name) not in (None, "0s"):
                    raise ValueError(f"{name}: expected a tumbling or hopping window, got {self.window.type}")
        if self.early and parse_duration(self.early) >= self.window.size_ns:
            raise ValueError(f'early "{self.early}": expected less than the window\'s size')
        if self.topics != ["#"] and self.from_ != "readings":
            raise ValueError(f'topics: expected from = "readings", got "{self.from_}"')
        if self.alarm is None and ALARM in self.to:
            raise ValueError('to = ["alarm"]: expected a condition, such as alarm = { when = "mean > 80" }')
        if self.alarm is not None and ALARM not in self.to:
            raise ValueError('alarm: expected "alarm" in to, which opens it')
        return self

    @property
    def topic(self) -> str:
        """The MQTT topic that rows are published to; empty where they are not."""
        found = next((target for target in self.to if target.startswith(MQTT)), "")
        return found.removeprefix(MQTT).replace(STREAM_PLACE, self.name)

    @property
    def functions(self) -> list[str]:
        """Functions that are called for its rows."""
        return [target.removeprefix(FUNCTION) for target in self.to if target.startswith(FUNCTION)]

    @property
    def sinks(self) -> tuple[str, ...]:
        """External databases that its rows go to."""
        return tuple(target.removeprefix(SINK) for target in self.to if target.startswith(SINK))

    @property
    def history_ns(self) -> int:
        """How far back, in ns, a window sees the rows of other streams."""
        return parse_duration(self.history)

    @property
    def in_table(self) -> bool:
        """Whether the rows are kept in a table."""
        return TABLE in self.to


def stream_targets(streams: Sequence[StreamSettings]) -> list[tuple[str, str]]:
    """Streams that call functions, each with a function that it calls."""
    return [(stream.name, function) for stream in streams for function in stream.functions]
