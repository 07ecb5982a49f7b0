"""Messages longer than anything that is decoded: cut, counted and acknowledged, never dropped where nobody counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from fault_runs import KillableService
from firmware_sim.publisher import BrokerAddress, Publisher
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from driftline.runtime.broker import start_broker

pytestmark = [pytest.mark.faults, pytest.mark.service("mosquitto"), pytest.mark.timeout(600)]

MEBIBYTE = 1 << 20


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_message_of_20_mebibytes_is_a_dead_letter(
    protocol: str, service: KillableService, mosquitto: Any, wait_until: Any, report: Any
) -> None:
    service.configure(mosquitto.url, f'protocol = "{protocol}"\n')
    service.start()
    before = service.rss_bytes
    address = BrokerAddress.parse(mosquitto.url)
    with Publisher(address, client_id="long", say=lambda _: None) as publisher:
        publisher.open()
        publisher.send([(b"plant/camera", bytes(20 * MEBIBYTE)), (b"plant/pump", b"1")])
        assert publisher.drain(60)
    wait_until(lambda: service.settled(2), what="both messages in their place")
    counts = service.get("counts")
    assert (counts["stored"], counts["rejected"], counts["redelivered"]) == (1, {"too_large": 1}, 0)
    letters = service.get("dead-letters")["dead_letters"]
    assert [letter["topic"] for letter in letters] == ["plant/camera"]
    assert service.rss_bytes < before + 64 * MEBIBYTE
    report(f"a message of 20 MiB, MQTT {protocol}", delivered=2, stored=1, rejected=1, lost=0)


def test_our_own_broker_tells_publishers_its_limit_and_takes_no_more(tmp_path: Path, wait_until: Any) -> None:
    broker = start_broker("auto", tmp_path / "broker", largest_packet=17 * MEBIBYTE)
    told: list[int] = []
    ended: list[int] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False)
    client.on_connect = lambda _c, _d, _f, _r, properties: told.append(properties.MaximumPacketSize)
    client.on_disconnect = lambda _c, _d, _f, reason, _p: ended.append(reason.value)
    try:
        client.connect("127.0.0.1", int(broker.url.rpartition(":")[2]))
        client.loop_start()
        wait_until(lambda: told, what="the limit")
        assert told == [17 * MEBIBYTE]
        sent = client.publish("plant/camera", bytes(18 * MEBIBYTE), qos=1)
        wait_until(lambda: ended, what="the broker's refusal")
        assert not sent.is_published()
    finally:
        client.loop_stop()
        broker.stop()
