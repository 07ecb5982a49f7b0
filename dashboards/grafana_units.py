"""Units as devices and profiles write them, as Grafana's unit ids.

The ids are those of Grafana's valueFormats/categories.ts; a unit without one becomes a suffix, shown as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from devices.records import SeriesRecord

_IDS = {
    "°C": "celsius",
    "Cel": "celsius",
    "C": "celsius",
    "°F": "fahrenheit",
    "K": "kelvin",
    "%": "percent",
    "%RH": "humidity",
    "A": "amp",
    "mA": "mamp",
    "V": "volt",
    "mV": "mvolt",
    "kV": "kvolt",
    "W": "watt",
    "kW": "kwatt",
    "VA": "voltamp",
    "var": "voltampreact",
    "Wh": "watth",
    "kWh": "kwatth",
    "J": "joule",
    "Hz": "hertz",
    "Pa": "pressurepa",
    "hPa": "pressurehpa",
    "kPa": "pressurekpa",
    "mbar": "pressurembar",
    "bar": "pressurebar",
    "psi": "pressurepsi",
    "m/s": "velocityms",
    "km/h": "velocitykmh",
    "l/min": "flowlpm",
    "L/min": "flowlpm",
    "m3/s": "flowcms",
    "ppm": "ppm",
    "lx": "lux",
    "dB": "dB",
    "dBm": "dBm",
    "mm": "lengthmm",
    "m": "lengthm",
    "km": "lengthkm",
    "s": "s",
    "ms": "ms",
    "min": "m",
    "h": "h",
    "g": "massg",
    "kg": "masskg",
    "l": "litre",
    "m3": "m3",
    "rpm": "rotrpm",
    "B": "bytes",
    "°": "degree",
}

SIMULATED = {
    "temperature": "°C",
    "vibration": "mm/s",
    "current": "A",
    "power": "kW",
    "voltage": "V",
    "humidity": "%",
    "co2": "ppm",
    "level": "%",
    "flow": "l/min",
    "valve": "%",
    "pressure": "hPa",
    "wind": "m/s",
    "cycle_time": "s",
    "count": "",
}
"""Units of the simulated fleet's metrics, in use where nothing is known of the devices yet."""


def grafana_unit(unit: str) -> str:
    """Grafana's id of a unit; "" for none."""
    if not unit:
        return ""
    return _IDS.get(unit, f"suffix: {unit}")


def units_of(series: Iterable[SeriesRecord]) -> dict[str, str]:
    """The unit of each metric, as written; "" where its devices disagree, for one axis serves them all."""
    found: dict[str, set[str]] = {}
    for record in series:
        found.setdefault(record.metric, set()).add(record.unit)
    return {metric: units.pop() if len(units) == 1 else "" for metric, units in found.items()}


def by_unit(units: Mapping[str, str]) -> dict[str, list[str]]:
    """Metrics by Grafana's unit id, both sorted."""
    grouped: dict[str, list[str]] = {}
    for metric in sorted(units):
        if unit := grafana_unit(units[metric]):
            grouped.setdefault(unit, []).append(metric)
    return dict(sorted(grouped.items()))
