"""The shapes of the API's replies, for its OpenAPI description. Replies are built as plain data, not validated again.

Times are integers, nanoseconds since the Unix epoch. Numbers that do not exist are null.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from driftline.http.view import DeviceLife, Status

TIME = 1_772_366_400_000_000_000
Column = list[float | None]


def example(**values: Any) -> ConfigDict:
    """A model's configuration with an example for the API's description."""
    return ConfigDict(json_schema_extra={"examples": [values]})


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: str = Field(description="A word for programs, such as not_found, invalid_request, query_failed.")
    message: str = Field(description="A sentence for people: place, value, expectation.")


class ErrorReply(BaseModel):
    """The shape of every error."""

    model_config = example(error={"code": "not_found", "message": 'device: unknown "pump-o1"; did you mean "pump-01"?'})
    error: ErrorDetail


class StageReply(BaseModel):
    """One stage of the service."""

    stage: str = Field(description="broker, journal, engine or store.")
    status: Status
    message: str = Field(description="One sentence.")


class AboutReply(BaseModel):
    """What runs here."""

    version: str
    broker: str = Field(description="Where devices publish.")
    filters: list[str] = Field(description="Topic filters that are listened to.")
    config_file: str | None = Field(description="The configuration file in force; null for the defaults.")


class HealthReply(BaseModel):
    """The service's state: `status` is the worst stage's."""

    model_config = example(
        status="green",
        stages=[{"stage": "broker", "status": "green", "message": "connected to mqtt://127.0.0.1:1883"}],
    )
    status: Status
    stages: list[StageReply]


class WarmingReply(BaseModel):
    """Readings learned, of those needed before the first score."""

    seen: int
    needed: int


class SeriesReply(BaseModel):
    """One metric of one device."""

    series: int = Field(description="Its number: dense, in order of first sight, never reused.")
    device: str
    metric: str
    unit: str = Field(description="Unit of values and bands, empty where not known.")
    kind: str = Field(default="measurement", description="measurement, state, counter, ...: what the metric is.")


class SeriesListReply(BaseModel):
    """All series, or one device's."""

    model_config = example(series=[{"series": 7, "device": "plant/pump-01", "metric": "temperature", "unit": "°C"}])
    series: list[SeriesReply]


class MetricReply(BaseModel):
    """One metric of a device."""

    series: int
    metric: str
    unit: str
    kind: str = Field(default="measurement", description='What it is: "measurement", "counter", "state", "text", ...')
    warming: WarmingReply | None = Field(description="Null once the detectors score.")
    threshold: float | None = Field(description="The score that raises an alarm: 3 is one reading in a thousand.")


class DeviceReply(BaseModel):
    """One device with its metrics."""

    model_config = example(
        device="plant/pump-01",
        name="Feed pump",
        labels={"site": "plant"},
        first_seen=TIME,
        muted_at=None,
        life="online",
        last_event=TIME,
        last_arrival=TIME + 12_000_000,
        open_alarms=1,
        shelved_alarms=0,
        clock="",
        refusal="",
        refused=0,
        messages=0,
        metrics=[
            {"series": 7, "metric": "temperature", "unit": "°C", "warming": None, "threshold": 4.2},
            {
                "series": 8,
                "metric": "vibration",
                "unit": "mm/s",
                "warming": {"seen": 12, "needed": 50},
                "threshold": None,
            },
        ],
    )
    device: str = Field(description="Its identity.")
    name: str = Field(description="What it is shown as; its identity where nobody gave it another name.")
    labels: dict[str, str]
    first_seen: int | None = Field(description="Arrival of its first message; null where that was not noted.")
    muted_at: int | None = Field(description="Since when nobody is told of its alarms; null where somebody is.")
    life: DeviceLife = Field(
        description="quiet: nothing for far longer than it took so far, too little known to call it silent. "
        "refused: none of its messages can be read, see `refusal`."
    )
    last_event: int | None = Field(description="Newest reading, by the device's own time.")
    last_arrival: int | None = Field(description="Newest message, by the server's clock.")
    open_alarms: int = Field(description="Alarms that are not cleared, without those set aside.")
    shelved_alarms: int = Field(description="Those set aside: shelved, muted, or opened under maintenance.")
    clock: str = Field(description="What is wrong with its clock, with the remedy; empty where nothing is.")
    refusal: str = Field(description="What of its messages is refused, and why; empty where nothing is.")
    refused: int = Field(description="Its messages that were refused whole.")
    messages: int = Field(description="Its messages since the first that was odd.")
    metrics: list[MetricReply]


class AssetNodeReply(BaseModel):
    """A part of the plant. The outermost has no name."""

    model_config = example(
        name="", devices=1, silent=0, open_alarms=1, members=[],
        parts=[
            {"name": "plant", "devices": 1, "silent": 0, "open_alarms": 1, "parts": [], "members": ["plant/pump-01"]}
        ],
    )  # fmt: skip
    name: str
    devices: int = Field(description="Devices in it and in its parts.")
    silent: int = Field(description="Those of them that are not heard from.")
    open_alarms: int
    parts: list[AssetNodeReply]
    members: list[str] = Field(description="Devices that are in no part of it.")


class DeviceListReply(BaseModel):
    """Devices, in the order in which they were first seen; `time` is the server's clock."""

    time: int
    total: int = Field(description="Devices that there are; more than the list holds where it is paged.")
    devices: list[DeviceReply]


class ExcludedStretch(BaseModel):
    """A stretch of a series, in ns and without `end`, whose `points` people left out: they are not among the others."""

    start: int
    end: int
    points: int


class PointsSeries(SeriesReply):
    """Points of one series in time order, as columns of one length."""

    total: int = Field(description="Points in the time range; more than the columns hold where they were thinned.")
    warming: WarmingReply | None
    threshold: float | None
    time: list[int]
    value: list[float]
    score: Column = Field(
        description="Rarity, -log10 of its probability: 3 is one in a thousand; null while warming up."
    )
    expected: Column = Field(description="The forecast.")
    lower: Column = Field(description="Lower edge of the expected band.")
    upper: Column = Field(description="Upper edge of the expected band.")
    anomaly: list[bool] = Field(description="The verdict.")
    novelty: Column = Field(
        description="How new the reading is to its series, counted as the score is; null where nothing says."
    )
    missing: str = Field(description="What could not be read, as when an external database is away; else empty.")
    excluded: list[ExcludedStretch] = Field(description="Stretches that people left out, as far as they reach in.")


class PointsReply(BaseModel):
    """Points of the series asked for. Thinning keeps extremes, anomalies, the first and the last point."""

    model_config = example(
        series=[
            {
                "series": 7,
                "device": "plant/pump-01",
                "metric": "temperature",
                "unit": "°C",
                "total": 2,
                "missing": "",
                "warming": None,
                "threshold": 4.2,
                "time": [TIME, TIME + 1_000_000_000],
                "value": [21.4, 35.0],
                "score": [0.1, 6.3],
                "expected": [21.5, 21.5],
                "lower": [20.6, 20.6],
                "upper": [22.4, 22.4],
                "anomaly": [False, True],
                "novelty": [0.0, 5.1],
            }
        ]
    )
    series: list[PointsSeries]


class SparklineReply(BaseModel):
    """The newest points of one series."""

    series: int
    time: list[int]
    value: list[float]
    anomaly: list[bool]


class SparklinesReply(BaseModel):
    """The newest points of every series that has any."""

    model_config = example(
        sparklines=[
            {"series": 7, "time": [TIME, TIME + 1_000_000_000], "value": [21.4, 35.0], "anomaly": [False, True]}
        ]
    )
    sparklines: list[SparklineReply]


class SinkCountsReply(BaseModel):
    """Points of one external database."""

    written: int = Field(description="Points that the database has confirmed.")
    waiting: int = Field(description="Points that wait for it.")
    refused: int = Field(description="Lines that it would not take.")
    dropped: int = Field(description="Points that left the full spool before it took them.")


class CountsReply(BaseModel):
    """The ledger: received = stored + late + duplicates + rejected + dropped + in_flight."""

    model_config = example(
        time=TIME,
        messages=1_000,
        received=3_001,
        stored=2_990,
        late=4,
        duplicates=2,
        rejected={"malformed": 1},
        dropped={},
        conflicts=0,
        odd={},
        redelivered=1,
        upstream_dropped=0,
        in_flight=4,
        anomalies=12,
        alarms=3,
        open_alarms=1,
        shelved_alarms=0,
        lag_messages=2,
        lag_seconds=0.03,
        sinks={"victoria": {"written": 2_980, "waiting": 14, "refused": 0, "dropped": 0}},
    )
    time: int = Field(description="The server's clock when the counts were taken.")
    messages: int = Field(description="MQTT messages received.")
    received: int = Field(
        description="Readings, and one for each message rejected whole or redelivered, and each scored row of a device."
    )
    stored: int
    late: int = Field(description="Stored behind newer points of their series; neither scored nor learned.")
    duplicates: int = Field(description="Same series and time as a point already stored, or redelivered.")
    rejected: dict[str, int] = Field(description="By reason.")
    dropped: dict[str, int] = Field(
        description="What became no point and was no error, by reason: `state` (told in words, kept as a state), "
        "`no_value`, `availability`, `command`, `cleared`, `log`, `metadata`, `copy`, `text`, `retained`, `ignored`."
    )
    conflicts: int = Field(description="Among stored and late: readings that met another value at their time.")
    odd: dict[str, int] = Field(description="What was odd about the times of readings, or about messages, by kind.")
    redelivered: int = Field(description="Messages that the broker sent again although they had come; duplicates.")
    upstream_dropped: int = Field(description="Messages that the broker says it dropped, of all its clients.")
    in_flight: int
    anomalies: int
    alarms: int = Field(description="Alarms opened.")
    open_alarms: int = Field(description="Alarms that are not cleared, without those set aside.")
    shelved_alarms: int = Field(description="Those set aside: shelved, muted, or opened under maintenance.")
    lag_messages: int
    lag_seconds: float
    sinks: dict[str, SinkCountsReply] = Field(description="External databases, by name.")


class DeadLetterReply(BaseModel):
    """A message that did not become points, in whole or in part."""

    offset: int = Field(description="The message's place in the journal.")
    arrival: int
    topic: str
    payload: str | None = Field(description="The payload's first 16 KiB as text; null where they are not UTF-8.")
    payload_base64: str = Field(description="The payload's first 16 KiB.")
    payload_bytes: int = Field(description="Bytes of the whole payload.")
    reason: str = Field(description="The first reason.")
    detail: str = Field(description="A line for each of the first readings that were rejected.")
    rejected: dict[str, int] = Field(description="Readings by reason; a message rejected whole counts as one.")
    content_type: str = Field(description="MQTT 5: what the message says that its payload is; empty where it does not.")
    user_properties: dict[str, str] = Field(description="MQTT 5: its user properties; the first of those of one name.")


class DeadLetterListReply(BaseModel):
    """Dead letters, newest first."""

    model_config = example(
        dead_letters=[
            {
                "offset": 17,
                "arrival": TIME,
                "topic": "plant/pump-01",
                "payload": '{"temperature": 2',
                "payload_base64": "eyJ0ZW1wZXJhdHVyZSI6IDI=",
                "payload_bytes": 17,
                "reason": "malformed",
                "detail": "unexpected end of the JSON text at byte 17",
                "rejected": {"malformed": 1},
                "content_type": "application/json",
                "user_properties": {"unit": "°C"},
            }
        ]
    )
    dead_letters: list[DeadLetterReply]
    reasons: dict[str, int] = Field(default={}, description="How many are kept by reason, the most first.")


class QueryRequest(BaseModel):
    """One SQL query."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"sql": "select device, count(*) from points where anomaly group by device", "limit": 100}]
        },
    )
    sql: str = Field(
        min_length=1,
        max_length=100_000,
        description="One SELECT, in DuckDB's SQL, over points, alarms, actions, devices, series, states, dead_letters "
        "and counts.",
    )
    limit: int | None = Field(default=None, ge=1, description="Most rows returned; http.max_query_rows at most.")


class QueryReply(BaseModel):
    """Rows of a query."""

    model_config = example(columns=["device", "count_star()"], rows=[["plant/pump-01", 12]], truncated=False)
    columns: list[str]
    rows: list[list[Any]]
    truncated: bool = Field(description="Whether there were more rows.")
