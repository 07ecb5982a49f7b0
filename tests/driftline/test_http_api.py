from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from demo_service import NEEDED, SECOND, DemoService, scored
from fastapi.testclient import TestClient
from letters import letter

from devices.message_properties import encode_properties
from devices.records import AlarmRecord, AlarmState, SeriesRecord
from driftline.http.app import create_app, openapi_document
from driftline.http.http_settings import HttpSettings
from driftline.http.view import StageHealth, Status
from storage.external.sink_registry import external_reader
from storage.storage_settings import SinkSettings

START = 1_772_366_400 * SECOND
OPENAPI = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
PUMP = [SeriesRecord(0, "plant/pump 1", "temperature", "°C"), SeriesRecord(1, "plant/pump 1", "flow", "m³/h")]
TANK = SeriesRecord(2, "tank", "level", "%")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DemoService]:
    service = DemoService(tmp_path / "store.duckdb", clock=lambda: START + 1_000 * SECOND)
    yield service
    service.close()


@pytest.fixture
def client(service: DemoService) -> TestClient:
    app = create_app(service, HttpSettings(max_query_rows=50))
    return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


def fill(service: DemoService, n: int = 100) -> None:
    times = [START + i * SECOND for i in range(n)]
    odd = [i == 70 for i in range(n)]
    service.step(scored([0] * n, times, [20 + (50 if i == 70 else i % 3) for i in range(n)], odd), series=PUMP)
    service.step(scored([1] * 5, times[:5], [1.0] * 5))
    service.step(scored([2] * 5, times[:5], [2.0] * 5), series=[TANK])


def alarm(number: int, series: int, state: AlarmState, opened: int) -> AlarmRecord:
    cleared = opened + SECOND if state is AlarmState.CLEARED else None
    return AlarmRecord(number, series, state, opened, cleared, "warning", 6.0, 70.0, 21.0, "odd", {"zscore": 6.0})


def error_of(reply: object) -> tuple[int, str, str]:
    body = reply.json()  # type: ignore[attr-defined]
    assert list(body) == ["error"]
    assert sorted(body["error"]) == ["code", "message"]
    return reply.status_code, body["error"]["code"], body["error"]["message"]  # type: ignore[attr-defined]


def test_health_names_every_stage_and_is_as_bad_as_the_worst(client: TestClient, service: DemoService) -> None:
    reply = client.get("/api/v1/health")
    assert reply.status_code == 200
    assert reply.json()["status"] == "green"
    assert [stage["stage"] for stage in reply.json()["stages"]] == ["broker", "journal", "engine", "store"]
    service.stages[0] = StageHealth("broker", Status.YELLOW, "retrying")
    assert client.get("/api/v1/health").json()["status"] == "yellow"
    service.stages[3] = StageHealth("store", Status.RED, "disk full")
    reply = client.get("/api/v1/health")
    assert (reply.status_code, reply.json()["status"]) == (503, "red")


def test_counts_close(client: TestClient, service: DemoService) -> None:
    fill(service)
    service.step(dead_letters=[letter(1, START, "a", b"x", "malformed", "no")])
    counts = client.get("/api/v1/counts").json()
    placed = counts["stored"] + counts["late"] + counts["duplicates"] + counts["in_flight"]
    assert counts["received"] == placed + sum(counts["rejected"].values()) + sum(counts["dropped"].values()) == 111
    assert counts["rejected"] == {"malformed": 1}
    assert counts["time"] == START + 1_000 * SECOND


def test_devices_with_slashes_and_spaces_in_their_names(client: TestClient, service: DemoService) -> None:
    fill(service)
    listed = client.get("/api/v1/devices").json()["devices"]
    assert [device["device"] for device in listed] == ["plant/pump 1", "tank"]
    for path in ("plant/pump 1", "plant/pump%201", "plant%2Fpump%201"):
        device = client.get(f"/api/v1/devices/{path}").json()
        assert device == listed[0]
    assert device["last_event"] == START + 99 * SECOND
    assert device["metrics"][0] == {
        "series": 0,
        "metric": "temperature",
        "kind": "measurement",
        "unit": "°C",
        "warming": None,
        "threshold": 4.0,
    }
    assert device["metrics"][1]["warming"] == {"seen": 5, "needed": NEEDED}
    assert device["metrics"][1]["threshold"] is None


def test_series_of_one_device(client: TestClient, service: DemoService) -> None:
    fill(service)
    assert len(client.get("/api/v1/series").json()["series"]) == 3
    assert client.get("/api/v1/series", params={"device": "tank"}).json() == {
        "series": [{"series": 2, "device": "tank", "metric": "level", "unit": "%", "kind": "measurement"}]
    }


def test_points_come_as_columns(client: TestClient, service: DemoService) -> None:
    fill(service)
    (found,) = client.get("/api/v1/points", params={"series": 1}).json()["series"]
    assert found["time"] == [START + i * SECOND for i in range(5)]
    assert found["value"] == [1.0] * 5
    assert found["expected"] == [1.25] * 5
    assert (found["lower"], found["upper"]) == ([0.0] * 5, [2.0] * 5)
    assert found["anomaly"] == [False] * 5
    assert (found["metric"], found["unit"], found["total"], found["missing"]) == ("flow", "m³/h", 5, "")


def test_points_that_an_external_database_keeps_to_itself_are_said_to_be_missing(
    client: TestClient, service: DemoService, free_port: int
) -> None:
    fill(service)
    url = f"http://127.0.0.1:{free_port}"
    service.store.older = external_reader(SinkSettings(name="plant", type="victoriametrics", url=url))
    (found,) = client.get("/api/v1/points", params={"series": 1}).json()["series"]
    assert found["time"] == [START + i * SECOND for i in range(5)]
    assert found["missing"].startswith("points before 2026-03-01T12:00:00Z: " + url)


def test_points_are_thinned_but_keep_extremes_and_anomalies(client: TestClient, service: DemoService) -> None:
    fill(service)
    params = {"device": "plant/pump 1", "metric": "temperature", "max_points": "10"}
    (found,) = client.get("/api/v1/points", params=params).json()["series"]
    assert found["total"] == 100
    assert len(found["time"]) <= 11
    assert max(found["value"]) == 70
    assert found["time"][found["anomaly"].index(True)] == START + 70 * SECOND


@pytest.mark.parametrize("form", [str(START + 10 * SECOND), str(START // SECOND + 10), "2026-03-01T12:00:10Z"])
def test_a_time_range_is_read_in_any_writing(client: TestClient, service: DemoService, form: str) -> None:
    fill(service)
    params = {"series": "0", "from": form, "to": str(START + 20 * SECOND)}
    (found,) = client.get("/api/v1/points", params=params).json()["series"]
    assert found["time"] == [START + i * SECOND for i in range(10, 20)]


def test_numbers_that_do_not_exist_are_null(client: TestClient, service: DemoService) -> None:
    points = scored([0], [START], [1.0])
    points.score[0] = points.lower[0] = float("nan")
    service.step(points, series=PUMP)
    (found,) = client.get("/api/v1/points", params={"series": 0}).json()["series"]
    assert (found["score"], found["lower"], found["upper"]) == ([None], [None], [2.0])


def test_sparklines_are_the_newest_points(client: TestClient, service: DemoService) -> None:
    fill(service)
    found = client.get("/api/v1/sparklines", params={"points": 3, "series": [0, 2]}).json()["sparklines"]
    assert [line["series"] for line in found] == [0, 2]
    assert found[0]["time"] == [START + i * SECOND for i in (97, 98, 99)]
    assert [line["series"] for line in client.get("/api/v1/sparklines").json()["sparklines"]] == [0, 1, 2]


def test_alarms_open_first_then_newest(client: TestClient, service: DemoService) -> None:
    fill(service)
    cleared, opened = AlarmState.CLEARED, AlarmState.OPEN
    service.step(alarms=[alarm(1, 0, opened, START), alarm(2, 2, cleared, START + 5), alarm(3, 1, cleared, START + 9)])
    found = client.get("/api/v1/alarms").json()["alarms"]
    assert [each["alarm"] for each in found] == [1, 3, 2]
    assert (found[0]["device"], found[0]["metric"], found[0]["unit"]) == ("plant/pump 1", "temperature", "°C")
    assert found[0]["parts"] == {"zscore": 6.0}

    def numbers(**params: object) -> list[int]:
        reply = client.get("/api/v1/alarms", params=params)  # type: ignore[arg-type]
        return [each["alarm"] for each in reply.json()["alarms"]]

    assert numbers(state="cleared") == [3, 2]
    assert numbers(device="plant/pump 1") == [1, 3]
    assert numbers(series=2) == [2]
    assert numbers(device="tank", series=0) == []
    assert numbers(limit=1) == [1]


def test_dead_letters_carry_the_payload_whole(client: TestClient, service: DemoService) -> None:
    letters = [
        letter(1, START, "a/b", b'{"x": ', "malformed", "ends at byte 6"),
        letter(2, START + 1, "a/c", b"\xff\x00", "malformed", "byte 0xff at 0"),
    ]
    sent = encode_properties("application/cbor", [("unit", "bar"), ("name", "pump")])
    letters[1] = dataclasses.replace(letters[1], properties=sent)
    service.step(dead_letters=letters)
    newest, oldest = client.get("/api/v1/dead-letters").json()["dead_letters"]
    assert oldest["payload"] == '{"x": '
    assert newest["payload"] is None
    assert base64.b64decode(newest["payload_base64"]) == b"\xff\x00"
    assert (oldest["content_type"], oldest["user_properties"]) == ("", {})
    assert newest["content_type"] == "application/cbor"
    assert newest["user_properties"] == {"unit": "bar", "name": "pump"}
    assert len(client.get("/api/v1/dead-letters", params={"limit": 1}).json()["dead_letters"]) == 1


def test_query_answers_rows_up_to_the_limit(client: TestClient, service: DemoService) -> None:
    fill(service)
    sql = "select value, anomaly, time from points where metric = 'temperature' order by value desc"
    reply = client.post("/api/v1/query", json={"sql": sql, "limit": 1}).json()
    assert reply["columns"] == ["value", "anomaly", "time"]
    assert reply["rows"][0][:2] == [70.0, True]
    assert reply["truncated"] is True
    assert len(client.post("/api/v1/query", json={"sql": sql, "limit": 1_000}).json()["rows"]) == 50


@pytest.mark.parametrize("sql", ["select nothing from nowhere", "drop table points", "select 1; select 2", ";"])
def test_a_query_that_cannot_run_says_why(client: TestClient, service: DemoService, sql: str) -> None:
    status, code, message = error_of(client.post("/api/v1/query", json={"sql": sql}))
    assert (status, code) == (400, "query_failed")
    assert message.startswith("body.sql: ")


@pytest.mark.parametrize(
    ("path", "status", "parts"),
    [
        ("devices/plant/pump", 404, ["device", '"plant/pump"', 'did you mean "plant/pump 1"?']),
        ("points", 400, ["neither series nor device"]),
        ("points?series=0&device=tank", 400, ["both"]),
        ("points?series=77", 404, ["query.series", '"77"']),
        ("points?device=tank&metric=levle", 404, ["query.metric", '"levle"', 'did you mean "level"?']),
        ("points?series=0&max_points=1", 400, ["query.max_points", "greater than or equal to 2", "'1'"]),
        ("points?series=0&from=yesterday", 400, ["query.from", "ISO 8601", "yesterday"]),
        ("points?serie=0", 400, ["query", '"serie"', 'did you mean "series"?']),
        ("alarms?state=opened", 400, ["query.state", "'open'", "'opened'"]),
        ("alarms?device=tnak", 404, ["query.device", 'did you mean "tank"?']),
        ("sparklines?points=900", 400, ["query.points", "900"]),
        ("nothing", 404, ["/api/v1/nothing"]),
        ("counts?verbose=1", 400, ['unknown parameter "verbose"']),
    ],
)
def test_errors_name_place_value_and_expectation(
    client: TestClient, service: DemoService, path: str, status: int, parts: list[str]
) -> None:
    fill(service)
    found_status, _, message = error_of(client.get(f"/api/v1/{path}"))
    assert found_status == status
    for part in parts:
        assert part in message


def test_a_method_or_body_that_is_not_expected(client: TestClient) -> None:
    assert error_of(client.post("/api/v1/counts"))[:2] == (405, "method_not_allowed")
    assert error_of(client.post("/api/v1/query", json={"sqll": "x"}))[:2] == (400, "invalid_request")
    assert error_of(client.post("/api/v1/query", content=b"sql=1"))[0] in (400, 415)


def test_an_unexpected_failure_keeps_the_shape_and_tells_no_secrets(client: TestClient, service: DemoService) -> None:
    service.close()
    status, code, message = error_of(client.get("/api/v1/series"))
    assert (status, code) == (500, "internal_error")
    assert "duckdb" not in message


def test_configuration_hides_secrets(client: TestClient, service: DemoService) -> None:
    service.settings = {
        "broker": {"url": "mqtt://me:s3cret@host:1883", "password_file": "/run/secret", "password": "s3cret"},
        "stores": [{"token": "s3cret", "url": "http://host"}],
    }
    reply = client.get("/api/v1/config")
    assert "s3cret" not in reply.text
    assert reply.json()["broker"]["url"] == "mqtt://me:********@host:1883"
    assert reply.json()["broker"]["password_file"] == "/run/secret"
    assert reply.json()["stores"][0]["url"] == "http://host"


def test_metrics_say_what_the_counts_say(client: TestClient, service: DemoService) -> None:
    fill(service)
    service.counted = replace(service.counted, upstream_dropped=2_900, redelivered=7)
    letters = [letter(i, START, "a", b"x", f"reason_{i:02d}", "no") for i in range(40)]
    service.step(dead_letters=letters)
    service.silent.add("tank")
    text = client.get("/metrics").text
    assert 'driftline_points_total{outcome="stored"} 110.0' in text
    assert "driftline_anomalies_total 1.0" in text
    assert "driftline_upstream_dropped_total 2900.0" in text
    assert "driftline_redelivered_total 7.0" in text
    assert 'driftline_stage_status{stage="broker"} 0.0' in text
    assert 'driftline_devices{life="silent"} 1.0' in text
    assert text.count("driftline_rejected_total{") == 33
    assert 'driftline_rejected_total{reason="other"} 8.0' in text


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:8000", "[::1]:8000", "127.8.9.1"])
def test_names_of_this_machine_are_served(client: TestClient, host: str) -> None:
    assert client.get("/api/v1/counts", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::1", "10.0.0.1"]
)
def test_other_names_are_refused_on_loopback(client: TestClient, host: str) -> None:
    for path in ("/api/v1/counts", "/", "/metrics"):
        status, code, message = error_of(client.get(path, headers={"Host": host}))
        assert (status, code) == (403, "forbidden")
        assert host in message


def test_a_configured_name_is_served(service: DemoService) -> None:
    app = create_app(service, HttpSettings(allowed_hosts=("Monitor.plant.example",)))
    client = TestClient(app, base_url="http://monitor.plant.example")
    assert client.get("/api/v1/counts").status_code == 200
    assert client.get("/api/v1/counts", headers={"Host": "other.example"}).status_code == 403
    everyone = TestClient(create_app(service, HttpSettings(host="0.0.0.0")), base_url="http://any.example")
    assert everyone.get("/api/v1/counts").status_code == 200


def test_another_site_may_not_post(client: TestClient) -> None:
    body = {"sql": "select 1"}
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999"):
        reply = client.post("/api/v1/query", json=body, headers={"Origin": origin})
        assert error_of(reply)[:2] == (403, "forbidden")
    reply = client.post("/api/v1/query", json=body, headers={"Origin": "http://127.0.0.1:8000"})
    assert reply.json()["rows"] == [[1]]


@pytest.mark.parametrize("path", ["/", "/api/v1/counts", "/nothing", "/metrics"])
def test_every_reply_carries_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


def test_the_page_is_served_with_tags_that_save_sending_it_again(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    again = client.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/js/main.js").headers["content-type"] == "text/javascript; charset=utf-8"
    for path in ("/../app.py", "/%2e%2e/web_files.py", "/js", "/js/"):
        assert client.get(path).status_code == 404


def test_openapi_is_complete_and_as_committed(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            for parameter in operation.get("parameters", []):
                assert parameter.get("description") or parameter["in"] == "header", (path, parameter["name"])
    assert OPENAPI.read_bytes() == openapi_document(), (
        "docs/reference/openapi.json differs from the code: `make docs` writes it"
    )
