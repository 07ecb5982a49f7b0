"""What a person enters on a device so that it signs in at the broker: a line to try, and a piece for each firmware."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from shlex import quote

from driftline.access.broker_access import DeviceLogin


@dataclass(frozen=True, slots=True)
class Entered:
    """What every snippet says: the broker's host and port, the login, and its password."""

    host: str
    port: int
    login: DeviceLogin
    password: str

    @property
    def topic(self) -> str:
        """A topic that is the device's own."""
        return self.login.topics[0].removesuffix("/#")


def try_line(entered: Entered) -> str:
    """A line that publishes one reading as the device."""
    login = f"-u {entered.login.name} -P {quote(entered.password)} -i {entered.login.name}"
    topic = quote(f"{entered.topic}/test")
    return f"mosquitto_pub -h {entered.host} -p {entered.port} {login} -t {topic} -m '{{\"temperature\": 21.5}}'"


def snippet(entered: Entered, firmware: str) -> str:
    """The piece for a firmware, one of `FIRMWARE`."""
    return _MAKERS[firmware](entered)


def _esphome(entered: Entered) -> str:
    return f"""mqtt:
  broker: {entered.host}
  port: {entered.port}
  username: {entered.login.name}
  password: "{entered.password}"
  client_id: {entered.login.name}
  topic_prefix: {entered.topic}"""


def _tasmota(entered: Entered) -> str:
    name = entered.login.name
    return (
        f"Backlog MqttHost {entered.host}; MqttPort {entered.port}; MqttUser {name}; "
        f"MqttPassword {entered.password}; MqttClient {name}; Topic {name}; FullTopic %prefix%/%topic%/"
    )


def _arduino(entered: Entered) -> str:
    return f"""#include <WiFi.h>
#include <PubSubClient.h>

WiFiClient network;
PubSubClient mqtt(network);

void connectMqtt() {{
  mqtt.setServer("{entered.host}", {entered.port});
  mqtt.connect("{entered.login.name}", "{entered.login.name}", "{entered.password}");
}}

void report(float temperature) {{
  mqtt.publish("{entered.topic}/temperature", String(temperature).c_str());
}}"""


def _micropython(entered: Entered) -> str:
    return f"""from umqtt.simple import MQTTClient

client = MQTTClient("{entered.login.name}", "{entered.host}", port={entered.port},
                    user="{entered.login.name}", password="{entered.password}", keepalive=60)
client.connect()
client.publish(b"{entered.topic}/temperature", b"21.5")"""


_MAKERS: dict[str, Callable[[Entered], str]] = {
    "esphome": _esphome,
    "tasmota": _tasmota,
    "arduino": _arduino,
    "micropython": _micropython,
}
FIRMWARE = tuple(_MAKERS)
"""What there are pieces for."""


def broker_lines(passwords: str, acl: str) -> str:
    """What stands in mosquitto's configuration once, so that it asks who connects."""
    return f"""password_file {passwords}
acl_file {acl}"""
