"""Scores per second by detector, beside the same model in river; bytes of state a series."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray
from river import anomaly, compose, preprocessing, time_series

from benchmarks.setting import CHEAP_NAMES, Setting
from detectors.detector import Detector
from detectors.detector_registry import DETECTORS, create

GROUP = "scores per second per core"
MEMORY_GROUP = "state of detectors"
POINT_GROUP = "CPU per point, default ensemble, from a series' 3,000th reading on"

SERIES = 3_000
RIVER_SERIES = 20

CHEAP_PARAMETERS: Mapping[str, Mapping[str, object]] = {
    "threshold": {"lower": -1000.0, "upper": 10_000.0},
    "rate_of_change": {"limit": 1e5},
}
FOREST = "half_space_trees"
SEASON = 24
TREES = {"n_trees": 10, "height": 8, "window_size": 250, "seed": 42}

RiverModel = tuple[Callable[[float], object], Callable[[float], object]]
"""How a model scores a reading, and how it learns it."""


def run(setting: Setting) -> None:
    """Add the figures."""
    names = [detector.name for detector in DETECTORS]
    own_seconds: dict[str, float] = {}
    for _ in range(max(3, setting.runs)):
        for name in (*CHEAP_NAMES, "ensemble"):
            setting.say(f"scores per second: {name}")
            seconds = _seconds_a_score(create(name, CHEAP_PARAMETERS.get(name, {})), 400 if name != "ensemble" else 60)
            own_seconds[name] = seconds
            wanted = 10.0 if name in ("zscore", "holt_winters") else None
            setting.figures.add(GROUP, name, 1e-6 / seconds, "M/s", at_least=wanted)
        gaussian = _river_seconds(_gaussian)
        setting.figures.add(
            GROUP, "zscore / river's GaussianScorer", gaussian / own_seconds["zscore"], "x", at_least=100
        )
        forecast = _river_seconds(_holt_winters)
        seasonal = _seconds_a_score(create("holt_winters", {"season": SEASON}), 400)
        setting.figures.add(
            GROUP,
            "holt_winters / river's PredictiveAnomalyDetection(HoltWinters)",
            forecast / seasonal,
            "x",
            at_least=100,
            note=f"both with a season of {SEASON} readings",
        )
        if FOREST in names:
            own = _seconds_a_score(create(FOREST, TREES), 1_200, series=200)
            trees = _river_seconds(_trees, rounds=600)
            setting.figures.add(GROUP, FOREST, 1e-6 / own, "M/s")
            setting.figures.add(GROUP, f"{FOREST} / river's HalfSpaceTrees", trees / own, "x", at_least=50)
    for _ in range(setting.runs):
        for name, shape, most in (("with shape", True, 25.0), ("without shape", False, 3.0)):
            setting.say(f"CPU per point: ensemble {name}")
            seconds = _seconds_a_score(create("ensemble", {"shape": shape}), 6_000, series=60)
            setting.figures.add(POINT_GROUP, name, seconds * 1e6, "µs", at_most=most)
    cheap = 0.0
    for name in (*CHEAP_NAMES, "ensemble"):
        size = state_bytes(create(name, CHEAP_PARAMETERS.get(name, {})))
        cheap += size if name in CHEAP_NAMES else 0
        setting.figures.add(MEMORY_GROUP, name, size, "B/series")
    setting.figures.add(MEMORY_GROUP, "cheap tier, all four", cheap, "B/series", at_most=1024)


def state_bytes(detector: Detector) -> float:
    """Bytes of state that one series takes."""
    detector.grow(1_000)
    return sum(array.nbytes for array in detector.state().values()) / 1_000


def _seconds_a_score(detector: Detector, rounds: int, series: int = SERIES) -> float:
    """CPU seconds a reading, over rounds of one reading of each series, in batches as large as the engine's.

    The first half of the rounds warms up and is left out.
    """
    slot, now, value = _readings(series, rounds)
    learn = np.ones(len(slot), np.bool_)
    detector.grow(series)
    warm = series * (rounds // 2)
    detector.step(slot[:warm], now[:warm], value[:warm], learn[:warm])
    gc.disable()
    began = time.thread_time()
    for start in range(warm, len(slot), 2 * SERIES):
        rows = slice(start, start + 2 * SERIES)
        detector.step(slot[rows], now[rows], value[rows], learn[rows])
    seconds = time.thread_time() - began
    gc.enable()
    return seconds / (len(slot) - warm)


def _readings(series: int, rounds: int) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]:
    slot = np.tile(np.arange(series, dtype=np.int32), rounds)
    now = np.repeat(np.arange(rounds, dtype=np.int64) * 1_000_000_000, series) + 1_700_000_000_000_000_000
    noise = np.random.default_rng(3).standard_normal(series * rounds)
    return slot, now, 20.0 + np.repeat(np.sin(np.arange(rounds) / 20.0), series) + 0.3 * noise


def _river_seconds(model: Callable[[], RiverModel], rounds: int = 400) -> float:
    """CPU seconds a reading of river's model, one object a series, scored and learned."""
    slot, _, value = _readings(RIVER_SERIES, rounds)
    models = [model() for _ in range(RIVER_SERIES)]
    rows = list(zip(slot.tolist(), value.tolist(), strict=True))
    warm = len(rows) // 2
    for series, reading in rows[:warm]:
        models[series][1](reading)
    gc.disable()
    began = time.thread_time()
    for series, reading in rows[warm:]:
        score, learn = models[series]
        score(reading)
        learn(reading)
    seconds = time.thread_time() - began
    gc.enable()
    return seconds / (len(rows) - warm)


def _gaussian() -> RiverModel:
    model = anomaly.GaussianScorer()
    return partial(model.score_one, None), partial(model.learn_one, None)


def _holt_winters() -> RiverModel:
    forecaster = time_series.HoltWinters(alpha=0.2, beta=0.05, gamma=0.3, seasonality=SEASON)
    model = anomaly.PredictiveAnomalyDetection(forecaster, horizon=1)
    return partial(model.score_one, None), partial(model.learn_one, None)


def _trees() -> RiverModel:
    model = compose.Pipeline(preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(**TREES))
    return lambda reading: model.score_one({"value": reading}), lambda reading: model.learn_one({"value": reading})
