"""Why a message or reading did not become a point: the bounded set of reasons that label counters and dead letters."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Every way out of the pipeline other than the database."""

    MALFORMED = "malformed"
    """The payload is not what the codec reads (truncated JSON, wrong type, bad UTF-8)."""
    NO_READING = "no_reading"
    """The payload was well formed but holds no number."""
    NOT_FINITE = "not_finite"
    """A value is NaN or infinite, or a device's word for having none (null, "unavailable")."""
    BAD_TIME = "bad_time"
    """The time field cannot be read as ISO 8601 or as epoch seconds, ms, us or ns."""
    FUTURE = "future"
    """The reading's time lies further ahead of its arrival than the allowed clock skew."""
    TOO_OLD = "too_old"
    """The reading's time lies before the earliest time that is believed."""
    RETAINED = "retained"
    """A retained message without a time of its own: history of an unknown age."""
    TOO_LARGE = "too_large"
    """The payload is larger than the limit."""
    BAD_TOPIC = "bad_topic"
    """The topic is not valid UTF-8, or holds a character that a device name may not."""
    NO_ROUTE = "no_route"
    """No route's topic filter matches the topic."""
    TOO_MANY_SERIES = "too_many_series"
    """The message would create more series than the limit allows."""
    RESERVED = "reserved"
    """The metric's name begins as those of a device's own scores do (`device:`)."""
