"""Decode, shared by JSON, CBOR and MessagePack: what can be set about how a tree of maps and lists is read."""

from __future__ import annotations

from pydantic import Field, field_validator

from devices.codec import UNNAMED
from devices.codecs.readings import (
    CodecParameters,
)
from devices.numbers import MOST_EXACT
from devices.times import TimeUnit, parse_zone

TIME_FIELDS = (
    "time",
    "timestamp",
    "ts",
    "Time",
    "Timestamp",
    "TimeStamp",
    "datetime",
    "dateTime",
    "DateTime",
    "date_time",
    "received_at",
    "created_at",
    "measured_at",
    "event_time",
    "eventTime",
    "@timestamp",
    "measuredAt",
    "createdAt",
    "receivedAt",
    "timestamp_ms",
    "timestampMs",
    "time_ms",
    "ts_ms",
    "_timestamp",
    "SourceTimestamp",
    "sourceTimestamp",
    "dateutc",
    "unixtime",
    "epoch",
    "t",
)
"""Fields taken as the time where the parameter `time` is not set, first one first.

`t` is often a temperature: it counts as a time, and so do the others of `MAYBE_TIMES`, only where it is text of ten
characters or more that begins with a digit, or a number of at least `PLAUSIBLE_TIME`.
"""

MAYBE_TIMES = frozenset({"t", "epoch", "unixtime"})

PLAUSIBLE_TIME = 1e8
"""Least number that an unasked-for `t` may be to count as a time: in seconds, March 1973."""

MOST_PLAIN = float(MOST_EXACT)
"""Numbers up to this one in magnitude are exact and finite whatever their type."""

MAX_NAME = 512
"""Longest metric or device name taken, in characters."""

SINGLE = UNNAMED
"""The metric of a payload that is one bare number."""


class TreeParameters(CodecParameters):
    """How a tree of maps and lists is read."""

    time: tuple[str, ...] = Field(
        default=(),
        description="Dotted path of the time field, or several of which the first present counts; "
        f"empty looks for {', '.join(TIME_FIELDS)}.",
    )
    time_unit: TimeUnit = Field(
        default="auto", description="Unit of times that are bare numbers; auto goes by magnitude."
    )
    time_zone: str = Field(default="UTC", description="Zone of date-times that name none: UTC, +02:00, Europe/Berlin.")
    time_format: str = Field(
        default="",
        description="Form of times that are text, as in strftime(3): %d/%m/%Y %H:%M:%S; empty goes by looks.",
    )
    device: str = Field(
        default="",
        description="Dotted path of the field that names the device, or several in braces with text between them: "
        "{model}/{id}; empty leaves it to the route.",
    )
    metric: str = Field(
        default="",
        description="Field naming the metric, where each reading is a row such as {metric, value, time}.",
    )
    value: str = Field(default="value", description="Field that holds the value of such a row.")
    root: str = Field(
        default="",
        description="Dotted path of the part that holds the readings; metric names begin below it, while time and "
        "device are looked for around it too.",
    )
    unit_fields: dict[str, str] = Field(
        default={}, description="Fields of the payload that state a unit, with the glob of the metrics that it is of."
    )
    shapes: bool = Field(
        default=True,
        description="Whether rows, named records, devices by key and the like are recognised by themselves.",
    )
    include: tuple[str, ...] = Field(default=("*",), description="Globs of the metrics to take.")
    exclude: tuple[str, ...] = Field(default=(), description="Globs of the metrics to leave out, even where included.")
    error_values: tuple[float, ...] = Field(
        default=(), description="Numbers by which a device says that it has no value, such as 65535 or -127."
    )
    max_depth: int = Field(default=16, ge=1, le=64, description="Deepest nesting read; a deeper payload is rejected.")

    @field_validator("time", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        parse_zone(value)
        return value
