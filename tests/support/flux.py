"""Flux as Grafana's InfluxDB plugin sends it, for tests: its variables and macros filled in."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from dashboards.interpolation import ALL, Choice, TimeRange

_VARIABLE = re.compile(r"\$\{(\w+)(:regex)?\}")
_SPECIAL = re.compile(r"[\\^$*+?.()|[\]{}/]")


def filled(flux: str, choice: Choice, span: TimeRange, bucket: str) -> str:
    """The query over `span`, with `choice` for the dashboard's variables; one that is not chosen is at all."""

    def value(match: re.Match[str]) -> str:
        values = choice.values.get(match[1], (ALL,))
        if not match[2]:
            [one] = values
            return one.replace("\\", "\\\\").replace('"', '\\"')
        escaped = [one if one == ALL else _SPECIAL.sub(r"\\\g<0>", one) for one in values]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"

    text = _VARIABLE.sub(value, flux)
    for name, stands_for in {
        "v.timeRangeStart": _time(span.start),
        "v.timeRangeStop": _time(span.end),
        "v.windowPeriod": f"{span.step}s",
        "v.defaultBucket": f'"{bucket}"',
    }.items():
        text = text.replace(name, stands_for)
    imports = re.findall(r'^import ".*"$', text, re.MULTILINE)
    rest = re.sub(r'^import ".*"$\n?', "", text, flags=re.MULTILINE)
    return "\n".join([*imports, f"option now = () => {_time(span.end)}", rest])


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
