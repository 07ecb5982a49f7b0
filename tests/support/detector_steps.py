"""Every registered detector in each of its variants, made and stepped, and what is compared of its scores and state."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from detectors.detector import MAX_SCORE, Detector, Scores
from detectors.detector_registry import DETECTORS, create

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND

VARIANTS = [
    pytest.param(detector.name, example, id=f"{detector.name}-{number}")
    for detector in DETECTORS
    for number, example in enumerate(detector.examples())
]
every_variant = pytest.mark.parametrize(("name", "parameters"), VARIANTS)
every_detector = pytest.mark.parametrize("detector", DETECTORS, ids=[detector.name for detector in DETECTORS])

Series = tuple[np.ndarray, np.ndarray, np.ndarray]
"""slot, time, value."""


def make(name: str, parameters: Mapping[str, object], size: int = 1) -> Detector:
    detector = create(name, parameters)
    detector.grow(size)
    return detector


def needed(name: str, parameters: Mapping[str, object]) -> int:
    return int(make(name, parameters).warming()[1][0])


def series(values: np.ndarray, slot: int = 0, step: int = 60 * SECOND) -> Series:
    count = len(values)
    return (
        np.full(count, slot, np.int32),
        START + np.arange(count, dtype=np.int64) * step,
        np.asarray(values, np.float64),
    )


def noisy(count: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 20 + 3 * np.sin(np.arange(count) / 24 * 2 * np.pi) + rng.normal(0, 0.5, count)


def step(detector: Detector, data: Series, learn: bool | np.ndarray = True) -> Scores:
    slot, time, value = data
    flags = np.full(len(slot), learn) if isinstance(learn, bool) else learn
    return detector.step(slot, time, value, flags)


def cut(data: Series, start: int, end: int) -> Series:
    return data[0][start:end], data[1][start:end], data[2][start:end]


def assert_same(left: Scores, right: Scores) -> None:
    for field in ("score", "expected", "lower", "upper"):
        np.testing.assert_array_equal(getattr(left, field), getattr(right, field), err_msg=field)
    assert left.part_names == right.part_names
    if left.parts is not None or right.parts is not None:
        np.testing.assert_array_equal(left.parts, right.parts)


def joined(pieces: list[Scores]) -> Scores:
    first = pieces[0]
    parts = None if first.parts is None else np.concatenate([piece.parts for piece in pieces])
    score, expected, lower, upper = (
        np.concatenate([getattr(piece, field) for piece in pieces]) for field in ("score", "expected", "lower", "upper")
    )
    return Scores(score, expected, lower, upper, parts=parts, part_names=first.part_names)


def assert_same_state(left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> None:
    assert set(left) == set(right)
    for name in left:
        assert left[name].tobytes() == right[name].tobytes(), name


def assert_well_formed(scores: Scores, count: int) -> None:
    for array in (scores.score, scores.expected, scores.lower, scores.upper):
        assert array.shape == (count,)
        assert array.dtype == np.float64
    given_scores = scores.score[~np.isnan(scores.score)]
    assert ((given_scores >= 0) & (given_scores <= MAX_SCORE)).all()
    banded = ~np.isnan(scores.lower) & ~np.isnan(scores.upper)
    assert (scores.lower[banded] <= scores.upper[banded]).all()
    if scores.parts is not None:
        assert scores.parts.shape == (count, len(scores.part_names))
