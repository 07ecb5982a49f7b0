"""How families of devices write what they measure: topic and payload of samples.

A style is a class and a line in the tuple. Each is read back by a profile or codec of `devices/`; a test holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import orjson

from common.suggestions import unknown
from common.time_units import SECOND
from devices.fault_labels import iso_time
from firmware_sim.payload_style import DeviceIdentity, PayloadStyle
from firmware_sim.samples import Presence, Sample
from firmware_sim.sparkplug_style import SparkplugStyle

MOST_SAMPLES = 60
"""Samples in one message, where the style can hold several."""


class JsonStyle(PayloadStyle):
    """One JSON object a sample; what was kept while offline comes as an array of them."""

    name = "json"
    carries_time = True

    def topic(self, identity: DeviceIdentity) -> str:
        """`plant/motor/motor-01`."""
        return f"{identity.prefix}/{identity.kind}/{identity.device}"

    def messages(self, identity: DeviceIdentity, samples: Sequence[Sample]) -> list[tuple[str, bytes]]:
        """`{"ts": "2026-...Z", "temperature": 21.5}`."""
        topic = self.topic(identity)
        rows = [{"ts": iso_time(sample.time), **sample.values} for sample in samples]
        if len(rows) == 1:
            return [(topic, orjson.dumps(rows[0]))]
        return [(topic, orjson.dumps(rows[at : at + MOST_SAMPLES])) for at in range(0, len(rows), MOST_SAMPLES)]


class PlainStyle(PayloadStyle):
    """A topic a metric, a number as text."""

    name = "plain"
    carries_time = False

    def topic(self, identity: DeviceIdentity) -> str:
        """`plant/motor/motor-01`; the metric is the next level."""
        return f"{identity.prefix}/{identity.kind}/{identity.device}"

    def messages(self, identity: DeviceIdentity, samples: Sequence[Sample]) -> list[tuple[str, bytes]]:
        """`21.5` on `plant/motor/motor-01/temperature`."""
        topic = self.topic(identity)
        return [
            (f"{topic}/{metric}", orjson.dumps(value)) for sample in samples for metric, value in sample.values.items()
        ]


class SenmlStyle(PayloadStyle):
    """SenML (RFC 8428) in JSON: a pack a message."""

    name = "senml"
    carries_time = True
    _UNITS: ClassVar[dict[str, str]] = {"°C": "Cel", "%": "%RH", "W": "W", "V": "V", "A": "A", "Hz": "Hz", "lx": "lx"}

    def topic(self, identity: DeviceIdentity) -> str:
        """`senml/motor-01`."""
        return f"senml/{identity.device}"

    def presence(self, identity: DeviceIdentity) -> Presence | None:
        """None: the standard knows no such thing."""
        del identity
        return None

    def messages(self, identity: DeviceIdentity, samples: Sequence[Sample]) -> list[tuple[str, bytes]]:
        """`[{"bn": "motor-01/", "bt": 1772366400.25}, {"n": "temperature", "u": "Cel", "v": 21.5}]`."""
        found = []
        for sample in samples:
            records = [self._record(identity, metric, value) for metric, value in sample.values.items()]
            records[0] = {"bn": f"{identity.device}/", "bt": sample.time / SECOND, **records[0]}
            found.append((self.topic(identity), orjson.dumps(records)))
        return found

    def _record(self, identity: DeviceIdentity, metric: str, value: float) -> dict[str, str | float]:
        unit = self._UNITS.get(identity.units.get(metric, ""))
        record: dict[str, str | float] = {"n": metric, "v": value}
        return {**record, "u": unit} if unit else record


class Zigbee2MqttStyle(PayloadStyle):
    """As zigbee2mqtt publishes a Zigbee device: one flat object, no time."""

    name = "zigbee2mqtt"
    carries_time = False

    def topic(self, identity: DeviceIdentity) -> str:
        """`zigbee2mqtt/climate-01`."""
        return f"zigbee2mqtt/{identity.device}"

    def presence(self, identity: DeviceIdentity) -> Presence | None:
        """`{"state": "online"}` on the topic's level `availability`."""
        return Presence(f"{self.topic(identity)}/availability", b'{"state":"online"}', b'{"state":"offline"}')

    def messages(self, identity: DeviceIdentity, samples: Sequence[Sample]) -> list[tuple[str, bytes]]:
        """`{"temperature": 21.5, "battery": 87, "linkquality": 120}`."""
        topic = self.topic(identity)
        return [(topic, orjson.dumps({**sample.values, "linkquality": 120})) for sample in samples]


class TasmotaStyle(PayloadStyle):
    """As Tasmota's telemetry: a time without a zone, the metrics below a sensor's name."""

    name = "tasmota"
    carries_time = True

    def topic(self, identity: DeviceIdentity) -> str:
        """`tele/motor-01`; telemetry is on its level SENSOR."""
        return f"tele/{identity.device}"

    def presence(self, identity: DeviceIdentity) -> Presence | None:
        """`Online` on the level LWT."""
        return Presence(f"{self.topic(identity)}/LWT", b"Online", b"Offline")

    def messages(self, identity: DeviceIdentity, samples: Sequence[Sample]) -> list[tuple[str, bytes]]:
        """`{"Time": "2026-03-01T12:00:00", "MOTOR": {"Temperature": 21.5}}`."""
        found = []
        for sample in samples:
            values = {name.title().replace("_", ""): value for name, value in sample.values.items()}
            body = {"Time": iso_time(sample.time)[:19], identity.kind.upper(): values}
            found.append((f"{self.topic(identity)}/SENSOR", orjson.dumps(body)))
        return found


class ShellyStyle(PayloadStyle):
    """As a Shelly of generation 2 notifies: JSON-RPC with the time in seconds, a component a metric."""

    name = "shelly"
    carries_time = True

    def topic(self, identity: DeviceIdentity) -> str:
        """`motor-01`; notifications are on `motor-01/events/rpc`."""
        return identity.device

    def presence(self, identity: DeviceIdentity) -> Presence | None:
        """`true` on the level `online`."""
        return Presence(f"{identity.device}/online", b"true", b"false")

    def messages(self, identity: DeviceIdentity, samples: Sequence[Sample]) -> list[tuple[str, bytes]]:
        """`{"src": "motor-01", "method": "NotifyStatus", "params": {"ts": ..., "temperature:0": {"value": 21.5}}}`."""
        found = []
        for sample in samples:
            components = {f"{metric}:0": {"id": 0, "value": value} for metric, value in sample.values.items()}
            body = {
                "src": identity.device,
                "dst": f"{identity.device}/events",
                "method": "NotifyStatus",
                "params": {"ts": round(sample.time / SECOND, 3), **components},
            }
            found.append((f"{identity.device}/events/rpc", orjson.dumps(body)))
        return found


class HomieStyle(PayloadStyle):
    """As the Homie convention, version 5: a topic a property, its value as text."""

    name = "homie"
    carries_time = False

    def topic(self, identity: DeviceIdentity) -> str:
        """`homie/5/motor-01`."""
        return f"homie/5/{identity.device}"

    def presence(self, identity: DeviceIdentity) -> Presence | None:
        """`ready` on the attribute `$state`."""
        return Presence(f"{self.topic(identity)}/$state", b"ready", b"lost")

    def announcements(self, identity: DeviceIdentity) -> list[tuple[str, bytes]]:
        """The description of the device, with the unit of each property."""
        properties = {
            metric: {"datatype": "float", **({"unit": unit} if unit else {})} for metric, unit in identity.units.items()
        }
        description = {"homie": "5.0", "version": 1, "nodes": {identity.kind: {"properties": properties}}}
        return [(f"{self.topic(identity)}/$description", orjson.dumps(description))]

    def messages(self, identity: DeviceIdentity, samples: Sequence[Sample]) -> list[tuple[str, bytes]]:
        """`21.5` on `homie/5/motor-01/motor/temperature`."""
        topic = f"{self.topic(identity)}/{identity.kind}"
        return [
            (f"{topic}/{metric}", orjson.dumps(value)) for sample in samples for metric, value in sample.values.items()
        ]


STYLES: tuple[PayloadStyle, ...] = (
    JsonStyle(),
    PlainStyle(),
    SenmlStyle(),
    Zigbee2MqttStyle(),
    TasmotaStyle(),
    ShellyStyle(),
    HomieStyle(),
    SparkplugStyle(),
)
"""Every style."""


def find_style(name: str) -> PayloadStyle:
    """The style of this name. Raises ValueError with the nearest."""
    known = {style.name: style for style in STYLES}
    if name not in known:
        raise ValueError(unknown(name, known, "payload style"))
    return known[name]
