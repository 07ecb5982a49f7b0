from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from driftline.runtime.broker import FIRST_PORT, BrokerError, BrokerHandle, answers, start_broker
from ingest.broker_settings import BrokerSettings

pytestmark = pytest.mark.timeout(600)


def no_program(_name: str) -> None:
    return None


def port_of(handle: BrokerHandle) -> int:
    return int(handle.url.rsplit(":", 1)[1])


KINDS = [
    pytest.param("mosquitto", marks=pytest.mark.service("mosquitto")),
    pytest.param("embedded"),
]

Start = Callable[..., BrokerHandle]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    handles: list[BrokerHandle] = []

    def start_kind(kind: str, name: str = "broker") -> BrokerHandle:
        which = shutil.which if kind == "mosquitto" else no_program
        handles.append(start_broker("auto", tmp_path / name, which=which))
        return handles[-1]

    yield start_kind
    for handle in handles:
        handle.stop()


def test_a_configured_broker_is_left_to_itself(tmp_path: Path) -> None:
    handle = start_broker("mqtt://broker.example:1884", tmp_path / "broker")
    assert (handle.url, handle.kind, handle.pid, handle.alive) == (
        "mqtt://broker.example:1884",
        "configured",
        None,
        True,
    )
    handle.stop()
    assert not (tmp_path / "broker").exists()
    with pytest.raises(ValueError, match='"http://x" is no broker'):
        start_broker("http://x", tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_auto_starts_a_broker_that_answers_and_ends(start: Start, kind: str) -> None:
    handle = start(kind)
    assert handle.kind == kind
    assert handle.alive
    assert port_of(handle) >= FIRST_PORT
    assert answers("127.0.0.1", port_of(handle))
    handle.stop()
    handle.stop()
    assert not handle.alive
    assert not answers("127.0.0.1", port_of(handle))


@pytest.mark.parametrize("kind", KINDS)
def test_it_listens_on_loopback_alone_and_two_run_side_by_side(start: Start, kind: str) -> None:
    first, second = start(kind, "first"), start(kind, "second")
    assert port_of(first) != port_of(second)
    assert answers("127.0.0.1", port_of(first))
    assert answers("127.0.0.1", port_of(second))
    with socket.socket() as other:
        other.bind(("127.0.0.2", port_of(first)))


def test_the_settings_follow_the_broker(start: Start) -> None:
    handle = start("embedded")
    settings = handle.resolve(BrokerSettings(client_id="plant"))
    assert (settings.url, settings.protocol, settings.client_id) == (handle.url, "3.1.1", "plant")
    configured = BrokerHandle("mqtt://h:1", "configured").resolve(BrokerSettings(url="mqtt://h:1"))
    assert (configured.url, configured.protocol) == ("mqtt://h:1", "5")


@pytest.mark.service("mosquitto")
def test_a_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'no such option' >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(BrokerError, match=r"mosquitto ended at its start: no such option \(log: .*mosquitto.log\)"):
        start_broker("auto", tmp_path / "broker", which=lambda _name: str(broken))


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
@pytest.mark.parametrize("kind", KINDS)
def test_no_orphan_is_left_by_a_killed_parent_and_ctrl_c_does_not_reach_the_child(
    tmp_path: Path, wait_until: Any, kind: str
) -> None:
    program = (
        "import os, sys, signal\n"
        "from pathlib import Path\n"
        "from driftline.runtime.broker import start_broker\n"
        "which = {} if sys.argv[2] == 'mosquitto' else {'which': lambda name: None}\n"
        "handle = start_broker('auto', Path(sys.argv[1]), **which)\n"
        "signal.signal(signal.SIGINT, lambda *_: os.write(1, f'interrupted {handle.alive}\\n'.encode()))\n"
        "print(handle.pid, handle.url.rsplit(':', 1)[1], flush=True)\n"
        "while True:\n"
        "    signal.pause()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "broker"), kind],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert parent.stdout is not None
        pid, port = map(int, parent.stdout.readline().split())
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.stdout.readline() == "interrupted True\n"
        assert answers("127.0.0.1", port)
    finally:
        parent.kill()
        parent.wait(60)
        if parent.stdout is not None:
            parent.stdout.close()
    wait_until(lambda: is_gone(pid), what="the broker's end")
