"""Every query of every panel, variables filled in, against a real VictoriaMetrics that holds a simulated plant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from simulated_plant import END, VictoriaMetrics, free_port_of_loopback, running_victoria_metrics, write_plant

from dashboards.alert_rules import RULES, AlertRule
from dashboards.drawing import Drawing, drawn
from dashboards.grafana_units import SIMULATED
from dashboards.interpolation import Choice, TimeRange, choosing_device, fill
from dashboards.model import Board, Panel, Query, Variable
from dashboards.panels import BOARDS
from dashboards.panels.truth_queries import SENSOR_WEEKS
from dashboards.querying import PrometheusSource, QueryError
from devices.batch import Batch, ScoredBatch
from devices.records import AlarmRecord, AlarmState, SeriesRecord, SeverityRise
from storage.external.influx import InfluxSink
from storage.storage_settings import SinkSettings
from storage.store import StepOutput

pytestmark = pytest.mark.service("victoria-metrics")

DEVICE = "plant/hall-1/press-01"
SPAN = TimeRange(END - 1800, END, 10)
EVERYTHING = choosing_device(DEVICE)
A_PART = Choice(
    {**EVERYTHING.values, "site": ("plant/hall-1/", "plant/building/"), "metric": ("temperature", "co2")},
    EVERYTHING.single,
)
PANELS = [(board, panel) for board in BOARDS for panel in board.panels]
PANEL_IDS = [f"{board.uid}-{panel.name}" for board, panel in PANELS]
VARIABLES = [(board, variable) for board in BOARDS for variable in board.variables]


@pytest.fixture(scope="session")
def victoria_metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictoriaMetrics]:
    with running_victoria_metrics(tmp_path_factory.mktemp("victoria"), free_port_of_loopback()) as database:
        write_plant(database)
        yield database


@pytest.fixture(scope="session")
def source(victoria_metrics: VictoriaMetrics) -> Iterator[PrometheusSource]:
    with PrometheusSource(victoria_metrics.url) as opened:
        yield opened


def one_value(source: PrometheusSource, promql: str) -> float:
    [series] = source.ask(Query(promql, "", instant=True), EVERYTHING, SPAN)
    return float(series.values[-1])


def figure(source: PrometheusSource, uid: str, name: str) -> float:
    [panel] = [panel for board, panel in PANELS if (board.uid, panel.name) == (uid, name)]
    return one_value(source, panel.queries[0].promql)


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=PANEL_IDS)
def test_every_query_of_a_panel_gives_rows(source: PrometheusSource, board: Board, panel: Panel) -> None:
    for query in panel.queries:
        found = source.ask(query, EVERYTHING, SPAN)
        assert found, query.promql
        assert any(np.isfinite(series.values).any() for series in found), query.promql
        for series in found:
            assert "{{" not in series.named(query.legend), (query.legend, series.labels)


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=PANEL_IDS)
def test_a_choice_of_sites_and_metrics_is_understood(source: PrometheusSource, board: Board, panel: Panel) -> None:
    for query in panel.queries:
        for series in source.ask(query, A_PART, SPAN):
            device, metric = series.labels.get("device", DEVICE), series.labels.get("metric", "temperature")
            assert device.startswith(("plant/hall-1/", "plant/building/")), query.promql
            assert metric.removeprefix("fault.") in {"temperature", "co2"} or board.uid == "driftline-truth"


@pytest.mark.parametrize(
    ("board", "variable"), VARIABLES, ids=[f"{board.uid}-{variable.name}" for board, variable in VARIABLES]
)
def test_every_variable_has_choices(victoria_metrics: VictoriaMetrics, board: Board, variable: Variable) -> None:
    asked = re.fullmatch(r"label_values\((.+), (\w+)\)", fill(variable.promql, EVERYTHING, SPAN))
    assert asked
    reply = httpx.get(
        f"{victoria_metrics.url}/api/v1/label/{asked[2]}/values",
        params={"match[]": asked[1], "start": SPAN.start, "end": SPAN.end},
    )
    values = reply.json()["data"]
    assert values
    if variable.pattern:
        pattern = re.compile(variable.pattern.strip("/"))
        assert {match[1] for value in values if (match := pattern.match(value))}
    assert not any(value.startswith("fault.") for value in values)


@pytest.mark.parametrize("board", [board for board in BOARDS if board.alarms], ids=lambda board: board.uid)
def test_alarms_are_found_as_annotations(source: PrometheusSource, board: Board) -> None:
    assert board.alarms is not None
    assert source.ask(board.alarms, EVERYTHING, SPAN)


@pytest.mark.parametrize("rule", RULES, ids=[rule.uid for rule in RULES])
def test_every_alert_rule_gives_values(source: PrometheusSource, rule: AlertRule) -> None:
    found = source.ask(rule.query, EVERYTHING, SPAN)
    assert found
    named = set(re.findall(r"\$labels\.(\w+)", rule.summary))
    assert all(named <= set(series.labels) for series in found)


def test_an_alarm_that_has_risen_is_counted_once_under_the_severity_that_it_has(tmp_path: Path) -> None:
    opened = (END - 600) * 1_000_000_000
    mild = AlarmRecord(1, 0, AlarmState.OPEN, opened, None, "minor", 3.5, 9.0, 4.0, "too high")
    severe, empty = replace(mild, severity="major"), ScoredBatch.unscored(Batch.empty(), late=False)
    first = StepOutput(0, 1, empty, series=[SeriesRecord(0, "plant/hall-1/press-01", "temp")], alarms=[mild])
    then = StepOutput(1, 2, empty, alarms=[severe], rises=[SeverityRise(0, opened, "minor")])

    def by_severity(source: PrometheusSource, asked: Query) -> dict[str, float]:
        span = TimeRange(END - 60, END, 10)
        return {each.labels["severity"]: float(each.values[-1]) for each in source.ask(asked, EVERYTHING, span)}

    [panel] = [panel for _, panel in PANELS if panel.name == "by-severity"]
    [rule] = [rule for rule in RULES if rule.uid == "driftline-alarm"]
    with (
        running_victoria_metrics(tmp_path, free_port_of_loopback()) as database,
        PrometheusSource(database.url) as source,
        InfluxSink(SinkSettings(name="victoria", type="victoriametrics", url=database.url)) as sink,
    ):
        sink.write(first)
        sink.write(then)
        sink.write(first)
        database.flush()
        assert figure(source, "driftline-fleet", "open-alarms") == 1
        assert by_severity(source, panel.queries[0]) == by_severity(source, rule.query) == {"minor": 0, "major": 1}


def test_figures_are_those_of_the_plant(source: PrometheusSource) -> None:
    assert figure(source, "driftline-fleet", "devices") == 20
    assert figure(source, "driftline-fleet", "silent") == 2
    assert figure(source, "driftline-fleet", "open-alarms") >= 2
    assert figure(source, "driftline-detectors", "scoring") == 60
    assert figure(source, "driftline-pipeline", "unaccounted") == 0
    assert figure(source, "driftline-truth", "faults") >= 20
    assert 0 < figure(source, "driftline-truth", "found") <= 1
    assert 0 < figure(source, "driftline-truth", "true") <= 1
    assert figure(source, "driftline-truth", "false") == 0
    sensor_weeks = one_value(source, fill(SENSOR_WEEKS, EVERYTHING, SPAN))
    assert sensor_weeks == pytest.approx(60 * 1800 / (7 * 86_400), rel=0.1)


def test_the_grid_shows_each_device_by_its_worst_state(source: PrometheusSource) -> None:
    [grid] = [panel for panel in BOARDS[0].panels if panel.name == "grid"]
    states = {s.labels["device"]: s.values[-1] for s in source.ask(grid.queries[0], EVERYTHING, SPAN)}
    assert len(states) == 20
    assert states["plant/utilities/tank-02"] == 3  # It has fallen silent, which is an alarm.
    assert states["plant/building/room-01"] == 3
    assert states["plant/hall-1/press-01"] == 3


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_is_drawn_with_all_its_panels(source: PrometheusSource, board: Board) -> None:
    picture = drawn(board, Drawing(source, EVERYTHING, SPAN, SIMULATED))
    for panel in board.panels:
        if "$" not in panel.title:
            assert f">{panel.title}<" in picture
    assert "no data" not in picture
    assert "NaN" not in picture.replace("nan", "NaN")


def test_an_impossible_query_is_told_with_the_database_s_words(source: PrometheusSource) -> None:
    with pytest.raises(QueryError, match=r"422.*sum\(\("):
        source.ask(Query("sum((", "", instant=True), EVERYTHING, SPAN)


def test_a_database_that_is_away_is_an_oserror() -> None:
    with (
        PrometheusSource(f"http://127.0.0.1:{free_port_of_loopback()}") as away,
        pytest.raises(OSError, match=r"127\.0\.0\.1"),
    ):
        away.ask(Query("up", "", instant=True), EVERYTHING, SPAN)
