"""The unit from the route onward: columns of readings, then columns of scored points."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

NO_TIME = int(np.iinfo(np.int64).min)
"""Stands in a time column where a payload carries no time of its own: arrival time is used instead."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One measured value of one metric of one device. `time` is nanoseconds since the epoch, event time."""

    device: str
    metric: str
    time: int
    value: float


class _Columns:
    """Row selection and concatenation for dataclasses whose every field is an array of one length."""

    __slots__ = ()

    series: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.series)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """The rows at `index` (positions or a mask)."""
        return type(self)(*(getattr(self, f.name)[index] for f in fields(self)))  # type: ignore[arg-type]

    @classmethod
    def concatenate(cls, parts: list[Self]) -> Self:
        """The rows of all parts, in order. Needs at least one part."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Batch(_Columns):
    """Readings as columns: `series` int32 (index into the registry), `time` int64 ns, `value` float64, all (n,)."""

    series: NDArray[np.int32]
    time: NDArray[np.int64]
    value: NDArray[np.float64]

    @classmethod
    def empty(cls) -> Batch:
        """A batch of no rows."""
        return cls(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True, slots=True)
class ScoredBatch(_Columns):
    """Points as stored: a `Batch` with what the detectors made of it.

    `score` is the rarity of the reading in decades, -log10 of the probability of a reading this odd on this series'
    normal behaviour: 0 is ordinary, 3 is one in a thousand. NaN while the detector warms up and for late readings.
    `expected`, `lower`, `upper` are in the metric's unit, NaN where the detector has none. `anomaly` is the verdict.
    `late` marks readings behind their series' newest: stored, not scored, not learned. `novelty`, in decades too: how
    new the reading is to its series, whether or not it is a fault; NaN where no detector says, and where left out.
    """

    series: NDArray[np.int32]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    score: NDArray[np.float64]
    expected: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    anomaly: NDArray[np.bool_]
    late: NDArray[np.bool_]
    novelty: NDArray[np.float64] = None  # type: ignore[assignment]  # made by __post_init__

    def __post_init__(self) -> None:
        if self.novelty is None:
            object.__setattr__(self, "novelty", np.full(len(self.series), np.nan))

    @classmethod
    def unscored(cls, batch: Batch, *, late: bool) -> ScoredBatch:
        """The rows of `batch` as points without score, expected value or band."""
        n = len(batch)
        none = np.full(n, np.nan)
        no = np.zeros(n, np.bool_)
        return cls(batch.series, batch.time, batch.value, none, none, none, none, no, np.full(n, late))
