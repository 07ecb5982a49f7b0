"""The engine's settings as JSON: what a snapshot was made under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alerts.alarm_settings import AlarmSettings
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.knowledge_settings import SeriesSettings
from ingest.label_settings import LabelSettings


def settings_as_json(
    routes: Sequence[RouteSettings],
    detectors: Mapping[str, ComponentSettings],
    alarm: AlarmSettings,
    limits: LimitSettings,
    series: Sequence[SeriesSettings],
    device_labels: Sequence[LabelSettings],
) -> dict[str, Any]:
    """What decides on the engine's results, as a snapshot keeps it and compares it with the configuration."""
    # A configuration that says nothing of single series is the same as one of a version before it could.
    said = {"series": [each.model_dump(mode="json") for each in series]} if series else {}
    if device_labels:
        said["device_labels"] = [rule.model_dump(mode="json") for rule in device_labels]
    return said | {
        "routes": [_route_as_json(route) for route in routes],
        "detectors": {name: chosen.model_dump(mode="json") for name, chosen in detectors.items()},
        "alarm": alarm.model_dump(mode="json"),
        "limits": limits.model_dump(mode="json"),
    }


def _route_as_json(route: RouteSettings) -> dict[str, Any]:
    # A route that asks for no properties is the same as one of a version before it could.
    return {name: value for name, value in route.model_dump(mode="json").items() if name != "properties" or value}
