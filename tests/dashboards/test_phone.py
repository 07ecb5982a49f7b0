"""A phone as a sensor: the QR code, and a browser with emulated sensors that opens its address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium_browser import Browser
from demo_service import SECOND, DemoService
from fastapi.testclient import TestClient

from driftline.access.accounts import AccountBook
from driftline.access.gate import Gate
from driftline.access.identity import Role
from driftline.http.app import create_app
from driftline.http.http_settings import HttpSettings
from driftline.http.phone_routes import hint_of
from driftline.http.server import HttpServer

NOW = 1_772_366_400 * SECOND
SENSORS = ("accelerometer", "linear-acceleration", "gyroscope")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DemoService]:
    service = DemoService(tmp_path / "store.duckdb", clock=lambda: NOW)
    yield service
    service.close()


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[AccountBook]:
    with AccountBook(tmp_path / "accounts.db") as accounts:
        yield accounts


@pytest.fixture
def client(service: DemoService, accounts: AccountBook) -> TestClient:
    settings = HttpSettings()
    return TestClient(create_app(service, settings, Gate(settings, accounts)), base_url="http://127.0.0.1:8000")


@pytest.fixture
def url(service: DemoService, accounts: AccountBook) -> Iterator[str]:
    settings = HttpSettings(port=0)
    server = HttpServer(create_app(service, settings, Gate(settings, accounts)), settings)
    server.start()
    yield server.url
    server.stop()


def move(browser: Browser, x: float, y: float, z: float) -> None:
    for sensor in SENSORS:
        browser._call(f"sensor/{sensor}", {"reading": {"x": x, "y": y, "z": z}})


@pytest.mark.service("chromium", "chromedriver")
def test_a_phone_that_is_shaken_sends_it(tmp_path: Path, service: DemoService, url: str) -> None:
    browser = Browser(tmp_path, width=390, height=844).open()
    try:
        browser.go(f"{url}/#/settings?tab=phones")
        browser.wait_for("return document.querySelector('section.panel button.primary')", "the button")
        browser.run("document.querySelector('section.panel button.primary').click()")
        browser.wait_for("return document.querySelector('img[alt^=\"QR code\"]')?.complete", "the code")
        address = browser.run("return document.querySelector('a[target=_blank]').href")
        device = address.partition("#")[2].partition(":")[0]
        assert address.startswith(f"{url}/phone.html#phone-")
        assert browser.console_errors() == []

        browser.go("about:blank")
        browser.go(address)
        for sensor in SENSORS:
            browser._call("sensor", {"type": sensor, "connected": True})
        browser.wait_for("return document.getElementById('device').innerText", "the page")
        assert browser.run("return document.getElementById('device').innerText") == device
        browser.run("document.getElementById('start').click()")
        move(browser, 0.0, 0.0, 0.1)
        browser.wait(lambda: motions(service, device), "the first readings")
        move(browser, 12.0, -16.0, 0.0)
        browser.wait(lambda: max(motions(service, device)) == pytest.approx(20.0, abs=0.5), "the shaking")
        assert max(motions(service, device)) > 10 * min(motions(service, device))
        assert "readings sent" in browser.run("return document.getElementById('state').innerText")
    finally:
        browser.close()


def motions(service: DemoService, device: str) -> list[float]:
    told = [json.loads(payload) for topic, payload in service.taken if topic == f"phone/{device}".encode()]
    return [each["motion"] for each in told if "motion" in each]


def test_the_address_lets_a_phone_send_for_a_day_and_nothing_else(
    client: TestClient, service: DemoService, accounts: AccountBook
) -> None:
    made = client.post("/api/v1/phones").json()
    base, _, secret = made["url"].partition("#")
    device, token = secret.split(":")
    assert (base, device) == ("http://127.0.0.1:8000/phone.html", made["device"])
    assert made["image"].startswith("data:image/svg+xml")
    assert made["hint"].startswith("This address leads to this machine alone.")
    accounts.add_user("ada", Role.ADMIN, "correct horse battery")
    shown = {"Authorization": f"Bearer {token}"}
    message = [{"topic": f"phone/{device}", "payload": {"phone": True, "motion": 1.5}}]
    assert client.post("/api/v1/messages", json=message, headers=shown).json() == {"taken": 1}
    assert client.get("/api/v1/devices", headers=shown).status_code == 403
    assert client.post("/api/v1/phones", headers=shown).status_code == 403
    policy = client.get("/phone.html").headers["permissions-policy"]
    assert "microphone=(self)" in policy
    assert "microphone=()" in client.get("/").headers["permissions-policy"]


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("http://127.0.0.1:8000", "This address leads to this machine alone"),
        ("http://plant.lan:8000", "Browsers give motion and sound to pages over HTTPS alone"),
        ("https://plant.lan", ""),
    ],
)
def test_why_a_phone_cannot_use_the_page_is_said(base: str, said: str) -> None:
    assert hint_of(base).startswith(said)
    assert bool(hint_of(base)) == bool(said)
