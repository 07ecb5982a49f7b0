"""What a person may say of a series is checked where it is said."""

from __future__ import annotations

from typing import Any

import pytest

from detectors.knowledge import Knowledge


def test_nothing_said_means_nothing_limited() -> None:
    knowledge = Knowledge()
    assert (knowledge.kind, knowledge.direction, knowledge.time_zone) == (None, "both", "UTC")
    assert knowledge.lower_limit == -float("inf")
    assert knowledge.upper_limit == float("inf")


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"kind": "meter"}, "kind: expected one of measurement, counter.* got 'meter'"),
        ({"direction": "up"}, "direction: expected both, above or below, got 'up'"),
        ({"smallest_deviation": -1.0}, "smallest_deviation: expected a finite number of at least 0, got -1.0"),
        ({"lower_limit": 5.0, "upper_limit": 5.0}, "lower_limit: expected less than upper_limit 5.0, got 5.0"),
        ({"ignored_hours": ((22.0, 25.0),)}, "ignored_hours: expected hours from 0 to 24, got 22.0 to 25.0"),
        ({"time_zone": "Berlin"}, "time_zone: expected a name such as Europe/Berlin, got 'Berlin'"),
    ],
)
def test_an_error_names_field_value_and_expectation(said: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Knowledge(**said)
