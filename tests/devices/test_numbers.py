"""What counts as a number."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.numbers import to_number


@pytest.mark.parametrize(
    ("written", "number"),
    [
        (21.5, 21.5), (3, 3.0), (True, 1.0), (False, 0.0), ("21.5", 21.5), (" -3 ", -3.0), ("1e3", 1000.0), (".5", 0.5),
        ("21,5", 21.5), ("1,234.5", 1234.5), ("1.234,5", 1234.5), ("−4", -4.0), ("+7", 7.0), ("21.5 °C", 21.5),
        ("40%", 40.0), ("230V", 230.0), ("3 m³/h", 3.0), ("on", 1.0), ("OFF", 0.0), ("Open", 1.0), ("closed", 0.0),
        (Decimal("1.5"), 1.5), (Fraction(1, 4), 0.25), (2**70, 2.0**70),
    ],
)  # fmt: skip
def test_numbers(written: object, number: float) -> None:
    assert to_number(written) == number


@pytest.mark.parametrize("written", [None, "unavailable", "Unknown", "nan", "n/a", "null", "inf", "-Infinity", 10**400])
def test_words_for_no_value_are_not_finite(written: object) -> None:
    number = to_number(written)
    assert number is not None
    assert not math.isfinite(number)


@pytest.mark.parametrize(
    "written",
    ["hello", "", "12a", "1.2.3", "10.0.0.1", "0xff", "12:30", "2024-05-01", "7 apples", "٣", [], {}, b"1", "1" * 65],
)
def test_other_values_are_no_readings(written: object) -> None:
    assert to_number(written) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_survives_its_text(value: float) -> None:
    assert to_number(repr(value)) == value
