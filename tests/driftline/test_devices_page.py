"""The list of devices of a running service: page by page nothing is left out or twice, and who is heard is so."""

from __future__ import annotations

import json
import time
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
PROBE, BROKEN, ALIVE = "lab/probe", "lab/broken", "lab/alive"
TIME = 1_764_000_000 * 10**9
EIGHT_MINUTES, TENTH = 480 * 10**9, 10**8


@pytest.fixture
def service(tmp_path: Path, wait_until: Callable[..., None]) -> Iterator[Service]:
    payload = json.dumps({"pressure": 4.5, "flow": 2}).encode()
    messages = [(device.encode(), payload, TIME + place, 1) for place, device in enumerate(DEVICES)]
    heard = time.time_ns()
    for place in range(10):
        messages.append((f"{PROBE}/level".encode(), b"1.5", heard - EIGHT_MINUTES + place * TENTH, 1))
        messages.append((BROKEN.encode(), b'{"level": ', heard - EIGHT_MINUTES + place * TENTH, 1))
    messages += [(f"{ALIVE}/level".encode(), b"1.5", heard - place * 60 * 10**9, 1) for place in range(8, -1, -1)]
    with SqliteJournal(tmp_path / "journal.db") as journal:
        journal.append(MessageChunk.of(messages))
    running = Service(parse_config(CONFIG), var_dir=tmp_path, console=Console(file=StringIO()))
    running.start()
    wait_until(lambda: running.status.counts().stored == 69, within=600, what="the readings in the database")
    yield running
    running.stop()


@pytest.mark.timeout(900)
def test_the_pages_add_up_to_the_list(service: Service) -> None:
    with httpx.Client(base_url=f"{service.url}/api/v1", timeout=240, trust_env=False) as client:
        whole = client.get("/devices").json()
        assert [each["device"] for each in whole["devices"]] == [*DEVICES, PROBE, ALIVE, BROKEN]
        assert whole["total"] == 28
        assert [(each["metric"], each["series"]) for each in whole["devices"][24]["metrics"]] == [
            ("pressure", 48),
            ("flow", 49),
        ]
        pages = [client.get("/devices", params={"offset": at, "limit": 10}).json() for at in (0, 10, 20, 30)]
        assert [(page["total"], len(page["devices"])) for page in pages] == [(28, 10), (28, 10), (28, 8), (28, 0)]
        assert [each for page in pages for each in page["devices"]] == whole["devices"]
        refused = client.get("/devices", params={"limit": 10_001})
        assert refused.status_code == 400
        assert "limit" in refused.json()["error"]["message"]


@pytest.mark.timeout(900)
def test_who_is_not_heard_from_is_not_called_online(service: Service) -> None:
    states = {state.device: state for state in service.status.device_states()}
    told = {device: states[device].life for device in (DEVICES[0], PROBE, ALIVE, BROKEN)}
    assert told == {DEVICES[0]: "silent", PROBE: "quiet", ALIVE: "online", BROKEN: "refused"}
    assert states[BROKEN].refusal.startswith("10 of 10 messages refused, the last one as malformed: ")
