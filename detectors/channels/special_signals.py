"""Score: each series judged as its kind deserves, by the channels for special signals alone."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from common.compiled import njit
from detectors.channels.channel_detector import ChannelParameters
from detectors.channels.special import (
    SPECIAL_NAMES,
    ask_special,
    no_answers,
    special_layout,
    special_overdue,
)
from detectors.detector import Scores
from detectors.fleet_detector import Column, empty_scores, take_inputs
from detectors.knowledge import Knowledge
from detectors.record_detector import RecordDetector
from detectors.signal_kind import LEARNED, give_kind, kind_evidence
from detectors.statistics.calendar_time import offsets, tell_clocks, wall_clock


class SpecialSignalsParameters(ChannelParameters):
    """What may be set; none of it needs to be."""

    time_zone: str = Field(default="UTC", description="IANA time zone in which hours and weekdays are counted.")
    resting: list[float] = Field(
        default=[0.0],
        max_length=16,
        description="Values at which standing still is in order, such as 0 of what is off.",
    )
    warmup: int = Field(default=30, ge=4, le=1_000_000, description="Readings learned before the first score.")


class SpecialSignals(RecordDetector):
    """The kind of each series is found from its readings, and the channels that suit the kind are asked.

    States by their time in state; counters by their climb; angles on the circle; measurements by whether they are
    stuck, tremble more or less than usual, or drift; error codes on all that measures. The score is the highest answer,
    and `channel` says what it is about. How far a measurement is from what is usual is not asked: that is the default
    detector's question, which asks these too.

    Works: on fleets of which nobody has said what is a counter, a contact or a level. Fails: in the first half hour to
    half day, in which everything is a measurement; a person's word helps (`kind` of a route's metric).

    Cost: about 400 ns a reading. Memory: see `bytes_per_slot`. Sources: the channels'.
    """

    name: ClassVar[str] = "special_signals"
    Parameters: ClassVar[type[BaseModel]] = SpecialSignalsParameters

    def __init__(self, parameters: SpecialSignalsParameters) -> None:
        self.settings = parameters
        self.changes, self.offsets = offsets(parameters.time_zone)
        self.resting = np.array(parameters.resting, np.float64)
        super().__init__(parameters)

    def layout(self) -> dict[str, Column]:
        """The channels' arrays, as `channel.array`."""
        return special_layout()

    def describe(self, slot: int, knowledge: Knowledge) -> None:
        """Take the kind that a person gave; it wins over the one found."""
        give_kind(self.records[""][slot].kind, knowledge.kind)

    def evidence(self, slot: int) -> str:
        """What the kind of one series was found from, in a few words."""
        return kind_evidence(self.records[""][slot].kind)

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score each reading by the channels of its kind, then learn it where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        rows = len(inputs.slot)
        clocks = inputs.time.copy()
        tell_clocks(clocks, self.changes, self.offsets)
        said = no_answers(rows)
        ask_special(
            inputs.slot, inputs.time, clocks, inputs.value, inputs.learn, self.records[""], self.resting, said
        )  # fmt: skip
        warm = np.isfinite(inputs.value) & (said.learned - inputs.learn >= self.settings.warmup)
        empty = empty_scores(rows)
        score = np.where(warm, np.nan_to_num(said.decades), np.nan)
        told = np.flatnonzero(score > 0.0)
        channel = np.full(rows, -1, np.int8)
        channel[told] = said.place[told]
        parts = np.zeros((rows, len(SPECIAL_NAMES)), np.float32)
        parts[told, said.place[told]] = score[told]
        return Scores(score, empty.expected, empty.lower, empty.upper, parts, SPECIAL_NAMES, channel)

    def overdue(self, slot: NDArray[np.int32], now: int) -> NDArray[np.float64]:
        """What the present state of each slot would score at event time `now` (ns), (n,), if no reading came meanwhile.

        NaN where there is nothing to say. Changes nothing.
        """
        score = np.full(len(slot), np.nan)
        _run_overdue(slot, now, self.records[""], self.changes, self.offsets, score)
        return score

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed."""
        count = self.arrays["kind.signal"][: self.size, LEARNED].astype(np.int64)
        return count, np.full(self.size, self.settings.warmup, np.int64)


@njit(allocates=False)
def _run_overdue(slots: Any, now: int, records: Any, changes: Any, zone: Any, score: Any) -> None:
    clock = wall_clock(now, changes, zone)
    for i in range(slots.shape[0]):
        score[i] = special_overdue(records[slots[i]], now, clock)
