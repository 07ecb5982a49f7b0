"""The alarm list, and whether it serves people (ISA-18.2): what nobody has taken on, how many an hour, of what."""

from __future__ import annotations

from dashboards.languages import piped, rows, series
from dashboards.model import Panel, Query, Section, Threshold
from dashboards.panels.panel_parts import GOOD_TO_BAD, NEUTRAL, STATE_WINDOW, in_all

_OPEN, _ACKNOWLEDGED = 1, 2
_STATE = f"last_over_time({series('alarm_state')}[{STATE_WINDOW}])"
_STATE_ROWS = piped(rows("state", measurement="driftline_alarm", start=f"-{STATE_WINDOW}"), "last()")
_OPENED = f"max by (device, metric) (max_over_time({series('alarm_open')}[30s])) == 1"
_OPENED_ROWS = piped(rows("open", measurement="driftline_alarm"), "filter(fn: (r) => r._value == 1)")
_PER_PERSON = (Threshold(None, "green"), Threshold(6, "orange"), Threshold(12, "red"))
"""Alarms an hour: up to 6 are acceptable for one person, up to 12 manageable."""


def _in_state(state: int, name: str) -> Query:
    return Query(
        f"count({_STATE} == {state}) or vector(0)",
        in_all(_STATE_ROWS, f"map(fn: (r) => ({{r with _value: if r._value == {state} then 1 else 0}}))"),
        name,
        instant=True,
    )


ALARM_LIST = Section(
    "Alarm list, after ISA-18.2",
    (
        Panel(
            "not-taken-on",
            "Not taken on",
            "Open alarms that nobody has acknowledged.",
            "stat",
            (_in_state(_OPEN, "open"),),
            width=4,
            height=4,
            thresholds=GOOD_TO_BAD,
            empty="0",
        ),
        Panel(
            "taken-on",
            "Taken on",
            "Open alarms that somebody has acknowledged.",
            "stat",
            (_in_state(_ACKNOWLEDGED, "acknowledged"),),
            width=4,
            height=4,
            thresholds=NEUTRAL,
            empty="0",
        ),
        Panel(
            "alarms-an-hour",
            "Alarms an hour",
            "Alarms that opened within the last hour. One person can deal with 6, at most with 12.",
            "stat",
            (
                Query(
                    f"sum(sum_over_time(({_OPENED})[1h:30s])) or vector(0)",
                    in_all(
                        piped(
                            rows("open", measurement="driftline_alarm", start="-1h"), "filter(fn: (r) => r._value == 1)"
                        ),
                        "count()",
                    ),
                    "alarms",
                    instant=True,
                ),
            ),
            width=4,
            height=4,
            thresholds=_PER_PERSON,
            empty="0",
        ),
        Panel(
            "most-alarms",
            "Most alarms",
            "The ten metrics with the most alarms in the time range: a few bad ones make most of a list.",
            "bargauge",
            (
                Query(
                    f"topk(10, sum by (device, metric) (sum_over_time(({_OPENED})[$__range:30s])) > 0)",
                    piped(in_all(_OPENED_ROWS, "count()", "device", "metric"), "group()", "top(n: 10)"),
                    "{{device}} {{metric}}",
                    instant=True,
                ),
            ),
            width=12,
            height=9,
            minimum=0,
            thresholds=(*NEUTRAL,),
            opens="driftline-device",
        ),
    ),
)
