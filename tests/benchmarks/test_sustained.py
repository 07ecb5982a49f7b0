"""The slope by which memory and lag are judged."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.sustained import slope


def test_a_steady_growth_is_found_among_peaks_that_come_and_go() -> None:
    at = np.arange(0.0, 300.0)
    memory = 500.0 + 0.2 * at
    memory[::30] += 200.0
    memory[1::30] += 150.0
    assert slope(at.tolist(), memory.tolist()) == pytest.approx(0.2, rel=0.05)


def test_what_saws_up_and_down_has_no_slope() -> None:
    at = np.arange(0.0, 300.0)
    assert slope(at.tolist(), (500.0 + at % 30).tolist()) == pytest.approx(0.0, abs=0.02)


def test_one_sample_has_no_slope() -> None:
    assert slope([1.0], [5.0]) == 0.0
