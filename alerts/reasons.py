"""Alarm: why an alarm opened, as one sentence that a person reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from devices.records import SeriesRecord

_NAMED = 3
"""Contributors that a sentence names."""


def sentence(
    series: SeriesRecord, value: float, score: float, band: tuple[float, float, float], parts: Mapping[str, float]
) -> str:
    """What was seen, what was expected, how rare it is, and what says so.

    `band` is expected, lower, upper in the series' unit, NaN where unknown; `parts` is decades by contributor,
    largest first.
    """
    unit = f" {series.unit}" if series.unit else ""
    text = f"{series.metric} {value:.6g}{unit}"
    expected, lower, upper = band
    if not math.isnan(expected):
        text += f", expected {expected:.6g}{unit}"
    if not math.isnan(lower) and not math.isnan(upper):
        text += f" ({lower:.6g} to {upper:.6g})"
    text += f"; about one reading in {_rounded(10**score)} is this odd"
    if parts:
        text += " by " + ", ".join(list(parts)[:_NAMED])
    return text


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
    """How rare a device's row is, what says so, and which channels contribute how much, largest share first."""
    text = f"about one row in {_rounded(10**score)} of the device as a whole is this odd by {detector}"
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


def _rounded(count: float) -> str:
    names = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"), (1e3, "thousand"))
    for size, name in names:
        if count >= size:
            return f"{count / size:.0f} {name}"
    return f"{count:.0f}"
