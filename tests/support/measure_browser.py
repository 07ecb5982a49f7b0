"""How long the page holds the browser up while it follows live: the longest task of each screen, in Chromium.

    PYTHONPATH=tests/support python tests/support/measure_browser.py --devices 100000 --rate 1000 --seconds 20

A real service has taken so many devices, and takes so many readings a second meanwhile. Tasks of more than 50 ms are
those that the browser itself calls long (W3C Long Tasks); those until a screen stands are told apart.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import httpx
import paho.mqtt.client as mqtt
from chromium_browser import Browser
from paho.mqtt.enums import CallbackAPIVersion

_CONFIG = """
[limits]
max_series = 1_000_000
[[routes]]
filter = "#"
detectors = []
"""
_FOLLOWED = "site-000/device-000000"
_OBSERVE = """
window.longTasks = [];
new PerformanceObserver((list) => { for (const each of list.getEntries()) window.longTasks.push(each.duration); })
  .observe({ type: "longtask", buffered: true });
"""
_TAKE = "const found = window.longTasks; window.longTasks = []; return found;"


class Plant:
    """Devices, a thousand a site, that publish a temperature each over one connection."""

    def __init__(self, broker: str, devices: int) -> None:
        self._topics = [f"site-{n // 1000:03}/device-{n:06}" for n in range(devices)]
        host, port = broker.removeprefix("mqtt://").rsplit(":", 1)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.connect(host, int(port))
        self._client.loop_start()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._rate = 0

    def introduce(self) -> None:
        """A reading of each device, at QoS 1."""
        for number, topic in enumerate(self._topics):
            sent = self._client.publish(topic, json.dumps({"temperature": 20 + number % 7}), qos=1)
            if number % 1000 == 999:
                sent.wait_for_publish(60)

    def follow(self, rate: int) -> None:
        """So many readings a second from now on: each tenth of them of one device."""
        self._rate = rate
        self._thread.start()

    def _follow(self) -> None:
        number, began = 0, time.monotonic()
        while not self._stopping.is_set():
            if number > (time.monotonic() - began) * self._rate:
                time.sleep(0.005)
                continue
            topic = _FOLLOWED if number % 10 == 0 else self._topics[number * 7919 % len(self._topics)]
            self._client.publish(topic, json.dumps({"temperature": 20 + number % 11}))
            number += 1

    def close(self) -> None:
        self._stopping.set()
        with suppress(RuntimeError):
            self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()


def measure(base: str, screens: dict[str, str], folder: Path, seconds: float) -> None:
    """Open each screen, let it stand, and follow it for some time; print its longest tasks in ms."""
    browser = Browser(folder, patience=120).open()
    try:
        for name, route in screens.items():
            browser.go("about:blank")
            browser.go(f"{base}/{route}")
            browser.run(_OBSERVE)
            time.sleep(10)
            standing = browser.run(_TAKE)
            time.sleep(seconds)
            following = browser.run(_TAKE)
            print(
                f"{name}: until it stands {_longest(standing)}; following for {seconds:g} s {_longest(following)}",
                flush=True,
            )
    finally:
        browser.close()


def _longest(tasks: list[float]) -> str:
    return f"{len(tasks)} long tasks, the longest {max(tasks):.0f} ms" if tasks else "no long task"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="driftline-browser-") as place:
        folder = Path(place)
        (folder / "driftline.toml").write_text(_CONFIG)
        command = [sys.executable, "-m", "driftline", "up", "--data", str(folder / "var"), "--port", "0"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--config", str(folder / "driftline.toml")], stdout=log, stderr=subprocess.STDOUT
            )
        try:
            file = folder / "var" / "service.json"
            while not file.exists():
                if process.poll() is not None:
                    raise SystemExit((folder / "log").read_text())
                time.sleep(0.2)
            about = json.loads(file.read_text())
            plant = Plant(about["broker"], given.devices)
            time.sleep(2)
            plant.introduce()
            while httpx.get(f"{about['url']}/api/v1/counts", timeout=240).json()["received"] < given.devices:
                time.sleep(0.5)
            print(f"{given.devices:,} devices, {given.rate:,} readings a second")
            plant.follow(given.rate)
            screens = {
                "fleet": "#/",
                "fleet by site": "#/?group=site",
                "device": f"#/device/{quote(_FOLLOWED, safe='')}",
                "alarms": "#/alarms",
                "pipeline": "#/pipeline",
            }
            measure(about["url"], screens, folder, given.seconds)
            plant.close()
        finally:
            process.terminate()
            process.wait(60)


if __name__ == "__main__":
    main()
