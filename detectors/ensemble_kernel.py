"""Score: the default detector's channels put together, in compiled form: each is asked, the highest answer counts."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit, subkernel
from detectors import shape
from detectors.channels import deviation
from detectors.channels.deviation import (
    FORECASTS,
    JUMP,
    LASTING,
    LEVEL,
    SHIFT,
    SIZES,
    deviation_begin,
    deviation_learn,
    deviation_score,
    is_daily,
    is_odd,
    lightness,
    usual_reach,
)
from detectors.channels.special import SPECIAL_NAMES
from detectors.channels.special import STUCK as STUCK_PLACE
from detectors.channels.value_range import is_asleep, mode_around, modes_apart, range_learn, range_score
from detectors.detector import MAX_SCORE
from detectors.fleet_detector import Column
from detectors.novelty import novelty_learn, novelty_score
from detectors.shape import shape_learn, shape_score
from detectors.statistics.calendar_time import DAY
from detectors.statistics.calibration import BINS, COUNTS, Prior, compress, decades, learn_score, quantile
from detectors.statistics.excursions import (
    FORGIVEN,
    excursion_learn,
    excursion_rarity,
    excursion_score,
    switch_score,
)

PART_NAMES = ("jump", "shift", "level", "lasting", "range", *SPECIAL_NAMES, "shape")
RANGE, SPECIAL, SHAPE = SIZES, SIZES + 1, SIZES + 1 + len(SPECIAL_NAMES)
"""Places in PART_NAMES after the four of the deviation; special channels follow on SPECIAL."""
STUCK = SPECIAL + STUCK_PLACE
ANSWERS = len(PART_NAMES)
DEVIATION_CHANNEL, RANGE_CHANNEL, SHAPE_CHANNEL = range(3)
"""Channels whose excursions are counted; the others count for themselves."""
RAW_DEVIATION, RAW_RANGE, RAW_NOVELTY, RAW_SHAPE, RAW_CLAIM, IS_SWITCH = range(6)
"""Places in the scratch's `raw`; `RAW_CLAIM` is the answer of the deviation before a young series is cautious,
`IS_SWITCH` 1 where an odd reading leads from one usual mode to another, else 0."""

CAUTION_READINGS, CAUTION_NS = 500.0, 900e9
"""What a score claims beyond the readings seen counts by n / (n + this, or what comes in this time)."""
CAUTION_LIGHT = 0.6
"""By how much less that is where the noise has light tails: what is far off is no chance then."""
NORMAL_DECADES = 3.0
"""A reading below this widens the range."""
DAILY_DECADES = 2.0
"""Most that a deviation scores at an hour that has one on most days."""
USUAL_HERE = 1.0
"""Decades of the slowest forecast below which a value is usual at this hour, however it came there."""
TOLD_DECADES = 2.0
"""From these on the band told is that of the forecast that spoke, else that of the slowest."""
MARGIN = 0.05
"""The band of a usual reading ends this share of the range beyond what was seen."""
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
    """The states of the parts as records by slot, `excursions` by slot and channel; `mix` is kept as arrays.

    Where shape is switched off, its records and those of the period have no slots.
    """

    deviation: Any
    range: Any
    excursions: Any
    novelty: Any
    shape: Any
    period: Any
    mix: MixState


class Series(NamedTuple):
    """One series' records, out of `Parts`."""

    deviation: Any
    range: Any
    excursions: Any
    novelty: Any
    shape: Any
    period: Any


class Scratch(NamedTuple):
    """What is made of one reading: arrays filled anew for each. `answers` (ANSWERS,) decades, `raw` (6,)."""

    reading: deviation.DeviationView
    answers: NDArray[np.float64]
    raw: NDArray[np.float64]
    block: NDArray[np.float32]


def new_scratch() -> Scratch:
    """Empty scratch, for a kernel's run."""
    return Scratch(deviation.new_view(), np.zeros(ANSWERS), np.zeros(6), np.zeros(shape.COARSEST, np.float32))


class Output(NamedTuple):
    """What the kernel fills, a row a reading: the fields of `Scores`."""

    score: NDArray[np.float64]
    expected: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    parts: NDArray[np.float32]
    channel: NDArray[np.int8]
    novelty: NDArray[np.float64]


@subkernel
def _trust(form: Any, counts: Any, slot: int, prior: Any) -> float:
    """How recurrent the series is, 0 to 1: whether blocks of half a period nearly all resemble an earlier one."""
    if form.block < shape.FINEST or counts[slot, BINS] < TRUST_READINGS:
        return 0.0
    usual = quantile(counts, slot, 0.05, Prior(prior.start, prior.shape, 0.0, prior.lowest))
    return float(min(max((FOREIGN - usual) / (FOREIGN - FLUENT), 0.0), 1.0))


@subkernel
def _within_reach(state: Any, value: float) -> float:
    """`value`, at most WIDEST ranges away from the range: what shape may see."""
    width = WIDEST * (state.high - state.low)
    if state.inside < deviation.WARMUP or width <= 0.0:
        return value
    return float(min(max(value, state.low - width), state.high + width))


@subkernel
def _cautious(score: float, readings: float, interval: float, light: float) -> float:
    """`score` of a young series: what it claims beyond the readings seen counts in part; `light` is its `lightness`."""
    seen = math.log10(max(readings, 1.0))
    if score <= seen:
        return score
    needed = (1.0 - CAUTION_LIGHT * light) * max(CAUTION_READINGS, CAUTION_NS / interval)
    return seen + (score - seen) * readings / (readings + needed)


@subkernel
def _most_claimed(state: Any, age: int, readings: float) -> float:
    """Decades that deviation and range claim at most: of what may never have been on, once in the readings seen."""
    return math.log10(readings + 1.0) if is_asleep(state, age) else math.inf


@subkernel
def _matters(facts: Any, slot: int, error: float, value: float) -> bool:
    """Whether a person wants to know of a deviation of this side and size."""
    if error * facts.direction[slot] < 0.0 or abs(error) < facts.smallest[slot]:
        return False
    return bool(abs(error) >= facts.smallest_share[slot] * abs(value - error))


@subkernel
def _is_switch(state: Any, value: float, view: Any) -> bool:
    """Whether the reading has come from one usual mode of the series to another."""
    which = SHIFT if view.decades[SHIFT] > view.decades[JUMP] else JUMP
    return bool(modes_apart(state, value - view.error[which], value))


@subkernel
def _say_usual(state: Any, which: int, view: Any) -> tuple[float, float]:
    """The forecast that the size `which` is measured from, and half the width of its usual band."""
    which_forecast = min(which, FORECASTS - 1)
    used = view.used[which_forecast]
    course = view.numbers[deviation.COURSE] if used >= FORECASTS else 0.0
    scale = state.mean_scale if which == LASTING else state.scale[used]
    half = usual_reach(state, which) * scale * view.numbers[deviation.HOUR]
    return float(state.level[used] + course), float(half)


@njit(allocates=False)
def run(
    slots: Any, times: Any, clocks: Any, values: Any, learns: Any, special: Any, parts: Any, facts: Any,
    with_shape: bool, needed: int, priors: Any, scratch: Any, out: Any,
) -> None:  # fmt: skip
    """Score and learn the rows in order. `special` is what the special channels say of them, `SpecialAnswers`."""
    answers = scratch.answers
    for i in range(len(slots)):
        if not np.isfinite(values[i]):
            continue
        slot, learn, judged = slots[i], learns[i], special.judged[i]
        for k in range(ANSWERS):
            answers[k] = 0.0
        form = slot if with_shape else 0
        series = Series(
            parts.deviation[slot], parts.range[slot], parts.excursions[slot], parts.novelty[slot], parts.shape[form],
            parts.period[form],
        )  # fmt: skip
        if special.decades[i] > 0.0:
            answers[SPECIAL + special.place[i]] = special.decades[i]
        is_judged = not math.isnan(judged)
        odd = False
        if is_judged:
            if series.deviation.learned == 0 and learn:
                deviation_begin(series.deviation, times[i], judged)
            odd = _ask(series, parts.mix, facts, slot, times[i], clocks[i], judged, with_shape, priors, scratch)
        if special.learned[i] > needed:
            _tell(series, parts.mix, facts, slot, i, values[i], is_judged, special.band[i], priors, scratch, out)
        if learn and is_judged:
            odd = odd or answers[STUCK] >= NORMAL_DECADES
            _learn(series, parts.mix, slot, times[i], clocks[i], judged, odd, with_shape, priors, scratch)


@subkernel
def _tell(
    series: Any, mix: Any, facts: Any, slot: int, row: int, read: float, is_judged: bool, special_band: Any,
    priors: Any, scratch: Any, out: Any,
) -> None:  # fmt: skip
    """Fill the row of the output from the answers.

    The band is that of the forecast that spoke, within the mode of the series that the reading is in or next to.
    """
    answers = scratch.answers
    best = 0
    for k in range(ANSWERS):
        if k < out.parts.shape[1]:
            out.parts[row, k] = compress(answers[k])
        if answers[k] > answers[best]:
            best = k
    out.score[row] = compress(answers[best])
    out.channel[row] = best if answers[best] > 0.0 else -1
    if read < facts.low[slot] or read > facts.high[slot]:
        out.score[row] = MAX_SCORE
        out.channel[row] = RANGE
    if not is_judged:
        out.expected[row], out.lower[row], out.upper[row] = special_band[0], special_band[1], special_band[2]
        return
    out.novelty[row] = compress(decades(mix.novelty, slot, scratch.raw[RAW_NOVELTY], priors[0]))
    spoke = best if best <= RANGE and answers[best] > TOLD_DECADES else -1
    _tell_band(series, row, read, spoke, scratch.reading, out)


@subkernel
def _tell_band(series: Any, row: int, read: float, spoke: int, view: Any, out: Any) -> None:
    """Fill the row's band: that of the size that `spoke` of the reading, never wider than what was seen.

    Where none did, -1, it is the band of the mode that the reading is in or next to.
    """
    state = series.range
    is_forecast = 0 <= spoke < SIZES
    middle, half = _say_usual(series.deviation, spoke if is_forecast else LEVEL, view)
    low, high = state.low, state.high
    if spoke < 0:
        low, high = mode_around(state, read)
        more = MARGIN * (high - low)
        low, high = low - more, high + more
        if not low <= middle <= high:
            middle = series.deviation.level[SHIFT]
        if low <= read <= high and abs(read - middle) > half:
            # Usual at another time: what is usual for its mode is told.
            half = high - low
    if state.inside < 2.0:
        low, high = middle, middle
    lower, upper = max(middle - half, low), min(middle + half, high)
    if lower > upper and is_forecast:
        # A forecast that has followed its series to where it never was before, such as a drift's end.
        lower, upper = middle - half, middle + half
    elif lower > upper:
        lower, upper = low, high
    out.lower[row], out.upper[row] = lower, upper
    out.expected[row] = min(max(middle, lower), upper)


@subkernel
def _ask(
    series: Any, mix: Any, facts: Any, slot: int, time: int, clock: int, value: float, with_shape: bool, priors: Any,
    scratch: Any,
) -> bool:  # fmt: skip
    """Fill the answers of deviation, range and shape; True where the reading is surely no normal one.

    `raw` gets the decades of deviation and range before their excursions are counted, raw novelty and raw shape.
    """
    state, counted, view, raw, answers = (
        series.deviation,
        series.excursions,
        scratch.reading,
        scratch.raw,
        scratch.answers,
    )
    interval = max(state.interval, 1.0) if state.interval > 0.0 else 60e9
    readings = float(state.learned)
    of_deviation = deviation_score(state, time, clock, value, view)
    age = time - state.first
    of_range = range_score(series.range, value, age)
    raw[RAW_DEVIATION], raw[RAW_RANGE] = of_deviation, of_range
    raw[RAW_NOVELTY] = novelty_score(series.novelty, value)
    trust = mix.trust[slot] if with_shape else 0.0
    highest = max(view.decades[JUMP], view.decades[SHIFT], view.decades[LEVEL], view.decades[LASTING])
    light = lightness(state)
    score = excursion_score(counted[DEVIATION_CHANNEL], of_deviation, interval, light)
    if counted[DEVIATION_CHANNEL].early <= FORGIVEN * light:
        # A series that had bursts in its first days has no steep tail, whatever its noise.
        score += view.numbers[deviation.YOUNG_MORE]
    if trust > 0.0 and series.period.period * interval < 0.5 * DAY:
        score *= 1.0 - RECURRENT * trust
    if series.range.still > STILL:
        score = min(score, excursion_rarity(counted[DEVIATION_CHANNEL]))
    if is_daily(state, view):
        score = min(score, DAILY_DECADES)
    is_far = is_odd(view, max(of_deviation, of_range))
    raw[IS_SWITCH] = 1.0 if (is_far or score > NORMAL_DECADES) and _is_switch(series.range, value, view) else 0.0
    if score > NORMAL_DECADES and (view.decades[LEVEL] < USUAL_HERE or raw[IS_SWITCH] > 0.0):
        score = switch_score(counted[DEVIATION_CHANNEL], score)
    raw[RAW_CLAIM] = score
    score = _cautious(score, readings, interval, light)
    most = _most_claimed(series.range, age, readings)
    score, of_range = min(score, most), min(of_range, most)
    if highest > 0.0 and _matters(facts, slot, view.error[LEVEL], value):
        for k in range(SIZES):
            answers[k] = score * view.decades[k] / highest
        answers[RANGE] = min(of_range, excursion_score(counted[RANGE_CHANNEL], of_range, interval, light))
    if with_shape:
        raw[RAW_SHAPE] = 0.0
        if series.shape.block >= shape.FINEST:
            raw[RAW_SHAPE] = shape_score(series.shape, _within_reach(series.range, value), scratch.block)
        if trust > 0.0:
            plain = decades(mix.shape, slot, raw[RAW_SHAPE], priors[1])
            of_shape = excursion_score(counted[SHAPE_CHANNEL], plain, interval, light)
            # How light the tails of errors are says nothing of those of shape.
            answers[SHAPE] = trust * _cautious(of_shape, readings, interval, 0.0)
    return is_far


@subkernel
def _learn(
    series: Any, mix: Any, slot: int, time: int, clock: int, value: float, odd: bool, with_shape: bool, priors: Any,
    scratch: Any,
) -> None:  # fmt: skip
    state, counted, raw = series.deviation, series.excursions, scratch.raw
    interval = max(state.interval, 1.0) if state.interval > 0.0 else 60e9
    seen = state.learned
    age = state.last - state.first
    if seen >= deviation.WARMUP:
        excursion_learn(counted[DEVIATION_CHANNEL], raw[RAW_DEVIATION], age, interval)
        excursion_learn(counted[RANGE_CHANNEL], raw[RAW_RANGE], age, interval)
    if with_shape:
        if mix.trust[slot] > 0.0:
            of_shape = decades(mix.shape, slot, raw[RAW_SHAPE], priors[1])
            excursion_learn(counted[SHAPE_CHANNEL], of_shape, age, interval)
        near = _within_reach(series.range, value)
        shape_learn(series.shape, series.period, mix.shape, slot, near, raw[RAW_SHAPE], priors[1])
        if (seen + 1) % REFRESH == 0:
            mix.trust[slot] = _trust(series.shape, mix.shape, slot, priors[1])
    # A young series that is too cautious to call a reading a fault must not widen its range by it.
    range_learn(series.range, value, seen < deviation.WARMUP or raw[RAW_CLAIM] < NORMAL_DECADES)
    novelty_learn(series.novelty, value)
    learn_score(mix.novelty, slot, raw[RAW_NOVELTY], priors[0])
    deviation_learn(state, time, clock, value, odd, raw[IS_SWITCH] > 0.0, scratch.reading)
