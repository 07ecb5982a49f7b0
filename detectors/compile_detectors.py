"""Compile every detector's kernels into numba's cache, so that the first start need not.

`python -m detectors.compile_detectors` does it, with a line for each detector.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from detectors.detector_registry import DETECTORS, ROW_DETECTORS, create, create_multivariate, find, scores_rows

_READINGS = 8


def compile_detector(name: str) -> None:
    """Run one detector, in each variant, over a few readings. Raises UnknownDetectorError with the nearest name."""
    slot, learn = np.zeros(_READINGS, np.int32), np.ones(_READINGS, np.bool_)
    time = np.arange(_READINGS, dtype=np.int64) * 1_000_000_000
    for parameters in find(name).examples():
        if scores_rows(name):
            rows = create_multivariate(name, parameters)
            rows.grow(1)
            shape = (_READINGS, rows.channels)
            rows.step(slot, time, np.linspace(0.0, 1.0, math.prod(shape)).reshape(shape), learn)
        else:
            single = create(name, parameters)
            single.grow(1)
            single.compile_alone(slot, time, np.linspace(0.0, 1.0, _READINGS), learn)


def compile_all(on_progress: Callable[[str], None] | None = None) -> None:
    """Run each registered detector; `on_progress` gets its name before."""
    for detector in (*DETECTORS, *ROW_DETECTORS):
        if on_progress is not None:
            on_progress(detector.name)
        compile_detector(detector.name)


if __name__ == "__main__":
    compile_all(print)
