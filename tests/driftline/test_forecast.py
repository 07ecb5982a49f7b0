"""Forecasts as the API and the command tell them: values, limits, and why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_service import SECOND, DemoService, scored
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from devices.records import SeriesRecord
from driftline.cli.command_line import app
from driftline.runtime.forecasting import limits_of
from ingest.knowledge_settings import KnowledgeSettings, SeriesSettings

START = 1_772_323_200 * SECOND
"""2026-03-01T00:00 UTC."""
STEP = 300 * SECOND
DAYS = 4
TANK, ROOM = "site/tank", "site/room"
RECORDS = [
    SeriesRecord(0, ROOM, "temperature", "°C"),
    SeriesRecord(1, TANK, "level", "%"),
    SeriesRecord(2, TANK, "valve"),
    SeriesRecord(3, TANK, "flow", "l/min"),
    SeriesRecord(4, TANK, "pressure", "bar"),
]
ALLOWED = SeriesSettings(device=TANK, metric="level", highest_allowed=95.0, lowest_allowed=10.0)


def fill(service: DemoService) -> None:
    """A room with a daily course of 4 K, a tank that has risen by 5 % an hour for 8 hours, to 85 %; two without use."""
    random = np.random.default_rng(5)
    times = [START + n * STEP for n in range(DAYS * 288)]
    hours = np.arange(len(times)) / 12
    room = 20 + 4 * np.sin(2 * np.pi * hours / 24) + random.normal(0, 0.2, len(times))
    level = 45 + np.maximum(hours - (24 * DAYS - 8), 0) * 5 + random.normal(0, 0.3, len(times))
    valve = (np.arange(len(times)) // 50 % 2).astype(float)
    for number, values in enumerate((room, level, valve)):
        service.step(scored([number] * len(times), times, values.tolist()), series=RECORDS if number == 0 else [])
    service.step(scored([3] * 5, times[:5], [1.0, 2.0, 4.0, 3.0, 5.0]))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DemoService]:
    service = DemoService(tmp_path / "points.duckdb", clock=lambda: START + DAYS * 288 * STEP)
    fill(service)
    yield service
    service.close()


@pytest.fixture
def client(service: DemoService, monkeypatch: pytest.MonkeyPatch, client: TestClient) -> TestClient:
    usual = service.series_settings
    monkeypatch.setattr(service, "series_settings", lambda series: ALLOWED if series == 1 else usual(series))
    return client


def forecast(client: TestClient, device: str, metric: str, horizon: str = "24h") -> Any:
    reply = client.get("/api/v1/forecast", params={"device": device, "metric": metric, "horizon": horizon})
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_a_daily_course_is_forecast_with_a_band_of_its_noise(client: TestClient) -> None:
    made = forecast(client, ROOM, "temperature")
    assert (made["model"], made["unit"], len(made["time"])) == ("course of the day", "°C", 48)
    end = START + (DAYS * 288 - 1) * STEP + 1
    assert made["made"] == end
    assert made["time"][-1] == end + 24 * 3600 * SECOND
    for at, expected, lower, upper in zip(
        *(made[name] for name in ("time", "expected", "lower", "upper")), strict=True
    ):
        hour = (at - START - 900 * SECOND) / (3600 * SECOND)  # The middle of the half hour that ends then.
        assert expected == pytest.approx(20 + 4 * math.sin(2 * math.pi * hour / 24), abs=0.35)
        assert 0.2 < upper - lower < 2.0
    width = np.subtract(made["upper"], made["lower"])
    assert (np.diff(width) > -1e-9).all()  # What is further ahead is not surer.
    told = (
        "over the next 24 h temperature is between 15.57 and 24.45 °C, at the end between 19.22 and 20.07 °C, "
        "four times of five, by its course of the day"
    )
    assert made["sentence"] == told


def test_a_rising_level_is_told_with_the_time_to_its_limit(client: TestClient) -> None:
    made = forecast(client, TANK, "level", "6h")
    assert made["model"] == "trend"
    highest, lowest = made["limits"]
    assert (highest["limit"], highest["above"], highest["source"]) == (95.0, True, "highest_allowed")
    assert (highest["median"] - made["made"]) / (3600 * SECOND) == pytest.approx(2.0, abs=0.2)
    assert highest["earliest"] < highest["median"] < highest["latest"]
    assert (lowest["share"], lowest["median"]) == (0.0, None)
    told = "level reaches 95 % in 2.1 h, 80 %: 1:35 to 2:10; level stays above 10 % for the next 6 h"
    assert made["sentence"] == told
    assert max(made["upper"]) == 100  # More cannot be.


def test_where_nothing_can_be_said_it_is_said_why(client: TestClient) -> None:
    told = {metric: forecast(client, TANK, metric) for metric in ("valve", "flow", "pressure")}
    assert {metric: one["sentence"] for metric, one in told.items()} == {
        "valve": "valve has had no more than 2 values: nothing to forecast",
        "flow": "flow: 5 readings in 20 min are too few for a forecast",
        "pressure": "pressure: no reading yet, so no forecast",
    }
    assert all(one["time"] == [] for one in told.values())


def test_a_horizon_beyond_the_history_is_cut_to_a_third_of_it(client: TestClient) -> None:
    made = forecast(client, ROOM, "temperature", "7d")
    assert made["horizon"] / (3600 * SECOND) == 31.5
    assert made["sentence"].endswith("; no further, since there are 4 days of history")


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        ({"device": TANK, "metric": "levle"}, 404, 'query.metric: unknown "levle"; did you mean "level"?'),
        (
            {"device": "site/tnak", "metric": "level"},
            404,
            'query.device: unknown "site/tnak"; did you mean "site/tank"?',
        ),
        ({"device": TANK, "metric": "level", "horizon": "90d"}, 400, "query.horizon: expected 1m to 28d, got 90d"),
        ({"device": TANK, "metric": "level", "horizon": "soon"}, 400, 'query.horizon: "soon" is not a duration'),
        ({"device": TANK}, 400, "query.metric"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    client: TestClient, asked: dict[str, str], status: int, message: str
) -> None:
    reply = client.get("/api/v1/forecast", params=asked)
    assert (reply.status_code, reply.json()["error"]["message"][: len(message)]) == (status, message)


def test_limits_are_those_of_operation_and_else_what_is_possible() -> None:
    facts = KnowledgeSettings(highest_allowed=90, upper_limit=120, lower_limit=2)
    assert [(limit.value, limit.source) for limit in limits_of(facts, "%")] == [
        (90.0, "highest_allowed"),
        (2.0, "lower_limit"),
    ]
    assert [(limit.value, limit.source) for limit in limits_of(KnowledgeSettings(), "%")] == [
        (0.0, "unit"),
        (100.0, "unit"),
    ]
    assert limits_of(KnowledgeSettings(), "°C") == []


def test_the_command_says_the_same_while_no_service_runs(tmp_path: Path) -> None:
    service = DemoService(tmp_path / "points.duckdb")
    fill(service)
    service.close()
    config = tmp_path / "driftline.toml"
    config.write_text('[[series]]\ndevice = "site/tank"\nmetric = "level"\nhighest_allowed = 95.0\nwarn_ahead = "2h"\n')

    def run(*arguments: str) -> tuple[int, str]:
        found = CliRunner().invoke(app, ["forecast", *arguments, "--config", str(config), "--data", str(tmp_path)])
        return found.exit_code, found.output or str(found.exception)

    code, told = run(TANK, "level", "--horizon", "6h")
    assert code == 0
    assert told.splitlines()[0] == "level reaches 95 % in 2.1 h, 80 %: 1:35 to 2:10"
    assert told.splitlines()[1].split() == ["time", "(UTC)", "expected", "lower", "upper"]
    assert 'site/tank: unknown metric "levle"; did you mean "level"?' in run(TANK, "levle")[1]
