"""Readings over HTTP: what is taken, what is refused and why, and who may send."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_service import SECOND, DemoService
from fastapi.testclient import TestClient

from driftline.access.accounts import AccountBook
from driftline.access.identity import Role

NOW = 1_772_366_400 * SECOND


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DemoService]:
    service = DemoService(tmp_path / "store.duckdb", clock=lambda: NOW)
    yield service
    service.close()


def lines(*texts: str) -> bytes:
    return "\n".join(texts).encode()


def test_telegraf_sends_as_it_is(client: TestClient, service: DemoService) -> None:
    body = gzip.compress(lines("cpu,host=pc1 usage=91.2 1772366400000000000", "mem,host=pc1 used=55i", ""))
    headers = {
        "Authorization": "Token abc",
        "Content-Encoding": "gzip",
        "Content-Type": "text/plain; charset=utf-8",
        "User-Agent": "Telegraf/1.30.0",
    }
    accounts_token = client.post("/api/v2/write?bucket=plant&org=acme", content=body, headers=headers)
    assert accounts_token.status_code == 401, "a token that is none"
    del headers["Authorization"]
    reply = client.post("/api/v2/write?bucket=plant&org=acme", content=body, headers=headers)
    assert (reply.status_code, reply.content) == (204, b"")
    assert service.taken == [
        (b"influx/plant", b"cpu,host=pc1 usage=91.2 1772366400000000000"),
        (b"influx/plant", b"mem,host=pc1 used=55i"),
    ]


@pytest.mark.parametrize(("precision", "time"), [("s", 1772366400), ("ms", 1772366400000), ("us", 1772366400000000)])
def test_times_are_carried_over_to_nanoseconds(
    client: TestClient, service: DemoService, precision: str, time: int
) -> None:
    assert client.post(f"/api/v2/write?precision={precision}", content=lines(f"a b=1 {time}")).status_code == 204
    assert service.taken == [(b"influx/influx", b"a b=1 1772366400000000000")]


def test_a_bad_line_is_named_and_the_good_ones_are_taken(client: TestClient, service: DemoService) -> None:
    body = lines("# a comment", "good,site=a value=1", "nofield", "", "bad,site=b value=1,5", "good,site=c value=2")
    reply = client.post("/api/v2/write", content=body)
    assert reply.status_code == 400
    answer = reply.json()
    assert answer["code"] == "invalid"
    assert answer["message"] == answer["error"]["message"]
    assert answer["message"] == (
        "2 of 4 lines refused, the others taken: line 3: 'nofield': expected MEASUREMENT,TAG=VALUE FIELD=VALUE "
        "TIME; line 5: field '5': expected KEY=VALUE"
    )
    assert [payload for _, payload in service.taken] == [b"good,site=a value=1", b"good,site=c value=2"]


@pytest.mark.parametrize(
    ("query", "body", "headers", "status", "said"),
    [
        ("precision=h", b"a b=1", {}, 400, "query.precision"),
        ("bucket=a/b", b"a b=1", {}, 400, "query.bucket"),
        ("db=x", b"a b=1", {}, 400, 'unknown parameter "db"'),
        ("", b"a b=1", {"Content-Encoding": "gzip"}, 400, "expected gzip"),
        ("", gzip.compress(b"a b=1", mtime=0)[:-4], {"Content-Encoding": "gzip"}, 400, "end too early"),
        ("", gzip.compress(b"\n" * (17 << 20), mtime=0), {"Content-Encoding": "gzip"}, 413, "unpacks to more than"),
        ("", b"a b=1", {"Content-Encoding": "br"}, 415, 'got "br", expected gzip'),
        ("", b"a b=\xff", {}, 400, "byte 4 is not UTF-8"),
        ("", b"x" * ((1 << 20) + 1), {}, 413, "longer than"),
    ],
)
def test_what_cannot_be_taken_is_said(
    client: TestClient, service: DemoService, query: str, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    reply = client.post(f"/api/v2/write?{query}", content=body, headers=headers)
    assert (reply.status_code, said in reply.json()["error"]["message"]) == (status, True), reply.text
    assert service.taken == []


def test_messages_are_taken_as_they_would_be_published(client: TestClient, service: DemoService) -> None:
    given = [
        {"topic": "plant/pump/temperature", "payload": "21.5"},
        {"topic": "plant/pump", "payload": {"pressure": 1.5, "on": True}},
        {"topic": "plant/pump/level", "payload": 7},
    ]
    reply = client.post("/api/v1/messages", json=given)
    assert (reply.status_code, reply.json()) == (200, {"taken": 3})
    assert service.taken == [
        (b"plant/pump/temperature", b"21.5"),
        (b"plant/pump", b'{"pressure":1.5,"on":true}'),
        (b"plant/pump/level", b"7"),
    ]


@pytest.mark.parametrize(
    ("wrong", "status", "said"),
    [
        ({"topic": "plant/#", "payload": 1}, 400, "body.1.topic"),
        ({"topic": "", "payload": 1}, 400, "body.1.topic"),
        ({"topic": "a"}, 400, "body.1.payload"),
        ({"topic": "a", "payload": 1, "qos": 1}, 400, "body.1.qos"),
        ({"topic": "a", "payload": "x" * (257 << 10)}, 413, "body.1.payload: 263168 bytes, expected at most 262144"),
    ],
)
def test_one_wrong_message_refuses_all_and_is_named(
    client: TestClient, service: DemoService, wrong: dict[str, object], status: int, said: str
) -> None:
    reply = client.post("/api/v1/messages", json=[{"topic": "a", "payload": 1}, wrong])
    assert (reply.status_code, said in reply.json()["error"]["message"]) == (status, True), reply.text
    assert service.taken == []


def test_a_sender_may_send_and_nothing_else(client: TestClient, service: DemoService, accounts: AccountBook) -> None:
    accounts.add_user("ada", Role.ADMIN, "correct horse battery")
    token = accounts.add_token("telegraf", Role.SENDER)
    for scheme in ("Token", "Bearer"):
        headers = {"Authorization": f"{scheme} {token}"}
        assert client.post("/api/v2/write", content=b"a b=1", headers=headers).status_code == 204
        message = [{"topic": "a", "payload": 1}]
        assert client.post("/api/v1/messages", json=message, headers=headers).status_code == 200
        reply = client.get("/api/v1/devices", headers=headers)
        assert (reply.status_code, reply.json()["error"]["message"]) == (
            403,
            "token telegraf may send readings, and nothing else",
        )
        acting = {"action": "retire", "devices": ["a"]}
        assert client.post("/api/v1/devices/actions", json=acting, headers=headers).status_code == 403
    assert len(service.taken) == 4
    assert client.post("/api/v2/write", content=b"a b=1").status_code == 401
    viewer = {"Authorization": f"Token {accounts.add_token('viewer', Role.VIEWER)}"}
    assert client.post("/api/v2/write", content=b"a b=1", headers=viewer).status_code == 403


def test_a_full_journal_is_said_and_asks_to_send_again(client: TestClient, service: DemoService) -> None:
    service.full = True
    reply = client.post("/api/v2/write", content=b"a b=1")
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
    assert reply.json()["error"]["message"].endswith("the journal is full; send it again")


def test_a_number_that_no_message_can_carry_is_refused_with_its_place(client: TestClient, service: DemoService) -> None:
    reply = client.post("/api/v1/messages", json=[{"topic": "a", "payload": 1}, {"topic": "b", "payload": 2**70}])
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith("body.1: cannot be sent as a message: Integer exceeds 64-bit")
    assert service.taken == []
