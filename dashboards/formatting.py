"""Numbers in drawn dashboards as Grafana would write them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from dashboards.grafana_units import grafana_unit

_SUFFIXES = {
    "celsius": " °C",
    "percent": " %",
    "amp": " A",
    "volt": " V",
    "kwatt": " kW",
    "pressurehpa": " hPa",
    "velocityms": " m/s",
    "flowlpm": " L/min",
    "ppm": " ppm",
    "cps": " /s",
    "s": " s",
    "µs": " µs",
    "bytes": " B",
}


def written(value: float, unit: str = "", decimals: int | None = None, *, now: float = 0.0) -> str:
    """The value with its unit, which is Grafana's id or a unit as devices write it; times are given in ms."""
    if math.isnan(value):
        return ""
    match unit:
        case "percentunit":
            return f"{100 * value:.{decimals if decimals is not None else 2}f} %"
        case "dateTimeFromNow":
            return f"{_span(now - value / 1000)} ago"
        case "dateTimeAsIso":
            return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M:%S}"
        case "bool_yes_no":
            return "yes" if value else "no"
    suffix = _SUFFIXES.get(unit) or _SUFFIXES.get(grafana_unit(unit)) or (f" {unit}" if unit else "")
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    return plain(value, decimals) + suffix


def plain(value: float, decimals: int | None = None) -> str:
    """A number, short: as many decimals as asked for, else four significant digits."""
    if decimals is not None:
        return f"{value:,.{decimals}f}"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values from `low` to `high`, at most about `most` of them."""
    if not high > low:
        return [low]
    step = 10 ** math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= most:
            step *= factor
            break
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _span(seconds: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"
