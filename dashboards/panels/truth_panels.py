"""The simulator's faults against what was found of them. For a simulated fleet only: real faults carry no label."""

from __future__ import annotations

from dashboards.languages import TRUTH_METRIC, piped, rows, series
from dashboards.model import Board, Panel, Query, Section, SeriesLook, Threshold, ValueText
from dashboards.panels.panel_parts import ALARMS, METRIC, NEUTRAL, SITE, STATE_WINDOW, WINDOW, side_by_side

LONGEST_FAULT = "1h"
"""A fault is told by a 1 at its start and a 0 at its end; a start is looked for this far back."""

AFTERMATH = "2m"
"""An alarm this long after a fault's end still counts as that fault's."""

_TRUTH = f'driftline_value{{device=~"$site.*",metric=~"{TRUTH_METRIC}"}}'
_OF_METRIC = 'label_replace({}, "metric", "$1", "metric", "fault[.](.*)")'
_ACTIVE = f"max by (device, metric) ({_OF_METRIC.format(f'last_over_time({_TRUTH}[{LONGEST_FAULT}])')}) == 1"
_ODD = f"max by (device, metric) (max_over_time({series('anomaly')}[30s])) == 1"
_ODD_NOW = f"max by (device, metric) (max_over_time({series('anomaly')}[5s])) == 1"
_FAULTY = (
    "max by (device, metric) "
    f"({_OF_METRIC.format(f'max_over_time({_TRUTH}[$__range])')}) == 1 unless on (metric) label_set(vector(1), "
    f'"metric", "all")'
)
_FOUND = f"max by (device, metric) (max_over_time((({_ACTIVE}) and on (device, metric) ({_ODD}))[$__range:30s]))"
_OPENED = f"max by (device, metric) (max_over_time({series('alarm_open')}[30s])) == 1"
# A spike is over between two steps of the subquery: its label is asked for by itself.
_DEVICE_FAULTY = (
    f"max by (device) (max_over_time({_TRUTH}[{AFTERMATH}]) == 1 "
    f"or max_over_time((last_over_time({_TRUTH}[{LONGEST_FAULT}]))[{AFTERMATH}:5s]) == 1)"
)
_ALL_ALARMS = f"sum(sum_over_time(({_OPENED})[$__range:30s]))"
_TRUE_ALARMS = f"sum(sum_over_time((({_OPENED}) and on (device) ({_DEVICE_FAULTY}))[$__range:30s]))"

SENSOR_WEEKS = f"sum(count_over_time({series('score')}[$__range:30s])) * 30 / 604800"
"""How long sensors were watched: what has no reading for minutes does not count."""

_TRUTH_ROWS = piped(
    "from(bucket: v.defaultBucket)",
    "range(start: v.timeRangeStart, stop: v.timeRangeStop)",
    'filter(fn: (r) => r._measurement == "driftline" and r._field == "value")',
    f"filter(fn: (r) => r.device =~ /^${{site:regex}}/ and r.metric =~ /^{TRUTH_METRIC}$/)",
)
_STATES_OVER_TIME = "aggregateWindow(every: v.windowPeriod, fn: last, createEmpty: true)"
_OPENED_ROWS = piped(rows("open", measurement="driftline_alarm"), "filter(fn: (r) => r._value == 1)")
_PLAIN_METRIC = 'map(fn: (r) => ({r with metric: strings.replaceAll(v: r.metric, t: "fault.", u: "")}))'
_NOT_WHOLE_DEVICE = 'filter(fn: (r) => r.metric != "all")'
_FAULTS_FLUX = f"""\
import "strings"
faults = {piped(_TRUTH_ROWS, "filter(fn: (r) => r._value == 1.0)", _PLAIN_METRIC, _NOT_WHOLE_DEVICE)}
  |> keep(columns: ["_time", "device", "metric"])
  |> group(columns: ["device", "metric"])
odd = {piped(rows("anomaly"), "filter(fn: (r) => r._value == 1)", 'keep(columns: ["_time", "device", "metric"])')}
  |> group(columns: ["device", "metric"])"""
_FAULTY_DEVICES = f"""\
{_FAULTS_FLUX}
faulty = faults |> group() |> distinct(column: "device")
  |> findColumn(fn: (key) => true, column: "_value")
"""
_SENSOR_WEEKS_FLUX = piped(
    "weeks = " + rows("score"),
    "aggregateWindow(every: 5m, fn: count, createEmpty: false)",
    "group()",
    "count()",
    "map(fn: (r) => ({_value: float(v: r._value) * 300.0 / 604800.0}))",
    'findColumn(fn: (key) => true, column: "_value")',
)
_JOINED = """\
join(tables: {fault: faults |> last(column: "_time"), odd: odd |> last(column: "_time")}, on: ["device", "metric"])
  |> filter(fn: (r) => r._time_odd >= r._time_fault)"""


_TABLE_ROWS = piped(
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


def _table(promql: str) -> Query:
    return Query(promql, "", instant=True)


TRUTH = Board(
    uid="driftline-truth",
    title="Driftline: simulated faults and what was found",
    description="The faults that the simulator labels, beside the anomalies and alarms that they led to.",
    variables=(SITE, METRIC),
    alarms=ALARMS,
    sections=(
        Section(
            "In the time range",
            (
                Panel(
                    "faults",
                    "Faults",
                    "Faults that began in the time range, as the simulator labels them.",
                    "stat",
                    (
                        Query(
                            f"sum(sum_over_time({_TRUTH}[$__range]))",
                            piped(_TRUTH_ROWS, "sum()", "group()", "sum()"),
                            "faults",
                            instant=True,
                        ),
                    ),
                    width=3,
                    height=4,
                    thresholds=NEUTRAL,
                ),
                Panel(
                    "faulty",
                    "Faulty series",
                    "Metrics of devices that had a fault. Silences of whole devices are left out: they are found by "
                    "the "
                    "device's state, not by a score.",
                    "stat",
                    (
                        Query(
                            f"count({_FAULTY})",
                            f'{_FAULTS_FLUX}\nfaults |> last(column: "_time") |> group() |> count(column: "device") '
                            '|> rename(columns: {device: "_value"})',
                            "series",
                            instant=True,
                        ),
                    ),
                    width=3,
                    height=4,
                    thresholds=NEUTRAL,
                ),
                Panel(
                    "found",
                    "Found",
                    "Faulty series with at least one anomalous reading while the fault lasted, among all faulty "
                    "series.",
                    "stat",
                    (
                        Query(
                            f"count({_FOUND}) / count({_FAULTY})",
                            f'{_FAULTS_FLUX}\nhit = {_JOINED} |> group() |> count(column: "device")\n'
                            '  |> findColumn(fn: (key) => true, column: "device")\n'
                            'faults |> last(column: "_time") |> group() |> count(column: "device")\n'
                            "  |> map(fn: (r) => ({_value: float(v: hit[0]) / float(v: r.device)}))",
                            "found",
                            instant=True,
                        ),
                    ),
                    width=3,
                    height=4,
                    unit="percentunit",
                    decimals=0,
                    thresholds=(Threshold(None, "red"), Threshold(0.5, "orange"), Threshold(0.8, "green")),
                ),
                Panel(
                    "alarms",
                    "Alarms",
                    "Alarms that opened in the time range.",
                    "stat",
                    (
                        Query(
                            _ALL_ALARMS,
                            piped(_OPENED_ROWS, "group()", "count()"),
                            "alarms",
                            instant=True,
                        ),
                    ),
                    width=4,
                    height=4,
                    thresholds=NEUTRAL,
                ),
                Panel(
                    "true",
                    "Alarms that were right",
                    f"Share of the alarms that opened while their device had a fault, or within {AFTERMATH} after it.",
                    "stat",
                    (
                        Query(
                            f"{_TRUE_ALARMS} / {_ALL_ALARMS}",
                            _FAULTY_DEVICES
                            + piped(
                                _OPENED_ROWS,
                                "group()",
                                "map(fn: (r) => ({_value: if contains(value: r.device, set: faulty) then 1.0 else "
                                "0.0}))",
                                "mean()",
                            ),
                            "right",
                            instant=True,
                        ),
                    ),
                    width=4,
                    height=4,
                    unit="percentunit",
                    decimals=0,
                    thresholds=(Threshold(None, "red"), Threshold(0.5, "orange"), Threshold(0.8, "green")),
                ),
                Panel(
                    "false",
                    "False alarms",
                    "Alarms that opened at no fault, for each sensor and week of readings. A fault still owns those "
                    f"within {AFTERMATH} after it.",
                    "stat",
                    (
                        Query(
                            f"(({_ALL_ALARMS}) - (({_TRUE_ALARMS}) or vector(0))) / ({SENSOR_WEEKS})",
                            f"{_FAULTY_DEVICES}{_SENSOR_WEEKS_FLUX}\n"
                            + piped(
                                _OPENED_ROWS,
                                "group()",
                                "map(fn: (r) => ({_value: if contains(value: r.device, set: faulty) then 0.0 else "
                                "1.0}))",
                                "sum()",
                                "map(fn: (r) => ({_value: r._value / weeks[0]}))",
                            ),
                            "a sensor and week",
                            instant=True,
                        ),
                    ),
                    width=4,
                    height=4,
                    decimals=2,
                    thresholds=(Threshold(None, "green"), Threshold(1, "orange"), Threshold(5, "red")),
                ),
                Panel(
                    "delay",
                    "Time to an anomaly",
                    "Time from a fault to the first anomalous reading after it, for nine in ten series where there "
                    "was one; in steps of 5 s.",
                    "stat",
                    (
                        Query(
                            "quantile(0.9, (max by (device, metric) (tfirst_over_time((("
                            f"{_ACTIVE}) and on (device, metric) ({_ODD_NOW}))[$__range:5s])) "
                            "- on (device, metric) max by (device, metric) ("
                            + _OF_METRIC.format(f"tfirst_over_time((({_TRUTH}) == 1)[$__range:5s])")
                            + ")) >= 0)",
                            f"{_FAULTS_FLUX}\n{_JOINED}\n  |> group()\n"
                            "  |> map(fn: (r) => ({_value: float(v: int(v: r._time_odd) - int(v: r._time_fault)) / "
                            "1000000000.0}))\n"
                            "  |> quantile(q: 0.9)",
                            "nine in ten",
                            instant=True,
                        ),
                    ),
                    width=3,
                    height=4,
                    unit="s",
                    decimals=0,
                    thresholds=NEUTRAL,
                ),
            ),
        ),
        Section(
            "Over time",
            (
                Panel(
                    "both",
                    "Faults and alarms",
                    "How many faults lasted and how many alarms were open at each time.",
                    "timeseries",
                    (
                        Query(
                            f"sum(last_over_time({_TRUTH}[{LONGEST_FAULT}]))",
                            piped(
                                _TRUTH_ROWS,
                                _STATES_OVER_TIME,
                                "fill(usePrevious: true)",
                                'group(columns: ["_time"])',
                                "sum()",
                                "group()",
                            ),
                            "faults",
                        ),
                        Query(
                            f"sum(last_over_time({series('alarm_open')}[{STATE_WINDOW}]))",
                            piped(
                                rows("open", measurement="driftline_alarm"),
                                _STATES_OVER_TIME,
                                "fill(usePrevious: true)",
                                'group(columns: ["_time"])',
                                "sum()",
                                "group()",
                            ),
                            "alarms",
                        ),
                    ),
                    width=12,
                    minimum=0,
                    decimals=0,
                    looks=(SeriesLook(0, color="orange"), SeriesLook(1, color="red")),
                ),
                Panel(
                    "anomalies",
                    "Anomalies, with and without a fault",
                    "Anomalous readings of devices that have a fault, or had one until two minutes before, and of "
                    "the others.",
                    "timeseries",
                    (
                        Query(
                            f"sum(max by (device) (sum_over_time({series('anomaly')}[$__interval])) "
                            f"and on (device) ({_DEVICE_FAULTY}))",
                            _FAULTY_DEVICES
                            + piped(
                                rows("anomaly", more="contains(value: r.device, set: faulty)"),
                                WINDOW.format("sum"),
                                'group(columns: ["_time"])',
                                "sum()",
                                "group()",
                            ),
                            "with a fault",
                        ),
                        Query(
                            f"sum(max by (device) (sum_over_time({series('anomaly')}[$__interval])) "
                            f"unless on (device) ({_DEVICE_FAULTY}))",
                            _FAULTY_DEVICES
                            + piped(
                                rows("anomaly", more="not contains(value: r.device, set: faulty)"),
                                WINDOW.format("sum"),
                                'group(columns: ["_time"])',
                                "sum()",
                                "group()",
                            ),
                            "without",
                        ),
                    ),
                    width=12,
                    look="bars",
                    stacked=True,
                    minimum=0,
                    decimals=0,
                    looks=(SeriesLook(0, color="green"), SeriesLook(1, color="red")),
                ),
                Panel(
                    "fault-states",
                    "Faults by series",
                    "When each fault lasted, for the series that had one in the time range.",
                    "state",
                    (
                        Query(
                            f"last_over_time({_TRUTH}[{LONGEST_FAULT}])",
                            piped(_TRUTH_ROWS, _STATES_OVER_TIME, "fill(usePrevious: true)"),
                            "{{device}} {{metric}}",
                        ),
                    ),
                    width=12,
                    height=14,
                    texts=(ValueText(0, "none", "green"), ValueText(1, "fault", "orange")),
                    empty="no fault",
                ),
                Panel(
                    "alarm-states",
                    "Alarms by series",
                    "When each alarm was open, for the series that had one.",
                    "state",
                    (
                        Query(
                            f"max by (device, metric) (last_over_time({series('alarm_open')}[{STATE_WINDOW}]))",
                            piped(
                                rows("open", measurement="driftline_alarm"),
                                _STATES_OVER_TIME,
                                "fill(usePrevious: true)",
                            ),
                            "{{device}} {{metric}}",
                        ),
                    ),
                    width=12,
                    height=14,
                    texts=(ValueText(0, "clear", "green"), ValueText(1, "alarm", "red")),
                    empty="no alarm",
                ),
            ),
        ),
        Section(
            "By series",
            (
                Panel(
                    "table",
                    "Faulty series and what was found",
                    "For each series that had a fault: its faults, its anomalous readings, and its highest score in "
                    "the time "
                    "range.",
                    "table",
                    (
                        Query(
                            "sum by (device, metric) ("
                            + _OF_METRIC.format(f"sum_over_time({_TRUTH}[$__range])")
                            + ") > 0",
                            f"{_FAULTS_FLUX}\n{_TABLE_ROWS}",
                            instant=True,
                        ),
                        _table(
                            f"sum by (device, metric) (sum_over_time({series('anomaly')}[$__range])) "
                            f"and on (device, metric) ({_FAULTY})"
                        ),
                        _table(
                            f"max by (device, metric) (max_over_time({series('score')}[$__range])) "
                            f"and on (device, metric) ({_FAULTY})"
                        ),
                    ),
                    width=24,
                    height=12,
                    columns=("Faults", "Anomalies", "Highest score"),
                    units=("", "", ""),
                    sort_by="Faults",
                    opens="driftline-device",
                ),
            ),
        ),
    ),
)
