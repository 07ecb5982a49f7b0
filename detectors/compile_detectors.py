"""Before stage 1: compile every detector's kernels into numba's cache, so that the first start need not.

`python -m detectors.compile_detectors` does it, with a line for each detector.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from detectors.detector_registry import DETECTORS, ROW_DETECTORS, create, find
from detectors.multivariate.row_detector import RowDetector


def compile_detector(name: str) -> None:
    """Run one detector, in each variant, over a few readings. Raises UnknownDetectorError with the nearest name."""
    for parameters in find(name).examples():
        made = create(name, parameters)
        made.grow(1)
        count = 8
        slot = np.zeros(count, np.int32)
        time = np.arange(count, dtype=np.int64) * 1_000_000_000
        shape = (count, made.channels) if isinstance(made, RowDetector) else (count,)
        made.step(slot, time, np.linspace(0.0, 1.0, math.prod(shape)).reshape(shape), np.ones(count, np.bool_))


def compile_all(on_progress: Callable[[str], None] | None = None) -> None:
    """Run each registered detector; `on_progress` gets its name before."""
    for detector in (*DETECTORS, *ROW_DETECTORS):
        if on_progress is not None:
            on_progress(detector.name)
        compile_detector(detector.name)


if __name__ == "__main__":
    compile_all(print)
