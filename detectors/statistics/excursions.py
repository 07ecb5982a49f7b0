"""Score: how often a series leaves its normal behaviour by chance, counted by excursions, in compiled form.

A channel gives each reading decades: how improbable its deviation is by the channel's own rules. A fault of thirty
readings is one event, so what is counted is the peak of each excursion above `FROM` decades. The count says what the
decades are worth on this series: one with light tails has few excursions, and its decades rise; one with many has
them lowered. Peaks beyond `FAULT` are faults, not normal behaviour: they are left out, except those of the first
days beyond the first `FORGIVEN`, when nothing else is known, and those that come several times a day.

Cost: about 5 ns a reading below `FROM`. Memory: 0.37 KiB a series and channel. Source: declustering by runs, Leadbetter
et al., Extremes and Related Properties of Random Sequences, 1983; the censored exponential tail of peaks.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from common.compiled import subkernel
from detectors.fleet_detector import Column
from detectors.statistics.calendar_time import DAY

BINS, PER_DECADE = 80, 8
FROM = 2.0
"""Decades from which a reading belongs to an excursion."""
NORMAL, FAULT = 3.5, 4.5
"""A peak up to NORMAL decades counts fully among the normal ones, one of FAULT not at all."""
QUIET = 20
"""Readings below FROM that end an excursion: fewer than lie between two starts of a compressor."""
PRIOR_READINGS = 1000.0
"""What the channel's own decades are worth, in readings of the series."""
PRIOR_PEAKS = 3.0
STEEPEST = 4.0
"""How many decades rarer a peak may become with each decade of the channel, by this series' own peaks."""
MEMORY_READINGS, MEMORY_DAYS = 40_000.0, 28.0
"""After so many readings, and at least so many days of them, all counts are halved."""
EARLY = 3 * DAY
"""Since its first reading a series shows what is normal for it: excursions of any height count."""
FORGIVEN = 1.0
"""So many high peaks of the first days are taken for faults where the noise has light tails; one more, and all are
normal."""
KEEPS_COMING = 2.0
"""How many times as often as in the first days such peaks are normal, over the weeks that are remembered."""
FEW, MANY = 8.0, 12.0
SELDOM, OFTEN = 1.0, 3.0
"""High peaks are normal where there were MANY of them, OFTEN a day; not where there were FEW, or SELDOM a day."""

_LOG10_E = 1.0 / math.log(10.0)
_FIRST, _FAULT = int(FROM * PER_DECADE), int(FAULT * PER_DECADE)

RARELY_SWITCHED, OFTEN_SWITCHED = 4.0, 8.0
"""From so many high peaks on, one more that leads from one usual mode to another counts in part, and in full."""


def excursion_layout(channels: int) -> dict[str, Column]:
    """The state columns for so many channels. A channel's record: peaks by eighths of a decade; readings; peak
    and quiet readings of the present excursion; `early` counts high peaks of the first days, `number` all peaks.
    """
    return {
        "peaks": Column(np.float32, (channels, BINS)),
        "readings": Column(np.float64, (channels,)),
        "peak": Column(np.float64, (channels,)),
        "quiet": Column(np.int32, (channels,)),
        "early": Column(np.float32, (channels,)),
        "number": Column(np.float32, (channels,)),
    }


@subkernel
def _bin(decades: float) -> int:
    return int(min(max(decades, 0.0) * PER_DECADE, BINS - 1.0))


@subkernel
def _ramp(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0)


@subkernel
def excursion_score(state: Any, decades: float, interval: float, light: float) -> float:
    """`decades` of a channel as decades of rarity among this series' excursions.

    `interval` is ns between readings, `light` (0 to 1) how light the tails of its noise are.
    """
    if decades < FROM:
        return decades
    peaks = state.peaks
    number, inside, excess = 0.0, 0.0, 0.0
    for i in range(_FIRST, _FAULT):
        count = float(peaks[i])
        height = (i + 0.5) / PER_DECADE
        number += count
        inside += count if height < NORMAL else 0.0
        excess += count * (min(height, NORMAL) - FROM)
    high, higher, at = 0.0, 0.0, _bin(decades)
    for i in range(_FAULT, BINS):
        high += float(peaks[i])
        higher += float(peaks[i]) if i >= at else 0.0
    readings = state.readings
    steepness = (PRIOR_PEAKS + inside) * _LOG10_E / (PRIOR_PEAKS * _LOG10_E + excess)
    steepness = min(max(steepness, 1.0), STEEPEST)
    share = (number + PRIOR_READINGS * 10.0**-FROM) / (readings + PRIOR_READINGS)
    fitted = -math.log10(share) + steepness * (decades - FROM)
    days = max(readings * interval / DAY, 0.01)
    normal = _ramp(high, FEW, MANY) * _ramp(high / days, SELDOM, OFTEN)
    early, forgiven = float(state.early), FORGIVEN * light
    # A peak higher than all before it is of their kind where there were several.
    kind = max(higher, 1.0) if high > 1.0 else higher
    usual = early * min(max(days * DAY / EARLY, 1.0), KEEPS_COMING)
    counted = max(normal * higher, _ramp(early, forgiven, forgiven + 1.0) * min(usual, kind))
    if counted > 0.0:
        fitted = min(fitted, -math.log10(counted / (readings + PRIOR_READINGS)))
    return max(fitted, 0.0)


@subkernel
def switch_score(state: Any, score: float) -> float:
    """`score` of a reading that leads from one usual mode to another: at most how rare peaks beyond NORMAL are."""
    count = 0.0
    for i in range(int(NORMAL * PER_DECADE), BINS):
        height = (i + 0.5) / PER_DECADE
        count += float(state.peaks[i]) / (1.0 - _ramp(height, NORMAL, FAULT) if height < FAULT else 1.0)
    rarity = math.log10((state.readings + PRIOR_READINGS) / max(count, 1.0))
    share = _ramp(count, RARELY_SWITCHED, OFTEN_SWITCHED)
    return min(score, share * rarity + (1.0 - share) * score)


@subkernel
def excursion_rarity(state: Any) -> float:
    """Decades of one more excursion, whatever its height: for series that hardly ever leave their usual value."""
    return math.log10((state.readings + 2.0) / (state.number + 1.0))


@subkernel
def excursion_learn(state: Any, decades: float, age: int, interval: float) -> None:
    """Count one reading of `decades`, `age` ns after the series' first."""
    state.readings += 1.0
    peak = state.peak
    if peak > 0.0:
        state.peak = max(peak, decades)
        state.quiet = state.quiet + 1 if decades < FROM else 0
        if state.quiet >= QUIET:
            weight = 1.0 if peak >= FAULT else 1.0 - _ramp(peak, NORMAL, FAULT)
            state.peaks[_bin(peak)] += weight
            state.number += 1.0
            state.peak = 0.0
            if peak >= FAULT and age < EARLY:
                state.early += 1.0
    elif decades >= FROM:
        state.peak = decades
        state.quiet = 0
    if state.readings >= max(MEMORY_READINGS, MEMORY_DAYS * DAY / max(interval, 1.0)):
        state.readings *= 0.5
        state.number *= 0.5
        for i in range(BINS):
            state.peaks[i] *= 0.5
