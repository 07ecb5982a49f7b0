"""Score: the default detector: channels that each ask one question of a reading; the highest answer counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from detectors import novelty, shape
from detectors.channels import adoption, deviation, value_range
from detectors.channels.special import SpecialAnswers, ask_special, no_answers, special_layout
from detectors.detector import Scores, State
from detectors.ensemble_kernel import (
    MIX_LAYOUT,
    PART_NAMES,
    KnownFacts,
    MixState,
    Output,
    Parts,
    new_scratch,
    run,
)
from detectors.fleet_detector import Column, Inputs, empty_scores, take_inputs
from detectors.knowledge import Knowledge
from detectors.record_detector import RecordDetector, new_records
from detectors.signal_kind import LEARNED, give_kind
from detectors.statistics import period
from detectors.statistics.calendar_time import offsets, tell_clocks
from detectors.statistics.calibration import COUNTS
from detectors.statistics.excursions import excursion_layout

_RESTING = np.zeros(1)
"""Values at which standing still is in order: 0, of what is off."""
_NO_SHAPE, _NO_PERIOD = new_records(shape.LAYOUT, 1), new_records(period.LAYOUT, 1)
_NO_COUNTS = np.zeros((0, *COUNTS.shape), np.float32)


class EnsembleParameters(BaseModel):
    """What may be set; none of it needs to be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shape: bool = Field(
        default=True,
        description="Compare stretches of readings with earlier ones: finds faults of shape, for 16 KiB a series.",
    )
    warmup: int = Field(default=30, ge=4, le=1_000_000, description="Readings learned before the first score.")


class Ensemble(RecordDetector):
    """Is this reading far from what is normal for this sensor now? The highest of several channels' answers.

    Channels: deviation (from forecasts at three rates, with and without the course of the day, and of the mean of the
    last errors); range (far outside everything seen); error codes; stuck; noise; slow drift; time in state, counter and
    angle, where the signal is of that kind; shape (a stretch like no earlier one, where the series is recurrent). The
    kind of signal is recognised, or said by a person. All answers are decades of false-alarm rarity on normal
    behaviour; `statistics.excursions` puts deviation, range and shape on that scale. A fault scores as long as it lasts
    and again when it recurs, since what is surely a fault teaches nothing; what stays for hours, comes several times a
    day, or at the same half hour on most days, is taken as normal. `novelty` is a second, separate answer: how far the
    value is from any value seen before.

    Works: on unknown sensors, without a parameter, from the thirtieth reading on; an absurd value is found from the
    fiftieth. Fails: on faults within the usual size of errors, on a drift slower than the levels follow, and on a
    weekly course, which it does not know. In its first three days it takes large events that come more often than
    twice for normal.

    Cost: about 1 us a reading without and 1 to 6 with shape. Memory: see `bytes_per_slot`. Sources: the channels'.
    """

    name: ClassVar[str] = "ensemble"
    Parameters: ClassVar[type[BaseModel]] = EnsembleParameters
    record_parts: ClassVar[Mapping[str, int]] = {
        "deviation": 0, "range": 0, "excursions": 1, "novelty": 0, "shape": 0, "period": 0, "special": 0,
    }  # fmt: skip
    version = "channels 3"

    def __init__(self, parameters: EnsembleParameters) -> None:
        self.settings = parameters
        super().__init__(parameters)
        self._zones = ["UTC"]
        self._offsets = [offsets("UTC")]
        self._facts = _fresh_facts(0)

    @classmethod
    def examples(cls) -> tuple[Mapping[str, object], ...]:
        """The defaults, and without the shape part."""
        return ({}, {"shape": False})

    def layout(self) -> dict[str, Column]:
        """The parts' arrays as `part.array`."""
        rooms = {
            "deviation": deviation.LAYOUT,
            "range": value_range.LAYOUT,
            "excursions": excursion_layout(3 if self.settings.shape else 2),
            "novelty": novelty.LAYOUT,
            "mix": MIX_LAYOUT,
            "special": special_layout(),
        }
        if self.settings.shape:
            rooms |= {"shape": shape.LAYOUT, "period": period.LAYOUT}
        columns = {f"{room}.{name}": column for room, layout in rooms.items() for name, column in layout.items()}
        if not self.settings.shape:
            del columns["mix.shape"]
        return columns

    def grow(self, size: int) -> None:
        """Make room for slots 0 to `size` - 1."""
        super().grow(size)
        self._make_room_for_facts()

    def load(self, state: State) -> None:
        """Replace the arrays; what people said stays. Raises ValueError where names, types or shapes do not fit."""
        super().load(state)
        self._make_room_for_facts()

    def _make_room_for_facts(self) -> None:
        have = len(self._facts.direction)
        if self.size > have:
            fresh = _fresh_facts(max(self.size, 2 * have) - have)
            self._facts = KnownFacts(*(np.concatenate([a, b]) for a, b in zip(self._facts, fresh, strict=True)))

    def describe(self, slot: int, knowledge: Knowledge) -> None:
        """Take direction, smallest deviations, limits and time zone of one series."""
        if knowledge.time_zone not in self._zones:
            self._zones.append(knowledge.time_zone)
            self._offsets.append(offsets(knowledge.time_zone))
        facts = self._facts
        facts.direction[slot] = {"both": 0, "above": 1, "below": -1}[knowledge.direction]
        facts.smallest[slot] = knowledge.smallest_deviation
        facts.smallest_share[slot] = knowledge.smallest_relative_deviation
        facts.low[slot] = knowledge.lower_limit
        facts.high[slot] = knowledge.upper_limit
        facts.zone[slot] = self._zones.index(knowledge.time_zone)
        give_kind(self.records["special"][slot].kind, knowledge.kind)

    def adopt(self, slot: int, channel: str) -> dict[str, list[float]]:
        """Take the level that a slot shows now for normal, where the alarm is of a level."""
        if channel not in adoption.CHANNELS:
            return {}
        last = self.arrays["deviation.last"][slot : slot + 1]
        clock = int(self._clocks(np.array([slot], np.int32), last)[0])
        return adoption.adopt_level(self.records["deviation"][slot], self.records["range"][slot], clock)

    def restore(self, slot: int, before: Mapping[str, list[float]]) -> None:
        """Take for normal again what `adopt` returned."""
        adoption.restore_level(self.records["deviation"][slot], self.records["range"][slot], before)

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score each reading by its highest channel, then learn it where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        clocks = self._clocks(inputs.slot, inputs.time)
        special = no_answers(len(inputs.slot))
        ask_special(
            inputs.slot, inputs.time, clocks, inputs.value, inputs.learn, self.records["special"], _RESTING, special
        )  # fmt: skip
        return self._measure(inputs, clocks, special)

    def compile_alone(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> None:
        """Score without asking the special channels, whose kernel is compiled with the detector `special_signals`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        self._measure(inputs, self._clocks(inputs.slot, inputs.time), no_answers(len(inputs.slot)))

    def _measure(self, inputs: Inputs, clocks: NDArray[np.int64], special: SpecialAnswers) -> Scores:
        """Ask the channels for measurements where the special ones leave a value to them; the highest answer counts."""
        rows = len(inputs.slot)
        names = PART_NAMES if self.settings.shape else PART_NAMES[:-1]
        empty = empty_scores(rows)
        out = Output(
            empty.score, empty.expected, empty.lower, empty.upper, np.full((rows, len(names)), np.nan, np.float32),
            np.full(rows, -1, np.int8), np.full(rows, np.nan),
        )  # fmt: skip
        run(
            inputs.slot, inputs.time, clocks, inputs.value, inputs.learn, special, self._parts(), self._facts,
            self.settings.shape, self.settings.warmup, (novelty.PRIOR, shape.PRIOR), new_scratch(), out,
        )  # fmt: skip
        return Scores(out.score, out.expected, out.lower, out.upper, out.parts, names, out.channel, out.novelty)

    def _clocks(self, slot: NDArray[np.int32], time: NDArray[np.int64]) -> NDArray[np.int64]:
        """The time on the wall of each reading, ns since a Monday's midnight."""
        if len(self._zones) == 1:
            clocks = time.copy()
            tell_clocks(clocks, *self._offsets[0])
            return clocks
        zone = self._facts.zone[slot]
        clocks = np.empty_like(time)
        for number in np.unique(zone).tolist():
            rows = zone == number
            own = time[rows]
            tell_clocks(own, *self._offsets[number])
            clocks[rows] = own
        return clocks

    def _parts(self) -> Parts:
        records, arrays = self.records, self.arrays
        # With shape switched off the kernel is handed a record of it that it leaves alone.
        form = records.get("shape", _NO_SHAPE)
        counts = arrays.get("mix.shape", _NO_COUNTS)
        return Parts(
            records["deviation"], records["range"], records["excursions"], records["novelty"], form,
            records.get("period", _NO_PERIOD), MixState(counts, arrays["mix.novelty"], arrays["mix.trust"]),
        )  # fmt: skip

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed."""
        return self.arrays["special.kind.signal"][: self.size, LEARNED].astype(np.int64), np.full(
            self.size, self.settings.warmup, np.int64
        )


def _fresh_facts(size: int) -> KnownFacts:
    return KnownFacts(
        np.zeros(size, np.int8), np.zeros(size), np.zeros(size), np.full(size, -np.inf), np.full(size, np.inf),
        np.zeros(size, np.int32),
    )  # fmt: skip
