"""Between order and score: stretches of series whose values people left out, also those that come later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from devices.batch import Batch
from devices.records import PointsMark
from devices.stretches import Span, with_span, without_span
from ingest.order import Ordered

MOST = 10_000
"""Stretches kept; beyond, those of the series marked first are forgotten, and what comes late for them is no longer
left out."""


class ExcludedStretches:
    """By series, the stretches of event time, ns, whose readings are stored apart: neither scored nor learned."""

    def __init__(self) -> None:
        self._spans: dict[int, list[Span]] = {}

    def mark(self, mark: PointsMark) -> None:
        """Leave a stretch out, or no longer."""
        change = with_span if mark.excluded else without_span
        spans = change(self._spans.pop(mark.series, []), (mark.start, mark.end))
        if spans:
            self._spans[mark.series] = spans
        while sum(map(len, self._spans.values())) > MOST:
            del self._spans[next(iter(self._spans))]

    def move(self, moves: Mapping[int, int]) -> None:
        """Series become parts of others."""
        for source, target in moves.items():
            for start, end in self._spans.pop(source, []):
                self.mark(PointsMark(target, start, end, excluded=True))

    def drop(self, series: Iterable[int]) -> None:
        """Series go."""
        for each in series:
            self._spans.pop(each, None)

    def split(self, ordered: Ordered) -> tuple[Ordered, Batch]:
        """The readings that are not left out, and those that are."""
        hit = np.zeros(len(ordered.batch), np.bool_)
        for series in self._met(ordered.batch.series):
            time = ordered.batch.time
            own = ordered.batch.series == series
            for start, end in self._spans[series]:
                hit |= own & (time >= start) & (time < end)
        if not hit.any():
            return ordered, Batch.empty()
        keep = ~hit
        kept = Ordered(ordered.batch.take(keep), ordered.late[keep], ordered.arrival[keep], ordered.released[keep])
        return kept, ordered.batch.take(hit)

    def state(self) -> list[tuple[int, int, int]]:
        """All stretches, as JSON: series, start and end of each."""
        return [(series, *span) for series, spans in self._spans.items() for span in spans]

    def load(self, state: Iterable[tuple[int, int, int]]) -> None:
        """Take over what `state` returned."""
        self._spans = {}
        for series, start, end in state:
            self._spans.setdefault(series, []).append((start, end))

    def _met(self, series: NDArray[np.int32]) -> list[int]:
        if not self._spans or not len(series):
            return []
        return [int(each) for each in np.intersect1d(series, np.fromiter(self._spans, np.int32, len(self._spans)))]
