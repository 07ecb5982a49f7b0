"""The dashboards as Grafana stores them: valid by the SDK, complete, and without anything that hangs in the air."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.builders.prometheus import Dataquery as DataqueryBuilder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.alerting import Rule
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.alert_rules import RULES
from dashboards.building import all_built
from dashboards.grafana_units import SIMULATED, by_unit, grafana_unit, units_of
from dashboards.interpolation import ALL, Choice, TimeRange, choosing_device, fill, used
from dashboards.model import COLUMNS, Board, Panel
from dashboards.panels import BOARDS, checked
from dashboards.provisioning import BuildSettings, write_all
from dashboards.sources import SOURCES, Source, source_named
from devices.records import SeriesRecord

UIDS = [board.uid for board in BOARDS]
BUILT = {source.name: all_built(source, units=SIMULATED, page_url="http://127.0.0.1:8000/") for source in SOURCES}
EVERY = [(source, board) for source in SOURCES for board in BOARDS]
IDS = [f"{source.name}-{board.uid}" for source, board in EVERY]
_BY_GRAFANA = {"__from", "__to", "__interval", "__rate_interval", "__range", "__range_s", "__url_time_range"}
_NO_VARIABLES = {"__data", "__field", "__all"}


def panels_of(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, str):
        yield value


def references(value: Any) -> Iterator[dict[str, str]]:
    if isinstance(value, dict):
        for name, one in value.items():
            if name == "datasource":
                yield one
            else:
                yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


def without_extras(dashboard: dict[str, Any]) -> dict[str, Any]:
    """The dashboard without what the SDK's annotation class does not know of: fields of the data source's plugin."""
    copy: dict[str, Any] = json.loads(json.dumps(dashboard))
    for annotation in copy["annotations"].get("list", []):
        for name in ("titleFormat", "textFormat", "tagKeys", "target", "mappings"):
            annotation.pop(name, None)
    return copy


@pytest.mark.parametrize(("source", "board"), EVERY, ids=IDS)
def test_is_valid_by_the_sdk_and_survives_its_round_trip(source: Source, board: Board) -> None:
    register_default_plugins()
    dashboard = without_extras(BUILT[source.name][board.uid])
    read = Dashboard.from_json(dashboard)
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == dashboard
    if source.plugin == "prometheus":
        queries = [target for panel in read.panels or [] for target in getattr(panel, "targets", None) or []]
        assert queries
        assert {type(query) for query in queries} == {type(DataqueryBuilder().build())}


@pytest.mark.parametrize(("source", "board"), EVERY, ids=IDS)
def test_uses_only_variables_that_it_has(source: Source, board: Board) -> None:
    dashboard = BUILT[source.name][board.uid]
    own = {variable["name"] for variable in dashboard["templating"].get("list", [])}
    named = re.compile(r"\$\{(\w+)[^}]*\}|\$(\w+)")
    found = {m[1] or m[2] for text in texts(dashboard) for m in named.finditer(text)}
    assert {name for name in found if not name.isdecimal()} - _BY_GRAFANA - _NO_VARIABLES <= own


@pytest.mark.parametrize("board", BOARDS, ids=UIDS)
def test_every_variable_is_used(board: Board) -> None:
    queries = [query.promql for panel in board.panels for query in panel.queries]
    asked = [variable.promql for variable in board.variables]
    assert {variable.name for variable in board.variables} <= {n for text in (*queries, *asked) for n in used(text)}


@pytest.mark.parametrize(("source", "board"), EVERY, ids=IDS)
def test_refers_to_the_one_data_source_and_to_dashboards_that_exist(source: Source, board: Board) -> None:
    dashboard = BUILT[source.name][board.uid]
    found = list(references(dashboard))
    assert found
    assert all(one == {"type": source.plugin, "uid": source.uid} for one in found)
    linked = {match[1] for text in texts(dashboard) for match in re.finditer(r"/d/([\w-]+)", text)}
    assert linked <= set(UIDS)


@pytest.mark.parametrize(("source", "board"), EVERY, ids=IDS)
def test_panels_have_their_own_ids_and_places_on_the_grid(source: Source, board: Board) -> None:
    panels = BUILT[source.name][board.uid]["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= COLUMNS
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize(("source", "board"), EVERY, ids=IDS)
def test_every_panel_explains_itself_and_asks_something(source: Source, board: Board) -> None:
    for panel in panels_of(BUILT[source.name][board.uid]):
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        asked = [target.get("expr") or target.get("query") for target in panel["targets"]]
        assert asked, panel["title"]
        assert all(asked), panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(asked)


@pytest.mark.parametrize("board", BOARDS, ids=UIDS)
def test_links_to_the_other_dashboards_and_to_our_page(board: Board) -> None:
    links = BUILT["victoriametrics"][board.uid]["links"]
    assert [link["type"] for link in links] == ["dashboards", "link"]
    assert links[0]["tags"] == ["driftline"]
    assert links[0]["includeVars"]
    assert links[1]["url"] == "http://127.0.0.1:8000/"
    assert BUILT["victoriametrics"][board.uid]["tags"] == ["driftline"]


def test_both_languages_say_the_same_panels() -> None:
    for board in BOARDS:
        one, other = (BUILT[source.name][board.uid] for source in SOURCES)
        seen = [[(p["title"], p["type"], p["gridPos"]) for p in board["panels"]] for board in (one, other)]
        assert seen[0] == seen[1]


def test_values_carry_the_units_of_their_metrics() -> None:
    device = BUILT["victoriametrics"]["driftline-device"]
    [panel] = [one for one in panels_of(device) if one["title"] == "$metric"]
    units = {
        override["matcher"]["options"]: prop["value"]
        for override in panel["fieldConfig"]["overrides"]
        for prop in override["properties"]
        if prop["id"] == "unit"
    }
    [celsius] = [pattern for pattern, unit in units.items() if unit == "celsius"]
    assert re.search(celsius.strip("/"), "value temperature")
    assert not re.search(celsius.strip("/"), "value temperature_set")


def test_units_come_from_the_registry_where_devices_agree() -> None:
    records = [
        SeriesRecord(0, "a", "temperature", "°C"),
        SeriesRecord(1, "b", "temperature", "°C"),
        SeriesRecord(2, "a", "level", "%"),
        SeriesRecord(3, "b", "level", "cm"),
    ]
    assert units_of(records) == {"temperature": "°C", "level": ""}
    assert by_unit({"t": "°C", "u": "", "w": "furlong"}) == {"celsius": ["t"], "suffix: furlong": ["w"]}
    assert grafana_unit("") == ""


def test_variables_are_filled_in_as_grafana_does() -> None:
    span = TimeRange(1000, 2800, 15)
    choice = Choice({"site": ("plant/hall-1.x/", "plant/yard/"), "device": ('o"b',)}, frozenset({"device"}))
    text = 'm{a=~"$site.*",b="$device",c=~"${metric}"}[$__range] / $__range_s [$__interval] "$1"'
    assert fill(text, choice, span) == (
        'm{a=~"(plant/hall-1\\\\.x/|plant/yard/).*",b="o\\"b",c=~".*"}[1800s] / 1800 [15s] "$1"'
    )
    assert choosing_device("plant/press-01").values["siblings"][0].endswith("press-")
    with pytest.raises(ValueError, match="'device' takes one value"):
        fill("$device", Choice({}, frozenset({"device"})), span)


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(ValueError, match="uid 'driftline-fleet' is taken"):
        checked((BOARDS[0], BOARDS[0]))
    first = BOARDS[0].sections[0]
    doubled: tuple[Panel, ...] = (*first.panels, first.panels[0])
    with pytest.raises(ValueError, match="panel name 'devices' is taken"):
        checked((dataclasses.replace(BOARDS[0], sections=(dataclasses.replace(first, panels=doubled),)),))
    with pytest.raises(ValueError, match='unknown kind of sink "graphite"'):
        source_named("graphite")


@pytest.mark.parametrize("source", SOURCES, ids=[source.name for source in SOURCES])
def test_provisioning_files_hang_together(source: Source, tmp_path: Path) -> None:
    settings = BuildSettings(database_url="http://db:8428", token_path="/run/secrets/token", webhook="http://hook/")
    paths = write_all(tmp_path, source, settings, units=SIMULATED)
    first = {path: path.read_bytes() for path in paths}
    assert write_all(tmp_path, source, settings, units=SIMULATED) == paths
    assert {path: path.read_bytes() for path in paths} == first
    read = {
        path.relative_to(tmp_path).as_posix(): yaml.safe_load(path.read_text())
        for path in paths
        if path.suffix == ".yaml"
    }
    [data_source] = read["provisioning/datasources/driftline.yaml"]["datasources"]
    assert (data_source["uid"], data_source["type"], data_source["url"]) == (
        source.uid,
        source.plugin,
        "http://db:8428",
    )
    assert data_source["secureJsonData"] == {"token": "$__file{/run/secrets/token}"}
    [provider] = read["provisioning/dashboards/driftline.yaml"]["providers"]
    files = sorted(Path(provider["options"]["path"]).glob("*.json"))
    assert sorted(json.loads(path.read_text())["uid"] for path in files) == sorted(UIDS)
    [contact] = read["provisioning/alerting/driftline-contact.yaml"]["contactPoints"]
    [group] = read["provisioning/alerting/driftline-rules.yaml"]["groups"]
    assert [rule["uid"] for rule in group["rules"]] == [rule.uid for rule in RULES]
    for rule in group["rules"]:
        assert rule["notification_settings"]["receiver"] == contact["name"]
        assert rule["condition"] in {query["refId"] for query in rule["data"]}
        assert {query["datasourceUid"] for query in rule["data"]} == {source.uid, "__expr__"}
        assert rule["annotations"]["__dashboardUid__"] in UIDS
        assert "$" not in rule["annotations"]["summary"].replace("$$", "")
        known = {name: value for name, value in rule.items() if name != "notification_settings"}
        again = json.loads(json.dumps(Rule.from_json(known), cls=JSONEncoder))
        assert {name: again[name] for name in known} == known


def test_all_stands_for_everything() -> None:
    assert fill('x{site=~"$site.*"}', Choice({"site": (ALL,)}), TimeRange(0, 60, 1)) == 'x{site=~".*.*"}'
