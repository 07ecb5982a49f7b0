"""Signing in: who may do what, sessions and their CSRF token, guessing, tokens, proxies, and what is written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from demo_service import SECOND, DemoService
from fastapi.testclient import TestClient

from driftline.access.accounts import AccountBook, AccountError
from driftline.access.attempts import Attempts
from driftline.access.gate import COOKIE, Gate, NoAccountError
from driftline.access.identity import Role
from driftline.http.app import create_app
from driftline.http.http_settings import HttpSettings

Connect = Callable[..., TestClient]
PASSWORD = "a long enough password"
START = 1_772_366_400 * SECOND
HOUR = 3600 * SECOND


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def seconds(self) -> float:
        return self.now / 1e9


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Iterator[AccountBook]:
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with AccountBook(tmp_path / "accounts.db", hasher=quick, clock=clock) as book:
        yield book


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DemoService]:
    service = DemoService(tmp_path / "store.duckdb", clock=lambda: START)
    yield service
    service.close()


@pytest.fixture
def connect(service: DemoService, accounts: AccountBook, clock: Clock) -> Connect:
    def connected(settings: HttpSettings | None = None, *, peer: str = "127.0.0.1", **arguments: Any) -> TestClient:
        settings = settings or HttpSettings()
        app = create_app(service, settings, Gate(settings, accounts, Attempts(clock.seconds)))
        return TestClient(app, base_url="http://127.0.0.1:8000", client=(peer, 5000), **arguments)

    return connected


def signed_in(client: TestClient, name: str) -> dict[str, str]:
    """Sign in, and give the headers that go with what this person changes."""
    reply = client.post("/api/v1/sign-in", json={"name": name, "password": PASSWORD})
    assert reply.status_code == 200, reply.text
    return {"X-CSRF-Token": reply.json()["csrf_token"]}


def stored(accounts: AccountBook) -> bytes:
    """Everything in the file and in what is on its way into it."""
    return b"".join(path.read_bytes() for path in accounts.path.parent.glob("accounts.db*"))


def test_without_users_loopback_is_open_and_says_so(connect: Connect) -> None:
    me = connect().get("/api/v1/me").json()
    assert (me["sign_in"], me["name"], me["role"], me["csrf_token"]) == (False, "local", "admin", None)


def test_with_a_user_everything_but_the_page_is_closed(connect: Connect, accounts: AccountBook) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    client = connect()
    for path in ("/api/v1/devices", "/api/v1/counts", "/api/v1/events", "/api/v1/users", "/metrics", "/api/v1/nowhere"):
        reply = client.get(path)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "sign_in"), path
    assert client.get("/").status_code == 200
    assert client.get("/api/v1/health").json() == {"status": "green", "stages": []}
    signed_in(client, "ann")
    assert client.get("/api/v1/devices").status_code == 200
    assert len(client.get("/api/v1/health").json()["stages"]) == 4


def test_a_session_s_cookie_is_out_of_reach_of_scripts_and_other_sites(connect: Connect, accounts: AccountBook) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    reply = connect().post("/api/v1/sign-in", json={"name": "ann", "password": PASSWORD})
    cookie = reply.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    assert reply.cookies[COOKIE].encode() not in stored(accounts)


def test_a_change_needs_the_session_s_csrf_token(connect: Connect, accounts: AccountBook) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    client = connect()
    headers = signed_in(client, "ann")
    new = {"name": "bob", "password": PASSWORD, "role": "viewer"}
    wrongs: list[Any] = [{}, {"X-CSRF-Token": "0" * 64}, {"X-CSRF-Token": "é".encode()}]
    for wrong in wrongs:
        reply = client.post("/api/v1/users", json=new, headers=wrong)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "csrf")
    assert [user["name"] for user in client.post("/api/v1/users", json=new, headers=headers).json()["users"]] == [
        "ann",
        "bob",
    ]
    other = connect()
    assert signed_in(other, "ann") != headers


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
)
def test_another_site_cannot_sign_anybody_in(connect: Connect, accounts: AccountBook, headers: dict[str, str]) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    given = {"name": "ann", "password": PASSWORD}
    assert connect().post("/api/v1/sign-in", json=given, headers=headers).status_code == 403


def test_roles_bound_what_people_may_do(connect: Connect, accounts: AccountBook) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    for role in (Role.VIEWER, Role.OPERATOR):
        accounts.add_user(f"{role}", role, PASSWORD)
        client = connect()
        headers = signed_in(client, f"{role}")
        assert client.get("/api/v1/devices").status_code == 200
        reply = client.post("/api/v1/query", json={"sql": "select 1"}, headers=headers)
        assert reply.json()["rows"] == [[1]]
        for method, path in (("GET", "/users"), ("GET", "/audit"), ("POST", "/users"), ("DELETE", "/users/ann")):
            refused = client.request(
                method, f"/api/v1{path}", headers=headers, json={"name": "x", "password": PASSWORD}
            )
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
            assert refused.json()["error"]["message"] == f'{role} is {role}; this needs the role "admin"'


def test_no_change_is_open_to_viewers(connect: Connect, accounts: AccountBook) -> None:
    """Every route that is not a GET, as the API's own description lists them."""
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    accounts.add_user("vic", Role.VIEWER, PASSWORD)
    client = connect(raise_server_exceptions=False)
    headers = signed_in(client, "vic")
    # A look at other settings changes nothing, as a query does.
    for_viewers = {"/api/v1/query", "/api/v1/tune/previews", "/api/v1/sign-in", "/api/v1/sign-out"}
    tried = 0
    for path, methods in client.get("/api/v1/openapi.json").json()["paths"].items():
        for method in methods.keys() - {"get", "parameters"}:
            if path not in for_viewers:
                filled = path.replace("{", "").replace("}", "")
                assert client.request(method, filled, headers=headers, json={}).status_code == 403, (method, path)
                tried += 1
    assert tried >= 5


def test_guessing_is_slowed_down_and_written_down(connect: Connect, accounts: AccountBook, clock: Clock) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    client = connect()
    for _ in range(5):
        wrong = client.post("/api/v1/sign-in", json={"name": "ann", "password": "wrong"})
        assert (wrong.status_code, wrong.json()["error"]["message"]) == (401, "name or password is wrong")
    refused = client.post("/api/v1/sign-in", json={"name": "ann", "password": PASSWORD})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "300")
    assert connect(peer="127.0.0.9").post("/api/v1/sign-in", json={"name": "ann", "password": PASSWORD}).is_success
    clock.now += 301 * SECOND
    signed_in(client, "ann")
    said = [(entry.who, entry.action) for entry in accounts.audit()]
    assert said.count(("ann", "sign-in failed")) == 5
    assert said[0] == ("ann", "signed in")
    assert ("ann", "sign-in refused") in said


def test_a_stranger_s_name_fails_as_a_known_one_does(connect: Connect, accounts: AccountBook) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    client = connect()
    known = client.post("/api/v1/sign-in", json={"name": "ann", "password": "wrong"})
    unknown = client.post("/api/v1/sign-in", json={"name": "' or 1=1 --", "password": "wrong"})
    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())


def test_a_session_ends_by_itself_on_sign_out_and_with_its_password(
    connect: Connect, accounts: AccountBook, clock: Clock
) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    client = connect(HttpSettings(session_idle="2h"))
    signed_in(client, "ann")
    for _ in range(3):
        clock.now += HOUR
        assert client.get("/api/v1/devices").status_code == 200
    clock.now += 2 * HOUR + SECOND
    assert client.get("/api/v1/devices").status_code == 401
    headers = signed_in(client, "ann")
    cookie = client.cookies[COOKIE]
    client.post("/api/v1/sign-out", headers=headers)
    assert client.get("/api/v1/devices", headers={"Cookie": f"{COOKIE}={cookie}"}).status_code == 401
    signed_in(client, "ann")
    accounts.set_password("ann", "another long password")
    assert client.get("/api/v1/devices").status_code == 401


def test_an_api_token_stands_for_its_role_until_it_is_taken_back(
    connect: Connect, accounts: AccountBook, clock: Clock
) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    client = connect()
    headers = signed_in(client, "ann")
    made = client.post("/api/v1/tokens", json={"name": "grafana", "lifetime": "90d"}, headers=headers).json()
    assert made["token"].startswith("dl_")
    assert made["token"].encode() not in stored(accounts)
    program = connect(headers={"Authorization": f"Bearer {made['token']}"})
    assert program.get("/api/v1/devices").status_code == 200
    assert program.get("/api/v1/users").status_code == 403
    (token,) = client.get("/api/v1/tokens").json()["tokens"]
    assert token == {
        "name": "grafana", "role": "viewer", "created": START, "expires": START + 90 * 24 * HOUR, "used": START,
    }  # fmt: skip
    clock.now += 91 * 24 * HOUR
    assert program.get("/api/v1/devices").status_code == 401
    clock.now = START
    client.delete("/api/v1/tokens/grafana", headers=headers)
    assert program.get("/api/v1/devices").status_code == 401
    assert program.get("/api/v1/devices", headers={"Authorization": "Bearer "}).status_code == 401


def test_the_command_line_s_token_of_this_run_opens(service: DemoService, accounts: AccountBook) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    settings = HttpSettings()
    gate = Gate(settings, accounts)
    client = TestClient(create_app(service, settings, gate), base_url="http://127.0.0.1:8000")
    reply = client.get("/api/v1/me", headers={"Authorization": f"Bearer {gate.local_token}"})
    assert (reply.json()["name"], reply.json()["role"]) == ("command line", "admin")


PROXIED = HttpSettings(host="0.0.0.0", proxies=("10.0.0.2",), proxy_user_header="X-Forwarded-User")


def test_a_proxy_s_word_counts_from_the_proxy_alone(connect: Connect, accounts: AccountBook) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    given = {"X-Forwarded-User": "ann"}
    assert connect(PROXIED, peer="10.0.0.2").get("/api/v1/me", headers=given).json()["role"] == "admin"
    assert connect(PROXIED, peer="10.0.0.3").get("/api/v1/me", headers=given).json()["role"] is None
    forwarded = {**given, "X-Forwarded-For": "10.0.0.2"}
    assert connect(PROXIED, peer="10.0.0.3").get("/api/v1/me", headers=forwarded).json()["role"] is None
    stranger = connect(PROXIED, peer="10.0.0.2").get("/api/v1/me", headers={"X-Forwarded-User": "zoe"}).json()
    assert (stranger["name"], stranger["role"]) == ("zoe", "viewer")


def test_whom_a_proxy_signs_in_needs_a_csrf_token_too(connect: Connect, accounts: AccountBook) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    client = connect(PROXIED, peer="10.0.0.2", headers={"X-Forwarded-User": "ann"})
    new = {"name": "bob", "password": PASSWORD}
    assert client.post("/api/v1/users", json=new).status_code == 403
    token = client.get("/api/v1/me").json()["csrf_token"]
    assert client.post("/api/v1/users", json=new, headers={"X-CSRF-Token": token}).status_code == 200


def test_behind_https_the_cookie_is_secure(connect: Connect, accounts: AccountBook) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    client = connect(PROXIED, peer="10.0.0.2", headers={"X-Forwarded-Proto": "https"})
    reply = client.post("/api/v1/sign-in", json={"name": "ann", "password": PASSWORD})
    assert "secure" in reply.headers["set-cookie"].lower()


def test_beyond_loopback_a_service_without_users_is_refused(accounts: AccountBook) -> None:
    with pytest.raises(NoAccountError, match=r'http\.host: "0\.0\.0\.0" .* `driftline users add NAME --role admin`'):
        Gate(HttpSettings(host="0.0.0.0"), accounts).check()
    Gate(HttpSettings(), accounts).check()
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    Gate(HttpSettings(host="0.0.0.0"), accounts).check()


def test_metrics_can_be_left_open(connect: Connect, accounts: AccountBook) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    assert connect(HttpSettings(metrics_without_sign_in=True)).get("/metrics").status_code == 200


@pytest.mark.parametrize(
    ("name", "password", "said"),
    [
        ("ann", "short", "password: 5 characters; expected at least 12"),
        ("", PASSWORD, 'user "": expected 1 to 64 letters'),
        ("<script>", PASSWORD, 'user "<script>": expected'),
        ("a" * 65, PASSWORD, "expected 1 to 64"),
        ("bob", PASSWORD, 'user "bob" is there already'),
    ],
)
def test_what_cannot_be_a_user_is_said(accounts: AccountBook, name: str, password: str, said: str) -> None:
    accounts.add_user("bob", Role.ADMIN, PASSWORD)
    with pytest.raises(AccountError) as refused:
        accounts.add_user(name, Role.ADMIN, password)
    assert said in str(refused.value)


def test_the_last_admin_stays(accounts: AccountBook) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    accounts.add_user("bob", Role.VIEWER, PASSWORD)
    with pytest.raises(AccountError, match='"ann" is the only admin'):
        accounts.remove_user("ann")
    with pytest.raises(AccountError, match='"ann" is the only admin'):
        accounts.set_role("ann", Role.OPERATOR)
    accounts.remove_user("bob")
    accounts.remove_user("ann")
    assert not accounts.has_users


def test_a_change_of_a_user_is_made_whole_or_not_at_all(connect: Connect, accounts: AccountBook) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    accounts.add_user("unknown", Role.VIEWER, PASSWORD)
    client = connect()
    headers = signed_in(client, "ann")
    refused = client.patch("/api/v1/users/unknown", json={"role": "operator", "password": "short"}, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
    assert [user.role for user in accounts.users() if user.name == "unknown"] == [Role.VIEWER]
    again = client.post("/api/v1/users", json={"name": "unknown", "password": PASSWORD}, headers=headers)
    assert (again.status_code, again.json()["error"]["message"]) == (400, 'user "unknown" is there already')
    nobody = client.patch("/api/v1/users/bob", json={"role": "operator"}, headers=headers)
    assert (nobody.status_code, nobody.json()["error"]["message"]) == (404, 'user: unknown "bob"')


def test_the_file_is_its_owner_s_alone_and_holds_no_password(accounts: AccountBook) -> None:
    accounts.add_user("ann", Role.ADMIN, PASSWORD)
    assert accounts.path.stat().st_mode & 0o077 == 0
    assert PASSWORD.encode() not in stored(accounts)
