"""The page in a browser, over a service that a test moves on, and what stands on it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chromium_browser import Browser
from demo_plant import DemoMetric, continue_plant, fill_with_plant
from demo_service import SECOND, DemoService
from letters import letter

from alerts.notices.notifier import Notifier
from alerts.notices.outbox import Outbox
from devices.records import AlarmRecord, AlarmState, SeriesRecord
from driftline.access.accounts import AccountBook
from driftline.access.gate import Gate
from driftline.http.app import create_app
from driftline.http.http_settings import HttpSettings
from driftline.http.server import HttpServer

HOSTILE = "<img src=x onerror=window.hacked=1>"
ODD = "plant/hall-1/compressor-01"
WARMING = "plant/hall-2/pump-20"
DEVICES = 150

PIXELS = """
const canvas = document.querySelector(arguments[0]);
const [r, g, b] = arguments[1];
const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
let found = 0;
for (let i = 0; i < data.length; i += 4)
  if (data[i + 3] > 200 && Math.hypot(data[i] - r, data[i + 1] - g, data[i + 2] - b) < 40) found += 1;
return found;
"""
BLUE, RED = [92, 182, 255], [255, 90, 95]


@dataclass
class Page:
    """The page in a browser, over a service that the test moves on."""

    browser: Browser
    service: DemoService
    url: str
    plant: list[tuple[SeriesRecord, DemoMetric]]
    accounts: AccountBook
    published: list[tuple[str, bytes]]
    ticks: int = 0

    def show(self, route: str) -> None:
        self.browser.go("about:blank")
        self.browser.go(f"{self.url}/{route}")

    def tick(self) -> None:
        self.ticks += 1
        continue_plant(self.service, self.plant, self.ticks)

    def text(self, selector: str) -> str:
        return str(self.browser.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def show_device(self, device: str) -> None:
        self.browser.go("about:blank")
        self.browser.go(f"{self.url}/#/device/{device.replace('/', '%2F')}")
        self.browser.wait_for("return document.querySelector('.chart')?.dataset.points > 1", f"the charts of {device}")

    def shown(self, name: str) -> float:
        """A number that the first chart says of itself: points, anomalies, from, to."""
        return float(self.browser.run("return document.querySelector('.chart').dataset[arguments[0]]", name))

    def width(self) -> float:
        return self.shown("to") - self.shown("from")


@contextmanager
def opened_page(folder: Path) -> Iterator[Page]:
    """A plant of simulated devices, its service over HTTP, and a browser that nothing is shown in yet."""
    service = DemoService(folder / "store.duckdb")
    plant = fill_with_plant(service, devices=DEVICES, points=400, names=[HOSTILE])
    rejected = letter(99, time.time_ns(), HOSTILE, HOSTILE.encode(), "malformed", HOSTILE)
    alarm = AlarmRecord(900, 0, AlarmState.OPEN, plant_end(service), None, "warning", 6, 1.0, 2.0, f"odd {HOSTILE}")
    service.step(dead_letters=[rejected], alarms=[alarm])
    settings = HttpSettings(port=0)
    accounts = AccountBook(folder / "accounts.db").open()
    outbox = Outbox(folder / "notices.db").open()
    published: list[tuple[str, bytes]] = []
    service.notifier = Notifier(outbox, [], clock=time.time_ns, publish=lambda *sent: published.append(sent))
    server = HttpServer(create_app(service, settings, Gate(settings, accounts)), settings)
    browser = Browser(folder)
    try:
        server.start()
        yield Page(browser.open(), service, server.url, plant, accounts, published)
    finally:
        browser.close()
        server.stop()
        service.close()
        accounts.close()
        outbox.close()


def plant_end(service: DemoService) -> int:
    return max(state.last_event or 0 for state in service.device_states()) - 60 * SECOND
