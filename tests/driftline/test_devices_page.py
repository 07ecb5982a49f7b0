"""The list of devices of a running service, page by page: nothing is left out, nothing stands twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from devices.messages import MessageChunk
from driftline.config import parse_config
from driftline.runtime.service import Service
from storage.journal.sqlite_journal import SqliteJournal

CONFIG = '[broker]\nurl = "mqtt://127.0.0.1:1"\n[http]\nport = 0\n[[routes]]\nfilter = "#"\ndetectors = []\n'
DEVICES = [f"plant/pump-{number:02}" for number in range(25)]
TIME = 1_764_000_000 * 10**9


@pytest.fixture
def service(tmp_path: Path, wait_until: Callable[..., None]) -> Iterator[Service]:
    payload = json.dumps({"pressure": 4.5, "flow": 2}).encode()
    messages = [(device.encode(), payload, TIME + place, 1) for place, device in enumerate(DEVICES)]
    with SqliteJournal(tmp_path / "journal.db") as journal:
        journal.append(MessageChunk.of(messages))
    running = Service(parse_config(CONFIG), var_dir=tmp_path, console=Console(file=StringIO()))
    running.start()
    wait_until(lambda: running.status.counts().stored == 50, within=600, what="the readings in the database")
    yield running
    running.stop()


@pytest.mark.timeout(900)
def test_the_pages_add_up_to_the_list(service: Service) -> None:
    with httpx.Client(base_url=f"{service.url}/api/v1", timeout=60, trust_env=False) as client:
        whole = client.get("/devices").json()
        assert (whole["total"], [each["device"] for each in whole["devices"]]) == (25, DEVICES)
        assert [(each["metric"], each["series"]) for each in whole["devices"][24]["metrics"]] == [
            ("pressure", 48),
            ("flow", 49),
        ]
        pages = [client.get("/devices", params={"offset": at, "limit": 10}).json() for at in (0, 10, 20, 30)]
        assert [(page["total"], len(page["devices"])) for page in pages] == [(25, 10), (25, 10), (25, 5), (25, 0)]
        assert [each for page in pages for each in page["devices"]] == whole["devices"]
        refused = client.get("/devices", params={"limit": 10_001})
        assert refused.status_code == 400
        assert "limit" in refused.json()["error"]["message"]
