"""First-order recursion: what inertia and memory are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit


@njit(nogil=True)
def recursion(inputs: NDArray[np.float64], gain: float, keep: float, before: float) -> NDArray[np.float64]:
    """Each output is `gain` times its input and `keep` times the output before it; `before` is before the first."""
    outputs = np.empty(len(inputs))
    last = before
    for i in range(len(inputs)):
        last = gain * inputs[i] + keep * last
        outputs[i] = last
    return outputs
