"""The service itself: what comes in, what becomes of it, how far behind it is and what it costs."""

from __future__ import annotations

from dashboards.languages import piped, service
from dashboards.model import Board, Panel, Query, Section, SeriesLook, Threshold, ValueText
from dashboards.panels.panel_parts import NEUTRAL, WINDOW, over_time

_NAMED = 'map(fn: (r) => ({r with name: if r._measurement == "prometheus" then r._field else r._measurement}))'
_PER_SECOND = "derivative(unit: 1s, nonNegative: true)"


def _rate(name: str, legend: str, *by: str, factor: str = "") -> Query:
    grouped = f"sum by ({', '.join(by)}) " if by else "sum"
    return Query(
        f"{factor}{grouped}(rate({name}[$__rate_interval]))",
        over_time(piped(service(name), WINDOW.format("last"), _PER_SECOND), "last", *by),
        legend,
    )


def _gauge(name: str, legend: str, *by: str, instant: bool = False) -> Query:
    grouped = f"max by ({', '.join(by)}) " if by else "max"
    flux = (
        piped(service(name), "last()", "group()", "max()")
        if instant
        else over_time(service(name), "last", *by, total="max()")
    )
    return Query(
        f"{grouped}(last_over_time({name}[$__interval]))" if not instant else f"max({name})", flux, legend, instant
    )


def _now(name: str, legend: str) -> Query:
    return Query(
        f"sum(rate({name}[1m]))",
        piped(service(name), "range(start: -1m)", _PER_SECOND, "group()", "mean()"),
        legend,
        instant=True,
    )


_CPU = Query(
    '1e6 * sum(rate(process_cpu_seconds_total{job="driftline"}[$__rate_interval])) '
    "/ sum(rate(driftline_messages_total[$__rate_interval]))",
    piped(
        service("process_cpu_seconds_total", "driftline_messages_total"),
        WINDOW.format("last"),
        _PER_SECOND,
        _NAMED,
        "group()",
        'pivot(rowKey: ["_time"], columnKey: ["name"], valueColumn: "_value")',
        "filter(fn: (r) => r.driftline_messages_total > 0.0)",
        "map(fn: (r) => ({_time: r._time, _value: 1000000.0 * r.process_cpu_seconds_total / "
        "r.driftline_messages_total}))",
    ),
    "CPU per message",
)

_LEDGER = (
    "sum(driftline_readings_total) - sum(driftline_points_total) - (sum(driftline_rejected_total) or vector(0)) "
    "- (sum(driftline_dropped_total) or vector(0)) - sum(driftline_in_flight)"
)
_LEDGER_ROWS = piped(
    "from(bucket: v.defaultBucket)",
    "range(start: v.timeRangeStart, stop: v.timeRangeStop)",
    "filter(fn: (r) => r._measurement =~ /^driftline_(readings|points|rejected|dropped)_total$|^driftline_in_flight$/ "
    "or r._field =~ /^driftline_(readings|points|rejected|dropped)_total$|^driftline_in_flight$/)",
    "last()",
    _NAMED,
    'map(fn: (r) => ({_value: if r.name == "driftline_readings_total" then r._value else -1.0 * r._value}))',
    "group()",
    "sum()",
)

_STAGES = (ValueText(0, "well", "green"), ValueText(1, "look", "yellow"), ValueText(2, "stopped", "red"))
_LATE = (Threshold(None, "green"), Threshold(10, "orange"), Threshold(60, "red"))

PIPELINE = Board(
    uid="driftline-pipeline",
    title="Driftline: pipeline",
    description="What comes in, what becomes of every reading, how far the stores are behind, and what it costs.",
    sections=(
        Section(
            "Now",
            (
                Panel(
                    "messages",
                    "Messages",
                    "MQTT messages received a second, over the last minute.",
                    "stat",
                    (_now("driftline_messages_total", "messages"),),
                    width=4,
                    height=4,
                    unit="cps",
                    decimals=0,
                    thresholds=NEUTRAL,
                ),
                Panel(
                    "readings",
                    "Readings",
                    "Readings received a second, over the last minute.",
                    "stat",
                    (_now("driftline_readings_total", "readings"),),
                    width=4,
                    height=4,
                    unit="cps",
                    decimals=0,
                    thresholds=NEUTRAL,
                ),
                Panel(
                    "behind",
                    "Behind",
                    "How far scoring and storing are behind what has arrived.",
                    "stat",
                    (_gauge("driftline_lag_seconds", "behind", instant=True),),
                    width=4,
                    height=4,
                    unit="s",
                    decimals=1,
                    thresholds=_LATE,
                ),
                Panel(
                    "in-flight",
                    "In flight",
                    "Readings received and not yet stored.",
                    "stat",
                    (_gauge("driftline_in_flight", "in flight", instant=True),),
                    width=4,
                    height=4,
                    decimals=0,
                    thresholds=NEUTRAL,
                ),
                Panel(
                    "unaccounted",
                    "Unaccounted for",
                    "Readings received that are neither stored, nor rejected or dropped with a reason, nor in "
                    "flight: always 0, "
                    "but for the moment between two counts.",
                    "stat",
                    (Query(_LEDGER, _LEDGER_ROWS, "readings", instant=True),),
                    width=4,
                    height=4,
                    decimals=0,
                    thresholds=(Threshold(None, "green"), Threshold(1, "red")),
                ),
                Panel(
                    "memory",
                    "Memory",
                    "Resident memory of the service's process.",
                    "stat",
                    (
                        Query(
                            'max(process_resident_memory_bytes{job="driftline"})',
                            piped(service("process_resident_memory_bytes"), "last()", "group()", "max()"),
                            "memory",
                            instant=True,
                        ),
                    ),
                    width=4,
                    height=4,
                    unit="bytes",
                    thresholds=NEUTRAL,
                ),
            ),
        ),
        Section(
            "Flow",
            (
                Panel(
                    "rates",
                    "What comes in",
                    "Messages and readings received a second.",
                    "timeseries",
                    (_rate("driftline_messages_total", "messages"), _rate("driftline_readings_total", "readings")),
                    width=12,
                    unit="cps",
                    minimum=0,
                    looks=(SeriesLook(0, color="blue"), SeriesLook(1, color="green")),
                ),
                Panel(
                    "points",
                    "What the store took",
                    "Points a second by outcome: stored; late, which are stored too, behind newer ones; and "
                    "duplicates.",
                    "timeseries",
                    (_rate("driftline_points_total", "{{outcome}}", "outcome"),),
                    width=12,
                    unit="cps",
                    minimum=0,
                    stacked=True,
                ),
                Panel(
                    "rejected",
                    "Rejected, by reason",
                    "Messages and readings a second that could not become points. Each is kept among the dead letters.",
                    "timeseries",
                    (_rate("driftline_rejected_total", "{{reason}}", "reason"),),
                    width=12,
                    unit="cps",
                    minimum=0,
                    look="bars",
                    stacked=True,
                    empty="nothing was rejected",
                ),
                Panel(
                    "dropped",
                    "Left out, by reason",
                    "Readings a second that were left out on purpose, such as texts and what a route ignores.",
                    "timeseries",
                    (_rate("driftline_dropped_total", "{{reason}}", "reason"),),
                    width=12,
                    unit="cps",
                    minimum=0,
                    look="bars",
                    stacked=True,
                    empty="nothing was left out",
                ),
            ),
        ),
        Section(
            "Health",
            (
                Panel(
                    "stages",
                    "Stages",
                    "Broker, journal, engine and store: well, worth a look, or stopped.",
                    "state",
                    (_gauge("driftline_stage_status", "{{stage}}", "stage"),),
                    width=12,
                    texts=_STAGES,
                ),
                Panel(
                    "lag",
                    "How far the stores are behind",
                    "Messages in the journal that are not stored yet, and on the right axis the time that they span.",
                    "timeseries",
                    (_gauge("driftline_lag_messages", "messages"), _gauge("driftline_lag_seconds", "seconds")),
                    width=12,
                    minimum=0,
                    looks=(SeriesLook(0, color="blue"), SeriesLook(1, color="orange", axis_right=True, unit="s")),
                ),
                Panel(
                    "cpu",
                    "CPU per message",
                    "CPU time of the service for each message, from receiving to storing and alarming.",
                    "timeseries",
                    (_CPU,),
                    width=12,
                    unit="µs",
                    minimum=0,
                    looks=(SeriesLook(0, color="purple"),),
                ),
                Panel(
                    "devices",
                    "Devices heard from",
                    "Devices that report, and devices that have fallen silent.",
                    "timeseries",
                    (_gauge("driftline_devices", "{{life}}", "life"),),
                    width=12,
                    minimum=0,
                    decimals=0,
                    stacked=True,
                ),
            ),
        ),
    ),
)
