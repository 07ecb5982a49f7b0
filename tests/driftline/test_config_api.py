"""The configuration file over HTTP: checked whole, never half written, nobody's change lost, no secret shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_service import DemoService
from fastapi.testclient import TestClient

from driftline.access.accounts import AccountBook
from driftline.access.identity import Role

BEFORE = '# the plant\'s own\n[alarm]\nbudget = "1 per sensor per week"  # agreed\n'


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DemoService]:
    service = DemoService(tmp_path / "store.duckdb")
    service.config_path.write_text(BEFORE)
    yield service
    service.close()


def change(client: TestClient, text: str, *, write: bool = False, version: str | None = None) -> dict[str, object]:
    version = client.get("/api/v1/config/file").json()["version"] if version is None else version
    reply = client.post("/api/v1/config/file", json={"text": text, "version": version, "write": write})
    given: dict[str, object] = reply.json() | {"status": reply.status_code}
    return given


def test_a_change_is_compared_first_and_then_written_with_its_comments(
    client: TestClient, service: DemoService
) -> None:
    after = BEFORE.replace("week", "month") + '\n[broker]\nclient_id = "driftline-a"\n'
    shown = change(client, after)
    assert '+budget = "1 per sensor per month"  # agreed' in str(shown["difference"])
    assert (shown["errors"], shown["next_start"], shown["written"]) == ([], ["broker"], False)
    assert service.config_path.read_text() == BEFORE
    assert change(client, after, write=True)["written"] is True
    assert service.config_path.read_text() == after
    assert client.get("/api/v1/audit").json()["entries"][0]["action"] == "configuration changed"


def test_everything_that_is_wrong_is_said_and_nothing_is_written(client: TestClient, service: DemoService) -> None:
    wrong = '[alarm]\nbudget = "often"\n[http]\nprot = 3\n'
    reply = change(client, wrong, write=True)
    errors = [str(each).partition("driftline.toml: ")[2] for each in reply["errors"]]  # type: ignore[attr-defined]
    assert errors[0].startswith('alarm.budget: expected "N per sensor per')
    assert "port" in errors[1]
    assert (len(errors), reply["written"], service.config_path.read_text()) == (2, False, BEFORE)
    assert "not TOML" in str(change(client, "[alarm")["errors"])


def test_what_is_valid_and_hardly_meant_is_warned_of(client: TestClient) -> None:
    reply = change(client, BEFORE + "threshold = 5.0\n")
    assert reply["warnings"] == ["alarm.budget: not used: alarm.threshold = 5 decides; take one of them out"]


def test_nobody_s_change_is_lost(client: TestClient, service: DemoService) -> None:
    version = client.get("/api/v1/config/file").json()["version"]
    service.config_path.write_text(BEFORE + "clear_readings = 9\n")
    reply = change(client, BEFORE, write=True, version=version)
    assert (reply["status"], reply["error"]["code"]) == (409, "changed_meanwhile")  # type: ignore[index]
    assert "clear_readings = 9" in service.config_path.read_text()


def test_a_password_that_the_file_should_not_hold_is_not_shown(client: TestClient, service: DemoService) -> None:
    service.config_path.write_text('[broker]\nurl = "mqtt://ana:hunter2@plant:1883"\n')
    shown = client.get("/api/v1/config/file")
    assert "hunter2" not in shown.text
    assert "credentials do not belong in it" in str(shown.json()["errors"])
    reply = change(client, shown.json()["text"], write=True)
    assert (reply["status"], "a secret is hidden" in str(reply["error"])) == (400, True)
    assert "hunter2" in service.config_path.read_text()


def test_only_admins_see_and_change_the_file(client: TestClient, accounts: AccountBook) -> None:
    accounts.add_user("olga", Role.OPERATOR, "a long enough password")
    accounts.add_user("ada", Role.ADMIN, "a long enough password")
    signed = client.post("/api/v1/sign-in", json={"name": "olga", "password": "a long enough password"}).json()
    headers = {"X-CSRF-Token": signed["csrf_token"]}
    assert client.get("/api/v1/config/file").status_code == 403
    given = {"text": "", "version": "", "write": True}
    assert client.post("/api/v1/config/file", json=given, headers=headers).status_code == 403
