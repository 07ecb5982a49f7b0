"""Score: half-space trees for a whole fleet: how sparsely the last window filled the places a reading falls
into."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.compiled import njit
from detectors.detector import Scores
from detectors.fleet_detector import Column, FleetDetector, empty_scores, take_inputs
from detectors.statistics.rank import score_of_rank, tail_of
from detectors.statistics.tails import LARGEST

_PADDING = 0.15
"""A split lies at least this share of its interval away from either end."""

_STOP = 0.1
"""A walk ends at a node that holds less than this share of a window."""

_MOST_LEAVES = 65_536


class HalfSpaceTreesParameters(BaseModel):
    """The trees, as river names them, and how their raw scores are ranked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_trees: int = Field(default=10, ge=1, le=256, description="Trees.")
    height: int = Field(default=8, ge=1, le=14, description="Splits from a tree's root to its leaves.")
    window_size: int = Field(
        default=250, ge=2, le=65_535, description="Readings of which the trees' masses are made; also the warm-up."
    )
    seed: int = Field(default=42, ge=0, description="Seed of the splits, which all series share.")
    calibration: int = Field(
        default=64, ge=8, le=65_536, description="Raw scores seen after the first window before a score is given."
    )
    ranked: int = Field(default=512, ge=32, le=65_536, description="Raw scores kept a series to rank new ones against.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.calibration > self.ranked:
            raise ValueError(f"calibration: expected at most ranked = {self.ranked}, got {self.calibration}")
        if self.n_trees << self.height > _MOST_LEAVES:
            raise ValueError(
                f"n_trees x 2^height: expected at most {_MOST_LEAVES} leaves, got {self.n_trees << self.height}"
            )
        if self.most >= 1 << 32:
            raise ValueError(
                f"n_trees x window_size x 2^(height + 1): expected less than 2^32, which a mass holds, got {self.most}"
            )
        return self

    @property
    def most(self) -> int:
        """The largest sum of all trees' walks."""
        return self.n_trees * self.window_size * ((2 << self.height) - 1)


class HalfSpaceTrees(FleetDetector):
    """The mass that the last full window left in the tree nodes around a reading, ranked among the slot's own past.

    The trees are those of river's `HalfSpaceTrees` with the same seed, behind the same running min-max scaling, and
    raw scores equal river's bit by bit within +-1e300. With one value a reading all trees split the same line, so
    their splits together cut it into cells: a reading costs one search for its cell, and the sum of all walks is
    tabled for each cell when a window ends.

    Works: on values in sparse regions, between modes as well as beyond the usual range. Fails: on usual values at
    unusual times; one huge reading squeezes all later ones into few cells, for ever, as the scaling never forgets;
    readings are scored by a window that may be `window_size` readings old.

    Cost: about 0.3 us a reading. Memory: 6 bytes x trees x 2^height and 4 bytes x `ranked` a slot: 17 KiB. Source:
    Tan, Ting and Liu, "Fast Anomaly Detection for Streaming Data", IJCAI 2011.
    """

    name: ClassVar[str] = "half_space_trees"
    # Up to version 1 the state kept raw scores, now the masses that they are made of.
    version = "2"
    Parameters: ClassVar[type[BaseModel]] = HalfSpaceTreesParameters

    @classmethod
    def examples(cls) -> tuple[Mapping[str, object], ...]:
        """The defaults, and a small forest that is soon warm."""
        small: Mapping[str, object] = {"n_trees": 3, "height": 4, "window_size": 40, "calibration": 16, "ranked": 32}
        return ({}, small)

    def __init__(self, parameters: HalfSpaceTreesParameters) -> None:
        self.settings = parameters
        rng = random.Random(parameters.seed)
        trees = [_splits(rng, 0.0, 1.0, parameters.height) for _ in range(parameters.n_trees)]
        self.splits = np.sort(np.concatenate([np.array(tree) for tree in trees]))
        # The first cell of each leaf; a cell begins at its split.
        self.leaf_starts = np.array([[0, *(np.searchsorted(self.splits, tree) + 1)] for tree in trees], np.int32)
        self.needed = parameters.window_size + parameters.calibration
        super().__init__(parameters)

    def layout(self) -> dict[str, Column]:
        """`count` and `bounds` (lowest, highest) of readings learned; `filling`: readings of this window by cell;
        `mass`: sum of all walks by cell over the last window; `past`: masses that readings fell on."""
        cells = (len(self.splits) + 1,)
        return {
            "count": Column(np.int64),
            "bounds": Column(np.float64, (2,)),
            "filling": Column(np.uint16, cells),
            "mass": Column(np.uint32, cells),
            "past": Column(np.uint32, (self.settings.ranked,)),
        }

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Rank each reading's raw score, then learn the reading where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        scores = empty_scores(len(inputs.slot))
        arrays, settings = self.arrays, self.settings
        _run(
            inputs.slot, inputs.value, inputs.learn, arrays["count"], arrays["bounds"], arrays["filling"],
            arrays["mass"], arrays["past"], self.splits, self.leaf_starts, settings.window_size, self.needed,
            float(settings.most), scores.score,
        )  # fmt: skip
        return scores

    def raw_scores(self, slot: NDArray[np.int32], value: NDArray[np.float64]) -> NDArray[np.float64]:
        """River's score of each reading, (n,), against the present state, without learning; 0 in the first window."""
        inputs = take_inputs(self.size, slot, np.zeros(len(slot)), value, np.zeros(len(slot)))
        raw = np.empty(len(inputs.slot))
        arrays = self.arrays
        _raw(
            inputs.slot, inputs.value, arrays["count"], arrays["bounds"], arrays["mass"], self.splits,
            self.settings.window_size, float(self.settings.most), raw,
        )  # fmt: skip
        return raw

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `window_size` + `calibration` needed."""
        return self.arrays["count"][: self.size].copy(), np.full(self.size, self.needed, np.int64)


def _splits(rng: random.Random, low: float, high: float, height: int) -> list[float]:
    """The splits of one tree of the interval, ascending, drawn in river's order: a node, its left side, its right."""
    if height == 0:
        return []
    rng.random()  # river draws the feature to split, here always the only one
    at = rng.uniform(low + _PADDING * (high - low), high - _PADDING * (high - low))
    left = _splits(rng, low, at, height - 1)
    return [*left, at, *_splits(rng, at, high, height - 1)]


@njit
def _cell(splits: Any, value: float, low: float, high: float) -> int:
    """The cell of a value scaled by the bounds: how many splits are at or below it."""
    width = high - low
    scaled = (value - low) / width if width != 0.0 else 0.0
    first, last = 0, splits.shape[0]
    while first < last:
        middle = (first + last) >> 1
        if splits[middle] <= scaled:
            first = middle + 1
        else:
            last = middle
    return first


@njit
def _end_window(filling: Any, mass: Any, leaf_starts: Any, window: int) -> None:
    """Table the sum of all trees' walks for each cell, and empty the window.

    A walk adds mass x 2^depth from the root to its leaf, and ends early below a node that is nearly empty.
    """
    cells = filling.shape[0]
    trees, leaves = leaf_starts.shape
    before = np.zeros(cells + 1, np.int64)
    for cell in range(cells):
        before[cell + 1] = before[cell] + filling[cell]
    steps = np.zeros(cells, np.int64)
    node = np.empty(2 * leaves, np.int64)
    walk = np.empty(2 * leaves, np.int64)
    ended = np.empty(2 * leaves, np.bool_)
    for tree in range(trees):
        for leaf in range(leaves):
            end = leaf_starts[tree, leaf + 1] if leaf + 1 < leaves else cells
            node[leaves + leaf] = before[end] - before[leaf_starts[tree, leaf]]
        for k in range(leaves - 1, 0, -1):
            node[k] = node[2 * k] + node[2 * k + 1]
        walk[1], ended[1] = node[1], node[1] < _STOP * window
        weight, in_row = 2, 2
        for k in range(2, 2 * leaves):
            if k == 2 * in_row:
                in_row *= 2
                weight *= 2
            parent = k >> 1
            walk[k], ended[k] = walk[parent], ended[parent]
            if not ended[k]:
                walk[k] += node[k] * weight
                ended[k] = node[k] < _STOP * window
        last = 0
        for leaf in range(leaves):
            steps[leaf_starts[tree, leaf]] += walk[leaves + leaf] - last
            last = walk[leaves + leaf]
    total = 0
    for cell in range(cells):
        total += steps[cell]
        mass[cell] = total
        filling[cell] = 0


@njit
def _raw(
    slots: Any, values: Any, count: Any, bounds: Any, mass: Any, splits: Any, window: int, most: float, raw: Any
) -> None:
    for i in range(slots.shape[0]):
        k = slots[i]
        raw[i] = 0.0
        if not math.isfinite(values[i]):
            raw[i] = math.nan
        elif count[k] >= window:
            value = max(-LARGEST, min(LARGEST, values[i]))
            raw[i] = 1.0 - mass[k, _cell(splits, value, bounds[k, 0], bounds[k, 1])] / most


@njit
def _rank_score(past: Any, mass: Any, most: float) -> float:
    """`rank_score` of a raw score 1 - `mass` / `most` among those of `past` masses: the lighter, the higher.

    Only a reading lighter than nearly all past ones needs more than their number.
    """
    held = past.shape[0]
    at_least = 0
    for i in range(held):
        at_least += past[i] <= mass
    kept = tail_of(held)
    raws = np.full(kept, -math.inf)
    if at_least < kept:
        lightest = np.full(kept, np.uint32(0xFFFFFFFF))
        for i in range(held):
            if past[i] < lightest[0]:
                place = 0
                while place + 1 < kept and lightest[place + 1] > past[i]:
                    lightest[place] = lightest[place + 1]
                    place += 1
                lightest[place] = past[i]
        for i in range(kept):
            raws[i] = 1.0 - lightest[i] / most
    return score_of_rank(raws, at_least, held, 1.0 - mass / most)


@njit
def _run(
    slots: Any, values: Any, learns: Any, count: Any, bounds: Any, filling: Any, mass: Any, past: Any, splits: Any,
    leaf_starts: Any, window: int, needed: int, most: float, score: Any,
) -> None:  # fmt: skip
    ranked = past.shape[1]
    for i in range(slots.shape[0]):
        if not math.isfinite(values[i]):
            continue
        k = slots[i]
        value = max(-LARGEST, min(LARGEST, values[i]))
        seen = count[k]
        low, high = bounds[k, 0], bounds[k, 1]
        cell, here = -1, np.uint32(0)
        if seen >= window:
            cell = _cell(splits, value, low, high)
            here = mass[k, cell]
            if seen >= needed:
                score[i] = _rank_score(past[k, : min(seen - window, ranked)], here, most)
        if not learns[i]:
            continue
        if seen >= window:
            past[k, (seen - window) % ranked] = here
        if seen == 0 or value < low:
            bounds[k, 0] = value
            cell = -1
        if seen == 0 or value > high:
            bounds[k, 1] = value
            cell = -1
        if cell < 0:
            cell = _cell(splits, value, bounds[k, 0], bounds[k, 1])
        filling[k, cell] += 1
        count[k] += 1
        if count[k] % window == 0:
            _end_window(filling[k], mass[k], leaf_starts, window)
