"""Decode: shapes of trees in which the names of things are values, as gateways and loggers send them.

| shape | read as |
|---|---|
| `[{"name": "temp", "value": 21}, ...]`, also `id`, `n`, `tag`, ... and `v`, `val` | rows: the metric `temp` |
| `{"name": "temp", "value": 21, "timestamp": ...}` alone | a row |
| `[{"meter": "M1", "E": 1}, {"meter": "M2", "E": 2}]` | records told apart by a name: the metrics `M1.E`, `M2.E` |
| `{"M1": [rows or dated values], "M2": [...]}` | devices by key |
| `{"ts": ..., "values": {"temp": 21}}` | the metric `temp` at that time |
| `{"temp": {"value": 21, "unit": "C"}}` | the metric `temp` with its unit |
| `{"temp": ["2026-05-14 13:05:53", 21]}` | the metric `temp` at that time |
| `{"name": "cpu", "tags": {...}, "fields": {...}}` (Telegraf) | `cpu.usage` of the device of the tag `host` |
"""

from __future__ import annotations

import re
from typing import Any

from devices.kinds import is_identity

Node = dict[Any, object]

NAME_FIELDS = (
    "name", "n", "tag", "metric", "key", "variable", "parameter", "measurement", "sensor", "signal", "item", "point",
    "tagName", "Name", "Tag", "id", "Id", "ID",
)  # fmt: skip
"""Fields that name the row or record that they stand in, the surest first."""

VALUE_FIELDS = ("value", "v", "val", "Value", "Val")
UNIT_FIELDS = ("unit", "u", "uom", "units", "unit_of_measurement", "Unit")
QUALITY_FIELDS = ("q", "quality", "Quality", "valid")

CONTAINERS = frozenset(
    re.findall(
        r"\S+",
        """
    values data metrics readings measurements items tags points sensors records rows payload fields object objectjson
    message msg body value json d params telemetry results list series variables signals channels params
    """,
    )
)
"""Names of parts that only hold others: they are no part of a metric's name where the parts inside have their own."""

_BESIDE_VALUE = frozenset(
    re.findall(
        r"\S+",
        """
    q quality status t ts time timestamp datetime date unit u uom units unit_of_measurement desc description type tags
    label datatype valid displayname title source st et
    """,
    )
)
_TIMES = frozenset({"ts", "time", "timestamp", "t"})
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
        return None
    name = next(
        (name for name in NAME_FIELDS if _is_name(node.get(name)) and not (alone and _names_no_row(name, node))), None
    )
    if name is None or not _all_beside(node, {name, value} | {each for each in NAME_FIELDS if each in node}):
        return None
    return name, value


def _names_no_row(name: str, node: Node) -> bool:
    return name in _STANDALONE or not isinstance(node[name], str)


def is_wrapper(node: Node) -> bool:
    """Whether the map is a value with its unit, time or quality, and no more."""
    value = value_field(node)
    return value is not None and _all_beside(node, {value})


def _all_beside(node: Node, known: set[str]) -> bool:
    return all(key in known or (isinstance(key, str) and key.lower() in _BESIDE_VALUE) for key in node)


def record_name(nodes: list[object], container: str) -> str | None:
    """The field by which the maps of a list are told apart; None where there is none.

    They must hold numbers beside it, identities and times aside. It is named as in `NAME_FIELDS`, or
    like the list in the singular (`meters`: `meter`), is text or a whole number in every map, and differs from map to
    map.
    """
    if not any(isinstance(node, dict) and _has_number(node) for node in nodes):
        return None
    for name in name_fields(container):
        seen = []
        for node in nodes:
            if not isinstance(node, dict) or not _is_name(node.get(name)):
                break
            seen.append(str(node[name]))
        else:
            if seen and len(set(seen)) == len(seen):
                return name
    return None


def name_fields(container: str) -> tuple[str, ...]:
    """Fields that may name the maps of a list that is named so."""
    singular = container.rpartition(".")[2].removesuffix("s")
    return (singular, f"{singular}Id", f"{singular}_id", *NAME_FIELDS) if singular else NAME_FIELDS


def unit_beside(node: Node) -> object:
    """What the map says of the unit of its value; None where it says nothing."""
    return next((node[name] for name in UNIT_FIELDS if isinstance(node.get(name), str)), None)


def is_bad_quality(node: Node) -> bool:
    """Whether a row says that its value is not to be trusted."""
    for name in QUALITY_FIELDS:
        quality = node.get(name)
        if quality is False or (isinstance(quality, str) and quality.lower() in ("bad", "false", "invalid")):
            return True
    return False


def has_quality(node: Node) -> bool:
    """Whether a row says anything of its value's quality."""
    return any(name in node for name in QUALITY_FIELDS)


def is_telegraf(node: Node) -> bool:
    """Whether the map is a metric as Telegraf writes it."""
    return isinstance(node.get("fields"), dict) and isinstance(node.get("name"), str)


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
