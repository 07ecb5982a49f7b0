"""Made series: normal behaviour of several kinds, and faults put into it.

All are functions of the seed alone. A reading a minute, times from 2024 on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.extras import optional

if TYPE_CHECKING:
    from scipy import signal
else:
    signal = optional("scipy.signal", extra="river", purpose="Making series for --calibration")

START = 1_704_067_200_000_000_000
"""2024-01-01T00:00:00Z."""
MINUTE = 60_000_000_000
DAY = 1440
"""Readings a day."""

Series = NDArray[np.float64]


def times(rows: int) -> NDArray[np.int64]:
    """Times of `rows` readings, (rows,) int64 ns."""
    return START + MINUTE * np.arange(rows, dtype=np.int64)


def stationary(rows: int, random: np.random.Generator) -> Series:
    """Independent normal readings."""
    return 20.0 + random.normal(size=rows)


def autocorrelated(rows: int, random: np.random.Generator) -> Series:
    """A first-order autoregression that forgets half in 14 readings."""
    return 20.0 + _autoregression(rows, 0.95, random)


def heavy_tailed(rows: int, random: np.random.Generator) -> Series:
    """Independent readings of Student's t law with three degrees of freedom."""
    return 20.0 + random.standard_t(3, size=rows)


def seasonal(rows: int, random: np.random.Generator) -> Series:
    """A day with a second harmonic, and autocorrelated noise."""
    day = 2.0 * np.pi * np.arange(rows) / DAY
    return 20.0 + 5.0 * np.sin(day) + 2.0 * np.sin(2.0 * day + 1.0) + 0.5 * _autoregression(rows, 0.8, random)


def quantised(rows: int, random: np.random.Generator) -> Series:
    """An autoregression rounded to halves."""
    return np.round(2.0 * (20.0 + _autoregression(rows, 0.98, random))) / 2.0


def bursty(rows: int, random: np.random.Generator) -> Series:
    """Quiet with bursts a few times a day: an exponential height that fades over some minutes."""
    starts = random.random(rows) < 4.0 / DAY
    heights = np.where(starts, 5.0 + random.exponential(10.0, size=rows), 0.0)
    fading: Series = signal.lfilter([1.0], [1.0, -0.8], heights)
    return 2.0 + 0.2 * random.normal(size=rows) + fading


def mostly_constant(rows: int, random: np.random.Generator) -> Series:
    """Off at exactly zero; on a few times a day for minutes to an hour, at a power that hardly varies."""
    power = np.zeros(rows)
    row = 0
    while row < rows:
        row += 1 + int(random.exponential(DAY / 4.0))
        length = 5 + int(random.exponential(25.0))
        power[row : row + length] = np.round(1500.0 + 15.0 * random.normal(size=len(power[row : row + length])))
        row += length
    return power


NORMAL: Mapping[str, Callable[[int, np.random.Generator], Series]] = MappingProxyType(
    {
        "stationary": stationary,
        "autocorrelated": autocorrelated,
        "heavy-tailed": heavy_tailed,
        "seasonal": seasonal,
        "quantised": quantised,
        "bursty": bursty,
        "mostly constant": mostly_constant,
    }
)
"""Kinds of normal behaviour, by name."""


@dataclass(frozen=True, slots=True)
class Faulty:
    """A series with faults: `value` (n,), and the first and last row of each fault."""

    name: str
    value: Series
    windows: list[tuple[int, int]]


def with_faults(kind: str, seed: int, *, rows: int = 6000) -> Faulty:
    """A series of that kind with a spike, a shift that stays a while, a flat stretch and a burst of noise.

    Their sizes are in standard deviations of the series, their places random in the last two thirds.
    """
    random = np.random.default_rng([seed, *kind.encode()])
    value = NORMAL[kind](rows, random)
    spread = float(np.std(value))
    third = rows // 3
    places = third + (np.arange(4) + random.uniform(0.1, 0.5, size=4)) * (2 * third / 4)
    windows = []
    for fault, place in zip(random.permutation(4), places.astype(int), strict=True):
        length = (3, 120, 120, 60)[fault]
        stretch = slice(place, place + length)
        if fault == 0:
            value[stretch] += 8.0 * spread
        elif fault == 1:
            value[stretch] += 5.0 * spread
        elif fault == 2:
            value[stretch] = value[place - 1] + 0.5 * spread
        else:
            value[stretch] += 4.0 * spread * random.normal(size=length)
        windows.append((int(place), int(place + max(length, 60) - 1)))
    return Faulty(f"{kind} {seed}", value, windows)


def _autoregression(rows: int, memory: float, random: np.random.Generator) -> Series:
    """Standard deviation 1 from the first reading on."""
    noise = random.normal(size=rows)
    noise[1:] *= np.sqrt(1.0 - memory * memory)
    filtered: Series = signal.lfilter([1.0], [1.0, -memory], noise)
    return filtered
