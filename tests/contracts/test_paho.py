"""What is relied on inside paho-mqtt, and that a paho in which it differs is used through its callbacks instead."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ingest.paho_client import why_unusable

pytestmark = pytest.mark.timeout(600)

RELIED_ON = (
    "_sock",
    "_sock_recv",
    "_packet_queue",
    "_packet_read",
    "_loop_rc_handle",
    "_msgtime_mutex",
    "_last_bytes_received",
    "_ping_t",
)
PROGRAM = Path(__file__).resolve().parents[1] / "support" / "other_paho.py"


def test_the_installed_paho_is_as_relied_on() -> None:
    assert why_unusable() is None


@pytest.fixture
def receiver(mosquitto: Any, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(PROGRAM), request.param, str(mosquitto.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.service("mosquitto")
@pytest.mark.parametrize("receiver", RELIED_ON, indirect=True)
def test_a_paho_without_what_is_relied_on_receives_all_the_same_with_one_warning(
    mosquitto: Any, receiver: subprocess.Popen[str]
) -> None:
    assert receiver.stdout is not None
    assert receiver.stdout.readline() == "subscribed\n", receiver.stderr.read() if receiver.stderr else ""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    for quality in (0, 1, 2):
        client.publish("plant/a", f"message {quality}", quality).wait_for_publish(60)
    client.disconnect()
    client.loop_stop()
    lines = receiver.stdout.read().splitlines()
    assert sorted(lines[:3]) == ["message 0", "message 1", "message 2"]
    assert [line for line in lines[3:] if "differs inside" in line] == lines[3:4]
    assert len(lines) == 4
    assert receiver.wait(60) == 0
