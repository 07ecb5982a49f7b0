"""Score: any detector of `river.anomaly` behind the fleet interface, one river object a slot."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from detectors.detector import Detector, Scores, State
from detectors.fleet_detector import Column, check_state, empty_scores, take_inputs
from detectors.river_build import build, river_version
from detectors.statistics.rank import rank_score

_REFUSALS = (ArithmeticError, ValueError, LookupError, TypeError, AttributeError)
"""What river's models raise on input that they were not made for, such as zeros, one reading, or 1e300."""


_SUPERVISED = ("GaussianScorer", "PredictiveAnomalyDetection", "StandardAbsoluteDeviation")
"""Models that take the reading as target `y` instead of as a feature."""

_TRIED = 300
"""Readings that a model is tried on for the size of its state."""


class RiverParameters(BaseModel):
    """Which model, how it is built, and how its raw scores are ranked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(default="HalfSpaceTrees", description="Class name of a detector in river.anomaly.")
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description='Its parameters; an object is a table with `type`, as in {type = "HoltWinters", alpha = 0.3}.',
    )
    seed: int = Field(default=42, ge=0, description="Seed of models that draw random numbers.")
    warmup: int = Field(
        default=250, ge=2, le=1_000_000, description="Readings learned before the model's raw scores are looked at."
    )
    calibration: int = Field(
        default=64, ge=8, le=1_000_000, description="Raw scores seen after that before the first score is given."
    )
    ranked: int = Field(default=512, ge=32, le=65_536, description="Raw scores kept a series to rank new ones against.")

    @model_validator(mode="after")
    def _builds(self) -> Self:
        if self.calibration > self.ranked:
            raise ValueError(f"calibration: expected at most ranked = {self.ranked}, got {self.calibration}")
        build(self.model, self.parameters, self.seed)
        return self


class River(Detector):
    """A model of river for each slot; its raw score becomes a probability by rank among the slot's own past raw scores.

    A reading is scored, then learned; scoring alone leaves the model as it was, also for PredictiveAnomalyDetection,
    whose `score_one` learns. Models without a target are given {"value": reading}, behind MinMaxScaler
    (HalfSpaceTrees) or StandardScaler (OneClassSVM, LODA). GaussianScorer's probability saturates at 1, so -log10 of
    its complement is ranked. PredictiveAnomalyDetection gives the expected value and, as band, the error at which its
    raw score reaches 1.

    Works: as the model chosen does; for trying out what river has, and for small fleets. Fails: where models are slow
    or learn faults as readily as the rest, since no learning is clipped here; on input that a model cannot take. A
    model that raises while it learns, or that gives no finite score once warm, is replaced by a fresh one and the
    slot warms up again (HoltWinters divides its first season by the level, so a series of zeros never gets past
    this).

    Cost: 2 us (StandardAbsoluteDeviation) to milliseconds (LocalOutlierFactor) a reading. Memory: the model's own,
    about 1 KiB to 2 MiB, and 8 bytes x `ranked`. Source: Montiel et al., "River: machine learning for streaming data
    in Python", JMLR 22, 2021, and the paper of each model as river's documentation names it.
    """

    name: ClassVar[str] = "river"
    Parameters: ClassVar[type[BaseModel]] = RiverParameters

    @classmethod
    def examples(cls) -> tuple[Mapping[str, object], ...]:
        """Each kind of river model, small and soon warm."""
        soon = {"warmup": 50, "calibration": 16, "ranked": 32}
        forecaster = {"type": "HoltWinters", "alpha": 0.3, "beta": 0.1, "gamma": 0.1, "seasonality": 12}
        return (
            {"parameters": {"n_trees": 3, "height": 4, "window_size": 40}, **soon},
            {"model": "GaussianScorer", **soon},
            {"model": "StandardAbsoluteDeviation", **soon},
            {"model": "OneClassSVM", **soon},
            {
                "model": "LocalOutlierFactor",
                "parameters": {"n_neighbors": 3, "engine": {"type": "LazySearch", "window_size": 30}},
                **soon,
            },
            {"model": "PredictiveAnomalyDetection", "parameters": {"predictive_model": forecaster}, **soon},
        )

    def __init__(self, parameters: RiverParameters) -> None:
        super().__init__(parameters)
        self.settings = parameters
        self.models: list[Any] = []
        self.count = np.zeros(0, np.int64)
        self.raw = np.zeros((0, parameters.ranked))
        self.needed = parameters.warmup + parameters.calibration
        self.predicts = parameters.model == "PredictiveAnomalyDetection"
        self.saturates = parameters.model == "GaussianScorer"
        self.supervised = parameters.model in _SUPERVISED

    def grow(self, size: int) -> None:
        """Make room for slots 0 to `size` - 1; a slot's model is built when its first reading comes."""
        if size <= self.size:
            return
        if size > len(self.count):
            capacity = max(size, 2 * len(self.count))
            count, raw = np.zeros(capacity, np.int64), np.zeros((capacity, self.settings.ranked))
            count[: self.size], raw[: self.size] = self.count[: self.size], self.raw[: self.size]
            self.count, self.raw = count, raw
        self.models.extend([None] * (size - self.size))
        self.size = size

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score each reading with its slot's model, then learn it where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        scores = empty_scores(len(inputs.slot))
        rows = zip(inputs.slot.tolist(), inputs.value.tolist(), inputs.learn.tolist(), strict=True)
        for i, (k, reading, learned) in enumerate(rows):
            if not math.isfinite(reading):
                continue
            model = self.models[k] if self.models[k] is not None else self._fresh()
            seen = int(self.count[k])
            raw = math.nan
            if seen >= self.settings.warmup:
                if self.predicts and seen >= self.needed:
                    scores.expected[i], scores.lower[i], scores.upper[i] = _predicted(model)
                raw = self._raw_score(model, reading, learned)
                if seen >= self.needed and not math.isnan(raw):
                    ranked = min(seen - self.settings.warmup, self.settings.ranked)
                    scores.score[i] = rank_score(self.raw[k, :ranked], raw)
            if learned:
                self._learn(k, model, reading, raw)
        return scores

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned since the slot's model was last built, and `warmup` + `calibration` needed."""
        return self.count[: self.size].copy(), np.full(self.size, self.needed, np.int64)

    @property
    def bytes_per_slot(self) -> int:
        """Bytes of one series' saved model and raw scores, tried on noise; the live model takes several times that."""
        model = self._fresh()
        for i in range(min(self.needed, _TRIED)):
            # The fractional parts of multiples of the golden ratio: evenly spread, and no random source.
            self._try(model, (i * 0.6180339887498949) % 1.0)
        return len(pickle.dumps(model, protocol=5)) + 8 * self.settings.ranked + 16

    def state(self) -> State:
        """`count` (size,), `raw` (size, ranked), and pickled models, slot k's at `models[offsets[k]:offsets[k + 1]]`.

        `river` (1,) is the version that pickled them. The offsets, not the first axis, tell where a slot's bytes are.
        """
        pickles = [b"" if model is None else pickle.dumps(model) for model in self.models]
        offsets = np.zeros(self.size + 1, np.int64)
        np.cumsum([len(part) for part in pickles], out=offsets[1:])
        return {
            "count": self.count[: self.size].copy(),
            "raw": self.raw[: self.size].copy(),
            "models": np.frombuffer(b"".join(pickles), np.uint8).copy(),
            "offsets": offsets,
            "river": np.array([river_version()], "U16"),
        }

    def load(self, state: State) -> None:
        """Replace the models. They are unpickled, which runs code: load only what this program has saved.

        Raises ValueError where arrays do not fit, or where another minor version of river pickled the models.
        """
        expected = {"count", "raw", "models", "offsets", "river"}
        if set(state) != expected:
            raise ValueError(f"river state: expected arrays {sorted(expected)}, got {sorted(state)}")
        columns = {"count": Column(np.int64), "raw": Column(np.float64, (self.settings.ranked,))}
        size = check_state({name: state[name] for name in columns}, columns, self.name)
        offsets, pickled, version = state["offsets"], state["models"], state["river"]
        if offsets.dtype != np.int64 or offsets.shape != (size + 1,):
            raise ValueError(f"river state: offsets: expected int64 ({size + 1},), got {offsets.dtype} {offsets.shape}")
        if pickled.dtype != np.uint8 or pickled.shape != (offsets[-1],):
            expected_shape = f"uint8 ({offsets[-1]},)"
            raise ValueError(f"river state: models: expected {expected_shape}, got {pickled.dtype} {pickled.shape}")
        if version.shape != (1,) or _minor(str(version[0])) != _minor(river_version()):
            raise ValueError(
                f"river state: expected models of river {_minor(river_version())}.x, got river {version}; models do not"
                " survive a change of river's minor version: start without this state"
            )
        content = pickled.tobytes()
        bounds = offsets.tolist()
        self.models = [pickle.loads(content[start:end]) if end > start else None for start, end in pairwise(bounds)]
        self.count = np.array(state["count"], np.int64)
        self.raw = np.array(state["raw"], np.float64)
        self.size = size

    def _fresh(self) -> Any:
        return build(self.settings.model, self.settings.parameters, self.settings.seed)

    def _raw_score(self, model: Any, reading: float, learned: bool) -> float:
        """The model's score, NaN where it has none; the model is left unchanged unless the reading is `learned`."""
        try:
            if self.predicts and not learned:
                model = copy.deepcopy(model)
            raw = model.score_one(None, reading) if self.supervised else model.score_one({"value": reading})
            return -math.log10(max(1.0 - raw, 1e-300)) if self.saturates else float(raw)
        except _REFUSALS:
            return math.nan

    def _try(self, model: Any, reading: float) -> None:
        try:
            if self.supervised:
                model.learn_one(None, reading)
            else:
                model.learn_one({"value": reading})
        except _REFUSALS:
            return

    def _learn(self, k: int, model: Any, reading: float, raw: float) -> None:
        settings = self.settings
        seen = int(self.count[k])
        try:
            if self.supervised:
                model.learn_one(None, reading)
            else:
                model.learn_one({"value": reading})
        except _REFUSALS:
            model = None
        if model is None or (seen >= settings.warmup and not math.isfinite(raw)):
            self.models[k], self.count[k] = None, 0
            return
        if seen >= settings.warmup:
            self.raw[k, (seen - settings.warmup) % settings.ranked] = raw
        self.models[k] = model
        self.count[k] += 1


def _predicted(model: Any) -> tuple[float, float, float]:
    """Forecast and band of a PredictiveAnomalyDetection: its raw score is 1 from the band's edge outward."""
    try:
        expected = float(model.predictive_model.forecast(model.horizon)[0])
        square = model.dynamic_mae.get() + model.n_std * math.sqrt(model.dynamic_se_variance.get())
        half = math.sqrt(square)
    except _REFUSALS:
        return math.nan, math.nan, math.nan
    return expected, expected - half, expected + half


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
