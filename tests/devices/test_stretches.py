"""Stretches of time: put together, and cut."""

from __future__ import annotations

import pytest

from devices.stretches import Span, with_span, without_span

TWO = [(10, 20), (40, 50)]


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((25, 35), [(10, 20), (25, 35), (40, 50)]), ((0, 9), [(0, 9), (10, 20), (40, 50)]),
        ((60, 70), [(10, 20), (40, 50), (60, 70)]), ((20, 30), [(10, 30), (40, 50)]), ((5, 10), [(5, 20), (40, 50)]),
        ((15, 45), [(10, 50)]), ((20, 40), [(10, 50)]), ((12, 18), TWO), ((0, 60), [(0, 60)]),
        ((21, 39), [(10, 20), (21, 39), (40, 50)]),
    ],
)  # fmt: skip
def test_a_stretch_becomes_one_with_those_that_it_overlaps_or_touches(span: Span, expected: list[Span]) -> None:
    assert with_span(TWO, span) == with_span(reversed(TWO), span) == expected


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((20, 40), TWO), ((0, 10), TWO), ((12, 18), [(10, 12), (18, 20), (40, 50)]), ((10, 20), [(40, 50)]),
        ((15, 45), [(10, 15), (45, 50)]), ((0, 11), [(11, 20), (40, 50)]), ((49, 60), [(10, 20), (40, 49)]),
        ((0, 60), []), ((10, 15), [(15, 20), (40, 50)]), ((45, 50), [(10, 20), (40, 45)]),
    ],
)  # fmt: skip
def test_what_lies_in_a_stretch_is_cut_out_of_the_others(span: Span, expected: list[Span]) -> None:
    assert without_span(TWO, span) == without_span(reversed(TWO), span) == expected
