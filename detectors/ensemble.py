"""Score: the default detector: channels that each ask one question of a reading; the highest answer counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from common.compiled import njit
from detectors import novelty, shape
from detectors.channels import deviation, value_range
from detectors.channels.deviation import (
    FORECASTS,
    LASTING,
    LEVEL,
    SIZES,
    deviation_begin,
    deviation_learn,
    deviation_score,
    is_daily,
    is_odd,
    new_view,
    usual_reach,
)
from detectors.channels.value_range import range_learn, range_score
from detectors.detector import MAX_SCORE, Scores, State
from detectors.fleet_detector import Column, FleetDetector, empty_scores, take_inputs
from detectors.knowledge import Knowledge
from detectors.novelty import novelty_learn, novelty_score
from detectors.shape import shape_learn, shape_score
from detectors.statistics import period
from detectors.statistics.calendar_time import DAY, offsets, wall_clock
from detectors.statistics.calibration import BINS, COUNTS, Prior, compress, decades, learn_score, quantile, tame
from detectors.statistics.excursions import (
    ExcursionState,
    excursion_layout,
    excursion_learn,
    excursion_rarity,
    excursion_score,
)

PART_NAMES = ("jump", "shift", "level", "lasting", "range", "shape")
RANGE, SHAPE = SIZES, SIZES + 1
"""Places in PART_NAMES after the four of the deviation."""
DEVIATION_CHANNEL, RANGE_CHANNEL, SHAPE_CHANNEL = range(3)
"""Channels whose excursions are counted."""

CAUTION_READINGS, CAUTION_NS = 500.0, 3600e9
"""What a score claims beyond the readings seen counts by n / (n + this, or what comes in this time)."""
NORMAL_DECADES = 3.0
"""A reading below this widens the range."""
DAILY_DECADES = 2.0
"""Most that a deviation scores at an hour that has one on most days."""
STILL = 0.5
"""A series of which more readings repeat the last is judged by how often it moves at all."""
REFRESH = 32
FLUENT, FOREIGN = 0.2, 0.35
"""Distance of all but 5 % of blocks from their nearest earlier ones, in block sizes, at which shape is trusted fully
/ not."""
TRUST_READINGS = 200
RECURRENT = 0.4
"""By how much deviations count less where shape is trusted in full and the cycle is shorter than half a day: forecasts
know the day's course, but not the jumps of other cycles."""
WIDEST = 2.0
"""Shape sees a reading beyond the range as at most so many ranges away."""


class EnsembleParameters(BaseModel):
    """What may be set; none of it needs to be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shape: bool = Field(
        default=True,
        description="Compare stretches of readings with earlier ones: finds faults of shape, for 18 KiB a series.",
    )
    warmup: int = Field(default=30, ge=4, le=1_000_000, description="Readings learned before the first score.")


class MixState(NamedTuple):
    """Per slot: the calibrations of shape and novelty, and how recurrent the series is (0 to 1)."""

    shape: NDArray[np.float32]
    novelty: NDArray[np.float32]
    trust: NDArray[np.float64]


MIX_LAYOUT = {"shape": COUNTS, "novelty": COUNTS, "trust": Column(np.float64)}


class KnownFacts(NamedTuple):
    """What people said, per slot, and the time zones' offsets: those of zone k are at [first[k], first[k + 1])."""

    direction: NDArray[np.int8]
    smallest: NDArray[np.float64]
    smallest_share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    zone: NDArray[np.int32]


class Parts(NamedTuple):
    """The states of the parts, as the kernel takes them."""

    deviation: Any
    range: Any
    excursions: Any
    novelty: Any
    shape: Any
    period: Any
    mix: Any


class Ensemble(FleetDetector):
    """Is this reading far from what is normal for this sensor now? The highest of several channels' answers.

    Channels: deviation (from forecasts at three rates, with and without the course of the day, and of the mean of the
    last errors); range (far outside everything seen); shape (a stretch like no earlier one, where the series is
    recurrent). Each gives decades by its own rules, and `statistics.excursions` puts them on one scale: decades of
    false-alarm rarity on normal behaviour. A fault scores as long as it lasts and again when it recurs, since what is
    surely a fault teaches nothing; what stays for hours, or comes several times a day, is taken as normal. `novelty` is
    a second, separate answer: how far the value is from any value seen before.

    Works: on unknown sensors, without a parameter, from the thirtieth reading on; an absurd value is found from the
    fiftieth. Fails: on faults within the usual size of errors, on a drift slower than the levels follow, and on a
    weekly course, which it does not know. In its first three days it takes repeated events for normal.

    Cost: about 1 us a reading without and 1 to 6 with shape. Memory: see `bytes_per_slot`. Sources: the channels'.
    """

    name: ClassVar[str] = "ensemble"
    Parameters: ClassVar[type[BaseModel]] = EnsembleParameters
    version = "channels 1"

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

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score each reading by its highest channel, then learn it where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        rows = len(inputs.slot)
        names = PART_NAMES if self.settings.shape else PART_NAMES[:-1]
        empty = empty_scores(rows)
        parts = np.full((rows, len(names)), np.nan, np.float32)
        channel = np.full(rows, -1, np.int8)
        novelty_column = np.full(rows, np.nan)
        _run(
            inputs.slot, inputs.time, self._clocks(inputs.slot, inputs.time), inputs.value, inputs.learn,
            self._parts(), self._facts, self.settings.shape, self.settings.warmup, (novelty.PRIOR, shape.PRIOR),
            new_view(), empty.score, empty.expected, empty.lower, empty.upper, parts, channel, novelty_column,
            np.zeros(SIZES + 2), np.zeros(4), np.zeros(shape.COARSEST, np.float32),
        )  # fmt: skip
        return Scores(empty.score, empty.expected, empty.lower, empty.upper, parts, names, channel, novelty_column)

    def _clocks(self, slot: NDArray[np.int32], time: NDArray[np.int64]) -> NDArray[np.int64]:
        """The time on the wall of each reading, ns since a Monday's midnight."""
        if len(self._zones) == 1:
            clocks = time.copy()
            _tell_clocks(clocks, *self._offsets[0])
            return clocks
        zone = self._facts.zone[slot]
        clocks = np.empty_like(time)
        for number in np.unique(zone).tolist():
            rows = zone == number
            own = time[rows]
            _tell_clocks(own, *self._offsets[number])
            clocks[rows] = own
        return clocks

    def _parts(self) -> Parts:
        return Parts(
            self._state(deviation.DeviationState, "deviation", deviation.LAYOUT),
            self._state(value_range.RangeState, "range", value_range.LAYOUT),
            self._state(ExcursionState, "excursions", excursion_layout(3)),
            self._state(novelty.NoveltyState, "novelty", novelty.LAYOUT),
            self._state(shape.ShapeState, "shape", shape.LAYOUT),
            self._state(period.PeriodState, "period", period.LAYOUT),
            self._state(MixState, "mix", MIX_LAYOUT),
        )

    def _state(self, kind: Any, room: str, layout: dict[str, Column]) -> Any:
        """The named tuple of one room's arrays; an array that is switched off has no slots."""
        absent = {
            name: np.zeros((0, *c.shape), c.dtype) for name, c in layout.items() if f"{room}.{name}" not in self.arrays
        }
        return kind(**{name: absent[name] if name in absent else self.arrays[f"{room}.{name}"] for name in layout})

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed."""
        return self.arrays["deviation.learned"][: self.size].copy(), np.full(self.size, self.settings.warmup, np.int64)


def _fresh_facts(size: int) -> KnownFacts:
    return KnownFacts(
        np.zeros(size, np.int8), np.zeros(size), np.zeros(size), np.full(size, -np.inf), np.full(size, np.inf),
        np.zeros(size, np.int32),
    )  # fmt: skip


@njit
def _tell_clocks(times: Any, changes: Any, ahead: Any) -> None:
    for i in range(len(times)):
        times[i] = wall_clock(times[i], changes, ahead)


@njit(allocates=False)
def _trust(form: Any, counts: Any, slot: int, prior: Any) -> float:
    """How recurrent the series is, 0 to 1: whether blocks of half a period nearly all resemble an earlier one."""
    if form.block[slot] < shape.FINEST or counts[slot, BINS] < TRUST_READINGS:
        return 0.0
    usual = quantile(counts, slot, 0.05, Prior(prior.start, prior.shape, 0.0, prior.lowest))
    return float(min(max((FOREIGN - usual) / (FOREIGN - FLUENT), 0.0), 1.0))


@njit(inline="always", allocates=False)
def _within_reach(state: Any, slot: int, value: float) -> float:
    """`value`, at most WIDEST ranges away from the range: what shape may see."""
    width = WIDEST * (state.high[slot] - state.low[slot])
    if state.inside[slot] < deviation.WARMUP or width <= 0.0:
        return value
    return float(min(max(value, state.low[slot] - width), state.high[slot] + width))


@njit(inline="always", allocates=False)
def _cautious(score: float, readings: float, interval: float) -> float:
    """`score` of a young series: what it claims beyond the readings seen counts in part."""
    seen = math.log10(max(readings, 1.0))
    if score <= seen:
        return score
    return seen + (score - seen) * readings / (readings + max(CAUTION_READINGS, CAUTION_NS / interval))


@njit(inline="always", allocates=False)
def _matters(facts: Any, slot: int, error: float, value: float) -> bool:
    """Whether a person wants to know of a deviation of this side and size."""
    if error * facts.direction[slot] < 0.0 or abs(error) < facts.smallest[slot]:
        return False
    return bool(abs(error) >= facts.smallest_share[slot] * abs(value - error))


@njit(inline="always", allocates=False)
def _say_usual(state: Any, slot: int, which: int, view: Any) -> tuple[float, float]:
    """The forecast that the size `which` is measured from, and half the width of its usual band."""
    which_forecast = min(which, FORECASTS - 1)
    used = view.used[which_forecast]
    course = view.numbers[deviation.COURSE] if used >= FORECASTS else 0.0
    scale = state.mean_scale[slot] if which == LASTING else state.scale[slot, used]
    half = usual_reach(state, slot, which) * scale * view.numbers[deviation.HOUR]
    return float(state.level[slot, used] + course), float(half)


@njit(allocates=False)
def _run(
    slots: Any, times: Any, clocks: Any, values: Any, learns: Any, parts: Any, facts: Any, with_shape: bool,
    needed: int, priors: Any, view: Any, scores: Any, expected: Any, lower: Any, upper: Any, said: Any, channel: Any,
    novelties: Any, answers: Any, raw: Any, scratch: Any,
) -> None:  # fmt: skip
    for i in range(len(slots)):
        if not np.isfinite(values[i]):
            continue
        slot, value = slots[i], tame(values[i])
        state = parts.deviation
        if state.learned[slot] == 0 and learns[i]:
            deviation_begin(state, slot, times[i], value)
        odd = _ask(parts, facts, slot, times[i], clocks[i], value, with_shape, priors, view, answers, raw, scratch)
        if state.learned[slot] >= needed:
            best = 0
            for k in range(said.shape[1]):
                said[i, k] = answers[k]
                if answers[k] > answers[best]:
                    best = k
            scores[i] = compress(answers[best])
            channel[i] = best if answers[best] > 0.0 else -1
            if values[i] < facts.low[slot] or values[i] > facts.high[slot]:
                scores[i] = MAX_SCORE
                channel[i] = RANGE
            novelties[i] = compress(decades(parts.mix.novelty, slot, raw[2], priors[0]))
            middle, half = _say_usual(state, slot, best if best < SIZES and answers[best] > 2.0 else LEVEL, view)
            expected[i], lower[i], upper[i] = middle, middle - half, middle + half
        if learns[i]:
            _learn(parts, slot, times[i], clocks[i], value, odd, answers, with_shape, priors, view, raw)


@njit(inline="always", allocates=False)
def _ask(
    parts: Any, facts: Any, slot: int, time: int, clock: int, value: float, with_shape: bool, priors: Any, view: Any,
    answers: Any, raw: Any, scratch: Any,
) -> bool:  # fmt: skip
    """Fill `answers` (SIZES + 2,) with each part's decades; True where the reading is surely no normal one.

    `raw`: decades of deviation and range before their excursions are counted, raw novelty and raw shape.
    """
    state, counted = parts.deviation, parts.excursions
    interval = max(state.interval[slot], 1.0) if state.interval[slot] > 0.0 else 60e9
    readings = float(state.learned[slot])
    of_deviation = deviation_score(state, slot, time, clock, value, view)
    of_range = range_score(parts.range, slot, value)
    raw[0], raw[1] = of_deviation, of_range
    raw[2] = novelty_score(parts.novelty, slot, value)
    trust = parts.mix.trust[slot] if with_shape else 0.0
    highest = 0.0
    for k in range(SIZES):
        highest = max(highest, view.decades[k])
    score = excursion_score(counted, slot, DEVIATION_CHANNEL, of_deviation, interval)
    score = _cautious(score, readings, interval)
    if trust > 0.0 and parts.period.period[slot] * interval < 0.5 * DAY:
        score *= 1.0 - RECURRENT * trust
    if parts.range.still[slot] > STILL:
        score = min(score, excursion_rarity(counted, slot, DEVIATION_CHANNEL))
    if is_daily(state, slot, view):
        score = min(score, DAILY_DECADES)
    wanted = _matters(facts, slot, view.error[LEVEL], value)
    for k in range(SIZES):
        answers[k] = score * view.decades[k] / highest if wanted and highest > 0.0 else 0.0
    answers[RANGE] = min(of_range, excursion_score(counted, slot, RANGE_CHANNEL, of_range, interval)) if wanted else 0.0
    answers[SHAPE] = 0.0
    if with_shape:
        raw[3] = 0.0
        if parts.shape.block[slot] >= shape.FINEST:
            raw[3] = shape_score(parts.shape, slot, _within_reach(parts.range, slot, value), scratch)
        if trust > 0.0:
            of_shape = decades(parts.mix.shape, slot, raw[3], priors[1])
            answers[SHAPE] = trust * _cautious(
                excursion_score(counted, slot, SHAPE_CHANNEL, of_shape, interval), readings, interval
            )
    return is_odd(view, max(of_deviation, of_range))


@njit(inline="always", allocates=False)
def _learn(
    parts: Any, slot: int, time: int, clock: int, value: float, odd: bool, answers: Any, with_shape: bool, priors: Any,
    view: Any, raw: Any,
) -> None:  # fmt: skip
    state, counted, mix = parts.deviation, parts.excursions, parts.mix
    interval = max(state.interval[slot], 1.0) if state.interval[slot] > 0.0 else 60e9
    seen = state.learned[slot]
    if seen >= deviation.WARMUP:
        age = state.last[slot] - state.first[slot]
        excursion_learn(counted, slot, DEVIATION_CHANNEL, raw[0], age, interval)
        excursion_learn(counted, slot, RANGE_CHANNEL, raw[1], age, interval)
    if with_shape:
        if mix.trust[slot] > 0.0:
            age = state.last[slot] - state.first[slot]
            of_shape = decades(mix.shape, slot, raw[3], priors[1])
            excursion_learn(counted, slot, SHAPE_CHANNEL, of_shape, age, interval)
        shape_learn(
            parts.shape, parts.period, mix.shape, slot, _within_reach(parts.range, slot, value), raw[3], priors[1]
        )
        if (seen + 1) % REFRESH == 0:
            mix.trust[slot] = _trust(parts.shape, mix.shape, slot, priors[1])
    highest = 0.0
    for k in range(SIZES):
        highest = max(highest, answers[k])
    range_learn(parts.range, slot, value, seen < deviation.WARMUP or highest < NORMAL_DECADES)
    novelty_learn(parts.novelty, slot, value)
    learn_score(mix.novelty, slot, raw[2], priors[0])
    deviation_learn(state, slot, time, clock, value, odd, view)
