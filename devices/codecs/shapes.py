"""Decode: shapes of trees in which the names of things are values, as gateways and loggers send them.

| shape | read as |
|---|---|
| `[{"name": "temp", "value": 21}, ...]`, also `id`, `n`, `tag`, ... and `v`, `val` | rows: the metric `temp` |
| `{"name": "temp", "value": 21, "timestamp": ...}` alone | a row |
| `{"topic": "hall/temp", "payload": 21}` (Node-RED) | a row: the metric `hall/temp` |
| `{"type": "temperature", "value": 21, "room": "hall"}` | a row: the metric `temperature`, and the text |
| `{"NodeId": "ns=2;s=Temp", "Value": 21, "SourceTimestamp": ...}` (OPC UA) | a row: the metric `ns=2;s=Temp` |
| `[{"meter": "M1", "E": 1}, {"meter": "M2", "E": 2}]` | records told apart by a name: the metrics `M1.E`, `M2.E` |
| `{"M1": [rows or dated values], "M2": [...]}` | devices by key |
| `{"ts": ..., "values": {"temp": 21}}` | the metric `temp` at that time |
| `{"reported": {"temp": 21}, "desired": {...}}` | what is reported |
| `{"temp": {"value": 21, "unit": "C"}}` | the metric `temp` with its unit |
| `{"temp": ["2026-05-14 13:05:53", 21]}`, `{"temp": [[1767225600000, 21], ...]}` | the metric `temp` at that time |
| `{"time": [..., ...], "temp": [21, 22]}` | records by place |
| `{"name": "cpu", "tags": {...}, "fields": {...}}` (Telegraf) | `cpu.usage` of the device of the tag `host` |
| `{"plugin": "load", "dsnames": [...], "values": [...]}` (collectd), `{"chart_id": ..., "id": ...}` (Netdata) | \
`load.value` of the device of the host |
| `{"columns": ["time", "temp"], "data": [[..., 21], ...]}`, also `fields`, `values`, `rows` | records by column |
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container
from functools import lru_cache
from itertools import pairwise
from typing import Any

from common.excerpts import shortened
from devices.codecs.shape_words import BESIDE_VALUE, CONTAINERS, DATA_TYPES
from devices.kinds import Kind, is_identity, kind_of
from devices.numbers import text_to_number

Node = dict[Any, object]

NAME_FIELDS = (
    "name", "n", "tag", "metric", "key", "variable", "parameter", "measurement", "sensor", "signal", "item", "point",
    "tagName", "Name", "Tag", "id", "Id", "ID", "label", "Label", "title",
)  # fmt: skip
"""Fields that name the row or record that they stand in, the surest first."""

_RECORD_FIELDS = (
    "mac", "addr", "address", "serial", "sn", "uid", "uuid", "eui", "devEui", "deviceId", "device_id", "device",
    "sensorId", "sensor_id", "channel", "ch", "unitId", "unit_id", "slaveId", "slave_id", "slave", "nodeId", "node_id",
    "node", "NodeId",
)  # fmt: skip
"""Identities by which records are told apart where no field names them."""

NODE_FIELDS = ("NodeId", "nodeId", "node_id")
"""Fields that name a row by a node of OPC UA, such as `ns=2;s=Line1.Speed`."""
_NODE = re.compile(r"(nsu?=[^;]+;)?[isgb]=.+", re.DOTALL)

VALUE_FIELDS = ("value", "v", "val", "Value", "Val")
UNIT_FIELDS = ("unit", "u", "uom", "units", "unit_of_measurement", "Unit")
_WITH_UNITS = frozenset({Kind.MEASUREMENT, Kind.COUNTER})
_UNIT_ENDINGS = ("_unit", "_units", "_uom", "Unit", "Units")
QUALITY_FIELDS = ("q", "quality", "Quality", "valid", "qc", "StatusCode", "statusCode")
_BAD = 0x8000_0000
"""From this one on, a status code of OPC UA is of a value that is not to be used."""


_BESIDE_NODE = {"ApplicationUri", "applicationUri", "EndpointUrl", "endpointUrl", "SequenceNumber", *NAME_FIELDS}
_IN_MS = (946_684_800_000, 4_102_444_800_000)
"""Milliseconds since 1970 of the years 2000 to 2099."""
_COLUMN_FIELDS = ("columns", "fields", "header", "headers", "cols", "names", "channels")
_HEADERS = frozenset({"columns", "fields", "header", "headers", "cols"})
_ROW_FIELDS = ("data", "values", "rows", "points", "records", "samples", "items")
_TIMES = frozenset({"ts", "time", "timestamp", "t"})
_PAYLOAD_OF_TOPIC = ("topic", "payload")
_BESIDE_PAYLOAD = frozenset({*_PAYLOAD_OF_TOPIC, "_msgid", "qos", "retain", "retained"})
_STANDALONE = frozenset({"id", "Id", "ID", "sensor", "item", "point"})


def value_field(node: Node) -> str | None:
    """The field that holds the value, where the map has but one value and what may stand beside it."""
    field = next((name for name in VALUE_FIELDS if name in node), None)
    if field is None or isinstance(node[field], (dict, list)):
        return None
    return field


def row_fields(node: Node, *, alone: bool) -> tuple[str, str] | None:
    """The fields of name and value of a row; None where the map is none.

    A row `alone` is named neither by an id nor by a number: that may count messages, and each of its values would
    make a series of its own.
    """
    value = value_field(node)
    if value is None:
        return _PAYLOAD_OF_TOPIC if _is_payload_of_topic(node) else None
    if (name := node_field(node)) is not None and _all_beside(node, {name, value} | _BESIDE_NODE):
        return name, value
    name = next(
        (name for name in NAME_FIELDS if _is_name(node.get(name)) and not (alone and _names_no_row(name, node))), None
    )
    if name is None or not _all_beside(node, {name, value} | {each for each in NAME_FIELDS if each in node}):
        return None
    return name, value


def loose_row(node: Node) -> tuple[str, str] | None:
    """The fields of name and value of a row alone that says more of itself in words; None where the map is none.

    Where no field names it, its type does, if that is no type of data or message.
    """
    value = value_field(node)
    if value is None or not is_number(node[value]):
        return None
    others = {key: child for key, child in node.items() if key != value and str(key).lower() not in BESIDE_VALUE}
    if not all(isinstance(child, str) for child in others.values()):
        return None
    names = (name for name in (*NAME_FIELDS, "type") if name not in _STANDALONE)
    told = ((name, node.get(name)) for name in names)
    name = next((name for name, text in told if isinstance(text, str) and _is_name(text)), "")
    is_no_name = not name or (name == "type" and str(node[name]).lower() in DATA_TYPES)
    return None if is_no_name else (name, value)


def node_field(node: Node) -> str | None:
    """The field that names a node of OPC UA; None where there is none."""
    return next((name for name in NODE_FIELDS if name in node and _NODE.fullmatch(str(node[name]))), None)


def _is_payload_of_topic(node: Node) -> bool:
    """Whether the map is a message within a message: the topic and payload that it had."""
    is_one = isinstance(node.get("topic"), str) and isinstance(node.get("payload"), (int, float, str))
    return is_one and all(key in _BESIDE_PAYLOAD or str(key).lower() in _TIMES for key in node)


def may_name_node(node: Node) -> bool:
    """Whether a field would name a node of OPC UA, with a value, if it held another text."""
    texts = any(isinstance(node.get(name), str) for name in NODE_FIELDS)
    return texts and node_field(node) is None and any(name in node for name in VALUE_FIELDS)


def _names_no_row(name: str, node: Node) -> bool:
    return name in _STANDALONE or not isinstance(node[name], str)


def is_wrapper(node: Node) -> bool:
    """Whether the map is a value with its unit, time or quality, and no more."""
    value = value_field(node)
    return value is not None and _all_beside(node, {value})


def _all_beside(node: Node, known: set[str]) -> bool:
    return all(key in known or (isinstance(key, str) and key.lower() in BESIDE_VALUE) for key in node)


def record_name(
    nodes: list[object], container: str, *, dated: bool = False, without: Container[str] = ()
) -> str | None:
    """The field by which the maps of a list are told apart; None where there is none.

    They must hold numbers beside it, identities and times aside. It is named as in `NAME_FIELDS`, like an identity, or
    like the list in the singular (`meters`: `meter`), is text or a whole number in every map, and differs from map to
    map, unless each has a time of its own (`dated`). The fields `without` tell something else.
    """
    if not any(isinstance(node, dict) and _has_number(node) for node in nodes):
        return None
    for name in name_fields(container):
        if name in without:
            continue
        seen = []
        for node in nodes:
            if not isinstance(node, dict) or not _is_name(node.get(name)):
                break
            seen.append(str(node[name]))
        else:
            if seen and (len(set(seen)) == len(seen) or (dated and name not in _STANDALONE)):
                return name
    return None


def name_fields(container: str) -> tuple[str, ...]:
    """Fields that may name the maps of a list that is named so."""
    singular = container.rpartition(".")[2].removesuffix("s")
    own = (singular, f"{singular}Id", f"{singular}_id") if singular else ()
    return (*own, *NAME_FIELDS, *_RECORD_FIELDS)


def unit_beside(node: Node) -> object:
    """What the map says of the unit of its value; None where it says nothing."""
    return next((node[name] for name in UNIT_FIELDS if isinstance(node.get(name), str)), None)


@lru_cache(maxsize=65_536)
def unit_is_of(key: str) -> str:
    """The beginning of the names whose unit a field tells (`TempUnit`: `Temp`); empty where it tells none."""
    return next((key.removesuffix(each) for each in _UNIT_ENDINGS if key.endswith(each)), "")


def only_number(node: Node) -> str | None:
    """The one field of a map that is a number and measures something; None where there are more, or none."""
    found = [
        key
        for key, value in node.items()
        if isinstance(key, str) and _is_plain_number(value) and kind_of(key) in _WITH_UNITS and not is_identity(key)
    ]
    return found[0] if len(found) == 1 else None


def is_bad_quality(node: Node) -> bool:
    """Whether a row says that its value is not to be trusted."""
    for name in QUALITY_FIELDS:
        quality = node.get(name)
        if quality is False or (name == "qc" and quality == 0 and _is_plain_number(quality)):
            return True
        if isinstance(quality, str) and (quality.lower() in ("false", "invalid") or quality.lower().startswith("bad")):
            return True
        code = quality.get("Code") if isinstance(quality, dict) else quality
        if name.lower() == "statuscode" and isinstance(code, (int, float)) and code >= _BAD:
            return True
    return False


def has_quality(node: Node) -> bool:
    """Whether a row says anything of its value's quality."""
    return any(name in node for name in QUALITY_FIELDS)


def table(node: Node) -> tuple[str, str] | None:
    """The fields of the columns' names and of the rows of a table; None where the map is none.

    Names are text, or maps that hold it as `name`. A row is a list as long as they are many; not every row need be, and
    under a header that is called so, none.
    """
    names = next((key for key in _COLUMN_FIELDS if _are_columns(node.get(key))), None)
    if names is None:
        return None
    width = len(node[names])  # type: ignore[arg-type]
    sure = names in _HEADERS
    return next(
        ((names, key) for key in _ROW_FIELDS if key != names and _are_rows(node.get(key), width, sure=sure)), None
    )


def records(node: Node, names: str, rows: str) -> tuple[dict[int, Node], dict[int, str]]:
    """The rows of a table as maps, by place, and why each of the others cannot be read."""
    columns = [each["name"] if isinstance(each, dict) else each for each in node[names]]  # type: ignore[attr-defined]
    good, ragged = {}, {}
    if (doubled := next((each for each, count in Counter(columns).items() if count > 1), None)) is not None:
        # Which of the cells is meant cannot be told.
        why = f'"{names}" has {shortened(doubled)} twice; give each column a name of its own'
        return {}, dict.fromkeys(range(len(node[rows])), why)  # type: ignore[arg-type]
    for place, row in enumerate(node[rows]):  # type: ignore[arg-type, var-annotated]
        if isinstance(row, list) and len(row) == len(columns):
            good[place] = dict(zip(columns, row, strict=True))
        else:
            got = len(row) if isinstance(row, list) else "no list"
            ragged[place] = f'expected {len(columns)} cells, one for each of "{names}"; got {got}'
    return good, ragged


def are_pairs(children: list[object]) -> bool:
    """Whether a list holds pairs of numbers, the first of which may be times."""
    return len(children) >= 1 and all(
        isinstance(child, list)
        and len(child) == 2
        and _is_plain_number(child[0])
        and (child[1] is None or isinstance(child[1], (int, float, str)))
        for child in children
    )


def are_times(numbers: list[Any]) -> bool:
    """Whether numbers are times since 1970: whole milliseconds, or seconds that grow from one to the next."""
    if all(isinstance(each, int) and _IN_MS[0] <= each < _IN_MS[1] for each in numbers):
        return True
    grow = len(numbers) > 1 and all(a < b for a, b in pairwise(numbers))
    return grow and all(_IN_MS[0] <= each * 1000 < _IN_MS[1] for each in numbers)


def columns(node: Node, times: Container[str]) -> list[Node] | None:
    """The records of a map of lists of one length, of which one holds times; None where it is none.

    What else the map holds stands in each record.
    """
    lists = {key: child for key, child in node.items() if isinstance(child, list)}
    lengths = {len(child) for child in lists.values()}
    dates = [child for key, child in lists.items() if key in times]
    if len(lists) < 2 or len(lengths) != 1 or 0 in lengths or len(dates) != 1:
        return None
    if any(isinstance(each, (dict, list)) for child in lists.values() for each in child):
        return None
    rest = {key: child for key, child in node.items() if key not in lists}
    return [rest | dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _are_columns(names: object) -> bool:
    if not isinstance(names, list) or not names:
        return False
    texts = [each.get("name") if isinstance(each, dict) else each for each in names]
    return all(isinstance(each, str) and each for each in texts)


def _are_rows(rows: object, width: int, *, sure: bool) -> bool:
    """Whether a list holds rows of a table; where a header is `sure`, also rows that are all too long or too short.

    As many lists as there are names, of one length, may be a column each. No rows are those of an empty table.
    """
    if not isinstance(rows, list):
        return False
    if not rows:
        return sure
    if any(isinstance(row, list) and len(row) == width for row in rows):
        return True
    lists = [row for row in rows if isinstance(row, list)]
    are_columns = len(lists) == width and len({len(row) for row in lists}) == 1
    return sure and bool(lists) and not are_columns


def telegraf_name(node: Node) -> str:
    """The field that names a metric as Telegraf, or a client of InfluxDB, writes it; empty where the map is none."""
    if not isinstance(node.get("fields"), dict):
        return ""
    return next((name for name in ("name", "measurement") if isinstance(node.get(name), str)), "")


def is_telegraf(node: Node) -> bool:
    """Whether the map is a metric as Telegraf writes it."""
    return telegraf_name(node) != ""


def of_agent(node: Node) -> tuple[object, str, Node] | None:
    """Host, name and values of a metric as collectd or Netdata writes it; None where the map is none."""
    names, values = node.get("dsnames"), node.get("values")
    if isinstance(names, list) and isinstance(values, list) and len(names) == len(values) and "plugin" in node:
        parts = [node.get(key) for key in ("plugin", "plugin_instance", "type", "type_instance")]
        name = ".".join(dict.fromkeys(part for part in parts if isinstance(part, str) and part))
        return node.get("host"), name, dict(zip(map(str, names), values, strict=True))
    if isinstance(node.get("chart_id"), str) and isinstance(node.get("id"), str) and "value" in node:
        return node.get("hostname"), str(node["chart_id"]), {node["id"]: node["value"]}
    return None


def is_device_list(key: object, child: object) -> bool:
    """Whether `child` holds the rows, or dated values, of a device that `key` names."""
    if not isinstance(key, str) or key.lower() in CONTAINERS or not isinstance(child, list) or not child:
        return False
    return all(
        isinstance(each, dict) and (isinstance(each.get("values"), dict) or row_fields(each, alone=False) is not None)
        for each in child
    )


def is_pair(child: object) -> bool:
    """Whether a list may be a time and a value."""
    return (
        isinstance(child, list)
        and len(child) == 2
        and isinstance(child[0], str)
        and len(child[0]) >= 10
        and child[0][:1].isdigit()
        and isinstance(child[1], (int, float, str))
    )


def is_number(value: object) -> bool:
    """Whether a value is a number, also as text."""
    return _is_plain_number(value) or (isinstance(value, str) and text_to_number(value) is not None)


def _is_plain_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _has_number(node: Node) -> bool:
    return any(
        isinstance(value, (int, float, dict, list))
        and isinstance(key, str)
        and key not in _TIMES
        and not is_identity(key)
        for key, value in node.items()
    )


def _is_name(value: object) -> bool:
    return (isinstance(value, str) and 0 < len(value) <= 200) or (
        isinstance(value, int) and not isinstance(value, bool)
    )
