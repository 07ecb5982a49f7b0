"""Score: silence: a gap between readings that is long for this series' cadence."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from common.compiled import njit
from detectors.channels.exceedance import SIZES_COLUMN, sizes_learn, sizes_quantile
from detectors.detector import Scores
from detectors.fleet_detector import Column, FleetDetector, empty_scores, take_inputs
from detectors.statistics.calendar_time import DAY
from detectors.statistics.calibration import COUNTS, Prior, compress, decades, learn_score

LEARNED, GAPS, LEVEL, FIRST, VALUE, REPEATS, RAGGED = range(7)
"""Columns of `cadence`: readings learned; gaps between them; the usual gap, log2 of nanoseconds; time of the first
reading, ns; the last value; the share of readings that repeat the one before; how far gaps are off the usual one, mean
of octaves."""

PRIOR = Prior(start=1.5, shape=2.0, weight=30.0, lowest=-5.0)
"""Gaps over the usual gap: on a typical series one in a thousand is over fifty times the usual. The prior is worth few
gaps, since most devices are far more regular, and soon show it."""

_RATE = 0.05
_REACH = 2.0
_YEAR = 365.25 * DAY
_FEWEST_GAPS = 10.0
_RAGGED, _REPEATS = 0.9, 0.25
"""A series is sent on change where gaps are off by so many octaves and at most that share of readings are repeats."""
_QUIET_AT_FIRST, _QUIET_LATER, _FORTNIGHT = 3.0 * DAY, 1.0 * DAY, 14.0 * DAY
"""How long a series that is sent on change may always be silent, in its first fortnight and later, ns."""


class SilentParameters(BaseModel):
    """When the cadence counts as known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    warmup: int = Field(default=30, ge=4, le=1_000_000, description="Readings learned before the first score.")
    least: float = Field(
        default=0.0, ge=0, le=1e9, description="Gaps of up to this many seconds are in order, whatever the cadence."
    )


class Silent(FleetDetector):
    """The gap before a reading, over the series' usual gap, as its probability on the series' own past.

    The usual gap is a running mean of log gaps, in which one gap counts at most as two octaves off; a cadence that
    changes for good is learned within some fifty readings. Readings of one time are one sign of life.

    Works: on devices that report at an interval, regular or not, and stop for a while. Fails: on devices that report
    only changes, whose gaps say nothing, and while the silence lasts: the score comes with the reading that ends it.
    `overdue` gives what a gap of so far would score, `allowed_silence` how long a series may be silent. Values only
    tell whether the series is sent on change.

    Cost: about 140 ns a reading. Memory: 416 bytes a slot. Source: Pareto tails of inter-event times: Barabasi, Nature
    435, 2005; the calibration's as in `detectors/statistics/calibration.py`.
    """

    name: ClassVar[str] = "silent"
    Parameters: ClassVar[type[BaseModel]] = SilentParameters

    def __init__(self, parameters: SilentParameters) -> None:
        self.settings = parameters
        self.least = parameters.least * 1e9
        super().__init__(parameters)

    def layout(self) -> dict[str, Column]:
        """`last` (size,): time of the last reading, ns; `cadence` (size, 7), see `LEARNED`; `counts`, the histogram of
        what scores; `pauses`, that of gaps over the usual one."""
        return {
            "last": Column(np.int64),
            "cadence": Column(np.float64, (7,)),
            "counts": COUNTS,
            "pauses": SIZES_COLUMN,
        }

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score the gap before each reading, then learn it where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        scores = empty_scores(len(inputs.slot))
        arrays = self.arrays
        _run(
            *inputs, arrays["last"], arrays["cadence"], arrays["counts"], arrays["pauses"],
            float(self.settings.warmup), self.least, PRIOR, scores.score,
        )  # fmt: skip
        return scores

    def overdue(self, slot: NDArray[np.int32], now: int) -> NDArray[np.float64]:
        """What a reading of each slot at event time `now` (ns) would score, (n,): the silence so far. Learns nothing.

        NaN where the slot is warming up.
        """
        count = len(slot)
        return self.step(slot, np.full(count, now), np.zeros(count), np.zeros(count, np.bool_)).score

    def allowed_silence(self, slot: NDArray[np.int32], times_a_year: float = 1.0) -> NDArray[np.float64]:
        """How long each slot may be silent, ns, (n,): its own gaps are longer about `times_a_year` times a year.

        A series that is sent on change is allowed a day at least, in its first fortnight three. NaN where fewer than
        ten gaps are known.
        """
        cadence, pauses = self.arrays["cadence"], self.arrays["pauses"]
        return np.array([allowed_silence(cadence[k], pauses[k], self.arrays["last"][k], times_a_year) for k in slot])

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed."""
        count = self.arrays["cadence"][: self.size, LEARNED].astype(np.int64)
        return count, np.full(self.size, self.settings.warmup, np.int64)


@njit(allocates=False)
def sent_on_change(cadence: Any) -> bool:
    """Whether a series with this `cadence` (7,) is sent when it changes: ragged gaps, hardly a value twice."""
    return bool(cadence[GAPS] >= _FEWEST_GAPS and cadence[RAGGED] > _RAGGED and cadence[REPEATS] < _REPEATS)


@njit(allocates=False)
def allowed_silence(cadence: Any, pauses: Any, last: int, times_a_year: float) -> float:
    """How long a series may be silent, ns; NaN where fewer than ten gaps are known.

    `cadence` (7,) and `pauses` (SIZES,) are its rows in a `Silent`, `last` is the time of its last reading. Gaps longer
    than this come `times_a_year` times a year by the tail of its own gaps.
    """
    if cadence[GAPS] < _FEWEST_GAPS:
        return math.nan
    usual = 2.0 ** cadence[LEVEL]
    needed = math.log10(max(_YEAR / usual / times_a_year, 1.0))
    allowed = usual * sizes_quantile(pauses, needed)
    if sent_on_change(cadence):
        young = last - cadence[FIRST] < _FORTNIGHT
        allowed = max(allowed, _QUIET_AT_FIRST if young else _QUIET_LATER)
    return float(allowed)


@njit(allocates=False)
def _learn_value(cadence: Any, time: int, value: float) -> None:
    """Learn whether the series repeats itself."""
    if cadence[LEARNED] == 0.0:
        cadence[FIRST] = time
    else:
        rate = max(1.0 / cadence[LEARNED], 0.01)
        cadence[REPEATS] += rate * ((1.0 if value == cadence[VALUE] else 0.0) - cadence[REPEATS])
    cadence[VALUE] = value


@njit(allocates=False)
def _run(
    slots: Any, times: Any, values: Any, learns: Any, last: Any, cadences: Any, counts: Any, pauses: Any,
    warmup: float, least: float, prior: Any, score: Any,
) -> None:  # fmt: skip
    for i in range(slots.shape[0]):
        if not math.isfinite(values[i]):
            continue
        k = slots[i]
        cadence = cadences[k]
        gap = float(times[i] - last[k]) if cadence[LEARNED] > 0.0 else 0.0
        raw, octaves = 0.0, 0.0
        if gap > 0.0:
            octaves = math.log2(gap) - cadence[LEVEL] if cadence[GAPS] > 0.0 else 0.0
            raw = 2.0**octaves
        if cadence[LEARNED] >= warmup:
            score[i] = compress(decades(counts, k, raw, prior)) if gap > least else 0.0
        if not learns[i]:
            continue
        _learn_value(cadence, times[i], values[i])
        cadence[LEARNED] += 1.0
        last[k] = max(last[k], times[i]) if cadence[LEARNED] > 1.0 else times[i]
        if gap <= 0.0:
            continue
        learn_score(counts, k, raw, prior)
        cadence[GAPS] += 1.0
        if cadence[GAPS] == 1.0:
            cadence[LEVEL] = math.log2(gap)
        else:
            sizes_learn(pauses[k], raw)
            rate = max(1.0 / cadence[GAPS], _RATE)
            cadence[RAGGED] += rate * (min(abs(octaves), 4.0) - cadence[RAGGED])
            cadence[LEVEL] += rate * max(-_REACH, min(_REACH, octaves))
