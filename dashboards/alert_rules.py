"""Grafana's alert rules, for teams that are notified by Grafana.

Driftline decides what is an alarm; the rules here pass that on, and watch the service itself. Built with the SDK's
alerting classes; format: https://grafana.com/docs/grafana/latest/alerting/set-up/provision-alerting-resources/file-provisioning/
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import alerting, expr
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.alerting import RelativeTimeRange
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from dashboards.languages import piped, service
from dashboards.model import Query
from dashboards.panels.panel_parts import STATE_WINDOW
from dashboards.sources import Source

_EXPRESSION = "__expr__"
_MINUTES_10 = 600


@dataclass(frozen=True, slots=True)
class AlertRule:
    """Alerts for each series of `query` whose value is above `above` for `lasting`. `summary` may name its labels."""

    uid: str
    title: str
    summary: str
    query: Query
    above: float
    lasting: str
    severity: str
    board: str
    quiet_without_data: bool = True


RULES: tuple[AlertRule, ...] = (
    AlertRule(
        "driftline-alarm",
        "An alarm is open",
        "{{ $labels.device }}: {{ $labels.metric }} behaves unlike itself ({{ $labels.severity }})",
        Query(
            f"max by (device, metric, severity) (last_over_time(driftline_alarm_open[{STATE_WINDOW}]))",
            piped(
                "from(bucket: v.defaultBucket)",
                f"range(start: -{STATE_WINDOW})",
                'filter(fn: (r) => r._measurement == "driftline_alarm" and r._field == "open")',
                "last()",
                'group(columns: ["device", "metric", "severity"])',
            ),
            instant=True,
        ),
        0,
        "0s",
        "warning",
        "driftline-device",
    ),
    AlertRule(
        "driftline-silent",
        "A device is silent",
        "{{ $labels.device }} has not reported for longer than its own pace explains",
        Query(
            f"max by (device) (1 - last_over_time(driftline_device_online[{STATE_WINDOW}]))",
            piped(
                "from(bucket: v.defaultBucket)",
                f"range(start: -{STATE_WINDOW})",
                'filter(fn: (r) => r._measurement == "driftline_device" and r._field == "online")',
                "last()",
                "map(fn: (r) => ({r with _value: 1 - r._value}))",
                'group(columns: ["device"])',
            ),
            instant=True,
        ),
        0,
        "5m",
        "warning",
        "driftline-fleet",
    ),
    AlertRule(
        "driftline-stage",
        "A stage of the service has stopped",
        "The {{ $labels.stage }} of the service does not work",
        Query(
            "max by (stage) (driftline_stage_status)",
            piped(service("driftline_stage_status"), "last()", 'group(columns: ["stage"])', "max()"),
            instant=True,
        ),
        1,
        "1m",
        "critical",
        "driftline-pipeline",
        quiet_without_data=False,
    ),
    AlertRule(
        "driftline-behind",
        "The stores are behind",
        "Scoring and storing are more than a minute behind what has arrived",
        Query(
            "max(driftline_lag_seconds)",
            piped(service("driftline_lag_seconds"), "last()", "group()", "max()"),
            instant=True,
        ),
        60,
        "5m",
        "warning",
        "driftline-pipeline",
    ),
    AlertRule(
        "driftline-rejects",
        "Many messages are rejected",
        "More than one message a second cannot be read; look at the dead letters",
        Query(
            "sum(rate(driftline_rejected_total[5m]))",
            piped(service("driftline_rejected_total"), "derivative(unit: 1s, nonNegative: true)", "group()", "mean()"),
            instant=True,
        ),
        1,
        "5m",
        "warning",
        "driftline-pipeline",
    ),
)
"""All alert rules."""


def rule_json(rule: AlertRule, source: Source, *, receiver: str) -> dict[str, Any]:
    """The rule as provisioning files hold it, its dollars doubled: Grafana fills in the environment's variables."""
    asked = alerting.Query("A").datasource_uid(source.uid).relative_time_range(RelativeTimeRange(_MINUTES_10, 0))
    asked = asked.model(source.target(rule.query, "A", table=False))
    built = (
        alerting.Rule(rule.title)
        .uid(rule.uid)
        .condition("B")
        .for_val(rule.lasting)
        .no_data_state("OK" if rule.quiet_without_data else "NoData")
        .exec_err_state("Error")
        .labels({"source": "driftline", "severity": rule.severity})
        .annotations({"summary": rule.summary, "__dashboardUid__": rule.board})
        .with_query(asked)
        .with_query(alerting.Query("B").datasource_uid(_EXPRESSION).model(_above(rule.above)))
        .build()
    )
    plain: dict[str, Any] = json.loads(json.dumps(built, cls=JSONEncoder).replace("$", "$$"))
    unused = ("folderUID", "orgID", "ruleGroup")
    kept = {name: value for name, value in plain.items() if name not in unused}
    return {**kept, "notification_settings": {"receiver": receiver}}


def _above(value: float) -> expr.TypeThreshold:
    evaluator = expr.ExprTypeThresholdConditionsEvaluator().type("gt").params([value])
    condition = expr.ExprTypeThresholdConditions().evaluator(evaluator)
    reference = DataSourceRef(type_val=_EXPRESSION, uid=_EXPRESSION)
    return expr.TypeThreshold().ref_id("B").expression("A").conditions([condition]).datasource(reference)
