"""Store: values as InfluxDB line protocol writes them.

Syntax: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

import math


def float_text(value: float) -> str | None:
    """A number as the value of a field; None where it is not finite."""
    return repr(float(value)) if math.isfinite(value) else None


def tag_text(text: str) -> str:
    """Text as a measurement, or as the key or value of a tag, or as the key of a field."""
    for character in ",= ":
        text = text.replace(character, "\\" + character)
    text = text.replace("\n", "\\n")
    return text + "\\" if text.endswith("\\") else text


def string_text(text: str) -> str:
    """Text as the value of a field."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'
