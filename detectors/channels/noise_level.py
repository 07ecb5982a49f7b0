"""Score: noise: whether a signal trembles more, or less, than it does at this hour."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from common.compiled import njit, subkernel
from detectors.channels.channel_detector import ChannelDetector, ChannelParameters
from detectors.channels.exceedance import SIZES, sizes_decades, sizes_learn
from detectors.detector import MAX_SCORE
from detectors.fleet_detector import Column, Inputs
from detectors.statistics.calendar_time import DAY, wall_clock
from detectors.statistics.calibration import LARGEST

HOUR = DAY // 24

LEARNED, LAST, GAP, BEFORE, BEFORE_THAT, RUN, RECENT, USUAL, ODD_SINCE, WINDOWS = range(10)
"""Columns of `noise`: readings learned; time of the last one and the usual gap, ns; the last two values; readings
since the last gap, up to 3; the mean size of second differences of late, and the usual one; since when the noise is
odd, ns, 0 while it is not; stretches learned from."""

BY_HOUR, LOUDER, QUIETER = 0, 24, 24 + SIZES
"""Columns of `tables`, from which on there are: noise by hour of the day over the usual noise; past noise over the
expected noise, and the reverse."""

STRETCH = 32.0
"""Readings over which noise is averaged."""
_FEWEST = 4.0 * STRETCH
_USUAL_RATE, _HOUR_RATE, _ODD_HOUR_RATE, _GAP_RATE = 0.001, 0.1, 0.05, 0.05
_CLIP = 4.0
_LONG_GAP = 5.0
_DAYS_TO_TRUST_HOURS = 3.0
_MARGIN = 1.2
_BESIDE = 1.4
"""The noise of an hour beside counts where it is so many times as large, or as small."""
_DEAD = 0.02
"""Share of the usual noise below which a signal is dead; that is not taken for usual however long it lasts."""
_ODD = 3.0
_RARELY = math.log10(STRETCH / 2.0) - math.log10(2.0) - 0.3
"""Decades for one stretch in 32 readings, which overlap, and two questions, to which half of the budget is given."""


LAYOUT = {"noise": Column(np.float64, (10,)), "tables": Column(np.float32, (QUIETER + SIZES,))}
"""A series' record: `noise` (10) float64, see `LEARNED`; `tables` (24 + 2 SIZES) float32, see `BY_HOUR`."""


@subkernel
def _knows_hours(noise: Any) -> bool:
    return bool(noise[LEARNED] * noise[GAP] > _DAYS_TO_TRUST_HOURS * DAY)


@subkernel
def _expected(state: Any, clock: int) -> float:
    """The usual noise at this hour; all hours count alike for the first three days."""
    noise = state.noise
    factor = float(state.tables[BY_HOUR + int(clock % DAY // HOUR)])
    return float(noise[USUAL] * (factor if factor > 0.0 and _knows_hours(noise) else 1.0))


@subkernel
def _around(state: Any, clock: int, expected: float) -> tuple[float, float]:
    """The least and most noise that is usual at this hour and the ones beside it: one hour may have learned a fault."""
    least, most = expected, expected
    if _knows_hours(state.noise):
        for beside in (-1, 1):
            other = _expected(state, clock + beside * HOUR)
            least, most = min(least, other), max(most, other)
    # Hours are known about as well as this; within it each hour is judged by its own.
    return least if least * _BESIDE < expected else expected, most if most > expected * _BESIDE else expected


@subkernel
def _learn_time(noise: Any, time: int) -> bool:
    """Learn the cadence; True where the reading follows a gap."""
    gap = time - noise[LAST]
    noise[LAST] = time
    if noise[LEARNED] == 0.0 or gap <= 0.0:
        return False
    if noise[GAP] == 0.0:
        noise[GAP] = gap
    after_gap = gap > _LONG_GAP * noise[GAP]
    noise[GAP] *= 1.0 + _GAP_RATE * max(-1.0, min(1.0, math.log(gap / noise[GAP])))
    return bool(after_gap)


@subkernel
def _learn_stretch(state: Any, clock: int, recent: float, expected: float, odd: bool) -> None:
    """Learn the noise of one stretch: the hour's share, and how far noise strays from what is expected.

    Odd noise teaches the hour a little, so that what comes each day at its hour is usual within a week.
    """
    noise, tables = state.noise, state.tables
    noise[WINDOWS] += 1.0
    if not odd and noise[LEARNED] >= _FEWEST and expected > 0.0 and recent > 0.0:
        sizes_learn(tables[LOUDER : LOUDER + SIZES], recent / expected)
        sizes_learn(tables[QUIETER : QUIETER + SIZES], expected / recent)
    hour = BY_HOUR + int(clock % DAY // HOUR)
    if noise[USUAL] > 0.0:
        factor = float(tables[hour])
        share = min(max(recent / noise[USUAL], 0.05), 20.0)
        if factor > 0.0 and odd:
            share = min(max(share, factor / _CLIP), factor * _CLIP)
        rate = _ODD_HOUR_RATE if odd else _HOUR_RATE
        tables[hour] = share if factor == 0.0 else factor + rate * (share - factor)


@subkernel
def noise_step(state: Any, time: int, clock: int, value: float, learn: bool) -> float:
    """Decades of the noise up to one reading, NaN with nothing to say; learns it where `learn`.

    `state` is a record of `LAYOUT`; `time` in ns; `clock` the local time in ns since a Monday's midnight.
    """
    noise, tables = state.noise, state.tables
    expected = _expected(state, clock)
    trembles = noise[RUN] >= 2.0
    size = abs(value - 2.0 * noise[BEFORE] + noise[BEFORE_THAT]) if trembles else 0.0
    if noise[LEARNED] >= STRETCH:
        # A lone spike, or an edge, counts three times and must not pass for noise.
        size = min(size, _CLIP * max(noise[RECENT], noise[USUAL]))
    rate = max(1.0 / STRETCH, 1.0 / (noise[LEARNED] + 1.0))
    recent = noise[RECENT] + rate * (size - noise[RECENT]) if trembles else noise[RECENT]
    score = math.nan
    if noise[LEARNED] >= _FEWEST and expected > 0.0 and recent > 0.0:
        least, most = _around(state, clock, expected)
        louder = sizes_decades(tables[LOUDER : LOUDER + SIZES], recent / most / _MARGIN)
        quieter = sizes_decades(tables[QUIETER : QUIETER + SIZES], least / recent / _MARGIN)
        score = louder if recent > _MARGIN * most else quieter if _MARGIN * recent < least else 0.0
        score = min(MAX_SCORE, score + _RARELY) if score > 0.0 else 0.0
    if learn:
        _learn(state, time, clock, value, recent, size, expected, score)
    return score


@subkernel
def _learn(
    state: Any, time: int, clock: int, value: float, recent: float, size: float, expected: float,
    score: float,
) -> None:  # fmt: skip
    """Learn one reading; odd noise teaches nothing, and is taken for usual once it has lasted for a day."""
    noise = state.noise
    after_gap = _learn_time(noise, time)
    trembles = noise[RUN] >= 2.0 and not after_gap
    noise[RUN] = 1.0 if after_gap else min(noise[RUN] + 1.0, 3.0)
    noise[BEFORE_THAT] = noise[BEFORE]
    noise[BEFORE] = value
    odd = score >= _ODD
    noise[ODD_SINCE] = 0.0 if not odd else time if noise[ODD_SINCE] == 0.0 else noise[ODD_SINCE]
    if trembles:
        # A signal that was dead and moves again is not to be quiet for a stretch more.
        revives = noise[RECENT] < _DEAD * noise[USUAL] < size
        noise[RECENT] = expected if revives else recent
        if odd and time - noise[ODD_SINCE] > DAY and recent > _DEAD * noise[USUAL]:
            noise[USUAL] *= recent / expected
            noise[ODD_SINCE] = 0.0
        else:
            odd = odd and _knows_hours(noise)
            if not odd:
                rate = max(_USUAL_RATE, 1.0 / (noise[LEARNED] + 1.0))
                noise[USUAL] += rate * (size - noise[USUAL])
            if noise[LEARNED] % STRETCH == 0.0:
                _learn_stretch(state, clock, recent, expected, odd)
    noise[LEARNED] += 1.0


class NoiseLevelParameters(ChannelParameters):
    """What may be set; none of it needs to be."""

    time_zone: str = Field(default="UTC", description="IANA time zone in which the hours of the day are counted.")
    warmup: int = Field(default=128, ge=4, le=1_000_000, description="Readings learned before the first score.")


class NoiseLevel(ChannelDetector):
    """The mean size of second differences over some 32 readings, over what is usual at this hour of the day.

    Second differences leave out levels and slopes; a lone spike counts four times the usual at most. The ratio, and its
    reverse, are turned to decades by the series' own past, learned once a stretch. Odd noise teaches only on the first
    three days, when the hours are not known, and is taken for usual once it has lasted for a day. A gap starts the
    differences anew.

    Works: on a bearing, a pump that cavitates, a probe that comes loose or dies away. Fails: on signals that are sent
    on change or that stand still mostly, and on noise that is usual at some load but not by hour.

    Cost: about 60 ns a reading. Memory: 360 bytes a slot. Source: von Neumann, Ann. Math. Statist. 12, 1941 (mean
    square successive difference).
    """

    name: ClassVar[str] = "noise_level"
    Parameters: ClassVar[type[BaseModel]] = NoiseLevelParameters
    channel_layout: ClassVar[dict[str, Column]] = LAYOUT
    learned: ClassVar[tuple[str, int]] = ("noise", LEARNED)

    def run(self, inputs: Inputs, records: Any, score: NDArray[np.float64]) -> None:
        """Score and learn the rows in order."""
        _run(*inputs, records, self.changes, self.offsets, float(self.settings.warmup), score)


@njit(allocates=False)
def _run(
    slots: Any, times: Any, values: Any, learns: Any, records: Any, changes: Any, zone: Any, warmup: float, score: Any
) -> None:
    for i in range(slots.shape[0]):
        if not math.isfinite(values[i]):
            continue
        state = records[slots[i]]
        warm = state.noise[LEARNED] >= warmup
        value = max(-LARGEST, min(LARGEST, values[i]))
        clock = wall_clock(times[i], changes, zone)
        decades = noise_step(state, times[i], clock, value, learns[i])
        if warm:
            score[i] = 0.0 if math.isnan(decades) else decades
