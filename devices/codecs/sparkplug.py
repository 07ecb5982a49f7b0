"""Decode, codec `sparkplug`: Sparkplug B payloads on topics `spBv1.0/GROUP/TYPE/NODE/DEVICE`.

A birth names the metrics of an edge node or device and gives them aliases and types; data carries aliases alone. The
births are this codec's state. Source: Sparkplug 3.0.0, sections 4 (topics), 6 (payloads) and 6.4.16 (types).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, ClassVar

from pydantic import BaseModel

from devices.batch import NO_TIME
from devices.codec import UNNAMED, Decoded, Role
from devices.codecs.readings import NOTHING, CodecParameters, MetricNames, Names, Rows, TooManyNamesError, excerpt
from devices.messages import Payloads
from devices.numbers import is_state
from devices.rejection_reasons import Reason

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
_TEXT_TYPES = frozenset({12, 14, 15})
_DATE_TIME, _BOOLEAN, _FLOAT = 13, 11, 9
_MOST_DEPTH = 8
_MOST_ALIASES = 100_000
_REBIRTH = 'ask for one: publish "Node Control/Rebirth" = true on spBv1.0/{group}/NCMD/{node}'


class SparkplugParameters(CodecParameters):
    """Sparkplug describes itself: there is nothing to set but the bounds."""


class _WireError(ValueError):
    """The bytes are no protobuf message; the text says where."""


@dataclass(slots=True)
class _Known:
    """What a birth says of a metric."""

    owner: str
    name: str
    datatype: int
    unit: str


@dataclass(slots=True)
class _Node:
    """An edge node: its metrics and those of its devices by alias and by name, and its newest sequence number."""

    by_alias: dict[int, _Known] = field(default_factory=dict)
    by_name: dict[tuple[str, str], _Known] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)
    sequence: int = -1


@dataclass(slots=True)
class _Metric:
    name: str = ""
    alias: int = -1
    time: int = NO_TIME
    datatype: int = 0
    is_null: bool = False
    number: float | int | None = None
    text: str | None = None
    unit: str = ""
    parts: list[_Metric] = field(default_factory=list)


class SparkplugCodec:
    """Reads births, data and deaths; commands are no data.

    Metric names are as the birth says them, devices are `GROUP/NODE` and `GROUP/NODE/DEVICE`. Numbers and truth values
    are readings, with the unit of the property `engUnit`; strings are states. Members of templates and of data sets are
    metrics below their own. A death tells that the node, with all its devices, or the device is not there.
    """

    name: ClassVar[str] = "sparkplug"
    Parameters: ClassVar[type[BaseModel]] = SparkplugParameters

    def __init__(self, parameters: SparkplugParameters) -> None:
        self.parameters = parameters
        self._metric_names = MetricNames(parameters.max_names)
        self._device_names = Names("device", parameters.max_names)
        self._words = Names("state", parameters.max_names)
        self.metrics = self._metric_names.items
        self.devices = self._device_names.items
        self.words = self._words.items
        self._nodes: dict[str, _Node] = {}

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode all payloads at once."""
        rows = Rows()
        for i, payload in enumerate(payloads.to_list()):
            mark = rows.mark()
            try:
                self._decode_one(i, payloads.topic(i), payload, rows)
            except _WireError as error:
                rows.rewind(mark)
                detail = f"no Sparkplug B payload: {error} in {len(payload)} bytes {excerpt(payload)}"
                rows.reject(i, Reason.MALFORMED, detail)
            except TooManyNamesError as error:
                rows.rewind(mark)
                rows.reject(i, Reason.TOO_MANY_SERIES, str(error))
        return rows.decoded()

    def state(self) -> dict[str, Any]:
        """The births known, as JSON."""
        return {
            name: {
                "sequence": node.sequence,
                "devices": node.devices,
                "metrics": [
                    [alias, known.owner, known.name, known.datatype, known.unit]
                    for alias, known in [
                        *node.by_alias.items(),
                        *((-1, each) for each in node.by_name.values()),
                    ]
                ],
            }
            for name, node in self._nodes.items()
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self._nodes = {}
        for name, told in saved.items():
            node = self._nodes[name] = _Node(devices=list(told["devices"]), sequence=int(told["sequence"]))
            for alias, owner, metric, datatype, unit in told["metrics"]:
                known = _Known(owner, metric, int(datatype), unit)
                if alias >= 0:
                    node.by_alias[int(alias)] = known
                else:
                    node.by_name[owner, metric] = known

    def _decode_one(self, message: int, topic: str, payload: bytes, rows: Rows) -> None:
        levels = topic.split("/")
        if len(levels) < 4 or levels[0] != "spBv1.0":
            detail = f"topic {topic!r}: expected spBv1.0/GROUP/TYPE/NODE or spBv1.0/GROUP/TYPE/NODE/DEVICE"
            rows.reject(message, Reason.MALFORMED, detail)
            return
        group, kind, edge = levels[1:4]
        owner = "/".join([group, edge, *levels[4:]])
        if kind in ("NCMD", "DCMD"):
            rows.reject(message, Reason.COMMAND, "a command to the node or device")
            return
        if not payload:
            rows.reject(message, Reason.CLEARED, "an empty payload: the topic's retained message is cleared")
            return
        time, sequence, metrics = _payload(payload)
        node = self._nodes.get(f"{group}/{edge}")
        if kind == "NBIRTH" or node is None:
            node = self._nodes[f"{group}/{edge}"] = _Node()
        if kind in ("NDEATH", "DDEATH"):
            self._death(message, node, owner, whole=kind == "NDEATH", rows=rows)
            return
        if sequence >= 0:
            if kind != "NBIRTH" and node.sequence >= 0 and sequence != (node.sequence + 1) % 256:
                expected = (node.sequence + 1) % 256
                rows.note(
                    message, "gap", f"sequence number {sequence}, expected {expected}: messages are missing before it"
                )
            node.sequence = sequence
        if kind in ("NBIRTH", "DBIRTH"):
            self._birth(message, node, owner, metrics, rows)
        mark = rows.mark()
        asked = _REBIRTH.format(group=group, node=edge)
        for metric in metrics:
            self._metric(message, node, owner, metric, time, asked, rows)
        if kind not in ("NBIRTH", "DBIRTH"):
            rows.reject_if_empty(message, mark, NOTHING)

    def _birth(self, message: int, node: _Node, owner: str, metrics: list[_Metric], rows: Rows) -> None:
        if owner not in node.devices:
            node.devices.append(owner)
        node.by_name = {key: known for key, known in node.by_name.items() if key[0] != owner}
        for metric in metrics:
            known = _Known(owner, metric.name, metric.datatype, metric.unit)
            node.by_name[owner, metric.name] = known
            if metric.alias >= 0 and len(node.by_alias) < _MOST_ALIASES:
                node.by_alias[metric.alias] = known
        self._tell(message, owner, 1.0, rows)

    def _death(self, message: int, node: _Node, owner: str, *, whole: bool, rows: Rows) -> None:
        for gone in dict.fromkeys([owner, *(node.devices if whole else [])]):
            self._tell(message, gone, 0.0, rows)

    def _tell(self, message: int, owner: str, online: float, rows: Rows) -> None:
        code = self._metric_names.code(UNNAMED, "", Role.AVAILABILITY)
        rows.add(message, code, online, self._device_names.code(owner))

    def _metric(
        self, message: int, node: _Node, owner: str, metric: _Metric, time: int, asked: str, rows: Rows
    ) -> None:
        known = node.by_name.get((owner, metric.name)) if metric.name else node.by_alias.get(metric.alias)
        if known is None and not metric.name:
            detail = f"alias {metric.alias}: no birth has named it; {asked}"
            rows.reject(message, Reason.MALFORMED, detail, whole=False)
            return
        name = known.name if known is not None else metric.name
        if name == "bdSeq" or name.startswith(("Node Control/", "Device Control/")):
            return
        datatype = metric.datatype or (known.datatype if known is not None else 0)
        unit = metric.unit or (known.unit if known is not None else "")
        self._value(message, owner, name, metric, datatype, unit, time, rows)

    def _value(
        self, message: int, owner: str, name: str, metric: _Metric, datatype: int, unit: str, time: int, rows: Rows
    ) -> None:
        at = metric.time if metric.time != NO_TIME else time
        for part in metric.parts:
            self._value(message, owner, f"{name}.{part.name}", part, part.datatype, part.unit, at, rows)
        if metric.parts or datatype == _DATE_TIME:
            return
        device = self._device_names.code(owner)
        if metric.text is not None and (datatype in _TEXT_TYPES or not datatype):
            if is_state(metric.text):
                code = self._metric_names.code(name, "", Role.TEXT)
                rows.add(message, code, float(self._words.code(metric.text.strip())), device, at)
            return
        if metric.is_null or metric.number is None:
            if metric.is_null:
                rows.reject(message, Reason.NO_VALUE, f"{name}: null", whole=False)
            return
        number = _restored(metric.number, datatype)
        if isfinite(number):
            rows.note_rounded(message, name, number)
            rows.add(message, self._metric_names.code(name, unit), float(number), device, at)
        else:
            rows.refuse(message, name, float(number), number)


def _restored(number: float | int, datatype: int) -> float | int:
    """A signed value, which travels in an unsigned field."""
    bits = _SIGNED_BITS.get(datatype)
    if bits is None or isinstance(number, float):
        return number
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> (bits - 1) else number


def _payload(data: bytes) -> tuple[int, int, list[_Metric]]:
    """Time in ns, sequence number (-1 where there is none) and metrics of a payload."""
    time, sequence = NO_TIME, -1
    metrics: list[_Metric] = []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, int):
            time = _nanoseconds(value)
        elif number == 2 and isinstance(value, bytes):
            metrics.append(_metric_of(value))
        elif number == 3 and isinstance(value, int):
            sequence = value
    return time, sequence, metrics


def _nanoseconds(milliseconds: int) -> int:
    return milliseconds * 1_000_000 if milliseconds < 9_000_000_000_000 else NO_TIME


def _metric_of(data: bytes, depth: int = 0) -> _Metric:
    metric = _Metric()
    if depth > _MOST_DEPTH:
        raise _WireError(f"templates nested deeper than {_MOST_DEPTH}")
    for number, value in _fields(data):
        if isinstance(value, bytes):
            _take_bytes(metric, number, value, depth)
        elif number == 2:
            metric.alias = int(value)
        elif number == 3:
            metric.time = _nanoseconds(int(value))
        elif number == 4:
            metric.datatype = int(value)
        elif number == 7:
            metric.is_null = bool(value)
        elif number in (10, 11, 14):
            metric.number = int(value)
        elif number in (12, 13):
            metric.number = float(value)
    return metric


def _take_bytes(metric: _Metric, number: int, value: bytes, depth: int) -> None:
    if number == 1:
        metric.name = _text(value)
    elif number == 12 and len(value) == 4:
        metric.number = float(struct.unpack("<f", value)[0])
    elif number == 13 and len(value) == 8:
        metric.number = float(struct.unpack("<d", value)[0])
    elif number == 15:
        metric.text = _text(value)
    elif number == 9:
        metric.unit = _unit(value)
    elif number == 17:
        metric.parts = _data_set(value)
    elif number == 18:
        inner = [each for field_, each in _fields(value) if field_ == 2 and isinstance(each, bytes)]
        metric.parts = [_metric_of(each, depth + 1) for each in inner]


def _unit(data: bytes) -> str:
    """The property `engUnit` of a property set."""
    keys: list[str] = []
    values: list[bytes] = []
    for number, value in _fields(data):
        if isinstance(value, bytes):
            (keys.append(_text(value)) if number == 1 else values.append(value))
    for key, packed in zip(keys, values, strict=False):
        if key.lower() in ("engunit", "unit", "units"):
            texts = (each for number, each in _fields(packed) if number == 8 and isinstance(each, bytes))
            return next(map(_text, texts), "")
    return ""


def _data_set(data: bytes) -> list[_Metric]:
    columns = [_text(value) for number, value in _fields(data) if number == 2 and isinstance(value, bytes)]
    rows = [value for number, value in _fields(data) if number == 4 and isinstance(value, bytes)]
    parts = []
    for i, row in enumerate(rows[:1_000]):
        cells = [value for number, value in _fields(row) if number == 1 and isinstance(value, bytes)]
        for column, cell in zip(columns, cells, strict=False):
            part = _Metric(name=column if len(rows) == 1 else f"{i}.{column}")
            for number, value in _fields(cell):
                if number in (1, 2, 5) and isinstance(value, int):
                    part.number = value
                elif number == 3 and isinstance(value, bytes) and len(value) == 4:
                    part.number = float(struct.unpack("<f", value)[0])
                elif number == 4 and isinstance(value, bytes) and len(value) == 8:
                    part.number = float(struct.unpack("<d", value)[0])
                elif number == 6 and isinstance(value, bytes):
                    part.text = _text(value)
            parts.append(part)
    return parts


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protobuf message; fixed-width values as their bytes."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise _WireError(f"byte {at}: wire type {wire} is none of protobuf's")
        if size > end - at:
            raise _WireError(f"byte {at}: {size} bytes are announced, {end - at} follow")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise _WireError(f"byte {at}: a number that does not end")


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _WireError(f"a text that is no UTF-8: byte {error.start}") from None
