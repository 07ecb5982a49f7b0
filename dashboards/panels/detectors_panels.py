"""Whether the detectors are well: are scores as rare as they claim, who still learns, alarms against the budget."""

from __future__ import annotations

from dashboards.languages import piped, rows, series
from dashboards.model import Board, Panel, Query, Section, SeriesLook, Threshold
from dashboards.panels.panel_parts import (
    ALARMS,
    DETECTOR,
    METRIC,
    NEUTRAL,
    SITE,
    WINDOW,
    in_all,
    over_time,
    side_by_side,
)

WEEK_HOURS = 168

_VALUE, _SCORE, _ANOMALY = series("value"), series("score"), series("anomaly")
_ALARM = series("alarm_alarm")
_CONTRIBUTION = series("alarm_detector_decades", more='detector=~"$detector"')
_CONTRIBUTION_ROWS = rows("decades", measurement="driftline_alarm_detector", more="r.detector =~ /^${detector:regex}$/")
_ALARM_ROWS = rows("alarm", measurement="driftline_alarm")
_DECADES = (1, 2, 3, 4)
_DECADE_COLORS = ("blue", "green", "orange", "red")


def _share(decade: int) -> Query:
    indicator = f"map(fn: (r) => ({{r with _value: if r._value >= {decade}.0 then 1.0 else 0.0}}))"
    return Query(
        f"sum(count_gt_over_time({_SCORE}[$__interval], {decade})) / sum(count_over_time({_SCORE}[$__interval])) > 0",
        piped(rows("score"), indicator, "group()", WINDOW.format("mean"), "filter(fn: (r) => r._value > 0.0)"),
        f"above {decade}: 1 in {10**decade:,} by chance",
    )


def _share_in_all(decade: int) -> Query:
    indicator = f"map(fn: (r) => ({{r with _value: if r._value >= {decade}.0 then {10**decade}.0 else 0.0}}))"
    return Query(
        f"{10**decade} * sum(count_gt_over_time({_SCORE}[$__range], {decade})) / "
        f"sum(count_over_time({_SCORE}[$__range]))",
        piped(rows("score"), indicator, "group()", "mean()"),
        f"above {decade}",
        instant=True,
    )


def _quality(code: int, name: str) -> Query:
    only = f"filter(fn: (r) => r._value == {code})"
    return Query(
        f"sum(count_eq_over_time({series('quality')}[$__interval], {code}))",
        over_time(piped(rows("quality"), only), "count"),
        name,
    )


def _by_metric(promql: str) -> Query:
    return Query(promql, "", instant=True)


_RATE = (
    f"sum(distinct_over_time({_ALARM}[$__range])) / count(last_over_time({_VALUE}[$__range])) "
    f"* {WEEK_HOURS * 3600} / $__range_s"
)
_RATE_ROWS = f"""\
alarms = {piped(_ALARM_ROWS, "group()", "unique()", "count()", 'findColumn(fn: (key) => true, column: "_value")')}
sensors = {piped(rows("value"), "last()", "group()", "count()", 'findColumn(fn: (key) => true, column: "_value")')}
seconds = float(v: int(v: v.timeRangeStop) - int(v: v.timeRangeStart)) / 1000000000.0
{piped(rows("value"), "last()", "group()", "limit(n: 1)")}
  |> map(fn: (r) => ({{_value: float(v: alarms[0]) / float(v: sensors[0]) * {WEEK_HOURS * 3600}.0 / seconds}}))"""

_CARD_ROWS = side_by_side(
    ("metric",),
    {
        "Series": in_all(rows("value"), "last()", "metric", total="count()"),
        "Readings": in_all(rows("value"), "count()", "metric"),
        "Scored": piped(
            rows("quality"),
            "map(fn: (r) => ({r with _value: if r._value == 0 then 1.0 else 0.0}))",
            'group(columns: ["metric"])',
            "mean()",
        ),
        "Anomalies": in_all(rows("anomaly"), "sum()", "metric"),
        "Alarms": piped(_ALARM_ROWS, 'group(columns: ["metric"])', "unique()", "count()"),
        "Highest score": in_all(rows("score"), "max()", "metric", total="max()"),
    },
)

DETECTORS = Board(
    uid="driftline-detectors",
    title="Driftline: detector health",
    description="Whether scores are as rare as they claim, which series still learn, and alarms against the budget.",
    variables=(SITE, METRIC, DETECTOR),
    alarms=ALARMS,
    sections=(
        Section(
            "Now",
            (
                Panel(
                    "scoring",
                    "Series scored",
                    "Series that a detector scored in the time range.",
                    "stat",
                    (
                        Query(
                            f"count(last_over_time({_SCORE}[$__range]))",
                            in_all(rows("score"), "last()", total="count()"),
                            "scored",
                            instant=True,
                        ),
                    ),
                    width=6,
                    height=4,
                    thresholds=NEUTRAL,
                ),
                Panel(
                    "warming",
                    "Series warming up",
                    "Series that were read in the time range and have no score yet: their detector still learns, or "
                    "they have "
                    "none.",
                    "stat",
                    (
                        Query(
                            f"count(last_over_time({_VALUE}[$__range]) unless on (device, metric) "
                            f"last_over_time({_SCORE}[$__range])) or vector(0)",
                            piped(
                                rows("quality"),
                                "min()",
                                "filter(fn: (r) => r._value == 1)",
                                "group()",
                                "count()",
                            ),
                            "warming up",
                            instant=True,
                        ),
                    ),
                    width=6,
                    height=4,
                    thresholds=NEUTRAL,
                    empty="0",
                ),
                Panel(
                    "per-thousand",
                    "Anomalies in a thousand",
                    "Anomalous readings among a thousand that were scored, in the time range.",
                    "stat",
                    (
                        Query(
                            f"1000 * sum(sum_over_time({_ANOMALY}[$__range])) / "
                            f"sum(count_over_time({_SCORE}[$__range]))",
                            piped(
                                rows("anomaly"),
                                "map(fn: (r) => ({r with _value: 1000.0 * float(v: r._value)}))",
                                "group()",
                                "mean()",
                            ),
                            "per thousand",
                            instant=True,
                        ),
                    ),
                    width=6,
                    height=4,
                    decimals=2,
                    thresholds=NEUTRAL,
                ),
                Panel(
                    "budget",
                    "Alarms per sensor and week",
                    "Alarms of the time range, carried forward to a week, by series. Compare with alarm.budget in the "
                    "configuration, which bounds false alarms: true ones come on top. Simulated faults come far more "
                    "often than "
                    "real ones.",
                    "stat",
                    (Query(_RATE, _RATE_ROWS, "alarms", instant=True),),
                    width=6,
                    height=4,
                    decimals=2,
                    thresholds=NEUTRAL,
                ),
            ),
        ),
        Section(
            "Scores",
            (
                Panel(
                    "share",
                    "How rare high scores are",
                    "Share of the readings that scored above 1, 2, 3 and 4. Scores are decades of rarity, so that in "
                    "quiet times "
                    "one reading in ten is above 1 and one in ten thousand above 4; a line far above that is a "
                    "detector that "
                    "cries out, or a fault.",
                    "timeseries",
                    tuple(_share(decade) for decade in _DECADES),
                    width=16,
                    logarithmic=True,
                    unit="percentunit",
                    looks=tuple(SeriesLook(i, color=color) for i, color in enumerate(_DECADE_COLORS)),
                ),
                Panel(
                    "calibration",
                    "High scores against chance",
                    "How many times more often than by chance readings scored above 1, 2, 3 and 4, over the time "
                    "range: 1 is "
                    "exact. Faults raise the higher ones.",
                    "bargauge",
                    tuple(_share_in_all(decade) for decade in _DECADES),
                    width=8,
                    decimals=2,
                    minimum=0,
                    thresholds=(Threshold(None, "green"), Threshold(3, "orange"), Threshold(30, "red")),
                ),
                Panel(
                    "quality",
                    "Readings by what became of them",
                    "Scored; not scored, as while a detector warms up; and late, which are stored but neither scored "
                    "nor learned.",
                    "timeseries",
                    (_quality(0, "scored"), _quality(1, "not scored"), _quality(2, "late")),
                    width=12,
                    look="bars",
                    stacked=True,
                    minimum=0,
                    looks=(SeriesLook(0, color="green"), SeriesLook(1, color="yellow"), SeriesLook(2, color="purple")),
                ),
                Panel(
                    "learning",
                    "Series read and series scored",
                    "Where the two lines meet, every series has warmed up. Series without a detector keep them apart.",
                    "timeseries",
                    (
                        Query(
                            f"count(count_over_time({_VALUE}[$__interval]))",
                            over_time(rows("value"), "count", total="count()"),
                            "read",
                        ),
                        Query(
                            f"count(count_over_time({_SCORE}[$__interval]))",
                            over_time(rows("score"), "count", total="count()"),
                            "scored",
                        ),
                    ),
                    width=12,
                    minimum=0,
                    decimals=0,
                    looks=(SeriesLook(0, color="blue"), SeriesLook(1, color="green")),
                ),
            ),
        ),
        Section(
            "Alarms",
            (
                Panel(
                    "contributors",
                    "What raised the alarms",
                    "Alarms of the time range by the detectors, and parts of detectors, that contributed to them.",
                    "bargauge",
                    (
                        Query(
                            f"sort_desc(sum by (detector) (count_over_time({_CONTRIBUTION}[$__range])))",
                            piped(
                                in_all(_CONTRIBUTION_ROWS, "count()", "detector"),
                                "group()",
                                'sort(columns: ["_value"], desc: true)',
                            ),
                            "{{detector}}",
                            instant=True,
                        ),
                    ),
                    width=12,
                    height=9,
                    minimum=0,
                    thresholds=NEUTRAL,
                    empty="no alarm",
                ),
                Panel(
                    "weight",
                    "Decades by contributor",
                    "How much each contributor added to the alarms of each stretch of time.",
                    "timeseries",
                    (
                        Query(
                            f"sum by (detector) (sum_over_time({_CONTRIBUTION}[$__interval]))",
                            over_time(_CONTRIBUTION_ROWS, "sum", "detector"),
                            "{{detector}}",
                        ),
                    ),
                    width=12,
                    height=9,
                    look="bars",
                    stacked=True,
                    minimum=0,
                    decimals=1,
                    empty="no alarm",
                ),
                Panel(
                    "score-card",
                    "Score card by metric",
                    "For each metric: series, readings, the share that was scored, anomalies, alarms and the highest "
                    "score.",
                    "table",
                    (
                        Query(
                            f"count by (metric) (last_over_time({_VALUE}[$__range]))",
                            _CARD_ROWS,
                            instant=True,
                        ),
                        _by_metric(f"sum by (metric) (count_over_time({_VALUE}[$__range]))"),
                        _by_metric(
                            f"sum by (metric) (count_over_time({_SCORE}[$__range])) "
                            f"/ sum by (metric) (count_over_time({_VALUE}[$__range]))"
                        ),
                        _by_metric(f"sum by (metric) (sum_over_time({_ANOMALY}[$__range]))"),
                        _by_metric(f"sum by (metric) (distinct_over_time({_ALARM}[$__range]))"),
                        _by_metric(f"max by (metric) (max_over_time({_SCORE}[$__range]))"),
                    ),
                    width=24,
                    height=10,
                    columns=("Series", "Readings", "Scored", "Anomalies", "Alarms", "Highest score"),
                    units=("", "", "percentunit", "", "", ""),
                    sort_by="Anomalies",
                ),
            ),
        ),
    ),
)
