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
    """A value is infinite or beyond float64."""
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
    NO_VALUE = "no_value"
    """The device says that it has no value: null, NaN, "unavailable", one of its error codes."""
    TEXT = "text"
    """Prose: text that is no number and too long, or of the wrong form, to be a state."""
    COMMAND = "command"
    """A command to a device (`.../set`, `.../get`, `cmnd/...`): nothing that it measured."""
    CLEARED = "cleared"
    """An empty payload: the retained message of the topic was cleared."""
    LOG = "log"
    """A line of a device's log."""
    METADATA = "metadata"
    """What describes devices: discovery, announcements, units, versions."""
    AVAILABILITY = "availability"
    """A device comes or goes (last will, birth, availability): kept as the device's state, not as a reading."""
    COPY = "copy"
    """A repetition of what the same device sends on another topic."""
    RETAINED = "retained"
    """A retained message without a time of its own: kept as the last known value, of an unknown age."""


NO_DATA = frozenset(
    {
        Reason.NO_VALUE,
        Reason.TEXT,
        Reason.COMMAND,
        Reason.CLEARED,
        Reason.LOG,
        Reason.METADATA,
        Reason.AVAILABILITY,
        Reason.COPY,
        Reason.RETAINED,
    }
)
"""Outcomes of what holds no data: counted, each on its own, and no dead letters, since nothing was lost."""
