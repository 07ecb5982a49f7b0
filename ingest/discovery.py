"""Beside route: what descriptions on the broker tell of the readings: units, how often they come, names of devices.

Read are the attributes of Homie 3 and 4 (`.../$unit`), Homie 5's `$description`, Home Assistant's discovery messages
and zigbee2mqtt's list of devices. A description may come before or after the first reading; nothing of it is a reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from alerts.home_assistant import NODE
from common.time_units import SECOND
from devices.codec import UNNAMED
from devices.quantities import canonical
from devices.topics import matches
from ingest.wirenboard import control_of, wirenboard_unit

LONGEST_NAME = 200
_LONGEST_EXPIRY = 366 * 86_400
"""Seconds beyond which an expiry says nothing."""
MOST_DESCRIBED = 200_000
"""Most metrics that descriptions are kept of; beyond, new ones are passed over."""

_ABBREVIATIONS = {
    "stat_t": "state_topic", "unit_of_meas": "unit_of_measurement", "val_tpl": "value_template", "~": "~",
    "cmps": "components", "stat_cla": "state_class", "dev_cla": "device_class", "dev": "device",
    "exp_aft": "expire_after",
}  # fmt: skip
"""Home Assistant's short keys (its MQTT integration, "Supported abbreviations in MQTT discovery messages")."""

_FIELD_OF_TEMPLATE = re.compile(r"value_json((?:\.[A-Za-z_]\w*|\[\s*['\"][^'\"]+['\"]\s*\]|\[\s*\d+\s*\])+)")
_NO_OPERATION = re.compile(r"'[^']*'|\"[^\"]*\"|\{%-?|-?%\}|\{\{-?|-?\}\}|(?:round|default)\([^()]*\)")
_RECKONS = re.compile(r"[*/%]|[\w)\]]\s*[+-]\s*[\w(]|\|\s*(?:multiply|add|log|sqrt|timestamp_\w+)\b")
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[\s*['\"]([^'\"]+)['\"]\s*\]|\[\s*(\d+)\s*\]")


class Discovery:
    """Units by device and metric, and by the topic and field that a reading stands in; names of devices by topic."""

    def __init__(self) -> None:
        self._by_name: dict[tuple[str, str], str] = {}
        self._by_topic: dict[tuple[str, str], str] = {}
        self._by_filter: dict[tuple[str, str], str] = {}
        self._names: dict[str, str] = {}
        self._metrics: dict[tuple[str, str], str] = {}
        self._expiries: dict[tuple[str, str], int] = {}

    def within(self, topic: str, field: str) -> int:
        """The nanoseconds within which a reading comes again by its description; 0 where nothing says."""
        return self._expiries.get((topic, field), 0)

    def name(self, topic: str) -> str:
        """What the device is called whose readings come on a topic; empty where nothing says."""
        return self._names.get(topic, "")

    def metric(self, topic: str, field: str) -> str:
        """What a reading on a topic is called that its messages tell by a number alone; empty where nothing says."""
        return self._metrics.get((topic, field), "")

    def unit(self, topic: str, field: str, device: str, metric: str) -> str:
        """The unit of a reading: `field` is its path in the payload, UNNAMED where the payload is the value alone."""
        found = self._by_topic.get((topic, field)) or self._by_name.get((device, metric))
        if found or not self._by_filter:
            return found or ""
        of_field = (each for each in self._by_filter.items() if each[0][1] == field)
        return next((unit for (filter_, _), unit in of_field if matches(filter_, topic)), "")

    def learn(self, form: str, device: str, topic: str, payload: bytes) -> bool:
        """Take in a description of one of the forms of a profile, "" for none; returns whether it tells news."""
        changed = False
        for table, key, told in self._news(form, device, topic, payload):
            table[key] = told
            changed = True
        return changed

    def is_news(self, form: str, device: str, topic: str, payload: bytes) -> bool:
        """Whether `learn` would tell news."""
        return next(self._news(form, device, topic, payload), None) is not None

    def state(self) -> dict[str, Any]:
        """All that was learned, as JSON."""
        tables = {"name": self._by_name, "topic": self._by_topic, "filter": self._by_filter, "metric": self._metrics}
        units = {name: [[*key, unit] for key, unit in table.items()] for name, table in tables.items()}
        expiries = [[*key, within] for key, within in self._expiries.items()]
        return {**units, "names": dict(self._names), "expiries": expiries}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self._by_name, self._by_topic, self._by_filter, self._metrics = (
            {(first, second): told for first, second, told in saved.get(name, [])}
            for name in ("name", "topic", "filter", "metric")
        )
        self._names = dict(saved.get("names", {}))
        self._expiries = {(topic, field): within for topic, field, within in saved.get("expiries", [])}

    def _news(self, form: str, device: str, topic: str, payload: bytes) -> Iterator[tuple[dict[Any, Any], Any, Any]]:
        """What a description tells that is not known: the table, the key in it, and the name, unit or time."""
        if not form or sum(map(len, (self._by_name, self._by_topic, self._by_filter, self._metrics))) >= MOST_DESCRIBED:
            return
        for said in self._entities(topic, payload) if form == "homeassistant" else ():
            yield from self._news_of_entity(said)
        for table, key, unit in self._described(form, device, topic, payload):
            if unit and table.get(key) != unit:
                yield table, key, unit

    def _entities(self, topic: str, payload: bytes) -> Iterator[dict[str, Any]]:
        """What a discovery message says of each entity that has a topic. Our own says nothing."""
        try:
            root = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return
        if isinstance(root, dict) and f"/{NODE}/" not in topic and len(self._names) < MOST_DESCRIBED:
            yield from filter(_state_topic, _components(root))

    def _news_of_entity(self, said: dict[str, Any]) -> Iterator[tuple[dict[Any, Any], Any, Any]]:
        """What the device is called that sends an entity's state, and how often that comes."""
        device, state_topic = said.get("device"), _state_topic(said)
        name = device.get("name") if isinstance(device, dict) else None
        if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and self._names.get(state_topic) != name:
            yield self._names, state_topic, name
        template, seconds = said.get("value_template"), said.get("expire_after")
        field = _field(template) if isinstance(template, str) else UNNAMED
        within = 0
        if isinstance(seconds, (int, float)) and 0 < seconds <= _LONGEST_EXPIRY:
            within = round(seconds * SECOND)
        if field is not None and self._expiries.get((state_topic, field), 0) != within:
            yield self._expiries, (state_topic, field), within

    def _described(
        self, form: str, device: str, topic: str, payload: bytes
    ) -> Iterator[tuple[dict[tuple[str, str], str], tuple[str, str], str]]:
        if form == "homie":
            levels = topic.split("/")
            if levels[-1] == "$unit":
                unit = canonical(payload[:64].decode("utf-8", "replace"))
                yield self._by_topic, ("/".join(levels[:-1]), UNNAMED), unit
            return
        if form == "wirenboard":
            yield self._by_name, (device, control_of(topic)), wirenboard_unit(topic, payload)
            return
        try:
            root = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return
        if form == "statestream" and isinstance(root, str):
            yield self._by_topic, (f"{topic.rpartition('/')[0]}/state", UNNAMED), canonical(root)
        elif form == "simatic":
            for values, number, name in _simatic(root):
                yield self._metrics, (values, number), name
        else:
            yield from self._of_devices(form, device, topic, root)

    def _of_devices(
        self, form: str, device: str, topic: str, root: object
    ) -> Iterator[tuple[dict[tuple[str, str], str], tuple[str, str], str]]:
        if form == "homie5":
            for metric, unit in _homie5(root):
                yield self._by_name, (device, metric), unit
        elif form == "zigbee2mqtt":
            base = topic.removesuffix("/bridge/devices")
            for name, metric, unit in _zigbee2mqtt(root):
                owner = name if base == "zigbee2mqtt" else f"{base}/{name}"
                yield self._by_name, (owner, metric), unit
        elif isinstance(root, dict):
            for state_topic, field, unit in _homeassistant(root):
                wild = "+" in state_topic or "#" in state_topic
                yield self._by_filter if wild else self._by_topic, (state_topic, field), unit


def _simatic(root: object) -> Iterator[tuple[str, str, str]]:
    """Topic, number and name of each data point that a connector of Industrial Edge describes."""
    for connection in _list_of(root, "connections"):
        for group in _list_of(connection, "dataPoints"):
            for point in _list_of(group, "dataPointDefinitions"):
                topic, number, name = group.get("topic"), point.get("id"), point.get("name")
                if isinstance(topic, str) and isinstance(number, (str, int)) and isinstance(name, str):
                    yield topic, str(number), name


def _list_of(node: object, key: str) -> list[dict[str, Any]]:
    inside = node.get(key) if isinstance(node, dict) else None
    return [each for each in inside if isinstance(each, dict)] if isinstance(inside, list) else []


def _homie5(root: object) -> Iterator[tuple[str, str]]:
    for node, described in _maps(root, "nodes"):
        for name, property_ in _maps(described, "properties"):
            yield f"{node}.{name}", canonical(str(property_.get("unit") or ""))


def _zigbee2mqtt(root: object) -> Iterator[tuple[str, str, str]]:
    for device in root if isinstance(root, list) else []:
        if not isinstance(device, dict) or not isinstance(device.get("friendly_name"), str):
            continue
        definition = device.get("definition")
        exposed = definition.get("exposes") if isinstance(definition, dict) else None
        for each in _exposed(exposed):
            name, unit = each.get("property") or each.get("name"), each.get("unit")
            if isinstance(name, str) and isinstance(unit, str):
                yield device["friendly_name"], name, canonical(unit)


def _exposed(exposed: object, depth: int = 0) -> Iterator[dict[str, Any]]:
    for each in exposed if isinstance(exposed, list) and depth < 4 else []:
        if isinstance(each, dict):
            yield each
            yield from _exposed(each.get("features"), depth + 1)


def _homeassistant(root: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """State topic, field and unit of each sensor that a discovery message describes."""
    for said in _components(root):
        topic, unit, template = _state_topic(said), said.get("unit_of_measurement"), said.get("value_template")
        if not topic or not isinstance(unit, str):
            continue
        field = _field(template) if isinstance(template, str) else UNNAMED
        if field is not None:
            yield topic, field, canonical(unit)


def _components(root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a discovery message says of each entity, by full names: of one, or of all of a device."""
    shared = {_ABBREVIATIONS.get(key, key): value for key, value in root.items()}
    components = shared.get("components")
    for part in components.values() if isinstance(components, dict) else [{}]:
        if isinstance(part, dict):
            yield shared | {_ABBREVIATIONS.get(str(key), str(key)): value for key, value in part.items()}


def _state_topic(said: dict[str, Any]) -> str:
    """The topic of an entity's state; empty where it has none."""
    topic, base = said.get("state_topic"), said.get("~")
    if not isinstance(topic, str):
        return ""
    if isinstance(base, str):
        return base + topic[1:] if topic.startswith("~") else topic[:-1] + base if topic.endswith("~") else topic
    return topic


def _field(template: str) -> str | None:
    """The path of the field that a template shows; UNNAMED for the whole payload, None where it is not that simple:
    what it shows of a value that it reckons with is in another unit than the value.
    """
    if _RECKONS.search(_NO_OPERATION.sub("", template)):
        return None
    found = _FIELD_OF_TEMPLATE.search(template)
    if found is None:
        return UNNAMED if re.search(r"\bvalue\b", template) else None
    return ".".join(next(part for part in step if part) for step in _STEP.findall(found[1]))


def _maps(node: object, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    inside = node.get(key) if isinstance(node, dict) else None
    for name, child in inside.items() if isinstance(inside, dict) else []:
        if isinstance(child, dict):
            yield name, child
