"""One device: what it measures against what was expected of it, its scores, its alarms, and how its siblings do."""

from __future__ import annotations

from dashboards.languages import Scope, piped, rows, series
from dashboards.model import Board, Panel, Query, Section, SeriesLook
from dashboards.panels.panel_parts import (
    ALARM_STATES,
    ALARMS_OF_DEVICE,
    GOOD_TO_BAD,
    METRIC_OF_DEVICE,
    NEUTRAL,
    SCORE,
    SIBLINGS,
    SITE,
    STATE_WINDOW,
    WINDOW,
    in_all,
    over_time,
)
from dashboards.panels.panel_parts import DEVICE as CHOSEN_DEVICE

_OPEN = f"last_over_time({series('alarm_open', scope='device')}[{STATE_WINDOW}])"
_ALARM_ROWS = rows("open", measurement="driftline_alarm", scope="device", start=f"-{STATE_WINDOW}")

_ALL_ALARM_ROWS = rows("", measurement="driftline_alarm", scope="device", start=f"-{STATE_WINDOW}")


def _mean(field: str, *, scope: Scope = "device") -> Query:
    return Query(
        f"avg_over_time({series(field, scope=scope)}[$__interval])",
        piped(rows(field, scope=scope), WINDOW.format("mean")),
        f"{field} {{{{metric}}}}",
    )


def _of_siblings(name: str, share: float) -> Query:
    return Query(
        f"quantile by (metric) ({share}, avg_over_time({series('value', scope='siblings')}[$__interval]))",
        over_time(rows("value", scope="siblings"), "mean", "metric", total=f"quantile(q: {share})"),
        f"{name} {{{{metric}}}}",
    )


_ODD = Query(
    f"max_over_time({series('value', scope='device')}[$__interval]) "
    f"and on (device, metric) (max_over_time({series('anomaly', scope='device')}[$__interval]) > 0)",
    piped(
        rows("", scope="device", more='r._field == "value" or r._field == "anomaly"'),
        'pivot(rowKey: ["_time", "device", "metric"], columnKey: ["_field"], valueColumn: "_value")',
        "filter(fn: (r) => r.anomaly == 1)",
        "map(fn: (r) => ({_time: r._time, metric: r.metric, _value: r.value}))",
        'group(columns: ["metric"])',
    ),
    "odd {{metric}}",
)


def _latest(field: str, factor: str = "") -> Query:
    return Query(f"last_over_time({series(field, scope='device')}[{STATE_WINDOW}]){factor}", "", instant=True)


DEVICE = Board(
    uid="driftline-device",
    title="Driftline: device",
    description="One device's readings within the band that was expected of them, with scores, alarms and siblings.",
    variables=(SITE, CHOSEN_DEVICE, METRIC_OF_DEVICE, SIBLINGS),
    alarms=ALARMS_OF_DEVICE,
    sections=(
        Section(
            "Now",
            (
                Panel(
                    "latest",
                    "Latest readings",
                    "The newest value of each metric in the time range.",
                    "stat",
                    (
                        Query(
                            f"last_over_time({series('value', scope='device')}[$__range])",
                            piped(rows("value", scope="device"), "last()"),
                            "{{metric}}",
                            instant=True,
                        ),
                    ),
                    width=12,
                    height=5,
                    unit="metric",
                    thresholds=NEUTRAL,
                ),
                Panel(
                    "open",
                    "Open alarms",
                    "Alarms of this device that are open now.",
                    "stat",
                    (
                        Query(
                            f"sum({_OPEN}) or vector(0)",
                            in_all(_ALARM_ROWS, "last()"),
                            "open",
                            instant=True,
                        ),
                    ),
                    width=4,
                    height=5,
                    thresholds=GOOD_TO_BAD,
                    empty="0",
                ),
                Panel(
                    "odd-readings",
                    "Anomalies",
                    "Readings of this device in the time range whose score was high enough for an alarm.",
                    "stat",
                    (
                        Query(
                            f"sum(sum_over_time({series('anomaly', scope='device')}[$__range]))",
                            in_all(rows("anomaly", scope="device"), "sum()"),
                            "anomalies",
                            instant=True,
                        ),
                    ),
                    width=4,
                    height=5,
                    thresholds=NEUTRAL,
                ),
                Panel(
                    "age",
                    "Last heard",
                    "Time from the device's newest reading to the end of the time range.",
                    "stat",
                    (
                        Query(
                            f"time() - max(tlast_over_time({series('value', scope='device')}[$__range]))",
                            piped(
                                rows("value", scope="device"),
                                "last()",
                                "group()",
                                'max(column: "_time")',
                                "map(fn: (r) => ({_value: float(v: int(v: v.timeRangeStop) - int(v: r._time)) / "
                                "1000000000.0}))",
                            ),
                            "seconds ago",
                            instant=True,
                        ),
                    ),
                    width=4,
                    height=5,
                    unit="s",
                    decimals=0,
                    thresholds=NEUTRAL,
                ),
            ),
        ),
        Section(
            "Scores and alarms",
            (
                Panel(
                    "score",
                    "Score",
                    "The highest score of each stretch of time. 4 means that one reading in ten thousand is this "
                    "odd, 6 one in a "
                    "million.",
                    "timeseries",
                    (
                        Query(
                            f"max_over_time({series('score', scope='device')}[$__interval])",
                            piped(rows("score", scope="device"), WINDOW.format("max")),
                            "{{metric}}",
                        ),
                    ),
                    width=12,
                    minimum=0,
                    decimals=1,
                    thresholds=SCORE,
                ),
                Panel(
                    "alarm-states",
                    "Alarms over time",
                    "When an alarm was open for each metric.",
                    "state",
                    (
                        Query(
                            f"max by (metric) ({_OPEN})",
                            over_time(
                                rows("open", measurement="driftline_alarm", scope="device"),
                                "last",
                                "metric",
                                total="max()",
                            ),
                            "{{metric}}",
                        ),
                    ),
                    width=12,
                    texts=ALARM_STATES,
                    empty="no alarm",
                ),
                Panel(
                    "latest-alarms",
                    "Latest alarms",
                    "The latest of each metric and severity: how odd it got, what was measured and expected when it "
                    "opened, and whether it is still open.",
                    "table",
                    (
                        Query(
                            f"last_over_time({series('alarm_peak_score', scope='device')}[{STATE_WINDOW}])",
                            piped(
                                _ALL_ALARM_ROWS,
                                "last()",
                                'pivot(rowKey: ["metric", "severity"], columnKey: ["_field"], valueColumn: "_value")',
                                "group()",
                                "map(fn: (r) => ({metric: r.metric, severity: r.severity, "
                                '"Peak score": r.peak_score, Value: r.value, Expected: r.expected, Opened: r.opened '
                                "/ 1000000, "
                                "Open: r.open}))",
                            ),
                            instant=True,
                        ),
                        _latest("alarm_value"),
                        _latest("alarm_expected"),
                        _latest("alarm_opened", " / 1e6"),
                        _latest("alarm_open"),
                    ),
                    width=24,
                    height=7,
                    columns=("Peak score", "Value", "Expected", "Opened", "Open"),
                    places=(1,),
                    units=("", "", "", "dateTimeAsIso", "bool_yes_no"),
                    sort_by="Opened",
                    empty="no alarm yet",
                ),
            ),
        ),
        Section(
            "$metric",
            (
                Panel(
                    "readings",
                    "$metric",
                    "Readings within the band that was expected of them; dots are readings found odd.",
                    "timeseries",
                    (_mean("lower"), _mean("upper"), _mean("expected"), _mean("value"), _ODD),
                    width=12,
                    height=9,
                    unit="metric",
                    look="band",
                    looks=(
                        SeriesLook(0, color="super-light-blue"),
                        SeriesLook(1, color="super-light-blue", fill_to=0),
                        SeriesLook(2, color="blue", dashed=True),
                        SeriesLook(3, color="green"),
                        SeriesLook(4, color="red", look="points"),
                    ),
                ),
                Panel(
                    "siblings",
                    "$metric among its siblings",
                    "This device among those that are named alike but for their number: their median, and "
                    "the range that holds four in five of them.",
                    "timeseries",
                    (
                        _of_siblings("lower tenth", 0.1),
                        _of_siblings("upper tenth", 0.9),
                        _of_siblings("median", 0.5),
                        _mean("value"),
                    ),
                    width=12,
                    height=9,
                    unit="metric",
                    look="band",
                    looks=(
                        SeriesLook(0, color="super-light-purple"),
                        SeriesLook(1, color="super-light-purple", fill_to=0),
                        SeriesLook(2, color="purple", dashed=True),
                        SeriesLook(3, color="green"),
                    ),
                ),
            ),
            repeat="metric",
        ),
    ),
)
