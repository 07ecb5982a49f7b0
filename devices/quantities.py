"""Units as devices write them: one spelling for each, and how to carry a value from one to another of its quantity."""

from __future__ import annotations

import re
from functools import lru_cache

from devices.numbers import UNITS

_SPELLINGS = {
    "C": "°C",
    "ºC": "°C",
    "℃": "°C",
    "degC": "°C",
    "deg C": "°C",
    "Cel": "°C",
    "celsius": "°C",
    "F": "°F",
    "ºF": "°F",
    "℉": "°F",
    "degF": "°F",
    "fahrenheit": "°F",
    "°K": "K",
    "kelvin": "K",
    "%RH": "%",
    "percent": "%",
    "µA": "µA",
    "lux": "lx",
    "m2": "m²",
    "m3": "m³",
    "m^3": "m³",
    "m^3/h": "m³/h",
    "m3/h": "m³/h",
    "ug/m3": "µg/m³",
    "µg/m3": "µg/m³",
    "mg/m3": "mg/m³",
    "W/m2": "W/m²",
    "L/min": "l/min",
    "L/h": "l/h",
    "L/s": "l/s",
    "L": "l",
    "kmh": "km/h",
    "kph": "km/h",
    "watt": "W",
    "volt": "V",
    "ampere": "A",
    "secs": "s",
    "sec": "s",
    "seconds": "s",
    "minutes": "min",
    "hours": "h",
    "days": "d",
}
"""Other spellings of a unit, SenML's (RFC 8428, section 12.1) among them."""

_QUANTITIES: dict[str, dict[str, tuple[float, float]]] = {
    "temperature": {"°C": (1.0, 0.0), "°F": (5 / 9, -160 / 9), "K": (1.0, -273.15)},
    "power": {"W": (1.0, 0.0), "mW": (1e-3, 0.0), "kW": (1e3, 0.0), "MW": (1e6, 0.0)},
    "energy": {
        "Wh": (1.0, 0.0), "kWh": (1e3, 0.0), "MWh": (1e6, 0.0), "Wmin": (1 / 60, 0.0), "J": (1 / 3600, 0.0),
        "kJ": (1 / 3.6, 0.0), "MJ": (1e6 / 3600, 0.0), "GJ": (1e9 / 3600, 0.0),
    },
    "voltage": {"V": (1.0, 0.0), "mV": (1e-3, 0.0), "kV": (1e3, 0.0), "µV": (1e-6, 0.0)},
    "current": {"A": (1.0, 0.0), "mA": (1e-3, 0.0), "kA": (1e3, 0.0), "µA": (1e-6, 0.0)},
    "pressure": {
        "Pa": (1.0, 0.0), "hPa": (1e2, 0.0), "kPa": (1e3, 0.0), "MPa": (1e6, 0.0), "bar": (1e5, 0.0),
        "mbar": (1e2, 0.0), "psi": (6894.757293168, 0.0), "mmHg": (133.322387415, 0.0), "inHg": (3386.389, 0.0),
    },
    "length": {
        "m": (1.0, 0.0), "mm": (1e-3, 0.0), "cm": (1e-2, 0.0), "km": (1e3, 0.0), "in": (0.0254, 0.0),
        "ft": (0.3048, 0.0), "mi": (1609.344, 0.0),
    },
    "speed": {"m/s": (1.0, 0.0), "km/h": (1 / 3.6, 0.0), "mph": (0.44704, 0.0), "kn": (1852 / 3600, 0.0)},
    "volume": {"l": (1.0, 0.0), "ml": (1e-3, 0.0), "m³": (1e3, 0.0), "gal": (3.785411784, 0.0)},
    "flow": {"l/min": (1.0, 0.0), "l/h": (1 / 60, 0.0), "l/s": (60.0, 0.0), "m³/h": (1000 / 60, 0.0)},
    "mass": {"kg": (1.0, 0.0), "g": (1e-3, 0.0), "mg": (1e-6, 0.0), "t": (1e3, 0.0), "lb": (0.45359237, 0.0)},
    "time": {"s": (1.0, 0.0), "ms": (1e-3, 0.0), "min": (60.0, 0.0), "h": (3600.0, 0.0), "d": (86_400.0, 0.0)},
    "frequency": {"Hz": (1.0, 0.0), "kHz": (1e3, 0.0), "MHz": (1e6, 0.0), "GHz": (1e9, 0.0)},
}  # fmt: skip
"""Units by quantity: scale and offset that carry a value to the quantity's first unit."""

_ENDINGS = {
    "degc": "°C", "celsius": "°C", "degf": "°F", "fahrenheit": "°F", "deg": "°", "degrees": "°",
    "pct": "%", "percent": "%", "percentage": "%", "ppm": "ppm", "ppb": "ppb", "ugm3": "µg/m³", "ug_m3": "µg/m³",
    "hpa": "hPa", "kpa": "kPa", "mbar": "mbar", "bar": "bar", "psi": "psi", "inhg": "inHg", "mmhg": "mmHg",
    "kw": "kW", "watt": "W", "watts": "W", "va": "VA", "kva": "kVA", "kwh": "kWh", "wh": "Wh",
    "mv": "mV", "volt": "V", "volts": "V", "ma": "mA", "amp": "A", "amps": "A",
    "hz": "Hz", "khz": "kHz", "mhz": "MHz", "rpm": "rpm", "lux": "lx", "dbm": "dBm", "db": "dB", "dba": "dB(A)",
    "mm": "mm", "cm": "cm", "km": "km", "m3": "m³", "m3h": "m³/h", "m3_h": "m³/h", "kg": "kg",
    "liters": "l", "litres": "l", "lpm": "l/min", "l_min": "l/min", "l_h": "l/h",
    "km_h": "km/h", "kmh": "km/h", "kph": "km/h", "m_s": "m/s", "mph": "mph",
    "ms": "ms", "seconds": "s", "minutes": "min", "hours": "h",
}  # fmt: skip
"""Units as they end a name behind an underscore, in any case, or in camel case (`powerKw`)."""
_DOUBTFUL = frozenset({"_ma", "_va"})
"""In small letters they may as well be a moving average, or a value."""
_OF_CURRENT = re.compile(r"current|amp|power|apparent", re.IGNORECASE)
_LETTERS = {"c": "°C", "f": "°F", "w": "W", "v": "V", "a": "A"}

_BY_LENGTH = "|".join(sorted(_ENDINGS, key=len, reverse=True))
_UNDERSCORED = re.compile(rf"(?<=[^\W_])_(?:{_BY_LENGTH})$", re.IGNORECASE)
_CAMEL = re.compile(rf"(?-i:(?<=[a-z])(?=[A-Z]))(?:{_BY_LENGTH})$", re.IGNORECASE)
_LETTER = re.compile(
    r"(?:(?<=[Tt]emp)|(?<=[Tt]emperature))_?([CcFf])$|(?<=[Tt]emp)[a-z]*(?:_([cf])|_?([CF]))$|(?:(?<=[Pp]ower)|(?<=[Cc]onsumption)|(?<=[Pp]roduction))_([Ww])$|"
    r"(?:(?<=[Vv]oltage)|(?<=[Bb]attery))_([Vv])$|(?<=[Cc]urrent)_([Aa])$"
)
"""A letter alone may as well number a phase or a channel: it counts after the name of its quantity only."""
_BRACKETED = re.compile(r"(?<=\S)\s*(?:\[([^\[\]]{1,12})\]|\(([^()]{1,12})\)| in (\S{1,12}))$")

_QUANTITY_OF = {unit: name for name, units in _QUANTITIES.items() for unit in units}


def canonical(unit: str) -> str:
    """The one spelling of a unit; a unit that is not known stays as it is, without blanks around it."""
    text = unit.strip().replace("μ", "µ")
    return _SPELLINGS.get(text) or _SPELLINGS.get(text.lower(), text)


def unit_of_name(metric: str) -> str:
    """The unit that the end of a metric's name tells (`temp_C`, `flow_lpm`, `Power [kW]`); empty if none does."""
    return _split(metric)[1]


def without_unit(metric: str) -> str:
    """A metric's name without the unit that its end tells."""
    return _split(metric)[0]


@lru_cache(maxsize=65_536)
def _split(metric: str) -> tuple[str, str]:
    """A name and the unit at its end."""
    if (found := _BRACKETED.search(metric)) is not None:
        unit = canonical(next(part for part in found.groups() if part))
        return (metric[: found.start()], unit) if unit in UNITS else (metric, "")
    if (found := _LETTER.search(metric)) is not None:
        letter = next(part for part in found.groups() if part)
        return metric[: found.start()], _LETTERS[letter.lower()]
    found = _UNDERSCORED.search(metric) or _CAMEL.search(metric)
    if found is None or (found.group() in _DOUBTFUL and not _OF_CURRENT.search(metric)):
        return metric, ""
    return metric[: found.start()], _ENDINGS[found.group().removeprefix("_").lower()]


def conversion(source: str, target: str) -> tuple[float, float] | None:
    """Scale and offset that carry a value from one unit to another: `value * scale + offset`.

    None where the two are not known to be of one quantity.
    """
    source, target = canonical(source), canonical(target)
    if source == target:
        return 1.0, 0.0
    quantity = _QUANTITY_OF.get(source)
    if quantity is None or quantity != _QUANTITY_OF.get(target):
        return None
    scale, offset = _QUANTITIES[quantity][source]
    to_scale, to_offset = _QUANTITIES[quantity][target]
    return scale / to_scale, (offset - to_offset) / to_scale
