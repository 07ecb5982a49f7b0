"""Spans of time in the nanoseconds that every stage counts in, and a moment as text."""

from __future__ import annotations

from datetime import UTC, datetime

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def utc_text(time: int, timespec: str = "seconds") -> str:
    """A time, ns since the epoch, as ISO 8601 writes it in UTC; `timespec` as in `datetime.isoformat`."""
    return datetime.fromtimestamp(time / SECOND, UTC).isoformat(timespec=timespec)
