"""Stretches of time as spans from `start` up to and without `end` (ns), none of which overlap or touch."""

from __future__ import annotations

from collections.abc import Iterable

Span = tuple[int, int]


def with_span(spans: Iterable[Span], span: Span) -> list[Span]:
    """The spans, in order of time, with one more: it becomes one with those that it overlaps or touches."""
    start, end = span
    apart = []
    for each in spans:
        if each[1] < start or each[0] > end:
            apart.append(each)
        else:
            start, end = min(start, each[0]), max(end, each[1])
    return sorted([*apart, (start, end)])


def without_span(spans: Iterable[Span], span: Span) -> list[Span]:
    """The spans, in order of time, without what lies in `span`."""
    left = []
    for start, end in spans:
        if end <= span[0] or start >= span[1]:
            left.append((start, end))
            continue
        if start < span[0]:
            left.append((start, span[0]))
        if end > span[1]:
            left.append((span[1], end))
    return sorted(left)
