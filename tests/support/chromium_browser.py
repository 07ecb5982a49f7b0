"""A real Chromium under test, driven over the WebDriver protocol (W3C WebDriver) of chromedriver, on loopback alone."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

_FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
]
_AXE = Path(__file__).parent / "vendor" / "axe.min.js"
"""axe-core 4.12.1, MPL 2.0: rules of accessibility (WCAG 2.2)."""
_NARROWEST = 500
"""The least width of a window of Chromium, in pixels."""
_KEEPS_NETWORK_LOG = {"browser": "ALL", "performance": "ALL"}
# Characters of a page that are told where a wait was in vain.
_SHOWN = 2_000


class Browser:
    """One window. `open` and `close` bound its life; every wait is bounded by `patience` seconds."""

    def __init__(self, folder: Path, *, width: int = 1440, height: int = 900, dark: bool = True, patience: float = 180):
        self._folder = folder
        self._size = (width, height)
        self._dark = dark
        self._patience = patience
        self._driver: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(timeout=240, trust_env=False)
        self._session = ""
        self._log: list[dict[str, Any]] = []

    def open(self) -> Browser:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        program = shutil.which("chromedriver")
        assert program is not None
        self._driver = subprocess.Popen(
            [program, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self._folder
        )
        base = f"http://127.0.0.1:{port}"
        self.wait(lambda: self._ready(base), "chromedriver to answer")
        arguments = [*_FLAGS, f"--user-data-dir={self._folder / 'profile'}", "--window-size={},{}".format(*self._size)]
        if self._dark:
            arguments.append("--force-dark-mode")
        options = {"args": arguments, "binary": shutil.which("chromium")}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": _KEEPS_NETWORK_LOG}
        reply = self._http.post(f"{base}/session", json={"capabilities": {"alwaysMatch": wanted}}).json()["value"]
        assert "sessionId" in reply, reply
        self._session = f"{base}/session/{reply['sessionId']}"
        if self._size[0] < _NARROWEST:
            self.be_phone(*self._size)
        return self

    def be_phone(self, width: int, height: int) -> None:
        """Show pages as a phone of that width does: no window is as narrow."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
        self._call("goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics})

    def be_window(self) -> None:
        """Show pages as a window again."""
        self._call("goog/cdp/execute", {"cmd": "Emulation.clearDeviceMetricsOverride", "params": {}})

    def _ready(self, base: str) -> bool:
        try:
            return bool(self._http.get(f"{base}/status").json()["value"]["ready"])
        except httpx.TransportError:
            return False

    def close(self) -> None:
        try:
            if self._session:
                self._http.delete(self._session)
        finally:
            self._http.close()
            if self._driver is not None:
                self._driver.terminate()
                self._driver.wait(60)

    def _call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        url = f"{self._session}/{path}"
        reply = self._http.get(url) if body is None else self._http.post(url, json=body)
        value = reply.json()["value"]
        if reply.status_code != 200:
            raise AssertionError(f"{path}: {value}")
        return value

    def go(self, url: str) -> None:
        self._call("url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        """What the script, a function body, returns."""
        return self._call("execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + self._patience
        while not condition():
            if time.monotonic() > end:
                shown = self.run("return location.href + '\\n' + document.body.innerText")
                raise AssertionError(f"waited {self._patience} s in vain for {what}; shown is {shown[:_SHOWN]}")
            time.sleep(0.05)

    def wait_for(self, script: str, what: str) -> None:
        """Wait until the script returns something true."""
        self.wait(lambda: self.run(script), what)

    def drag(self, selector: str, start: float, end: float, *, shift: bool = False) -> None:
        """Drag across an element, from one share of its width to another."""
        box = self.run(
            "const e = document.querySelector(arguments[0]); e.scrollIntoView({block: 'center'});"
            "const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height];",
            selector,
        )
        left, top, width, height = box
        y = int(top + height / 2)
        moves = [{"type": "pointerMove", "x": int(left + width * x), "y": y, "duration": 60} for x in (start, end)]
        pointer = [moves[0], {"type": "pointerDown", "button": 0}, moves[1], {"type": "pointerUp", "button": 0}]
        actions: list[dict[str, Any]] = [
            {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": pointer}
        ]
        if shift:
            keys = [
                {"type": "keyDown", "value": "\ue008"},
                *[{"type": "pause"}] * 2,
                {"type": "keyUp", "value": "\ue008"},
            ]
            actions.append({"type": "key", "id": "keys", "actions": keys})
        self._call("actions", {"actions": actions})

    def cut_off(self, offline: bool) -> None:
        """Let no request of the page come through, or let them again."""
        conditions = {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self._call("goog/cdp/execute", {"cmd": "Network.enable", "params": {}})
        self._call("goog/cdp/execute", {"cmd": "Network.emulateNetworkConditions", "params": conditions})

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        self._call("window/rect", {"width": width, "height": height})

    def press(self, key: str) -> None:
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._call("actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("screenshot")))

    def console_errors(self) -> list[str]:
        return [entry["message"] for entry in self._call("se/log", {"type": "browser"}) if entry["level"] == "SEVERE"]

    def requested(self) -> list[str]:
        """Address of every request that the window has sent."""
        self._log += [
            json.loads(entry["message"])["message"] for entry in self._call("se/log", {"type": "performance"})
        ]
        return [each["params"]["request"]["url"] for each in self._log if each["method"] == "Network.requestWillBeSent"]

    def accessibility_violations(self) -> list[str]:
        """What axe-core finds against the page as it is shown: rule, element and what is wrong with it."""
        self.run(_AXE.read_text(encoding="utf-8"))
        script = """
            const done = arguments[0];
            axe.run(document, { resultTypes: ["violations"] }).then((found) => done(found.violations.flatMap((each) =>
                each.nodes.map((node) => `${each.id}: ${node.html.slice(0, 200)}: ${node.failureSummary}`))));
        """
        found: list[str] = self._call("execute/async", {"script": script, "args": []})
        return found
