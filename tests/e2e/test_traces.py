"""A message's way as a person sees it: continued from its sender, through every stage, and on to a collector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import paho.mqtt.client as mqtt
from otlp_collector import Collector
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

WaitUntil = Callable[..., None]

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STAGES = ["message", "receive", "journal", "route", "decode", "score", "alarm", "store", "function"]
CONFIG = """
[tracing]
sample = 1.0
endpoint = "{collector}"

[[routes]]
filter = "#"
detectors = []

[[functions]]
name = "keep"
action = "row"
with = {{ table = "kept", values = {{ device = "{{device}}" }} }}
trigger = {{ type = "readings", topics = ["plant/#"] }}
"""


def publish(url: str) -> None:
    host, port = url.removeprefix("mqtt://").rsplit(":", 1)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect(host, int(port))
    client.loop_start()
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = ("traceparent", f"00-{TRACE}-{SPAN}-01")
    client.publish("plant/p7", '{"temperature": 21.5}', qos=1, properties=properties).wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def test_a_message_s_way_is_told_by_the_api_and_to_a_collector(service: Any, wait_until: WaitUntil) -> None:
    collector = Collector()
    service.config.write_text(CONFIG.format(collector=collector.url))
    service.start()
    publish(service.broker_url)

    def spans() -> list[dict[str, Any]]:
        reply = httpx.get(f"{service.url}/api/v1/traces/{TRACE}", timeout=240)
        return [span for message in reply.json().get("messages", []) for span in message["spans"]]

    wait_until(lambda: len(spans()) == len(STAGES), within=200, what="every stage")
    root, *stages = spans()
    assert [span["name"] for span in (root, *stages)] == STAGES
    assert root["parent_id"] == SPAN
    ways = stages[:7]
    assert [span["start"] for span in ways] == sorted(span["start"] for span in ways)
    assert all(span["start"] <= span["end"] for span in ways)
    assert stages[-1]["attributes"]["driftline.function"] == "keep"
    wait_until(lambda: len(collector.spans) >= len(STAGES), within=240, what="the spans at the collector")
    sent = {span.span_id.hex(): span.trace_id.hex() for span in collector.spans}
    assert sent == {span["span_id"]: TRACE for span in (root, *stages)}
    assert service.stop() == 0, service.log
    collector.close()
