"""Beside route: what a Wiren Board controller says of a control: its unit, or the type that means one.

https://github.com/wirenboard/conventions
"""

from __future__ import annotations

import orjson

from devices.quantities import canonical

_OF_TYPES = {
    "temperature": "°C",
    "rel_humidity": "%",
    "atmospheric_pressure": "mbar",
    "rainfall": "mm/h",
    "wind_speed": "m/s",
    "power": "W",
    "power_consumption": "kWh",
    "voltage": "V",
    "water_flow": "m³/h",
    "water_consumption": "m³",
    "resistance": "Ω",
    "concentration": "ppm",
    "heat_power": "Gcal/h",
    "heat_energy": "Gcal",
    "current": "A",
    "pressure": "bar",
    "lux": "lx",
    "sound_level": "dB",
}


def control_of(topic: str) -> str:
    """The control that a topic is about; empty where it is about none."""
    _, _, inside = topic.partition("/controls/")
    return inside.split("/")[0]


def wirenboard_unit(topic: str, payload: bytes) -> str:
    """The unit that a message on `.../meta`, `.../meta/type` or `.../meta/units` tells; empty where it tells none."""
    text = payload[:4096].decode("utf-8", "replace").strip()
    if topic.endswith("/meta/units"):
        return canonical(text)
    if topic.endswith("/meta/type"):
        return canonical(_OF_TYPES.get(text, ""))
    try:
        root = orjson.loads(text)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(root, dict):
        return ""
    units, kind = root.get("units"), root.get("type")
    return canonical(units) if isinstance(units, str) and units else canonical(_OF_TYPES.get(str(kind), ""))
