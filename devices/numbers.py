"""Decode, numbers: what counts as the value of a reading in a payload's field.

| written | value |
|---|---|
| number of JSON, CBOR or MessagePack, decimal or rational too | itself |
| true, false | 1, 0 |
| text `21.5`, `-3`, `1e3` | the number |
| text `21,5` | 21.5: one comma is a decimal comma; of comma and point, the last is the decimal mark |
| text `1,234` | none: it may be a thousand and more, or one and a bit (`doubtful_comma`) |
| text `21.5 °C`, `40%`, `0.383*kW` | the number, where what follows is one of `UNITS` |
| `on`, `true`, `yes`, `open`, `active`, `detected`, ... | 1, in any case |
| `off`, `false`, `no`, `closed`, `inactive`, `clear`, ... | 0, in any case |
| null, `unavailable`, `unknown`, `nan`, `none`, `n/a`, ... | no value |
| any other text | no number; a short one is a state (`is_state`) |
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from math import inf, nan

TRUE_WORDS = frozenset(
    {"on", "true", "yes", "open", "opened", "active", "detected", "online", "unlocked", "wet", "home"}
)
FALSE_WORDS = frozenset(
    {"off", "false", "no", "close", "closed", "inactive", "clear", "offline", "locked", "dry", "not_home"}
)
NO_VALUE_WORDS = frozenset(
    {"unavailable", "unknown", "nan", "null", "none", "n/a", "na", "undefined", "error", "invalid", "-", "--"}
)
INFINITY_WORDS = frozenset({"inf", "infinity", "+inf", "+infinity"})

UNITS = frozenset(
    re.findall(
        r"\S+",
        """
        % ‰ °C ºC ℃ °F ºF ℉ °K C F K degC degF deg ° rad V mV kV uV µV μV A mA uA µA μA kA W mW kW MW VA kVA var kvar
        Wh kWh MWh Ah mAh J kJ MJ Hz kHz MHz GHz Ω ohm kΩ MΩ uF µF nF pF H Pa hPa kPa MPa bar mbar psi mmHg inHg atm
        m mm cm km um µm μm nm in ft mi m² m2 m³ m3 l L ml mL dl gal m/s km/h kmh mph kn kt rpm RPM m/s² g kg mg ug
        µg μg t lb oz N kN Nm ppm ppb ppt mg/l mg/L g/l g/L µg/m³ μg/m³ ug/m3 mg/m³ mg/m3 g/m³ m³/h m3/h l/h L/h
        l/min L/min l/s L/s mm/h mm/s W/m² W/m2 lx lux lm cd dB dBm dB(A) dBA pH s ms us µs μs ns min h d b B kB KB
        MB GB TB KiB MiB GiB bit/s kbit/s Mbit/s B/s kB/s MB/s S/m mS/cm µS/cm μS/cm uS/cm mS µS NTU CPM µSv/h μSv/h
        uSv/h Bq/m³ Bq/m3 T mT µT μT G pcs pulses
        """,
    )
)

LONGEST_STATE = 64
"""Longest text, in characters, that is a state."""

MOST_EXACT = 2**53
"""Whole numbers up to this one are exact as a float64."""

_LONGEST = 64
_DOUBTFUL = re.compile(r"[+\-−]?[1-9]\d{0,2},\d{3}", re.ASCII)
_ENCODED = re.compile(
    r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)(?:[A-Za-z0-9+/]{4}){6,}|(?:[A-Za-z0-9+/]{4})*[A-Za-z0-9+/]{2,3}={1,2}"
)
"""Bytes in base64: long enough to tell, or padded."""
_STATE = re.compile(r"[^\W\d_][^\x00-\x1f\x7f{}\[\]]*")
_MOST_DIGITS = 6
_NUMBER = re.compile(r"([+\-−]?(?:\d[\d.,]*|[.,]\d+)(?:[eE][+-]?\d{1,4})?)\s*\*?\s*(\S.*)?", re.ASCII | re.DOTALL)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+\.\d+|\d{1,3}(?:\.\d{3})+,\d+", re.ASCII)


def to_number(value: object) -> float | None:
    """The value of a field: a float, NaN or infinite where it says that there is none, None where it is no reading."""
    if isinstance(value, float):
        return value
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            return inf if value > 0 else -inf
    if value is None:
        return nan
    if isinstance(value, str):
        return text_to_number(value)
    if isinstance(value, (Decimal, Fraction)):
        try:
            return float(value)
        except (OverflowError, ValueError):
            return inf if value > 0 else nan
    return None


def text_to_number(text: str) -> float | None:
    """The number that `text` writes, as `to_number`."""
    text = text.strip()
    if not text or len(text) > _LONGEST:
        return None
    if found := _NUMBER.fullmatch(text):
        digits, unit = found.groups()
        if unit is not None and unit not in UNITS:
            return None
        return None if unit is None and _DOUBTFUL.fullmatch(digits) else _decimal(digits)
    word = text.casefold()
    if word in TRUE_WORDS:
        return 1.0
    if word in FALSE_WORDS:
        return 0.0
    if word in NO_VALUE_WORDS:
        return nan
    if word.lstrip("-") in INFINITY_WORDS:
        return -inf if word.startswith("-") else inf
    return None


def is_truth(value: object) -> bool:
    """Whether a field tells a truth value: true or false, or a word of those that stand for 1 and 0."""
    if isinstance(value, str):
        word = value.strip().casefold()
        return word in TRUE_WORDS or word in FALSE_WORDS
    return isinstance(value, bool)


def unit_of(text: str) -> str:
    """The unit that is glued to the number in `text`; empty where there is none."""
    found = _NUMBER.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    return found[2] if found is not None and found[2] in UNITS else ""


def doubtful_comma(text: str) -> bool:
    """Whether the comma in `text` may be a decimal comma and may part thousands: nothing in it tells which."""
    return _DOUBTFUL.fullmatch(text.strip()) is not None


def is_state(text: str) -> bool:
    """Whether `text`, which is no number, is a state such as `heat` or `Battery Mode`, and not prose or a code.

    A state begins with a letter, fits a line of `LONGEST_STATE` characters, holds no more than six digits and is no
    base64.
    """
    text = text.strip()
    if len(text) > LONGEST_STATE or _STATE.fullmatch(text) is None or _ENCODED.fullmatch(text) is not None:
        return False
    return sum(character.isdigit() for character in text) <= _MOST_DIGITS


def _decimal(digits: str) -> float | None:
    digits = digits.replace("−", "-")
    if "," in digits:
        body = digits.lstrip("+-")
        if _THOUSANDS.fullmatch(body):
            digits = digits.replace(",", "") if body.rindex(".") > body.rindex(",") else digits.replace(".", "")
        digits = digits.replace(",", ".")
    try:
        return float(digits)
    except ValueError:
        return None
