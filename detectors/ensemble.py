"""Score: the default detector: several views of a reading, each calibrated, fused and calibrated again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from common.compiled import njit
from detectors import forecast, level, novelty, rarity, shape
from detectors.detector import Scores
from detectors.fleet_detector import Column, FleetDetector, empty_scores, take_inputs
from detectors.forecast import forecast_best, forecast_learn, forecast_reach, forecast_scale, forecast_score
from detectors.level import level_count, level_learn, level_mean, level_score
from detectors.novelty import novelty_learn, novelty_score
from detectors.rarity import rarity_learn, rarity_score
from detectors.shape import shape_learn, shape_score
from detectors.statistics import period
from detectors.statistics.calibration import (
    BINS,
    COUNTS,
    TAIL,
    Prior,
    cautious,
    compress,
    decades,
    decades_fitted,
    fit_tail,
    learn_score,
    quantile,
    tame,
)  # fmt: skip

PART_NAMES = ("novelty", "rarity", "level", "forecast", "shape")
REFRESH = 32
"""Readings between updates of what changes slowly: the band's reach and the trust in shape."""
FLUENT, FOREIGN = 0.2, 0.35
"""Distance of all but 5 % of blocks from their nearest earlier ones, in block sizes, at which shape is trusted fully
/ not."""
TRUST_READINGS = 200
"""Distances seen under the present period before they say how recurrent the series is."""
FORECAST_WEIGHT = 0.5
LEVEL_WEIGHT = 0.5
"""Of each of the two stretches: their means share most of their readings."""
PLAIN_SHAPE_WEIGHT = 0.5
TRUSTED_SHAPE_WEIGHT = 2.5
TRUSTED_VALUE_WEIGHT = 0.2
OTHER_LAW = 0.5
"""By how much the trust in shape has to move for the evidence to follow another law, whose calibration starts anew."""
SURE, FAULT_WEIGHT = 7.5, 0.125
"""From so many decades on a reading is hardly the series' normal behaviour: it counts less among what is."""
GROWTH, GROWTH_READINGS = 0.3, 8.0
"""Just after a peak a fault has to grow by this share of it to score again; that fades over so many readings."""

# The fused evidence is two to the sum of the parts' decades, which makes the histogram's cells quarter decades of
# the sum.
FUSED_PRIOR = Prior(start=1.0, shape=2.0, weight=2000.0, lowest=0.0, memory=16384.0)


class EnsembleParameters(BaseModel):
    """What may be set; none of it needs to be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shape: bool = Field(
        default=True,
        description="Compare stretches of readings with earlier ones: finds faults of shape, for 18 KiB a series.",
    )
    rest: int = Field(
        default=400,
        ge=0,
        le=1_000_000,
        description="Readings over which a high score's hold on lower ones fades: faults score as they begin or grow.",
    )
    warmup: int = Field(default=30, ge=4, le=1_000_000, description="Readings learned before the first score.")


class FusedState(NamedTuple):
    """Per slot: readings learned, in all and under the present law; each calibration's histogram; what changes slowly.

    `anchor` is the trust in shape at which the present law began.
    """

    learned: NDArray[np.int64]
    lawful: NDArray[np.int64]
    anchor: NDArray[np.float64]
    novelty: NDArray[np.float32]
    rarity: NDArray[np.float32]
    short: NDArray[np.float32]
    long: NDArray[np.float32]
    forecast: NDArray[np.float32]
    shape: NDArray[np.float32]
    fused: NDArray[np.float32]
    tail: NDArray[np.float64]
    peak: NDArray[np.float64]
    since: NDArray[np.int64]
    reach: NDArray[np.float64]
    trust: NDArray[np.float64]


FUSED_LAYOUT = {
    "learned": Column(np.int64),
    "lawful": Column(np.int64),
    "anchor": Column(np.float64),
    "novelty": COUNTS,
    "rarity": COUNTS,
    "short": COUNTS,
    "long": COUNTS,
    "forecast": COUNTS,
    "shape": COUNTS,
    "fused": COUNTS,
    "tail": TAIL,
    "peak": Column(np.float64),
    "since": Column(np.int64),
    "reach": Column(np.float64),
    "trust": Column(np.float64),
}
_SHAPE_ONLY = ("fused.shape",)


class Ensemble(FleetDetector):
    """Value novelty, rarity, level, forecast error and shape novelty, calibrated; their sum, rested, calibrated again.

    Each part's score is the probability of such a reading on the series' own past, in decades; under independence
    decades add up (Fisher's method). Value parts and shape weigh by how recurrent the series is: where nearly all
    stretches resemble an earlier one closely (heartbeats, machine cycles) a strange shape is strong evidence and a
    slightly new value weak, elsewhere the reverse. Then a score counts only where it beats what is left of the last
    peak, which fades over `rest` readings and which a fault has to outgrow at first, so that one fault is one event
    (declustering, as extreme-value theory needs). The survivors are calibrated on the series' own past: `score` s comes
    about once in 10^s readings. That calibration starts anew where the weights have moved far, and what a young series
    claims beyond the readings it has seen counts in part.

    Works: on unknown sensors, without a parameter. Fails: where a fault looks like the past in value, step and
    shape, or comes so slowly that each reading is nearly its predecessor. Nothing is masked from learning but what
    `learn` excludes; robust statistics bound what a fault can teach. A level shift that stays scores when it begins,
    and stops within `rest` readings.

    Cost: about 1.3 us a reading without and 4 to 25 us with the shape part. Memory: see `bytes_per_slot`. Sources: the
    parts'; Fisher 1925; Siffer et al., KDD 2017; runs declustering: Leadbetter 1983.
    """

    name: ClassVar[str] = "ensemble"
    Parameters: ClassVar[type[BaseModel]] = EnsembleParameters

    def __init__(self, parameters: EnsembleParameters) -> None:
        self.settings = parameters
        super().__init__(parameters)

    @classmethod
    def examples(cls) -> tuple[Mapping[str, object], ...]:
        """The defaults, and without the shape part."""
        return ({}, {"shape": False})

    def layout(self) -> dict[str, Column]:
        """The parts' arrays as `part.array`, the ensemble's own as `fused.array`."""
        rooms = {
            "novelty": novelty.LAYOUT,
            "rarity": rarity.LAYOUT,
            "level": level.LAYOUT,
            "short": rarity.LAYOUT,
            "long": rarity.LAYOUT,
            "forecast": forecast.LAYOUT,
            "fused": FUSED_LAYOUT,
        }
        if self.settings.shape:
            rooms |= {"shape": shape.LAYOUT, "period": period.LAYOUT}
        columns = {f"{room}.{name}": column for room, layout in rooms.items() for name, column in layout.items()}
        if not self.settings.shape:
            for name in _SHAPE_ONLY:
                del columns[name]
        return columns

    @property
    def bytes_per_slot(self) -> int:
        """Bytes of state that one series takes."""
        return sum(np.dtype(c.dtype).itemsize * int(np.prod(c.shape, dtype=int)) for c in self.columns.values())

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score each reading by the calibrated sum of its parts, then learn it where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        rows = len(inputs.slot)
        names = PART_NAMES if self.settings.shape else PART_NAMES[:-1]
        empty = empty_scores(rows)
        parts = np.full((rows, len(names)), np.nan, np.float32)
        _run(
            inputs.slot, inputs.value, inputs.learn,
            self._state(novelty.NoveltyState, "novelty", novelty.LAYOUT),
            self._state(rarity.RarityState, "rarity", rarity.LAYOUT),
            self._state(level.LevelState, "level", level.LAYOUT),
            self._state(rarity.RarityState, "short", rarity.LAYOUT),
            self._state(rarity.RarityState, "long", rarity.LAYOUT),
            self._state(forecast.ForecastState, "forecast", forecast.LAYOUT),
            self._state(shape.ShapeState, "shape", shape.LAYOUT),
            self._state(period.PeriodState, "period", period.LAYOUT),
            self._state(FusedState, "fused", FUSED_LAYOUT),
            self.settings.shape, self.settings.rest, self.settings.warmup,
            (novelty.PRIOR, rarity.PRIOR, forecast.PRIOR, shape.PRIOR, FUSED_PRIOR),
            empty.score, empty.expected, empty.lower, empty.upper, parts,
        )  # fmt: skip
        return Scores(empty.score, empty.expected, empty.lower, empty.upper, parts, names)

    def _state(self, kind: Any, room: str, layout: dict[str, Column]) -> Any:
        """The named tuple of one room's arrays; an array that is switched off has no slots."""
        absent = {
            name: np.zeros((0, *c.shape), c.dtype) for name, c in layout.items() if f"{room}.{name}" not in self.arrays
        }
        return kind(**{name: absent[name] if name in absent else self.arrays[f"{room}.{name}"] for name in layout})

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed."""
        return self.arrays["fused.learned"][: self.size].copy(), np.full(self.size, self.settings.warmup, np.int64)


@njit
def _trust(form: Any, counts: Any, slot: int, prior: Any) -> float:
    """How recurrent the series is, 0 to 1: whether blocks of half a period nearly all resemble an earlier one."""
    if form.block[slot] < shape.FINEST or counts[slot, BINS] < TRUST_READINGS:
        return 0.0
    usual = quantile(counts, slot, 0.05, Prior(prior.start, prior.shape, 0.0, prior.lowest))
    return float(min(max((FOREIGN - usual) / (FOREIGN - FLUENT), 0.0), 1.0))


@njit
def _rested(fused: Any, slot: int, evidence: float, rest: int) -> float:
    """`evidence` where it beats what is left of the last peak, which fades over `rest` readings; else 0."""
    if rest == 0:
        return evidence
    age = fused.since[slot]
    left = fused.peak[slot] * math.exp(-age / rest) * (1.0 + GROWTH * math.exp(-age / GROWTH_READINGS))
    return evidence if evidence > left else 0.0


@njit
def _refresh(form: Any, fused: Any, slot: int, with_shape: bool, priors: Any) -> None:
    """Update what changes slowly."""
    fused.reach[slot] = forecast_reach(fused.forecast, slot, priors[2])
    if with_shape:
        trust = _trust(form, fused.shape, slot, priors[3])
        fused.trust[slot] = trust
        if abs(trust - fused.anchor[slot]) >= OTHER_LAW:
            fused.anchor[slot] = trust
            fused.fused[slot] = 0.0
            fused.lawful[slot] = 0
            fused.peak[slot] = 0.0
    fit_tail(fused.fused, fused.tail, slot, priors[4])


@njit
def _run(
    slots: Any, values: Any, learns: Any, novel: Any, rare: Any, means: Any, short: Any, long: Any, fore: Any,
    form: Any, periods: Any, fused: Any, with_shape: bool, rest: int, needed: int, priors: Any,
    scores: Any, expected: Any, lower: Any, upper: Any, parts: Any,
) -> None:  # fmt: skip
    for i in range(len(slots)):
        if not np.isfinite(values[i]):
            continue
        slot, value = slots[i], tame(values[i])
        raw_novelty = novelty_score(novel, slot, value)
        raw_rarity = rarity_score(rare, slot, value)
        near, far = level_mean(means, slot, value, level.SHORT), level_mean(means, slot, value, level.LONG)
        raw_near, raw_far = level_score(short, slot, near), level_score(long, slot, far)
        raw_forecast = forecast_score(fore, slot, value)
        raw_shape = shape_score(form, slot, value) if with_shape else 0.0
        evidence, surviving = 0.0, 0.0
        if fused.learned[slot] >= needed:
            trust = fused.trust[slot]
            value_weight = 1.0 - trust * (1.0 - TRUSTED_VALUE_WEIGHT)
            parts[i, 0] = value_weight * decades(fused.novelty, slot, raw_novelty, priors[0])
            parts[i, 1] = value_weight * decades(fused.rarity, slot, raw_rarity, priors[1])
            of_level = decades(fused.short, slot, raw_near, priors[1]) + decades(fused.long, slot, raw_far, priors[1])
            parts[i, 2] = value_weight * LEVEL_WEIGHT * of_level
            parts[i, 3] = value_weight * FORECAST_WEIGHT * decades(fused.forecast, slot, raw_forecast, priors[2])
            if with_shape:
                shape_weight = PLAIN_SHAPE_WEIGHT + trust * (TRUSTED_SHAPE_WEIGHT - PLAIN_SHAPE_WEIGHT)
                parts[i, 4] = shape_weight * decades(fused.shape, slot, raw_shape, priors[3])
            for k in range(parts.shape[1]):
                evidence += parts[i, k]
            surviving = _rested(fused, slot, evidence, rest)
            if surviving > 0.0:
                score = decades_fitted(fused.fused, fused.tail, slot, 2.0**surviving, priors[4], fused.lawful[slot])
                scores[i] = compress(cautious(score, fused.learned[slot]))
            else:
                scores[i] = 0.0
            for k in range(parts.shape[1]):
                parts[i, k] *= scores[i] / max(evidence, 1e-9)
            best = forecast_best(fore, slot)
            half = fused.reach[slot] * forecast_scale(fore, slot, best)
            expected[i] = fore.level[slot, best]
            lower[i] = expected[i] - half
            upper[i] = expected[i] + half
        if not learns[i]:
            continue
        if fused.learned[slot] >= needed:
            learn_score(fused.fused, slot, 2.0**surviving, priors[4], FAULT_WEIGHT if scores[i] >= SURE else 1.0)
            fused.since[slot] += 1
            if surviving > 0.0:
                fused.peak[slot] = surviving
                fused.since[slot] = 0
        novelty_learn(novel, slot, value)
        learn_score(fused.novelty, slot, raw_novelty, priors[0])
        rarity_learn(rare, slot, value)
        learn_score(fused.rarity, slot, raw_rarity, priors[1])
        level_count(short, fused.short, slot, near, raw_near, priors[1])
        level_count(long, fused.long, slot, far, raw_far, priors[1])
        level_learn(means, slot, value)
        forecast_learn(fore, slot, value)
        learn_score(fused.forecast, slot, raw_forecast, priors[2])
        if with_shape:
            shape_learn(form, periods, fused.shape, slot, value, raw_shape, priors[3])
        fused.learned[slot] += 1
        fused.lawful[slot] += 1
        if fused.learned[slot] % REFRESH == 0 or fused.learned[slot] == needed:
            _refresh(form, fused, slot, with_shape, priors)
