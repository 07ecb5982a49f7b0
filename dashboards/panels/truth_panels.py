"""The simulator's faults against what was found of them. For a simulated fleet only: real faults carry no label."""

from __future__ import annotations

from dashboards.languages import piped, rows, series
from dashboards.model import Board, Panel, Query, Section, SeriesLook, Threshold, ValueText
from dashboards.panels.panel_parts import ALARMS, METRIC, NEUTRAL, SITE, STATE_WINDOW, WINDOW
from dashboards.panels.truth_queries import (
    ACTIVE,
    AFTERMATH,
    ALL_ALARMS,
    DEVICE_FAULTY,
    FAULTS_FLUX,
    FAULTY,
    FAULTY_DEVICES,
    FOUND,
    JOINED,
    LABEL_ROWS,
    LABELS,
    LONGEST_FAULT,
    ODD_NOW,
    OF_METRIC,
    OPENED_ROWS,
    SENSOR_WEEKS,
    SENSOR_WEEKS_FLUX,
    STATES_OVER_TIME,
    TABLE_ROWS,
    TRUE_ALARMS,
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
                            f"sum(sum_over_time({LABELS}[$__range]))",
                            piped(LABEL_ROWS, "sum()", "group()", "sum()"),
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
                            f"count({FAULTY})",
                            f'{FAULTS_FLUX}\nfaults |> last(column: "_time") |> group() |> count(column: "device") '
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
                            f"count({FOUND}) / count({FAULTY})",
                            f'{FAULTS_FLUX}\nhit = {JOINED} |> group() |> count(column: "device")\n'
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
                            ALL_ALARMS,
                            piped(OPENED_ROWS, "group()", "count()"),
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
                            f"{TRUE_ALARMS} / {ALL_ALARMS}",
                            FAULTY_DEVICES
                            + piped(
                                OPENED_ROWS,
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
                            f"(({ALL_ALARMS}) - (({TRUE_ALARMS}) or vector(0))) / ({SENSOR_WEEKS})",
                            f"{FAULTY_DEVICES}{SENSOR_WEEKS_FLUX}\n"
                            + piped(
                                OPENED_ROWS,
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
                            f"{ACTIVE}) and on (device, metric) ({ODD_NOW}))[$__range:5s])) "
                            "- on (device, metric) max by (device, metric) ("
                            + OF_METRIC.format(f"tfirst_over_time((({LABELS}) == 1)[$__range:5s])")
                            + ")) >= 0)",
                            f"{FAULTS_FLUX}\n{JOINED}\n  |> group()\n"
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
                            f"sum(last_over_time({LABELS}[{LONGEST_FAULT}]))",
                            piped(
                                LABEL_ROWS,
                                STATES_OVER_TIME,
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
                                STATES_OVER_TIME,
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
                            f"and on (device) ({DEVICE_FAULTY}))",
                            FAULTY_DEVICES
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
                            f"unless on (device) ({DEVICE_FAULTY}))",
                            FAULTY_DEVICES
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
                            f"last_over_time({LABELS}[{LONGEST_FAULT}])",
                            piped(LABEL_ROWS, STATES_OVER_TIME, "fill(usePrevious: true)"),
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
                                STATES_OVER_TIME,
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
                            + OF_METRIC.format(f"sum_over_time({LABELS}[$__range])")
                            + ") > 0",
                            f"{FAULTS_FLUX}\n{TABLE_ROWS}",
                            instant=True,
                        ),
                        _table(
                            f"sum by (device, metric) (sum_over_time({series('anomaly')}[$__range])) "
                            f"and on (device, metric) ({FAULTY})"
                        ),
                        _table(
                            f"max by (device, metric) (max_over_time({series('score')}[$__range])) "
                            f"and on (device, metric) ({FAULTY})"
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
