"""The list of devices over the real HTTP API: 100,000 series on one page, and the first page of a million."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson
from rich.console import Console

from benchmarks.setting import Setting
from devices.messages import MessageChunk
from driftline.config import parse_config
from driftline.runtime.service import Service
from storage.journal.sqlite_journal import SqliteJournal

GROUP = "devices page"
_METRICS = 10
_MESSAGES_A_CHUNK = 1_000
_TIME = 1_764_000_000 * 10**9
_CONFIG = """
[broker]
url = "mqtt://127.0.0.1:1"
[http]
port = 0
[limits]
max_series = 1_000_000
[[routes]]
filter = "#"
detectors = []
"""


def run(setting: Setting) -> None:
    """Add the figures: the median of seven requests each."""
    for series, most in ((100_000, 0.3), (1_000_000, None)):
        setting.say(f"list of devices over HTTP, {series:,} series")
        with _service(series) as url, httpx.Client(base_url=url, timeout=120.0, trust_env=False) as client:
            client.get("/api/v1/devices", params={"limit": 10})
            for devices, at_most in ((2_000, 0.3), (10_000, most)):
                for _ in range(7):
                    began = time.perf_counter()
                    reply = client.get("/api/v1/devices", params={"limit": devices})
                    seconds = time.perf_counter() - began
                    found = reply.json()
                    if found["total"] != series // _METRICS:
                        raise RuntimeError(f"expected {series // _METRICS:,} devices, got {found['total']:,}")
                    name = f"{series:,} series, a page of {devices:,} devices"
                    setting.figures.add(GROUP, name, seconds, "s", at_most=at_most)


@contextmanager
def _service(series: int) -> Iterator[str]:
    """A service that has taken up so many series, ten a device, from its journal; its address."""
    config = parse_config(_CONFIG)
    with tempfile.TemporaryDirectory(prefix="driftline-devices-") as place:
        folder = Path(place)
        with SqliteJournal(folder / "journal.db") as journal:
            for first in range(0, series // _METRICS, _MESSAGES_A_CHUNK):
                devices = range(first, min(first + _MESSAGES_A_CHUNK, series // _METRICS))
                journal.append(MessageChunk.of([_message(device) for device in devices]))
        service = Service(config, var_dir=folder, console=Console(quiet=True))
        service.start()
        try:
            while service.status.counts().stored < series:
                time.sleep(0.1)
            yield service.url
        finally:
            service.stop()


def _message(device: int) -> tuple[bytes, bytes, int, int]:
    values = {f"metric-{i}": device + i / 8 for i in range(_METRICS)}
    return f"plant/hall-{device // 10_000}/device-{device:06}".encode(), orjson.dumps(values), _TIME + device, 1
