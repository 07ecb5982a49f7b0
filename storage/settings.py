"""Stages 2 and 6 of 7: what can be set about the journal and the stores."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from devices.units import Duration

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30


class JournalSettings(BaseModel):
    """The journal: how much raw traffic it keeps, and how messages are grouped into its chunks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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


class StoreSettings(BaseModel):
    """The embedded database: what it keeps, and how much of the machine it may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep: Duration = Field(
        default="30d", description="How long points stay, counted back from the newest point of their own series."
    )
    keep_dead_letters: Duration = Field(
        default="7d", description="How long rejected messages stay, counted back from the newest of them."
    )
    max_dead_letters: int = Field(default=100_000, ge=0, description="Most rejected messages that stay.")
    compact_rows: int = Field(
        default=2_000_000,
        ge=1,
        description="Recent points are sorted by series, to be small and quick to read, once there are this many.",
    )
    flush_interval: Duration = Field(
        default="200ms", description="Results are written to the database at the latest this long after they were made."
    )
    max_bytes: int | None = Field(
        default=None,
        ge=4 * MEBIBYTE,
        description="Most bytes that the database file may take; without it the disk is the limit.",
    )
    memory_bytes: int = Field(
        default=512 * MEBIBYTE, ge=64 * MEBIBYTE, description="Most memory that the database engine may take."
    )
    query_timeout: Duration = Field(default="30s", description="A query of SQL that takes longer is stopped.")
    threads: int = Field(default=2, ge=1, le=256, description="Threads that one query may use.")
