from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from influxd import Influxd
from serving import serving
from victoria import Victoria

from storage.retention import apply, downsampling_task, plan_embedded, plan_sink
from storage.storage_settings import ArchiveSettings, SinkSettings, StoreSettings

ORG = "0123456789abcdef"


class InfluxServer(ThreadingHTTPServer):
    """As much of InfluxDB 2's API of buckets and tasks as its documents describe, kept in memory."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.buckets: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.changes = 0


class Handler(BaseHTTPRequestHandler):
    server: InfluxServer

    def do_GET(self) -> None:
        address = urllib.parse.urlsplit(self.path)
        name = urllib.parse.parse_qs(address.query).get("name", [""])[0]
        if self.headers["Authorization"] != "Token secret":
            self.answer(401, {"code": "unauthorized", "message": "unauthorized access"})
        elif address.path == "/api/v2/orgs":
            self.answer(200, {"orgs": [{"id": ORG, "name": "driftline"}]})
        elif address.path == "/api/v2/buckets":
            self.answer(200, {"buckets": [b for b in self.server.buckets if b["name"] == name]})
        else:
            self.answer(200, {"tasks": [t for t in self.server.tasks if t["name"] == name]})

    def do_POST(self) -> None:
        self.server.changes += 1
        given = self.body()
        if self.path == "/api/v2/buckets":
            self.server.buckets.append(given | {"id": f"{len(self.server.buckets):016x}"})
            self.answer(201, self.server.buckets[-1])
        else:
            name = given["flux"].partition('name: "')[2].partition('"')[0]
            number = f"{len(self.server.tasks):016x}"
            self.server.tasks.append({"id": number, "orgID": ORG, "name": name, "status": "active", **given})
            self.answer(201, self.server.tasks[-1])

    def do_PATCH(self) -> None:
        self.server.changes += 1
        kind, number = self.path.split("/")[-2:]
        [found] = [each for each in getattr(self.server, kind) if each["id"] == number]
        found.update({name: value for name, value in self.body().items() if value is not None})
        self.answer(200, found)

    def body(self) -> dict[str, Any]:
        given: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return given

    def answer(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def influx() -> Iterator[InfluxServer]:
    with serving(InfluxServer()) as running:
        yield running


def on(server: InfluxServer, **more: object) -> SinkSettings:
    return SinkSettings(name="influx", url=f"http://127.0.0.1:{server.server_port}", **more)


def todo(settings: SinkSettings) -> list[str]:
    return [f"{step.subject}: {step.action}" for step in plan_sink(settings, "secret") if step.action]


def test_influxdb_gets_buckets_and_tasks_once(influx: InfluxServer) -> None:
    settings = on(influx, keep="30d", downsample=[{"every": "1m", "keep": "365d"}, {"every": "1h"}])
    assert todo(settings) == [
        'bucket "driftline": make it',
        'bucket "driftline_1m": make it',
        'task "driftline driftline 1m": make it',
        'bucket "driftline_1h": make it',
        'task "driftline driftline 1h": make it',
    ]
    assert influx.changes == 0, "planning changes nothing"
    assert len(apply(plan_sink(settings, "secret"))) == 5
    rules = {b["name"]: b["retentionRules"][0]["everySeconds"] for b in influx.buckets}
    assert rules == {"driftline": 30 * 86400, "driftline_1m": 365 * 86400, "driftline_1h": 365 * 86400}
    assert all(bucket["orgID"] == ORG for bucket in influx.buckets)
    assert todo(settings) == []
    assert apply(plan_sink(settings, "secret")) == []
    assert influx.changes == 5


def test_influxdb_is_brought_back_to_what_is_configured(influx: InfluxServer) -> None:
    settings = on(influx, keep="30d", downsample=[{"every": "1m"}])
    apply(plan_sink(settings, "secret"))
    influx.buckets[0]["retentionRules"][0]["everySeconds"] = 86400
    influx.tasks[0]["flux"] += "// changed"
    changed = on(influx, keep="30d", downsample=[{"every": "1m"}])
    assert todo(changed) == ['bucket "driftline": keep 30d', 'task "driftline driftline 1m": replace it']
    apply(plan_sink(changed, "secret"))
    assert todo(changed) == []
    influx.tasks[0]["status"] = "inactive"
    assert todo(changed) == ['task "driftline driftline 1m": replace it']
    unset = on(influx)
    assert todo(unset) == [], "what is not configured stays as it is"


@pytest.mark.optional_service("influxd")
def test_a_policy_of_influxdb_1_is_set_once(tmp_path: Path, wait_until: Callable[..., None]) -> None:
    with Influxd(tmp_path / "influxd", wait_until) as server:
        server.statement("CREATE DATABASE plant")
        settings = SinkSettings(name="old", url=server.url, bucket="plant/autogen", keep="30d")
        assert [step.action for step in apply(plan_sink(settings, "u:p"))] == ["keep 30d"]
        assert todo(settings) == []
        assert apply(plan_sink(settings, "u:p")) == []
        assert b"720h0m0s" in server.statement("SHOW RETENTION POLICIES ON plant")
        with pytest.raises(OSError, match="404 Not Found: expected InfluxDB 2, or of InfluxDB 1 a retention policy"):
            plan_sink(settings.model_copy(update={"bucket": "other/autogen"}), "u:p")


def test_a_server_that_refuses_is_named(influx: InfluxServer) -> None:
    with pytest.raises(OSError, match=rf"http://127\.0\.0\.1:{influx.server_port}: 401"):
        plan_sink(on(influx), "wrong")


def test_a_task_computes_whole_stretches_of_each_field() -> None:
    flux = downsampling_task("n", "raw", "raw_5m", "5m")
    assert 'option task = {name: "n", every: 5m, offset: 5s}' in flux
    assert "stop = date.truncate(t: now(), unit: 5m)" in flux
    assert "start = date.sub(from: stop, d: 50m)" in flux
    assert flux.count('to(bucket: "raw_5m")') == 9
    assert 'r._field == "score") |> aggregateWindow(every: 5m, fn: max' in flux


@pytest.mark.service("victoria-metrics")
def test_victoriametrics_is_told_by_its_flags(tmp_path: Path, free_port: int, wait_until: Callable[..., None]) -> None:
    with Victoria(tmp_path, free_port, wait_until, retention="30d") as server:

        def words(**more: object) -> list[str]:
            settings = SinkSettings(name="vm", type="victoriametrics", url=server.url, **more)
            steps = plan_sink(settings, "")
            assert all(step.apply is None for step in steps)
            return [step.action for step in steps if step.action]

        assert words() == words(keep="30d") == []
        assert words(keep="90d") == ["start VictoriaMetrics with -retentionPeriod=90d"]
        assert "enterprise" in words(downsample=[{}])[0]
    with pytest.raises(OSError, match="/flags"):
        plan_sink(SinkSettings(name="vm", type="victoriametrics", url=server.url, timeout="1s"), "")


def test_the_embedded_store_is_looked_after_by_the_service() -> None:
    plain = plan_embedded(StoreSettings(), ArchiveSettings())
    assert [(step.subject, step.wanted) for step in plain] == [("points", "30d"), ("dead letters", "7d")]
    archived = plan_embedded(StoreSettings(), ArchiveSettings(folder="old", keep="365d"))
    assert [(step.subject, step.wanted) for step in archived] == [
        ("points", "2d, then the archive"),
        ("dead letters", "7d"),
        ("old", "365d"),
    ]
    assert not any(step.action for step in plain + archived)
