"""The fleet at a glance: which devices are well, which alarms are open, where to look first."""

from __future__ import annotations

from dashboards.languages import piped, rows, series
from dashboards.model import Board, Panel, Query, Section, SeriesLook, ValueText
from dashboards.panels.alarm_list_panels import ALARM_LIST
from dashboards.panels.panel_parts import (
    ALARMS,
    GOOD_TO_BAD,
    METRIC,
    NEUTRAL,
    SCORE,
    SEVERITIES,
    SITE,
    STATE_WINDOW,
    in_all,
    over_time,
)

_ONLINE = series("device_online", metric=False)
_OPEN = f"last_over_time({series('alarm_open')}[{STATE_WINDOW}])"
_OPEN_ROWS = piped(rows("open", measurement="driftline_alarm", start=f"-{STATE_WINDOW}"), "last()")
_ONLINE_ROWS = piped(rows("online", measurement="driftline_device", metric=False, start=f"-{STATE_WINDOW}"), "last()")
_IS_OPEN = f"and on (device, metric, severity) ({_OPEN} == 1)"


def _state(rank: int, name: str, promql: str) -> str:
    return f'label_replace({rank} * max by (device) ({promql}), "part", "{name}", "", "")'


_STATES = (
    _state(0, "seen", f"last_over_time({series('value')}[$__range])"),
    _state(1, "odd", f"max_over_time({series('anomaly')}[2m])"),
    _state(2, "silent", f"last_over_time({_ONLINE}[{STATE_WINDOW}]) == bool 0"),
    _state(3, "alarm", _OPEN),
)
_STATE_ROWS = f"""\
state = (tables=<-, rank) => tables
  |> map(fn: (r) => ({{device: r.device, _time: now(), _value: if float(v: r._value) > 0.0 then rank else 0}}))
seen = {piped(rows("value"), "last()", "map(fn: (r) => ({r with _value: 0.0}))")}
  |> state(rank: 0)
odd = {piped(rows("anomaly"), "range(start: -2m)", "max()")}
  |> state(rank: 1)
silent = {_ONLINE_ROWS}
  |> map(fn: (r) => ({{r with _value: 1 - int(v: r._value)}}))
  |> state(rank: 2)
alarm = {_OPEN_ROWS}
  |> state(rank: 3)
union(tables: [seen, odd, silent, alarm])
  |> group(columns: ["device"])
  |> max()"""

FLEET = Board(
    uid="driftline-fleet",
    title="Driftline: fleet",
    description="Devices by state, open alarms by severity, and the devices that behave least as expected.",
    variables=(SITE, METRIC),
    alarms=ALARMS,
    sections=(
        Section(
            "At a glance",
            (
                Panel(
                    "devices",
                    "Devices",
                    "Devices that were heard from in the time range.",
                    "stat",
                    (
                        Query(
                            f"count(count by (device) (last_over_time({series('value')}[$__range])))",
                            piped(rows("value"), "last()", "group()", 'distinct(column: "device")', "count()"),
                            "devices",
                            instant=True,
                        ),
                    ),
                    width=4,
                    height=4,
                    thresholds=NEUTRAL,
                ),
                Panel(
                    "silent",
                    "Silent",
                    "Devices that have not reported for longer than their own pace explains.",
                    "stat",
                    (
                        Query(
                            f"count(last_over_time({_ONLINE}[{STATE_WINDOW}]) == 0) or vector(0)",
                            in_all(_ONLINE_ROWS, "filter(fn: (r) => r._value == 0)", total="count()"),
                            "silent",
                            instant=True,
                        ),
                    ),
                    width=4,
                    height=4,
                    thresholds=GOOD_TO_BAD,
                    empty="0",
                ),
                Panel(
                    "open-alarms",
                    "Open alarms",
                    "Alarms that are open now, whether acknowledged or not.",
                    "stat",
                    (
                        Query(
                            f"sum({_OPEN}) or vector(0)",
                            in_all(_OPEN_ROWS, "filter(fn: (r) => r._value == 1)", total="sum()"),
                            "open",
                            instant=True,
                        ),
                    ),
                    width=4,
                    height=4,
                    thresholds=GOOD_TO_BAD,
                    empty="0",
                ),
                Panel(
                    "anomalies",
                    "Anomalies",
                    "Readings in the time range whose score was high enough for an alarm.",
                    "stat",
                    (
                        Query(
                            f"sum(sum_over_time({series('anomaly')}[$__range]))",
                            in_all(rows("anomaly"), "sum()"),
                            "anomalies",
                            instant=True,
                        ),
                    ),
                    width=4,
                    height=4,
                    thresholds=NEUTRAL,
                ),
                Panel(
                    "rate",
                    "Readings",
                    "Readings a second, by their own time, over the last minute of the time range.",
                    "stat",
                    (
                        Query(
                            f"sum(count_over_time({series('value')}[1m])) / 60",
                            piped(
                                in_all(piped(rows("value"), "range(start: -1m)"), "count()"),
                                "map(fn: (r) => ({r with _value: float(v: r._value) / 60.0}))",
                            ),
                            "readings",
                            instant=True,
                        ),
                    ),
                    width=4,
                    height=4,
                    unit="cps",
                    decimals=0,
                    thresholds=NEUTRAL,
                ),
                Panel(
                    "scored",
                    "Scored",
                    "Share of the readings that were scored; the others came while a detector was still learning, or "
                    "late.",
                    "stat",
                    (
                        Query(
                            f"sum(count_over_time({series('score')}[$__range])) "
                            f"/ sum(count_over_time({series('value')}[$__range]))",
                            piped(
                                rows("quality"),
                                "map(fn: (r) => ({r with _value: if r._value == 0 then 1.0 else 0.0}))",
                                "group()",
                                "mean()",
                            ),
                            "scored",
                            instant=True,
                        ),
                    ),
                    width=4,
                    height=4,
                    unit="percentunit",
                    decimals=1,
                    thresholds=NEUTRAL,
                ),
            ),
        ),
        Section(
            "Devices",
            (
                Panel(
                    "grid",
                    "Devices by state",
                    "Each device by its worst state: an open alarm, silence, a reading found odd within two minutes, "
                    "or fine. "
                    "A click leads to the device.",
                    "stat",
                    (Query(f"max by (device) ({' or '.join(_STATES)})", _STATE_ROWS, "{{device}}", instant=True),),
                    width=24,
                    height=10,
                    texts=(
                        ValueText(0, "fine", "green"),
                        ValueText(1, "odd", "yellow"),
                        ValueText(2, "silent", "purple"),
                        ValueText(3, "alarm", "red"),
                    ),
                    opens="driftline-device",
                ),
                Panel(
                    "top",
                    "Most anomalous devices",
                    "The ten devices with the most anomalous readings in the time range. A click leads to the device.",
                    "bargauge",
                    (
                        Query(
                            f"topk(10, sum by (device) (sum_over_time({series('anomaly')}[$__range])) > 0)",
                            piped(in_all(rows("anomaly"), "sum()", "device"), "group()", "top(n: 10)"),
                            "{{device}}",
                            instant=True,
                        ),
                    ),
                    width=12,
                    height=9,
                    minimum=0,
                    thresholds=(*NEUTRAL,),
                    opens="driftline-device",
                ),
                Panel(
                    "scores",
                    "Highest scores",
                    "The highest score of each stretch of time for the five devices that reached most. 4 means that "
                    "one reading "
                    "in ten thousand is this odd, 6 one in a million.",
                    "timeseries",
                    (
                        Query(
                            f"topk_max(5, max by (device) (max_over_time({series('score')}[$__interval])))",
                            over_time(rows("score"), "max", "device", total="max()"),
                            "{{device}}",
                        ),
                    ),
                    width=12,
                    height=9,
                    minimum=0,
                    decimals=1,
                    thresholds=SCORE,
                    opens="driftline-device",
                ),
            ),
        ),
        Section(
            "Alarms",
            (
                Panel(
                    "by-severity",
                    "Open alarms by severity",
                    "How many alarms were open at each time.",
                    "timeseries",
                    (
                        Query(
                            f"sum by (severity) ({_OPEN})",
                            over_time(rows("open", measurement="driftline_alarm"), "last", "severity"),
                            "{{severity}}",
                        ),
                    ),
                    width=12,
                    look="bars",
                    stacked=True,
                    minimum=0,
                    decimals=0,
                    colors=SEVERITIES,
                ),
                Panel(
                    "anomalies-over-time",
                    "Anomalies and the readings they are among",
                    "Anomalous readings of each stretch of time, and on the right axis all readings.",
                    "timeseries",
                    (
                        Query(
                            f"sum(sum_over_time({series('anomaly')}[$__interval]))",
                            over_time(rows("anomaly"), "sum"),
                            "anomalies",
                        ),
                        Query(
                            f"sum(count_over_time({series('value')}[$__interval]))",
                            over_time(rows("value"), "count"),
                            "readings",
                        ),
                    ),
                    width=12,
                    look="bars",
                    minimum=0,
                    decimals=0,
                    looks=(SeriesLook(0, color="red"), SeriesLook(1, color="blue", look="line", axis_right=True)),
                ),
                Panel(
                    "open-table",
                    "Open alarms, worst first",
                    "What is open, how odd it got, what was measured and expected when it opened, and since when.",
                    "table",
                    (
                        Query(
                            f"last_over_time({series('alarm_peak_score')}[{STATE_WINDOW}]) {_IS_OPEN}",
                            piped(
                                rows("", measurement="driftline_alarm", start=f"-{STATE_WINDOW}"),
                                "last()",
                                'pivot(rowKey: ["device", "metric", "severity"], columnKey: ["_field"], valueColumn: '
                                '"_value")',
                                "filter(fn: (r) => r.open == 1)",
                                "group()",
                                "map(fn: (r) => ({device: r.device, metric: r.metric, severity: r.severity, "
                                '"Peak score": r.peak_score, Value: r.value, Expected: r.expected, '
                                "Since: r.opened / 1000000}))",
                            ),
                            instant=True,
                        ),
                        Query(f"last_over_time({series('alarm_value')}[{STATE_WINDOW}]) {_IS_OPEN}", "", instant=True),
                        Query(
                            f"last_over_time({series('alarm_expected')}[{STATE_WINDOW}]) {_IS_OPEN}", "", instant=True
                        ),
                        Query(
                            f"last_over_time({series('alarm_opened')}[{STATE_WINDOW}]) / 1e6 {_IS_OPEN}",
                            "",
                            instant=True,
                        ),
                    ),
                    width=24,
                    height=7,
                    columns=("Peak score", "Value", "Expected", "Since"),
                    places=(1,),
                    units=("", "", "", "dateTimeFromNow"),
                    sort_by="Peak score",
                    opens="driftline-device",
                    empty="no alarm is open",
                ),
            ),
        ),
        ALARM_LIST,
    ),
)
