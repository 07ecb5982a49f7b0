"""Which faults a simulated fleet had, and which of them were found, as terms of queries: PromQL, and Flux beside it."""

from __future__ import annotations

from dashboards.languages import TRUTH_METRIC, piped, rows, series
from dashboards.panels.panel_parts import side_by_side

LONGEST_FAULT = "1h"
"""A fault is told by a 1 at its start and a 0 at its end; a start is looked for this far back."""

AFTERMATH = "2m"
"""An alarm this long after a fault's end still counts as that fault's."""

# What the simulator says of its faults is a metric of its own, beside the one that is faulty.
LABELS = f'driftline_value{{device=~"$site.*",metric=~"{TRUTH_METRIC}"}}'
OF_METRIC = 'label_replace({}, "metric", "$1", "metric", "fault[.](.*)")'
ACTIVE = f"max by (device, metric) ({OF_METRIC.format(f'last_over_time({LABELS}[{LONGEST_FAULT}])')}) == 1"
_ODD = f"max by (device, metric) (max_over_time({series('anomaly')}[30s])) == 1"
ODD_NOW = f"max by (device, metric) (max_over_time({series('anomaly')}[5s])) == 1"
FAULTY = (
    "max by (device, metric) "
    f"({OF_METRIC.format(f'max_over_time({LABELS}[$__range])')}) == 1 unless on (metric) label_set(vector(1), "
    f'"metric", "all")'
)
FOUND = f"max by (device, metric) (max_over_time((({ACTIVE}) and on (device, metric) ({_ODD}))[$__range:30s]))"
_OPENED = f"max by (device, metric) (max_over_time({series('alarm_open')}[30s])) == 1"
# A spike is over between two steps of the subquery: its label is asked for by itself.
DEVICE_FAULTY = (
    f"max by (device) (max_over_time({LABELS}[{AFTERMATH}]) == 1 "
    f"or max_over_time((last_over_time({LABELS}[{LONGEST_FAULT}]))[{AFTERMATH}:5s]) == 1)"
)
ALL_ALARMS = f"sum(sum_over_time(({_OPENED})[$__range:30s]))"
TRUE_ALARMS = f"sum(sum_over_time((({_OPENED}) and on (device) ({DEVICE_FAULTY}))[$__range:30s]))"

SENSOR_WEEKS = f"sum(count_over_time({series('score')}[$__range:30s])) * 30 / 604800"
"""How long sensors were watched: what has no reading for minutes does not count."""

LABEL_ROWS = piped(
    "from(bucket: v.defaultBucket)",
    "range(start: v.timeRangeStart, stop: v.timeRangeStop)",
    'filter(fn: (r) => r._measurement == "driftline" and r._field == "value")',
    f"filter(fn: (r) => r.device =~ /^${{site:regex}}/ and r.metric =~ /^{TRUTH_METRIC}$/)",
)
STATES_OVER_TIME = "aggregateWindow(every: v.windowPeriod, fn: last, createEmpty: true)"
OPENED_ROWS = piped(rows("open", measurement="driftline_alarm"), "filter(fn: (r) => r._value == 1)")
_PLAIN_METRIC = 'map(fn: (r) => ({r with metric: strings.replaceAll(v: r.metric, t: "fault.", u: "")}))'
_NOT_WHOLE_DEVICE = 'filter(fn: (r) => r.metric != "all")'
FAULTS_FLUX = f"""\
import "strings"
faults = {piped(LABEL_ROWS, "filter(fn: (r) => r._value == 1.0)", _PLAIN_METRIC, _NOT_WHOLE_DEVICE)}
  |> keep(columns: ["_time", "device", "metric"])
  |> group(columns: ["device", "metric"])
odd = {piped(rows("anomaly"), "filter(fn: (r) => r._value == 1)", 'keep(columns: ["_time", "device", "metric"])')}
  |> group(columns: ["device", "metric"])"""
FAULTY_DEVICES = f"""\
{FAULTS_FLUX}
faulty = faults |> group() |> distinct(column: "device")
  |> findColumn(fn: (key) => true, column: "_value")
"""
SENSOR_WEEKS_FLUX = piped(
    "weeks = " + rows("score"),
    "aggregateWindow(every: 5m, fn: count, createEmpty: false)",
    "group()",
    "count()",
    "map(fn: (r) => ({_value: float(v: r._value) * 300.0 / 604800.0}))",
    'findColumn(fn: (key) => true, column: "_value")',
)
JOINED = """\
join(tables: {fault: faults |> last(column: "_time"), odd: odd |> last(column: "_time")}, on: ["device", "metric"])
  |> filter(fn: (r) => r._time_odd >= r._time_fault)"""


TABLE_ROWS = piped(
    side_by_side(
        ("device", "metric"),
        {
            "Faults": piped("faults", "map(fn: (r) => ({r with _value: 1.0}))", "sum()"),
            "Anomalies": piped(rows("anomaly"), "sum()"),
            "Highest score": piped(rows("score"), "max()"),
        },
    ),
    "filter(fn: (r) => exists r.Faults)",
)
