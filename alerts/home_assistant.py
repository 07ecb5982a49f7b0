"""Alarms for Home Assistant: what its MQTT discovery is told of a device, so that an anomaly is a binary sensor there.

Source: Home Assistant, "MQTT" (discovery, availability), "MQTT Binary Sensor", "MQTT Sensor".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from alerts.severity import SEVERITIES
from common.durations import PositiveDuration
from devices.fault_labels import iso_time
from devices.records import AlarmRecord

TOPICS = "driftline/alarms"
"""Below it are the states of all devices. What comes in on it is our own: it is never taken for readings."""
AVAILABILITY = f"{TOPICS}/availability"
NODE = "driftline"
"""The part of the discovery's topics that tells our messages from others'."""

_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9_-]+")


class HomeAssistantSettings(BaseModel):
    """Alarms and scores as sensors of Home Assistant, over the broker that is listened to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=False, description="Publish them: a problem sensor and a score for each device.")
    prefix: str = Field(
        default="homeassistant",
        min_length=1,
        max_length=200,
        pattern=r"^[^+#\x00-\x1f\x7f]+$",
        description="Topic prefix of its discovery, as it is set there.",
    )
    devices: list[str] = Field(
        default=["*"], min_length=1, description='Devices that are published; "*" stands for any characters.'
    )
    score_every: PositiveDuration = Field(
        default="10s", description="How often a score is published that has changed: the highest since the last."
    )


def object_id(device: str) -> str:
    """A device's name as Home Assistant takes it in topics and ids: another name never has the same."""
    plain = _NOT_ALLOWED.sub("_", device)
    return plain if plain == device else f"{plain[:100]}_{hashlib.sha256(device.encode()).hexdigest()[:8]}"


def config_topics(prefix: str, ident: str) -> tuple[str, str]:
    """Where the descriptions of the problem sensor and of the score are."""
    return f"{prefix}/binary_sensor/{NODE}/{ident}_anomaly/config", f"{prefix}/sensor/{NODE}/{ident}_score/config"


def state_topics(ident: str) -> tuple[str, str, str]:
    """Where a device's problem, what is said of it, and its score are."""
    return f"{TOPICS}/{ident}/state", f"{TOPICS}/{ident}/attributes", f"{TOPICS}/{ident}/score"


def configs(device: str, name: str, *, version: str, link: str) -> tuple[bytes, bytes]:
    """The descriptions of a device's problem sensor and of its score; `link` is its page."""
    ident = object_id(device)
    state, attributes, score = state_topics(ident)
    shared: dict[str, Any] = {
        "availability_topic": AVAILABILITY,
        "device": {"identifiers": [f"driftline_{ident}"], "name": name, "manufacturer": "Driftline"},
        "origin": {"name": "Driftline", "sw_version": version},
    }
    if link.startswith(("http://", "https://")):
        shared["device"]["configuration_url"] = link
    problem = shared | {
        "name": "Anomaly",
        "unique_id": f"driftline_{ident}_anomaly",
        "device_class": "problem",
        "state_topic": state,
        "json_attributes_topic": attributes,
    }
    number = shared | {
        "name": "Anomaly score",
        "unique_id": f"driftline_{ident}_score",
        "state_class": "measurement",
        "icon": "mdi:chart-bell-curve",
        "state_topic": score,
    }
    return orjson.dumps(problem), orjson.dumps(number)


def state_of(open_alarms: Sequence[tuple[AlarmRecord, str]], *, is_muted: bool) -> tuple[bytes, bytes]:
    """The problem sensor's state, and its attributes: what is told of the worst of a device's open alarms, each with
    the name of its metric, the one that opened first where several are as bad.
    """
    if not open_alarms:
        return b"OFF", orjson.dumps({"alarms": 0, "muted": is_muted})
    worst, metric = min(open_alarms, key=lambda each: (_rank(each[0].severity), each[0].opened, each[0].alarm))
    told = {
        "alarms": len(open_alarms),
        "severity": worst.severity,
        "sentence": worst.reason,
        "metric": metric,
        "since": iso_time(worst.opened),
        "acknowledged_by": worst.acknowledged_by,
        "muted": is_muted,
    }
    return b"ON", orjson.dumps(told)


def _rank(severity: str) -> int:
    """0 for the worst."""
    return len(SEVERITIES) - SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES) + 1
