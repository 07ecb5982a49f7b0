"""One panel as Grafana stores it, by the SDK's builder of its kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as sdk
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models

from dashboards.grafana_units import by_unit
from dashboards.model import Panel, SeriesLook
from dashboards.sources import Source

_PALETTE = models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME
_DRAW = {
    "line": looks.GraphDrawStyle.LINE,
    "band": looks.GraphDrawStyle.LINE,
    "bars": looks.GraphDrawStyle.BARS,
    "points": looks.GraphDrawStyle.POINTS,
}
_HIDDEN_LABELS = ("Time", "__name__", "job")


def built_panel(
    panel: Panel, source: Source, *, units: Mapping[str, str], number: int, position: models.GridPos
) -> models.Panel:
    """The panel with its id and place on the grid."""
    building = _BUILDERS[panel.kind](panel)
    building = (
        building.id(number)
        .title(panel.title)
        .description(panel.description)
        .datasource(source.reference)
        .grid_pos(position)
    )
    for place, query in enumerate(panel.queries):
        if source.text(query):
            building = building.with_target(source.target(query, ascii_uppercase[place], table=panel.kind == "table"))
    building = _values(building, panel)
    for look in panel.looks:
        building = building.override_by_query(ascii_uppercase[look.query], _properties(look))
        if look.fill_to is not None:
            building = _filled(building, panel, look, units)
    for name, color in panel.colors.items():
        building = building.override_by_name(name, _properties(SeriesLook(0, color=color)))
    if panel.unit == "metric":
        for unit, metrics in by_unit(units).items():
            building = building.override_by_regexp(
                f"/(^| )({'|'.join(metrics)})$/", [models.DynamicConfigValue("unit", unit)]
            )
    if source.language == "flux" and panel.kind != "table":
        for place, query in enumerate(panel.queries):
            name = query.legend.replace("{{", "${__field.labels.").replace("}}", "}")
            building = building.override_by_query(
                ascii_uppercase[place], [models.DynamicConfigValue("displayName", name)]
            )
    if panel.kind == "table":
        building = _columns(building, panel, source)
    built: models.Panel = building.build()
    return built


def _values(building: Any, panel: Panel) -> Any:
    if panel.unit and panel.unit != "metric":
        building = building.unit(panel.unit)
    if panel.decimals is not None:
        building = building.decimals(panel.decimals)
    if panel.minimum is not None:
        building = building.min(panel.minimum)
    if panel.empty:
        building = building.no_value(panel.empty)
    if panel.thresholds:
        steps = [models.Threshold(step.above, step.color) for step in panel.thresholds]
        building = building.thresholds(sdk.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    if panel.texts:
        options = {
            str(text.value): models.ValueMappingResult(text=text.text, color=text.color, index=index)
            for index, text in enumerate(panel.texts)
        }
        building = building.mappings([models.ValueMap(options=options)])
    if panel.opens:
        building = building.data_links([_data_link(panel)])
    return building


def _data_link(panel: Panel) -> sdk.DashboardLink:
    device = "${__data.fields.device}" if panel.kind == "table" else "${__field.labels.device}"
    url = f"/d/{panel.opens}?var-device={device}&${{__url_time_range}}"
    return sdk.DashboardLink("Show the device").url(url).type(models.DashboardLinkType.LINK)


def _timeseries(panel: Panel) -> Any:
    building = (
        timeseries.Panel()
        .draw_style(_DRAW[panel.look])
        .line_width(1)
        .fill_opacity(60 if panel.look == "bars" else 0 if panel.look == "band" else 10)
        .show_points(looks.VisibilityMode.NEVER)
        .color_scheme(sdk.FieldColor().mode(_PALETTE))
        .legend(
            common.VizLegendOptions()
            .display_mode(looks.LegendDisplayMode.LIST)
            .placement(looks.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
    )
    if panel.stacked:
        building = building.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A"))
    if panel.thresholds:
        building = building.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(looks.GraphTresholdsStyleMode.DASHED)
        )
    if panel.logarithmic:
        building = building.scale_distribution(
            common.ScaleDistributionConfig().type(looks.ScaleDistribution.LOG).log(10)
        )
    return building


def _stat(panel: Panel) -> Any:
    named = any("{{" in query.legend for query in panel.queries)
    return (
        stat.Panel()
        .reduce_options(_newest())
        .graph_mode(looks.BigValueGraphMode.NONE)
        .color_mode(looks.BigValueColorMode.BACKGROUND if panel.texts else looks.BigValueColorMode.VALUE)
        .text_mode(looks.BigValueTextMode.VALUE_AND_NAME if named else looks.BigValueTextMode.VALUE)
        .orientation(looks.VizOrientation.AUTO)
        .color_scheme(sdk.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    )


def _bargauge(_: Panel) -> Any:
    return (
        bargauge.Panel()
        .reduce_options(_newest())
        .orientation(looks.VizOrientation.HORIZONTAL)
        .display_mode(looks.BarGaugeDisplayMode.BASIC)
        .show_unfilled(True)
        .color_scheme(sdk.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    )


def _state(_: Panel) -> Any:
    return (
        statetimeline.Panel()
        .show_value(looks.VisibilityMode.NEVER)
        .merge_values(True)
        .row_height(0.8)
        .fill_opacity(80)
        .color_scheme(sdk.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .legend(
            common.VizLegendOptions()
            .display_mode(looks.LegendDisplayMode.LIST)
            .placement(looks.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )


def _table(panel: Panel) -> Any:
    building = table.Panel().show_header(True)
    if panel.sort_by:
        building = building.sort_by([common.TableSortByFieldState().display_name(panel.sort_by).desc(True)])
    return building


_BUILDERS = {"timeseries": _timeseries, "stat": _stat, "bargauge": _bargauge, "state": _state, "table": _table}


def _newest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _properties(look: SeriesLook) -> list[models.DynamicConfigValue]:
    value = models.DynamicConfigValue
    found = []
    if look.color:
        found.append(value("color", {"mode": "fixed", "fixedColor": look.color}))
    if look.look:
        found.append(value("custom.drawStyle", _DRAW[look.look].value))
    if look.look == "points":
        found += [value("custom.showPoints", "always"), value("custom.pointSize", 8)]
    if look.fill_to is not None:
        found.append(value("custom.fillOpacity", 20))
    if look.dashed:
        found.append(value("custom.lineStyle", {"fill": "dash", "dash": [6, 4]}))
    if look.axis_right:
        found.append(value("custom.axisPlacement", "right"))
    if look.unit:
        found.append(value("unit", look.unit))
    return found


def _filled(building: Any, panel: Panel, look: SeriesLook, metrics: Iterable[str]) -> Any:
    """The band between two series, which Grafana finds by their names alone: so it is said for each metric known."""
    upper, lower = panel.queries[look.query].legend, panel.queries[look.fill_to or 0].legend
    for metric in sorted(metrics):
        fill = models.DynamicConfigValue("custom.fillBelowTo", lower.replace("{{metric}}", metric))
        building = building.override_by_name(upper.replace("{{metric}}", metric), [fill])
    return building


def _columns(building: Any, panel: Panel, source: Source) -> Any:
    """One row a series: the queries' values side by side, with their names and units."""
    if source.language == "promql":
        several = len(panel.queries) > 1
        names = {
            (f"Value #{ascii_uppercase[place]}" if several else "Value"): column
            for place, column in enumerate(panel.columns)
        }
        hidden = dict.fromkeys((*_HIDDEN_LABELS, *(f"{label} {i}" for label in _HIDDEN_LABELS for i in (1, 2))), True)
        building = building.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
        building = building.with_transformation(
            models.DataTransformerConfig(
                id_val="organize", options={"excludeByName": hidden, "indexByName": {}, "renameByName": names}
            )
        )
    for column, unit in zip(panel.columns, panel.units, strict=True):
        if unit:
            building = building.override_by_name(column, [models.DynamicConfigValue("unit", unit)])
    for column, places in zip(panel.columns, panel.places, strict=False):
        if places is not None:
            building = building.override_by_name(column, [models.DynamicConfigValue("decimals", places)])
    return building
