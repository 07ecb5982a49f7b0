"""Dashboards as Grafana stores them, built from their description with the Grafana Foundation SDK.

SDK: https://grafana.github.io/grafana-foundation-sdk/ (JSON model: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from grafana_foundation_sdk.builders import dashboard as sdk
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from dashboards.interpolation import ALL
from dashboards.model import COLUMNS, TAG, Board, Variable
from dashboards.panel_building import built_panel
from dashboards.panels import BOARDS
from dashboards.sources import Source

Json = dict[str, Any]


class _Annotations(models.AnnotationQuery):
    """An annotation query with what its data source's plugin reads beside the SDK's fields."""

    extra: Mapping[str, object]

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), **self.extra}


def built(board: Board, source: Source, *, units: Mapping[str, str], page_url: str) -> Json:
    """The dashboard as JSON for Grafana. `units` is each metric's unit; `page_url` where our own page is."""
    building = (
        sdk.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags(list(board.tags))
        .time(board.time_from, "now")
        .refresh(board.refresh)
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .editable()
    )
    for variable in board.variables:
        building = building.with_variable(_variable(variable, source))
    for link in _links(page_url):
        building = building.link(link)
    dashboard = building.build()
    dashboard.panels = _laid_out(board, source, units)
    dashboard.annotations = models.AnnotationContainer(list_val=_annotations(board, source))
    return json.loads(json.dumps(dashboard, cls=JSONEncoder))  # type: ignore[no-any-return]


def all_built(source: Source, *, units: Mapping[str, str], page_url: str) -> dict[str, Json]:
    """All dashboards by uid."""
    return {board.uid: built(board, source, units=units, page_url=page_url) for board in BOARDS}


def _laid_out(board: Board, source: Source, units: Mapping[str, str]) -> list[models.Panel | models.RowPanel]:
    """Rows and panels on the grid, left to right and top to bottom, with ids that count from 1."""
    placed: list[models.Panel | models.RowPanel] = []
    top = 0
    for section in board.sections:
        row = sdk.Row(section.title).collapsed(False).id(len(placed) + 1)
        row = row.grid_pos(models.GridPos(h=1, w=COLUMNS, x=0, y=top))
        placed.append((row.repeat(section.repeat) if section.repeat else row).build())
        top += 1
        left = tallest = 0
        for panel in section.panels:
            if left + panel.width > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            position = models.GridPos(h=panel.height, w=panel.width, x=left, y=top)
            placed.append(built_panel(panel, source, units=units, number=len(placed) + 1, position=position))
            left += panel.width
            tallest = max(tallest, panel.height)
        top += tallest
    return placed


def _variable(variable: Variable, source: Source) -> sdk.QueryVariable:
    building = (
        sdk.QueryVariable(variable.name)
        .label(variable.label)
        .description(variable.description)
        .datasource(source.reference)
        .query(source.text(variable))
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(variable.many)
    )
    if variable.pattern:
        building = building.regex(variable.pattern)
    if variable.many:
        building = (
            building.include_all(True)
            .all_value(ALL)
            .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
        )
    return building


def _links(page_url: str) -> list[sdk.DashboardLink]:
    others = (
        sdk.DashboardLink("Driftline")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .include_vars(True)
        .keep_time(True)
    )
    page = (
        sdk.DashboardLink("Driftline's own page")
        .type(models.DashboardLinkType.LINK)
        .icon("external link")
        .tooltip("The page that the service itself serves: live, with alarms to acknowledge")
        .url(page_url)
        .target_blank(True)
    )
    return [others, page]


def _annotations(board: Board, source: Source) -> list[models.AnnotationQuery]:
    if board.alarms is None:
        return []
    query = _Annotations(name="Alarms", datasource=source.reference, enable=True, icon_color="red")
    if source.language == "promql":
        query.expr = board.alarms.promql
        query.extra = {"titleFormat": board.alarms.legend, "textFormat": "alarm {{severity}}", "tagKeys": "severity"}
    else:
        query.extra = {
            "target": {"refId": "Alarms", "query": board.alarms.flux, "datasource": source.reference},
            "mappings": {
                "title": {"source": "field", "value": "device"},
                "text": {"source": "field", "value": "metric"},
            },
        }
    return [query]
