"""Stage 7 of 7: from score to verdict to alarm, for the whole fleet in one compiled call."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_settings import AlarmSettings
from common.compiled import njit
from common.growth import grown

OPENED = 1
CLEARED = 2

MIN_THRESHOLD = 3.0
"""No budget makes an alarm of a reading that is expected once in a thousand: a slow sensor's budget would allow it."""
MAX_THRESHOLD = 10.0
"""Beyond this no history supports a probability; a faster series shares it."""
_CADENCE_WEIGHT = 0.05


@njit(nogil=True)
def _step(
    series: NDArray[np.int32],
    time: NDArray[np.int64],
    score: NDArray[np.float64],
    fixed: float,
    budget: float,
    clear_ratio: float,
    clear_after: int,
    rest: int,
    last_time: NDArray[np.int64],
    cadence: NDArray[np.float64],
    is_open: NDArray[np.bool_],
    calm: NDArray[np.int32],
    resting: NDArray[np.int32],
    peak: NDArray[np.float64],
    anomaly: NDArray[np.bool_],
    event: NDArray[np.int8],
) -> int:
    events = 0
    for i in range(len(series)):
        s = series[i]
        gap = (time[i] - last_time[s]) * 1e-9
        if last_time[s] >= 0 and gap > 0.0:
            step = math.log(gap)
            if math.isnan(cadence[s]):
                cadence[s] = step
            else:
                # A gap of an outage must not stretch the cadence: one step moves it by a bounded amount.
                cadence[s] += _CADENCE_WEIGHT * min(max(step - cadence[s], -2.0), 2.0)
        last_time[s] = time[i]
        event[i] = 0
        anomaly[i] = False
        if math.isnan(score[i]):
            continue
        threshold = fixed
        if not fixed > 0.0:
            seconds = math.exp(cadence[s]) if not math.isnan(cadence[s]) else 60.0
            threshold = min(max(-math.log10(budget * seconds), MIN_THRESHOLD), MAX_THRESHOLD)
        anomaly[i] = score[i] >= threshold
        if is_open[s]:
            peak[s] = max(peak[s], score[i])
            calm[s] = 0 if score[i] >= clear_ratio * threshold else calm[s] + 1
            if calm[s] >= clear_after:
                is_open[s] = False
                resting[s] = rest
                event[i] = CLEARED
                events += 1
        elif resting[s] > 0:
            resting[s] -= 1
        elif anomaly[i]:
            is_open[s] = True
            calm[s] = 0
            peak[s] = score[i]
            event[i] = OPENED
            events += 1
    return events


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the policy made of n scored readings, all (n,): `anomaly` where the score reaches the threshold.

    `event` int8 is OPENED or CLEARED where an alarm opened or cleared at this reading, else 0; `events` counts those.
    """

    anomaly: NDArray[np.bool_]
    event: NDArray[np.int8]
    events: int


class AlarmPolicy:
    """Raises and clears one alarm a series, with hysteresis and a rest, by score alone.

    The raising score comes from the budget: a series that reports every `cadence` seconds may alarm by chance
    `budget` times a second, so its threshold is -log10(budget * cadence), since scores are decades of probability.
    """

    def __init__(self, settings: AlarmSettings) -> None:
        self.settings = settings
        self._last_time = np.empty(0, np.int64)
        self._cadence = np.empty(0)
        self._open = np.empty(0, np.bool_)
        self._calm = np.empty(0, np.int32)
        self._resting = np.empty(0, np.int32)
        self._peak = np.empty(0)

    def grow(self, size: int) -> None:
        """Make room for series 0 to `size` - 1."""
        self._last_time = grown(self._last_time, size, -1)
        self._cadence = grown(self._cadence, size, np.nan)
        self._open = grown(self._open, size, False)
        self._calm = grown(self._calm, size, 0)
        self._resting = grown(self._resting, size, 0)
        self._peak = grown(self._peak, size, 0.0)

    def step(self, series: NDArray[np.int32], time: NDArray[np.int64], score: NDArray[np.float64]) -> Verdicts:
        """Judge n readings in order; a NaN score (warming up) is no verdict and changes no alarm."""
        anomaly = np.empty(len(series), np.bool_)
        event = np.empty(len(series), np.int8)
        events = _step(
            series,
            time,
            score,
            self.settings.threshold or 0.0,
            self.settings.budget_per_second,
            self.settings.clear_ratio,
            self.settings.clear_after,
            self.settings.rest,
            self._last_time,
            self._cadence,
            self._open,
            self._calm,
            self._resting,
            self._peak,
            anomaly,
            event,
        )
        return Verdicts(anomaly, event, int(events))

    def threshold(self, series: int) -> float:
        """The score that raises an alarm for this series now."""
        if self.settings.threshold is not None:
            return self.settings.threshold
        cadence = self._cadence[series] if series < len(self._cadence) else math.nan
        seconds = math.exp(cadence) if not math.isnan(cadence) else 60.0
        return min(max(-math.log10(self.settings.budget_per_second * seconds), MIN_THRESHOLD), MAX_THRESHOLD)

    def peak(self, series: int) -> float:
        """Highest score since the series' alarm opened."""
        return float(self._peak[series])

    @property
    def open_series(self) -> NDArray[np.intp]:
        """Series with an open alarm."""
        return np.flatnonzero(self._open)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """A copy of the whole state."""
        return {
            "last_time": self._last_time.copy(),
            "cadence": self._cadence.copy(),
            "open": self._open.copy(),
            "calm": self._calm.copy(),
            "resting": self._resting.copy(),
            "peak": self._peak.copy(),
        }

    def load(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take over a state that `state` returned."""
        self._last_time = np.array(state["last_time"], np.int64)
        self._cadence = np.array(state["cadence"], np.float64)
        self._open = np.array(state["open"], np.bool_)
        self._calm = np.array(state["calm"], np.int32)
        self._resting = np.array(state["resting"], np.int32)
        self._peak = np.array(state["peak"], np.float64)
