"""Score: time in state: a door left open, a pump that does not start, chatter, a state never seen before."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from common.compiled import njit
from detectors.channels.channel_detector import ChannelDetector, ChannelParameters
from detectors.channels.dwell import LAYOUT, LEARNED, dwell_overdue, dwell_step
from detectors.fleet_detector import Column, Inputs
from detectors.statistics.calendar_time import wall_clock


class StateDwellParameters(ChannelParameters):
    """What may be set; none of it needs to be."""

    time_zone: str = Field(default="UTC", description="IANA time zone in which hours and weekdays are counted.")
    warmup: int = Field(default=10, ge=1, le=1_000_000, description="Readings learned before the first score.")


class StateDwell(ChannelDetector):
    """How long a series of two to four values stays in each, when it changes, and how often.

    Four questions: is the present visit longer than visits are at these hours (counted in the exits that were to be
    expected meanwhile, so that a door closed all night is usual and one closed all day is not); did it begin at an
    hour or on a weekday at which this state never begins; is the state new; do changes come in bursts. The score is the
    highest answer, less 0.5 for the choice. It stays up while the visit lasts; an odd visit does not teach. Scores are
    per reading: what comes once in ten visits, with a visit each hundred readings, scores 3.

    Works: on contacts, pumps, valves, modes; sampled or sent on change. Fails: with five values or more (the score is
    0), on a state visited less than five times (no usual length), in the first days (no usual hours). While nobody
    sends, `overdue` gives what the visit so far would score.

    Cost: about 100 ns a reading. Memory: see `bytes_per_slot`. Source: time rescaling of point processes: Brown et al.,
    Neural Computation 14, 2002; tails as in `detectors/channels/exceedance.py`.
    """

    name: ClassVar[str] = "state_dwell"
    Parameters: ClassVar[type[BaseModel]] = StateDwellParameters
    channel_layout: ClassVar[dict[str, Column]] = LAYOUT
    learned: ClassVar[tuple[str, int]] = ("present", LEARNED)

    def run(self, inputs: Inputs, records: Any, score: NDArray[np.float64]) -> None:
        """Score and learn the rows in order."""
        _run(*inputs, records, self.changes, self.offsets, float(self.settings.warmup), score)

    def overdue(self, slot: NDArray[np.int32], now: int) -> NDArray[np.float64]:
        """What the present visit of each slot would score at event time `now` (ns), (n,), if no reading came meanwhile.

        NaN where there is nothing to say. Changes nothing.
        """
        score = np.full(len(slot), np.nan)
        _run_overdue(slot, now, self.records[""], self.changes, self.offsets, score)
        return score


@njit(allocates=False)
def _run(
    slots: Any, times: Any, values: Any, learns: Any, records: Any, changes: Any, zone: Any, warmup: float, score: Any
) -> None:
    for i in range(slots.shape[0]):
        if not math.isfinite(values[i]):
            continue
        state = records[slots[i]]
        warm = state.present[LEARNED] >= warmup
        clock = wall_clock(times[i], changes, zone)
        decades = dwell_step(state, times[i], clock, values[i], learns[i])
        if warm:
            score[i] = 0.0 if math.isnan(decades) else decades


@njit(allocates=False)
def _run_overdue(slots: Any, now: int, records: Any, changes: Any, zone: Any, score: Any) -> None:
    clock = wall_clock(now, changes, zone)
    for i in range(slots.shape[0]):
        score[i] = dwell_overdue(records[slots[i]], now, clock)
