"""The parts that PromQL and Flux queries are put together from.

Names follow docs/storage.md: in VictoriaMetrics the field `value` of the measurement `driftline` is the metric
`driftline_value`. The simulator's truth is stored like any reading, as metrics named `fault.<metric>`; wherever the
readings themselves are meant it is left out.
"""

from __future__ import annotations

from typing import Literal

Scope = Literal["site", "device", "siblings"]
"""Which devices a query is about: those of the sites chosen, the one device chosen, or those named like it."""

TRUTH_METRIC = "fault[.].*"

_PROMQL_SCOPES: dict[Scope, str] = {
    "site": 'device=~"$site.*"',
    "device": 'device="$device"',
    "siblings": 'device=~"$siblings[0-9]*"',
}
_FLUX_SCOPES: dict[Scope, str] = {
    "site": "r.device =~ /^${site:regex}/",
    "device": 'r.device == "${device}"',
    "siblings": "r.device =~ /^${siblings:regex}[0-9]*$/",
}


def series(name: str, *, scope: Scope = "site", more: str = "", metric: bool = True) -> str:
    """A PromQL selector of `driftline_<name>` over the devices and metrics chosen, without the simulator's truth."""
    matchers = [_PROMQL_SCOPES[scope]]
    if metric:
        matchers += ['metric=~"$metric"', f'metric!~"{TRUTH_METRIC}"']
    if more:
        matchers.append(more)
    return f"driftline_{name}{{{','.join(matchers)}}}"


def rows(
    field: str,
    *,
    measurement: str = "driftline",
    scope: Scope = "site",
    metric: bool = True,
    more: str = "",
    start: str = "v.timeRangeStart",
) -> str:
    """Flux that reads one field, or all where it is "", over the devices and metrics chosen, without the truth."""
    chosen = _FLUX_SCOPES[scope]
    named = f' and r._field == "{field}"' if field else ""
    if metric:
        chosen += f" and r.metric =~ /^${{metric:regex}}$/ and r.metric !~ /^{TRUTH_METRIC}$/"
    lines = [
        "from(bucket: v.defaultBucket)",
        f"|> range(start: {start}, stop: v.timeRangeStop)",
        f'|> filter(fn: (r) => r._measurement == "{measurement}"{named})',
        f"|> filter(fn: (r) => {chosen})",
    ]
    if more:
        lines.append(f"|> filter(fn: (r) => {more})")
    return "\n  ".join(lines)


def service(*names: str) -> str:
    """Flux that reads some of the service's own figures, as InfluxDB's scraper or a Flux task has stored them."""
    any_of = " or ".join(f'r._measurement == "{name}" or r._field == "{name}"' for name in names)
    lines = [
        "from(bucket: v.defaultBucket)",
        "|> range(start: v.timeRangeStart, stop: v.timeRangeStop)",
        f"|> filter(fn: (r) => {any_of})",
    ]
    return "\n  ".join(lines)


def piped(*steps: str) -> str:
    """Flux steps as one pipeline, each but the first behind its arrow."""
    return "\n  |> ".join(steps)
