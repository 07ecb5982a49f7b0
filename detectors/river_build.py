"""Score: river objects by class name and parameters, as a configuration file can write them.

river takes seconds to import, so it is imported only once a model is asked for.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from common.extras import require
from common.suggestions import unknown

NESTED_MODULES = ("time_series", "stats", "optim", "optim.initializers", "optim.schedulers", "neighbors")
"""Modules of river whose classes a model's parameters may name, in order of search."""

_SCALERS = {"HalfSpaceTrees": "MinMaxScaler", "LODA": "StandardScaler", "OneClassSVM": "StandardScaler"}
"""Scaler that a model needs before it: half-space trees expect [0, 1], projections and gradient steps unit variance."""


def _part(name: str = "") -> ModuleType:
    """A module of river, or river itself. Raises MissingExtraError where river is not installed."""
    require("river", extra="river", purpose="A detector of type river")
    return importlib.import_module(f"river.{name}" if name else "river")


def river_version() -> str:
    """The installed river's version."""
    return str(_part().__version__)


def model_names() -> tuple[str, ...]:
    """The detectors of `river.anomaly`, without its filters, which wrap another detector and only classify."""
    anomaly = _part("anomaly")
    return tuple(sorted(name for name in anomaly.__all__ if not name.endswith("Filter")))


def build(model: str, parameters: Mapping[str, object], seed: int) -> Any:
    """A fresh river detector, behind its scaler where it needs one; `seed` goes to a model that takes one.

    A parameter that is a table with `type` becomes an object of that class of `NESTED_MODULES`, as in
    `predictive_model = {type = "HoltWinters", alpha = 0.3}`. Raises ValueError for a name that river does not have,
    with the nearest one, and for parameters that the class refuses.
    """
    if model not in model_names():
        raise ValueError(f"model: {unknown(model, model_names())}")
    given = dict(parameters)
    if model == "PredictiveAnomalyDetection":
        given.setdefault("predictive_model", {"type": "HoltWinters", "alpha": 0.3, "beta": 0.1})
    detector = _construct(getattr(_part("anomaly"), model), given, f"{model}.", seed)
    if model == "PredictiveAnomalyDetection" and not hasattr(detector.predictive_model, "forecast"):
        found = type(detector.predictive_model).__name__
        raise ValueError(f"{model}.predictive_model: expected a forecaster of river.time_series, got {found}")
    if model == "GaussianScorer":
        # Its distribution carries an unseeded generator, never used for scores, that would make states differ.
        proba, utils = _part("proba"), _part("utils")
        window = detector.window_size
        detector.gaussian = utils.Rolling(proba.Gaussian, window, seed=seed) if window else proba.Gaussian(seed=seed)
    if model not in _SCALERS:
        return detector
    preprocessing = _part("preprocessing")
    compose = _part("compose")
    return compose.Pipeline(getattr(preprocessing, _SCALERS[model])(), detector)


def _construct(kind: type, given: Mapping[str, object], path: str, seed: int) -> Any:
    takes = inspect.signature(kind).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values())
    for name in given:
        if name not in takes and not open_ended:
            raise ValueError(f"{path}{name}: {unknown(name, takes)}")
    arguments = {name: _value(value, f"{path}{name}", seed) for name, value in given.items()}
    if "seed" in takes:
        arguments.setdefault("seed", seed)
    try:
        return kind(**arguments)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path.rstrip('.')}: {error}") from error


def _value(value: object, path: str, seed: int) -> object:
    if not isinstance(value, Mapping) or "type" not in value:
        return value
    name = str(value["type"])
    known: dict[str, type] = {}
    for module in NESTED_MODULES:
        members = vars(_part(module))
        for member, kind in members.items():
            if inspect.isclass(kind) and not member.startswith("_"):
                known.setdefault(member, kind)
    if name not in known:
        raise ValueError(f"{path}.type: {unknown(name, known)}")
    return _construct(known[name], {key: part for key, part in value.items() if key != "type"}, f"{path}.", seed)
