"""Every Flux query of every panel, variables filled in, against a real InfluxDB that holds a simulated plant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import flux
import pytest
from influxd import Influxd
from influxdb_client import InfluxDBClient
from simulated_plant import END, write_plant_to_influxdb

from dashboards.alert_rules import RULES, AlertRule
from dashboards.interpolation import Choice, TimeRange, choosing_device
from dashboards.model import Board, Panel, Variable
from dashboards.panels import BOARDS
from storage.retention import downsampling_task
from storage.storage_settings import SinkSettings

pytestmark = pytest.mark.optional_service("influxd")

Ask = Callable[..., list[dict[str, Any]]]
BUCKET = "plant"
SPAN = TimeRange(END - 1800, END, 10)
EVERYTHING = choosing_device("plant/hall-1/press-01")
A_PART = Choice(
    {**EVERYTHING.values, "site": ("plant/hall-1/", "plant/building/"), "metric": ("temperature", "co2")},
    EVERYTHING.single,
)
PANELS = [(board, panel) for board in BOARDS for panel in board.panels]
PANEL_IDS = [f"{board.uid}-{panel.name}" for board, panel in PANELS]
VARIABLES = [(board, variable) for board in BOARDS for variable in board.variables]


@pytest.fixture(scope="session")
def ask(tmp_path_factory: pytest.TempPathFactory, wait_until: Callable[..., None]) -> Iterator[Ask]:
    """Rows of a Flux query, as Grafana would send it."""
    with (
        Influxd(tmp_path_factory.mktemp("influxd"), wait_until) as server,
        InfluxDBClient(server.url, token="user:password", org="-", timeout=30_000) as client,
    ):
        server.statement(f"CREATE DATABASE {BUCKET}")
        server.statement("CREATE DATABASE minutes")
        write_plant_to_influxdb(SinkSettings(name="influx", url=server.url, org="-", bucket=BUCKET))

        def rows(query: str, choice: Choice = EVERYTHING) -> list[dict[str, Any]]:
            tables = client.query_api().query(flux.filled(query, choice, SPAN, BUCKET))
            return [record.values for table in tables for record in table.records]

        yield rows


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=PANEL_IDS)
def test_every_query_of_a_panel_gives_rows(ask: Ask, board: Board, panel: Panel) -> None:
    answers = [(query, ask(query.flux)) for query in panel.queries if query.flux]
    # Of several kinds of things one may not have happened; where a figure has no rows, its panel says what that means.
    assert any(found for _, found in answers) or panel.empty
    for query, found in answers:
        labels = [name.split("}}")[0] for name in query.legend.split("{{")[1:]]
        assert all(label in row for row in found for label in labels), (query.legend, found[0])
        if panel.kind == "table":
            assert set(panel.columns) <= set(found[0]), found[0]
        elif found:
            assert any(row.get("_value") is not None for row in found), query.flux


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=PANEL_IDS)
def test_a_choice_of_sites_and_metrics_is_understood(ask: Ask, board: Board, panel: Panel) -> None:
    for query in panel.queries:
        for row in ask(query.flux, A_PART) if query.flux else ():
            device, metric = row.get("device", "plant/hall-1/press-01"), row.get("metric", "temperature")
            assert device.startswith(("plant/hall-1/", "plant/building/")), query.flux
            assert metric.removeprefix("fault.") in {"temperature", "co2"} or board.uid == "driftline-truth"


@pytest.mark.parametrize(
    ("board", "variable"), VARIABLES, ids=[f"{board.uid}-{variable.name}" for board, variable in VARIABLES]
)
def test_every_variable_has_choices(ask: Ask, board: Board, variable: Variable) -> None:
    values = [row["_value"] for row in ask(variable.flux)]
    assert values
    assert not any(value.startswith("fault.") for value in values)


@pytest.mark.parametrize("board", [board for board in BOARDS if board.alarms], ids=lambda board: board.uid)
def test_alarms_are_found_as_annotations(ask: Ask, board: Board) -> None:
    assert board.alarms is not None
    assert ask(board.alarms.flux)


@pytest.mark.parametrize("rule", RULES, ids=[rule.uid for rule in RULES])
def test_every_alert_rule_gives_values(ask: Ask, rule: AlertRule) -> None:
    assert ask(rule.query.flux)


def test_the_downsampling_task_writes_every_field_of_whole_stretches(ask: Ask) -> None:
    task = downsampling_task("coarse", BUCKET, "minutes", "1m")
    # The 1.x line has no tasks: what a task would run at the end of the simulated time is run by hand.
    ask("\n".join(line for line in task.splitlines() if not line.startswith("option task")))
    found = ask(
        'from(bucket: "minutes") |> range(start: -20m, stop: 1m) |> filter(fn: (r) => r.metric == "temperature")'
    )
    fields = {"value", "value_min", "value_max", "points", "score", "expected", "lower", "upper", "anomalies"}
    assert {row["_field"] for row in found} == fields
    times = {row["_time"].timestamp() for row in found}
    assert all(time % 60 == 0 for time in times)
    assert len(times) == 10
    means = {(row["device"], row["_time"]): row["_value"] for row in found if row["_field"] == "value"}
    lows = {(row["device"], row["_time"]): row["_value"] for row in found if row["_field"] == "value_min"}
    assert all(lows[key] <= means[key] for key in means)
