"""Requests made to cost much: refused, cut or stopped, while health goes on answering."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from demo_service import DemoService

from driftline.http import bounds
from driftline.http import server as serving
from driftline.http.app import create_app
from driftline.http.http_settings import HttpSettings
from driftline.http.server import HttpServer

SLOW = b'{"sql": "SELECT count(*) FROM range(1000000000000) t(a) WHERE a % 7 = 3"}'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    service = DemoService(tmp_path / "store.duckdb")
    settings = HttpSettings(port=0, max_live_clients=3)
    running = HttpServer(create_app(service, settings), settings)
    running.start()
    yield running
    running.stop()
    service.close()


def connect(server: HttpServer) -> http.client.HTTPConnection:
    address = urlsplit(server.url)
    return http.client.HTTPConnection(address.hostname or "", address.port, timeout=240)


def post(server: HttpServer, body: bytes) -> tuple[int, str]:
    connection = connect(server)
    connection.request("POST", "/api/v1/query", body, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    return reply.status, reply.read().decode()


def healthy(server: HttpServer) -> bool:
    connection = connect(server)
    connection.request("GET", "/api/v1/health")
    return connection.getresponse().status == 200


def test_a_body_that_is_too_long_is_refused_before_it_is_read(server: HttpServer) -> None:
    connection = connect(server)
    connection.putrequest("POST", "/api/v1/query")
    connection.putheader("Content-Length", str(3 << 30))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection = connect(server)
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    connection.request("POST", "/api/v1/query", iter([b" " * 100_000] * 12), headers, encode_chunked=True)
    reply = connection.getresponse()
    assert (reply.status, b"longer than 1048576 bytes" in reply.read()) == (413, True)


def test_bodies_of_all_requests_together_are_bounded(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_MOST_HELD_BYTES", 100_000)
    status, text = post(server, b" " * 200_000)
    assert (status, "too many long bodies at a time" in text) == (503, True)
    assert post(server, b'{"sql": "SELECT 1"}')[0] == 200, "what was refused is held no more"


def test_a_body_that_does_not_come_is_not_waited_for(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_SENT_WITHIN", 0.2)
    connection = connect(server)
    connection.putrequest("POST", "/api/v1/query")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"{")
    assert connection.getresponse().status == 408


def test_the_connection_that_waits_for_longest_makes_room(
    server: HttpServer, wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "most_connections", lambda: 5)
    address = urlsplit(server.url)
    waiting = [socket.create_connection((address.hostname, address.port), timeout=240) for _ in range(6)]
    assert waiting[0].recv(1) == b"", "closed by the server"
    assert healthy(server)
    for each in waiting:
        each.close()


def test_an_answer_is_cut_at_its_bytes_and_says_so(server: HttpServer) -> None:
    status, text = post(server, b'{"sql": "SELECT concat(range, sha256(\'x\')) FROM range(9000)", "limit": 9000}')
    assert (status, '"truncated":false' in text) == (200, True)
    wide = "concat(" + ", ".join(["sha256('x')"] * 100) + ")"
    status, text = post(server, f'{{"sql": "SELECT {wide} FROM range(9000)", "limit": 9000}}'.encode())
    assert (status, '"truncated":true' in text) == (200, True)
    assert len(text) < 20 << 20


def test_slow_queries_wait_in_their_own_pool_and_end_with_their_clients(
    server: HttpServer, wait_until: Callable[..., None]
) -> None:
    clients = []
    for _ in range(16):
        connection = connect(server)
        connection.request("POST", "/api/v1/query", SLOW, {"Content-Type": "application/json"})
        clients.append(connection)
    running = server._app.state.queries._running
    wait_until(lambda: len(running) == 16, within=240, what="all queries")
    assert healthy(server)
    status, text = post(server, SLOW)
    assert (status, "16 queries run or wait already" in text) == (503, True)
    for connection in clients:
        connection.close()
    wait_until(lambda: not running, within=240, what="queries that ended with their clients")
    assert post(server, b'{"sql": "SELECT 1"}')[0] == 200


def test_no_more_live_clients_than_may_be_even_when_they_come_at_once(
    server: HttpServer, wait_until: Callable[..., None]
) -> None:
    statuses: list[int] = []
    kept = []

    def follow() -> None:
        connection = connect(server)
        kept.append(connection)
        connection.request("GET", "/api/v1/events")
        statuses.append(connection.getresponse().status)

    threads = [threading.Thread(target=follow) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 3 + [503] * 9


def test_connections_without_a_request_are_closed(
    server: HttpServer, wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_REQUEST_WITHIN", 0.2)
    address = urlsplit(server.url)
    silent = [socket.create_connection((address.hostname, address.port)) for _ in range(50)]
    assert healthy(server)
    for each in silent:
        each.settimeout(30)
        assert each.recv(1) == b"", "closed by the server"
        each.close()


def test_a_server_that_fails_begins_again(server: HttpServer, wait_until: Callable[..., None]) -> None:
    inner = server._server
    assert inner is not None
    inner.servers[0].get_loop().call_soon_threadsafe(inner.servers[0].get_loop().stop)
    wait_until(lambda: _answers(server), within=240, what="an answer after the failure")


def _answers(server: HttpServer) -> bool:
    try:
        return healthy(server)
    except OSError:
        return False


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("1::HUGEINT << 100", '"1267650600228229401496703205376"'),
        ("18446744073709551615::UBIGINT", "18446744073709551615"),
        ("map([[1, 2]], [3])", '{"key":[[1,2]],"value":[3]}'),
        ("{'a': [1, NULL]}", '{"a":[1,null]}'),
        ("'\\x00\\xff'::BLOB", '"AP8="'),
        ("INTERVAL 3 DAY", '"3 days, 0:00:00"'),
        ("TIMESTAMP_NS '2026-01-02 03:04:05.678'", '"2026-01-02T03:04:05.678000"'),
        ("'nan'::DOUBLE", "null"),
        ("1.50::DECIMAL(9, 2)", "1.5"),
        ("uuid()  IS NOT NULL", "true"),
        ("'infinity'::TIMESTAMP", '"9999-12-31T23:59:59.999999"'),
        ("'101'::BIT", '"101"'),
        ("TIME '03:04:05'", '"03:04:05"'),
        ("TIMETZ '03:04:05+02'", '"03:04:05+02:00"'),
        ("[{'a': TIMETZ '03:04:05.5+02'}]", '[{"a":"03:04:05.500000+02:00"}]'),
        ("(INTERVAL 99999999 YEAR)::VARCHAR", '"99999999 years"'),
    ],
)
def test_every_type_of_sql_is_answered(server: HttpServer, expression: str, shown: str) -> None:
    status, text = post(server, json.dumps({"sql": f"SELECT {expression} AS a"}).encode())
    assert (status, text) == (200, f'{{"columns":["a"],"rows":[[{shown}]],"truncated":false}}')


def test_a_value_too_large_to_be_told_is_refused_in_words(server: HttpServer) -> None:
    status, text = post(server, b'{"sql": "SELECT INTERVAL 99999999 YEAR AS a"}')
    assert (status, "a value is too large to be told" in text, "cast it to VARCHAR" in text) == (400, True, True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
    ],
)
def test_other_sites_can_link_here_and_load_nothing(server: HttpServer, headers: dict[str, str], status: int) -> None:
    connection = connect(server)
    connection.request("GET", "/api/v1/devices", headers=headers)
    assert connection.getresponse().status == status
