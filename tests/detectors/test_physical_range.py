"""Physical limits by unit, with limits of one's own before them."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from detectors.detector import MAX_SCORE
from detectors.physical_range import LIMITS, PhysicalRange, PhysicalRangeParameters


def score(values: list[float], **parameters: object) -> list[float]:
    detector = PhysicalRange(PhysicalRangeParameters.model_validate(parameters))
    detector.grow(1)
    count = len(values)
    result = detector.step(np.zeros(count, np.int32), np.arange(count), np.array(values), np.ones(count, np.bool_))
    return result.score.tolist()


def test_what_cannot_be_scores_highest_from_the_first_reading() -> None:
    assert score([0.0, 100.0, 130.0, -999.0], unit="%") == [0.0, 0.0, MAX_SCORE, MAX_SCORE]
    assert score([-273.15, -274.0, 5_000.0], unit="°C") == [0.0, MAX_SCORE, 0.0]


@pytest.mark.parametrize(("name", "unit"), [("C", "°C"), ("degF", "°F"), ("lux", "lx"), ("ug/m3", "µg/m³")])
def test_units_are_known_by_their_other_names(name: str, unit: str) -> None:
    assert PhysicalRangeParameters(unit=name).limits() == LIMITS[unit]


def test_own_limits_stand_before_the_units() -> None:
    assert PhysicalRangeParameters(unit="°C", upper=85.0).limits() == (-273.15, 85.0)
    assert PhysicalRangeParameters(unit="smoots", lower=0.0).limits() == (0.0, None)


def test_a_unit_without_a_range_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValidationError, match=r'unit "Kpa" has no known range; did you mean "kPa"\?'):
        PhysicalRangeParameters(unit="Kpa")
    with pytest.raises(ValidationError, match="expected a unit, or at least one of lower and upper"):
        PhysicalRangeParameters()
    with pytest.raises(ValidationError, match=r"expected lower <= upper, got lower 101\.0 and upper 100\.0"):
        PhysicalRangeParameters(unit="%", lower=101.0)
