"""A random search of a detector's parameters, against labels or against an alarm budget."""

from __future__ import annotations

import csv
import json
import math
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from detectors.detector_registry import find
from devices.times import BadTimeError, parse_time
from ingest.ingest_settings import ComponentSettings
from tuning import nab
from tuning.backtest import Plan, score_columns
from tuning.recordings import RecordingError
from tuning.runs import Outcome

Parameters = dict[str, Any]
Window = tuple[int, int]
_FURTHEST = 10.0
"""A parameter without a bound is searched up to this many times its default, and down to as small a part of it."""
_WIDE = 30.0
"""A range whose ends differ by more than this factor is searched by its logarithm."""
_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Example:
    """A recording at hand: `time` int64 ns (n,), `values` float64 (n, channels), labelled faults as rows, or None."""

    name: str
    channels: tuple[str, ...]
    time: NDArray[np.int64]
    values: NDArray[np.float64]
    windows: list[Window] | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """Parameters tried: `fitted` is what the search compares, `held_out` the same on examples not searched on.

    With labels, the standard NAB score at its best threshold; without, minus the mean factor, as a logarithm to base
    2, by which alarms miss the budget. `held_out` is NaN where there is one example alone.
    """

    parameters: Parameters
    fitted: float
    held_out: float


def search(
    plan: Plan,
    detector: str,
    examples: Sequence[Example],
    *,
    trials: int,
    seed: int,
    only: Sequence[str] = (),
    workers: int | None = None,
    done: Callable[[object], None] = lambda _: None,
) -> list[Trial]:
    """Try the configured parameters first, then `trials` - 1 random ones; best first by `fitted`.

    Every second example, from the second on, is held out: searched on are the others. `only` names the parameters
    that vary; else all that can. Raises ValueError where none can.
    """
    settings = plan.detectors[detector]
    tried = [settings.parameters, *candidates(settings, trials - 1, seed, only)]
    plans = [
        replace(
            plan,
            detector=detector,
            detectors={**plan.detectors, detector: ComponentSettings(type=settings.type, **parameters)},
        )
        for parameters in tried
    ]
    workers = min(workers or os.cpu_count() or 1, len(plans))
    results: dict[int, Trial] = {}
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        number_of = {pool.submit(judge, each, examples): number for number, each in enumerate(plans)}
        for future in as_completed(number_of):
            number = number_of[future]
            results[number] = Trial(tried[number], *future.result())
            done(future)
    # In the order of the trials before sorting, so that of equals the first wins whichever ended first.
    return sorted((results[number] for number in range(len(plans))), key=lambda trial: -trial.fitted)


def judge(plan: Plan, examples: Sequence[Example]) -> tuple[float, float]:
    """How well a plan does on the examples searched on, and on those held out (NaN where there are none)."""
    outcomes = {}
    for example in examples:
        track = score_columns(plan, example.name, example.channels, example.time, example.values)
        outcomes[example.name] = Outcome(
            example.name, track.time, track.anomaly_score, track.device_anomaly, track.openings,
            track.value.size, int(track.late.sum()), True, 0.0,
        )  # fmt: skip
    halves = [examples[0::2], examples[1::2]]
    fitted, held_out = (_merit(plan, half, outcomes) if half else math.nan for half in halves)
    return fitted, held_out


def _merit(plan: Plan, examples: Sequence[Example], outcomes: Mapping[str, Outcome]) -> float:
    windows = {example.name: example.windows for example in examples if example.windows is not None}
    if windows:
        return nab.score({name: outcomes[name] for name in windows}, windows)[0].score
    missed = []
    for example in examples:
        seconds = float(example.time.max() - example.time.min()) * 1e-9
        allowed = seconds * plan.alarm.budget_per_second * len(example.channels)
        # One added to both: a short recording allows a fraction of an alarm.
        missed.append(abs(math.log2((len(outcomes[example.name].openings) + 1) / (allowed + 1))))
    return -float(np.mean(missed))


def candidates(settings: ComponentSettings, count: int, seed: int, only: Sequence[str] = ()) -> list[Parameters]:
    """Random parameters within the declared bounds, the configured ones where a parameter does not vary.

    A `seed` does not vary unless `only` names it: one seed is as good as another, and the best of many is luck.
    """
    model = find(settings.type).Parameters
    if unknown := [name for name in only if name not in model.model_fields]:
        known = ", ".join(model.model_fields)
        raise ValueError(f"detector {settings.type!r} has no parameter {unknown[0]!r}; expected one of: {known}")
    now = model.model_validate(settings.parameters)
    ways = {
        name: way
        for name, field in model.model_fields.items()
        if (name in only if only else name != "seed") and (way := _way(field, getattr(now, name))) is not None
    }
    if not ways:
        raise ValueError(f"detector {settings.type!r} has no parameter that can be searched")
    random = np.random.default_rng(seed)
    return [_candidate(model, settings.parameters, ways, random) for _ in range(count)]


def _candidate(
    model: type[BaseModel],
    configured: Parameters,
    ways: Mapping[str, Callable[[np.random.Generator], Any]],
    random: np.random.Generator,
) -> Parameters:
    """Parameters that the model accepts; bounds that link two of them are met by drawing again."""
    for _ in range(_ATTEMPTS):
        drawn = {**configured, **{name: way(random) for name, way in ways.items()}}
        try:
            model.model_validate(drawn)
        except ValidationError:
            continue
        return drawn
    raise ValueError(f"no parameters within the bounds of {model.__name__} found in {_ATTEMPTS} draws")


def _way(field: FieldInfo, now: Any) -> Callable[[np.random.Generator], Any] | None:
    """How to draw a value of a field; None where it cannot vary: text, lists, what has no number to start from."""
    if get_origin(field.annotation) is Literal:
        choices = get_args(field.annotation)
        return lambda random: choices[int(random.integers(len(choices)))]
    if isinstance(now, bool):
        return lambda random: bool(random.integers(2))
    if not isinstance(now, int | float):
        return None
    low, high = _bounds(field, float(now))
    whole = isinstance(now, int)

    def draw(random: np.random.Generator) -> Any:
        if low > 0 and high / low > _WIDE:
            value = math.exp(random.uniform(math.log(low), math.log(high)))
        else:
            value = random.uniform(low, high)
        return round(value) if whole else float(f"{value:.3g}")

    return draw


def _bounds(field: FieldInfo, now: float) -> tuple[float, float]:
    reach = sorted((now / _FURTHEST, now * _FURTHEST)) if now else [-1.0, 1.0]
    low, high = reach
    for bound in field.metadata:
        for word in ("ge", "gt"):
            low = max(low, float(getattr(bound, word, low)))
        for word in ("le", "lt"):
            high = min(high, float(getattr(bound, word, high)))
    return low, high


def read_windows(path: Path) -> dict[str, list[Window]]:
    """Labelled faults as pairs of times in ns, by file: JSON {file: [[start, end], ...]}, or CSV file, start, end.

    Raises RecordingError, OSError.
    """
    found: dict[str, list[Window]] = {}
    try:
        if path.suffix == ".json":
            for name, pairs in json.loads(path.read_bytes()).items():
                found[name] = [(parse_time(start), parse_time(end)) for start, end in pairs]
        else:
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    found.setdefault(row["file"], []).append((parse_time(row["start"]), parse_time(row["end"])))
    except (KeyError, ValueError, TypeError, AttributeError, BadTimeError) as error:
        expected = "expected JSON {file: [[start, end], ...]} or a CSV with columns file, start, end"
        raise RecordingError(f"{path}: not windows of faults: {error}; {expected}") from error
    return {name: sorted(pairs) for name, pairs in found.items()}


def windows_for(path: Path, labels: Mapping[str, list[Window]], time: NDArray[np.int64]) -> list[Window]:
    """First and last row of each labelled fault of a recording; a label names the file by the end of its path.

    Raises RecordingError where no label names the file.
    """
    whole = path.resolve().as_posix()
    name = next((name for name in labels if whole == name or whole.endswith(f"/{name}")), None)
    if name is None:
        raise RecordingError(f"{path}: the labels do not name it; named are: {', '.join(list(labels)[:5])}")
    rows = []
    for start, end in labels[name]:
        inside = np.flatnonzero((time >= start) & (time <= end))
        if len(inside):
            rows.append((int(inside[0]), int(inside[-1])))
    return rows


def as_toml(name: str, kind: str, parameters: Parameters) -> str:
    """The detector's table, to paste into the configuration."""
    lines = [f"[detectors.{name}]", f"type = {json.dumps(kind)}"]
    return "\n".join([*lines, *(f"{key} = {json.dumps(value)}" for key, value in parameters.items())])
