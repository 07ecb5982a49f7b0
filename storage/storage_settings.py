"""Journal and store: what can be set about the journal and the stores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from common.durations import Duration

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30


class JournalSettings(BaseModel):
    """The journal: how much raw traffic it keeps, and how messages are grouped into its chunks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field(
        default="embedded",
        description="What the journal is: embedded, a file in the data folder that a broker's messages go to; or "
        "kafka, the topic of [kafka] that receivers write, of which what was read is kept in that file.",
    )
    max_bytes: int = Field(
        default=2 * GIBIBYTE,
        ge=MEBIBYTE,
        description="Most bytes that the journal may hold. Old chunks leave before it is reached; where the stores are "
        "too far behind for that, messages are no longer acknowledged.",
    )
    keep: Duration = Field(default="24h", description="How long stored messages stay in the journal, for replay.")
    group_bytes: int = Field(
        default=256 * 1024,
        ge=1024,
        le=64 * MEBIBYTE,
        description="A group of messages is written when it holds this many bytes.",
    )
    group_delay: Duration = Field(
        default="20ms", description="A group of messages is written at the latest this long after its first message."
    )

    @field_validator("type")
    @classmethod
    def _is_a_kind(cls, name: str) -> str:
        from storage.journal.journal_registry import journal_kind  # noqa: PLC0415  which needs these settings

        journal_kind(name)
        return name


class StoreSettings(BaseModel):
    """The embedded database: what it keeps, and how much of the machine it may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep: Duration = Field(
        default="30d", description="How long points stay, counted back from the newest point of their own series."
    )
    keep_dead_letters: Duration = Field(default="7d", description="How long rejected messages stay after they arrived.")
    max_dead_letters: int = Field(default=100_000, ge=0, description="Most rejected messages that stay.")
    max_dead_letter_bytes: int = Field(
        default=64 * MEBIBYTE,
        ge=MEBIBYTE,
        description="Most bytes that rejected messages may take; beyond, the oldest leave.",
    )
    compact_rows: int = Field(
        default=2_000_000,
        ge=1,
        description="Recent points are sorted by series, to be small and quick to read, once there are this many.",
    )
    flush_interval: Duration = Field(
        default="200ms",
        description="Alarms are written to the database at the latest this long after they were made; points gather "
        "for up to five times as long.",
    )
    max_bytes: int | None = Field(
        default=None,
        ge=4 * MEBIBYTE,
        description="Most bytes that the database file may take; without it the disk is the limit.",
    )
    memory_bytes: int = Field(
        default=160 * MEBIBYTE,
        ge=64 * MEBIBYTE,
        description="Most memory that the database engine may take; it fills up with what was last read and written.",
    )
    query_timeout: Duration = Field(default="30s", description="A query of SQL that takes longer is stopped.")
    read_older_from: str = Field(
        default="",
        description="Name of the sink that charts, the API and a detector's warm start read from where the embedded "
        "database no longer has a series' points. Empty: what it does not have is not shown.",
    )
    threads: int = Field(default=2, ge=1, le=256, description="Threads that one query may use.")


class DownsampleSettings(BaseModel):
    """Means, extremes and counts over equal stretches of time, kept longer than the points themselves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: Duration = Field(default="1m", description="Length of one stretch.")
    keep: Duration = Field(default="365d", description="How long the results stay.")


class SinkSettings(BaseModel):
    """An external database that takes InfluxDB line protocol at `/api/v2/write`. Its token is no setting."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_-]*$", description="Name in counts, health and messages."
    )
    type: str = Field(
        default="influxdb",
        description="What the server is, influxdb or victoriametrics: it decides how data are read back and how long "
        "they stay.",
    )
    url: str = Field(
        description="Address of the server, such as http://localhost:8086.", pattern=r"^https?://[^/\s]+.*$"
    )
    language: Literal["flux", "influxql"] = Field(
        default="flux",
        description="What InfluxDB is asked in: flux for 2, and for 1.8 where that is on; influxql for 1.8 and "
        "3. VictoriaMetrics is asked in MetricsQL.",
    )
    org: str = Field(default="driftline", description="Organisation, which VictoriaMetrics does not heed.")
    bucket: str = Field(default="driftline", description="Bucket, which VictoriaMetrics does not heed.")
    token_file: Path | None = Field(
        default=None,
        description="File that holds the token; without one, the environment's DRIFTLINE_SINK_NAME_TOKEN, with the "
        "sink's name in capitals, else DRIFTLINE_INFLUX_TOKEN.",
    )
    timeout: Duration = Field(default="10s", description="A write that takes longer has failed, and is tried again.")
    gzip: bool = Field(default=True, description="Compress what is sent.")
    batch_lines: int = Field(default=20_000, ge=1, le=1_000_000, description="Most lines of one write.")
    max_backoff: Duration = Field(default="30s", description="Longest wait between two tries of a server in trouble.")
    max_series: int = Field(
        default=1_000_000,
        ge=1,
        description="Most series that go to this database; points of those beyond are refused, and counted.",
    )
    keep: Duration | None = Field(
        default=None, description="How long points stay there; without it, as the server was set up."
    )
    downsample: list[DownsampleSettings] = Field(
        default=[], description="Coarser copies that InfluxDB makes by tasks (`driftline storage apply` sets them up)."
    )

    @field_validator("type")
    @classmethod
    def _is_a_kind(cls, name: str) -> str:
        from storage.external.sink_registry import sink_kind  # noqa: PLC0415  which needs these settings

        sink_kind(name)
        return name


class SpoolSettings(BaseModel):
    """What waits for external databases that are away."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_bytes: int = Field(
        default=4 * GIBIBYTE,
        ge=MEBIBYTE,
        description="Most bytes that wait for external databases; beyond, the oldest are dropped, and counted.",
    )


class ArchiveSettings(BaseModel):
    """Old points as Parquet files, a folder a day, in a local folder or in a bucket that speaks S3."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str = Field(
        default="",
        description="Where old points go: a folder, or s3://BUCKET/PREFIX with the keys in AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY. Empty: there is no archive, and old points are removed.",
    )
    after: Duration = Field(
        default="2d", description="A day (UTC) moves to the archive once it ended this long before the newest point."
    )
    every: Duration = Field(default="1h", description="How often days, and what came late for them, are moved.")
    keep: Duration | None = Field(default=None, description="How long a day stays in the archive; without it, forever.")
    s3_endpoint: str = Field(default="", description="Address of a bucket that is not Amazon's, as HOST:PORT.")
    s3_region: str = Field(default="", description="Region of the bucket, where the server wants one.")
    s3_tls: bool = Field(default=True, description="Speak HTTPS to the bucket.")

    @field_validator("folder")
    @classmethod
    def _is_folder_or_bucket(cls, folder: str) -> str:
        scheme, found, rest = folder.partition("://")
        if found and (scheme != "s3" or not rest.strip("/")):
            raise ValueError(f'got "{folder}", expected a folder or s3://BUCKET/PREFIX')
        return folder


def read_token(settings: SinkSettings, environment: Mapping[str, str]) -> str:
    """The token from its file, else from the environment, else none.

    A file's last line end does not count. Raises OSError where the file cannot be read.
    """
    if settings.token_file is not None:
        return settings.token_file.read_text().removesuffix("\n").removesuffix("\r")
    return environment.get(token_variable(settings.name)) or environment.get("DRIFTLINE_INFLUX_TOKEN", "")


def token_variable(name: str) -> str:
    """The environment variable that holds the token of the sink of this name."""
    return f"DRIFTLINE_SINK_{name.upper().replace('-', '_')}_TOKEN"
