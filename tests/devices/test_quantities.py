"""Units: one spelling for each, the unit that a name tells, and values carried from one to another."""

from __future__ import annotations

import pytest

from devices.quantities import canonical, conversion, unit_of_name


@pytest.mark.parametrize(
    ("written", "unit"),
    [
        ("degC", "°C"),
        (" C ", "°C"),
        ("Celsius", "°C"),
        ("°K", "K"),
        ("μA", "µA"),
        ("m3/h", "m³/h"),
        ("furlong", "furlong"),
    ],
)
def test_a_unit_has_one_spelling(written: str, unit: str) -> None:
    assert canonical(written) == unit


@pytest.mark.parametrize(
    ("metric", "unit"),
    [
        ("temperature_C", "°C"), ("tempF", "°F"), ("Temperatur_C", "°C"), ("TempSpec", ""),
        ("pressure_hPa", "hPa"), ("load_pct", "%"), ("wind_km_h", "km/h"), ("power_W", "W"), ("battery_V", "V"),
        ("power_kw", "kW"), ("flow_lpm", "l/min"), ("total_m3", "m³"), ("speedRpm", "rpm"), ("Power [kW]", "kW"),
        ("Druck in bar", "bar"), ("temp_ma", ""), ("current_ma", "mA"), ("sidebar", ""), ("items (n)", ""),
        ("phase_C", ""), ("W", ""), ("temperature", ""),
    ],
)  # fmt: skip
def test_the_end_of_a_name_may_tell_the_unit(metric: str, unit: str) -> None:
    assert unit_of_name(metric) == unit


@pytest.mark.parametrize(
    ("value", "source", "target", "found"),
    [
        (212.0, "°F", "°C", 100.0), (100.0, "degC", "F", 212.0), (0.0, "K", "°C", -273.15), (0.0, "C", "K", 273.15),
        (1.5, "kWh", "Wh", 1_500.0), (3.6, "MJ", "kWh", 1.0), (1.0, "bar", "hPa", 1_000.0), (36.0, "km/h", "m/s", 10.0),
        (2.0, "h", "min", 120.0), (7.0, "furlong", "furlong", 7.0),
    ],
)  # fmt: skip
def test_a_value_is_carried_from_unit_to_unit(value: float, source: str, target: str, found: float) -> None:
    told = conversion(source, target)
    assert told is not None
    assert value * told[0] + told[1] == pytest.approx(found)


@pytest.mark.parametrize(("source", "target"), [("°C", "bar"), ("furlong", "m"), ("m", "furlong"), ("x", "y")])
def test_what_is_not_known_to_be_of_one_quantity_is_not_carried(source: str, target: str) -> None:
    assert conversion(source, target) is None
