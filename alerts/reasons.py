"""Alarm: why an alarm opened, as one sentence that a person reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alerts.detector_words import LIMITS, told_by_detector, usual_words
from devices.records import SeriesRecord

DEFAULT = "ensemble"
"""The type of the default detector, which speaks through its channels."""
_NAMED = 3
"""Contributors that a sentence names."""
_BANDED = ("jump", "shift", "level", "lasting", "range")
"""Channels of the default detector that say how far a value is from its band."""
_WORTH_SAYING, _MOST = 1.5, 1000.0
_LONGEST = 1e9


_KNOWN = {
    "error_code": "looks like an error code of the sensor, not a reading; set error_values",
    "stuck": "stands still for longer than this sensor ever did",
    "long_visit": "has been in this state for longer than is usual at this hour",
    "chatter": "changes its state much more often than usual",
    "new_state": "is a state that was never seen",
    "odd_hour": "changes its state at an hour at which it never does",
    "stopped": "has stopped counting",
    "fast": "counts faster than usual at this hour",
    "slow": "counts slower than usual at this hour",
    "reset": "has begun again from a lower count",
    "noise": "varies more or less than usual from reading to reading",
    "drift": "has drifted from its level of the last weeks at the same hours",
    "falling": "falls much faster than this battery ever did",
    "direction": "points away from its usual direction",
    "shape": "follows a pattern that was not seen before",
}
"""What the channels of the default detector say that need no band."""


def sentence(
    series: SeriesRecord,
    value: float,
    score: float,
    band: tuple[float, float, float],
    parts: Mapping[str, float],
    kind: str = DEFAULT,
) -> str:
    """What was seen, what is usual, how far off it is, in the words of the channel or detector that gave the score.

    `band` is expected, lower, upper in the series' unit, NaN where unknown; `parts` is decades by contributor,
    largest first; `kind` is the type of the detector that gave the score, of which they are.
    """
    unit = f" {series.unit}" if series.unit else ""
    expected, lower, upper = band
    half = 0.5 * (upper - lower)
    # At a limit every digit counts.
    seen = f"{series.metric} {digits(value, math.nan if kind in LIMITS else half)}{unit}"
    name = next(iter(parts), "")
    channel = name if kind == DEFAULT else ""
    if channel in _KNOWN:
        return f"{seen} {_KNOWN[channel]}"
    if kind != DEFAULT and (told := told_by_detector(seen, kind, name, value, band, unit)) is not None:
        return told
    if math.isnan(half):
        told = f", expected {digits(expected, half)}{unit}" if not math.isnan(expected) else ""
        return f"{seen}{told}; {_scored(score, name)}"
    usual = f"{digits(lower, half)} to {digits(upper, half)}{unit}"
    if channel == "lasting":
        side = "above" if value >= expected else "below"
        text = f"{seen}; the mean of the last readings stays {side} what is usual at this hour, {usual}"
    elif lower <= value <= upper:
        return f"{seen}, within the usual {usual}; {_scored(score, name)}"
    elif channel == "range":
        text = f"{seen} is far outside everything seen of this sensor; usually {usual}"
    elif channel in ("jump", "shift"):
        text = f"{seen}, after the last readings expected {usual}"
    else:
        text = seen + usual_words("seasonal" if channel == "level" else kind, usual)
    times = abs(value - expected) / half if half > 0.0 else 0.0
    if times >= _WORTH_SAYING and channel != "lasting":
        text += f"; {min(times, _MOST):.2g} times as far off as nearly all readings"
    if channel not in _BANDED and kind == DEFAULT:
        text += f"; {_scored(score, channel)}"
    return text


def _scored(score: float, channel: str) -> str:
    """The score and what gave it; never how rare the reading is, which a short history cannot tell."""
    return f"score {score:.1f}" + f" by {channel}" * bool(channel)


def digits(value: float, half: float) -> str:
    """The number with digits down to a tenth of the band's half width; six where there is no band."""
    if not math.isfinite(value) or not 0.0 < half < math.inf:
        return f"{value:.6g}"
    decimals = min(max(1 - math.floor(math.log10(half)), 0), 6)
    rounded = round(value, decimals)
    return f"{rounded:.{decimals}f}" if abs(rounded) < _LONGEST else f"{value:.6g}"


@dataclass(frozen=True, slots=True)
class ChannelReason:
    """One channel's part in an alarm of a device as a whole.

    `band` is where it usually is, expected, lower and upper in the channel's unit; `share` how many decades of the
    score are its own, `distance` how many times as far as usual it is away, NaN where its own detectors alone speak.
    """

    series: SeriesRecord
    value: float
    band: tuple[float, float, float]
    share: float
    distance: float


def device_sentence(detector: str, score: float, channels: Sequence[ChannelReason]) -> str:
    """What says that a device's metrics are odd together, and which contribute how much, largest share first."""
    text = f"the device's metrics are odd together, {_scored(score, detector)}"
    whole = sum(channel.share for channel in channels)
    for number, channel in enumerate(channels[:_NAMED]):
        unit = f" {channel.series.unit}" if channel.series.unit else ""
        text += f"{', ' if number else ': '}{channel.series.metric} {channel.value:.6g}{unit}"
        expected, lower, upper = channel.band
        said = [f"{channel.share / whole:.0%}"]
        if not math.isnan(expected):
            said.append(f"expected {expected:.6g}, {lower:.6g} to {upper:.6g}")
        if not math.isnan(channel.distance):
            said.append(f"{channel.distance:.3g} times as far off as usual")
        text += f" ({'; '.join(said)})"
    if len(channels) > _NAMED:
        text += f" and {len(channels) - _NAMED} more"
    return text
