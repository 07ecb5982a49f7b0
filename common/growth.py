"""Arrays that grow with the fleet."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

LEAST_ROOM = 16
"""The first axis of an array that has grown is at least so long."""


def grown(array: NDArray[Scalar], size: int, fill: Any, least: int = LEAST_ROOM) -> NDArray[Scalar]:
    """`array` itself where its first axis holds `size`; else a longer copy, with `fill` in what is new.

    The length at least doubles, so that a fleet which grows one by one costs a copy only now and then.
    """
    have = len(array)
    if size <= have:
        return array
    # Zeroed pages are handed out only when touched, so that spare room costs no memory.
    longer: NDArray[Scalar] = np.zeros((max(size, 2 * have, least), *array.shape[1:]), array.dtype)
    longer[:have] = array
    if fill != 0:
        longer[have:] = fill
    return longer
