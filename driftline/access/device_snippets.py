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


@dataclass(frozen=True, slots=True)
class Certified:
    """The same for a device that has a certificate: where the files are that go onto it."""

    host: str
    port: int
    login: DeviceLogin
    authority: str
    certificate: str
    key: str

    @property
    def topic(self) -> str:
        """A topic that is the device's own."""
        return self.login.topics[0].removesuffix("/#")


def try_certified_line(entered: Certified) -> str:
    """A line that publishes one reading as the device."""
    files = f"--cafile {quote(entered.authority)} --cert {quote(entered.certificate)} --key {quote(entered.key)}"
    topic = quote(f"{entered.topic}/test")
    return (
        f"mosquitto_pub -h {entered.host} -p {entered.port} {files} -i {entered.login.name} -t {topic} "
        "-m '{\"temperature\": 21.5}'"
    )


def certified_broker_lines(*, port: int, acl: str, authority: str, server: tuple[str, str], revoked: str) -> str:
    """What stands in mosquitto's configuration once, so that it takes devices by their certificates."""
    return f"""listener {port}
cafile {authority}
certfile {server[0]}
keyfile {server[1]}
crlfile {revoked}
require_certificate true
use_identity_as_username true
acl_file {acl}"""


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


def certified_snippets(entered: Certified) -> dict[str, str]:
    """The pieces for firmwares that take a certificate, by name."""
    return {
        "esphome": f"""mqtt:
  broker: {entered.host}
  port: {entered.port}
  client_id: {entered.login.name}
  topic_prefix: {entered.topic}
  # The content of {entered.authority}, {entered.certificate} and {entered.key}:
  certificate_authority: !secret mqtt_ca
  client_certificate: !secret mqtt_certificate
  client_certificate_key: !secret mqtt_key""",
        "arduino (ESP32)": f"""#include <WiFiClientSecure.h>
#include <PubSubClient.h>

WiFiClientSecure network;
PubSubClient mqtt(network);

void connectMqtt() {{
  network.setCACert(CA);            // {entered.authority}
  network.setCertificate(CERT);     // {entered.certificate}
  network.setPrivateKey(KEY);       // {entered.key}
  mqtt.setServer("{entered.host}", {entered.port});
  mqtt.connect("{entered.login.name}");
}}""",
        "micropython": f"""import ssl
from umqtt.simple import MQTTClient

context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.load_verify_locations(cafile="ca.crt")
context.load_cert_chain("{entered.login.name}.crt", "{entered.login.name}.key")
client = MQTTClient("{entered.login.name}", "{entered.host}", port={entered.port}, ssl=context, keepalive=60)
client.connect()
client.publish(b"{entered.topic}/temperature", b"21.5")""",
    }


FIRMWARE = tuple(_MAKERS)
"""What there are pieces for."""


def broker_lines(passwords: str, acl: str) -> str:
    """What stands in mosquitto's configuration once, so that it asks who connects."""
    return f"""password_file {passwords}
acl_file {acl}"""
