"""Alarm: what a detector that somebody has chosen says of a reading, in words that fit its kind."""

from __future__ import annotations

import math

LIMITS = ("threshold", "physical_range", "rate_of_change")
"""Kinds that compare with limits somebody has set: where one is passed, that is the reason."""

_PATTERNS = {
    "stuck": "stands still for longer than this sensor ever did",
    "error_codes": "looks like an error code of the sensor, not a reading; set error_values",
    "noise_level": "varies more or less than usual from reading to reading",
    "variance_change": "varies more or less than usual from reading to reading",
    "slow_drift": "has drifted from its level of the last weeks at the same hours",
    "silent": "came after a longer pause than is usual for this sensor",
    "shape": "follows a pattern that was not seen before",
    "novelty": "is far from every value seen of this sensor before",
    "rarity": "is in a range in which this sensor seldom is",
    "level": "ends a stretch of readings whose mean is rarely seen of this sensor",
    "angle": "points away from its usual direction",
    "counter_rate": "counts faster or slower than usual, has stopped, or has begun again from a lower count",
    "state_dwell": "stays in this state, or changes it, at a time or for a length that is not usual",
}
_MOVED = ("cusum", "page_hinkley", "adwin")
"""Kinds that tell of the mean of several readings, each of which may be within the band."""
_NEXT = ("holt_winters", "forecast")
"""Kinds whose band is about the next reading, from those before it."""
_BY_HOUR = "seasonal"


def told_by_detector(
    seen: str, kind: str, name: str, value: float, band: tuple[float, float, float], unit: str
) -> str | None:
    """What a detector of the kind found; None where nothing is known of it but its band.

    `seen` is the metric with its value, `name` the detector's in the configuration, `band` its expected, lower and
    upper, NaN where it has none, `unit` with a space before it.
    """
    expected, lower, upper = band
    if kind in ("threshold", "physical_range"):
        what = "" if kind == "threshold" else "what is possible, "
        return f"{seen} is {f'above {what}{upper:g}' if value > upper else f'below {what}{lower:g}'}{unit}"
    if kind == "rate_of_change":
        return f"{seen}{_slope(value, band, unit)}"
    if kind in _PATTERNS:
        return f"{seen} {_PATTERNS[kind]}"
    if kind in _MOVED and not math.isnan(expected):
        return f"{seen}; the mean of the last readings has moved away from {expected:.4g}{unit}"
    if math.isnan(lower) and math.isnan(upper):
        unknown = math.isnan(expected)
        told = ", which does not say what it expected" if unknown else f", which expected {expected:.4g}{unit}"
        return f'{seen} is unusual to the detector "{name}" ({kind}){told}'
    return None


def usual_words(kind: str, usual: str) -> str:
    """How the band of a kind of detector is told."""
    if kind in _NEXT:
        return f", after the last readings expected {usual}"
    return f", usually {usual}" + " at this hour" * (kind == _BY_HOUR)


def _slope(value: float, band: tuple[float, float, float], unit: str) -> str:
    before, lower, upper = band
    change = value - before
    allowed = upper - before if change > 0 else before - lower
    verb = "rose" if change > 0 else "fell"
    moved = f"{verb} by {abs(change):.4g}{unit} since the reading before"
    return f" {moved}; the limit allows {allowed:.4g}{unit} in that time"
