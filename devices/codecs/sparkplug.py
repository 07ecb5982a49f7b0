"""Decode, codec `sparkplug`: Sparkplug B payloads on topics `spBv1.0/GROUP/TYPE/NODE/DEVICE`.

A birth names the metrics of an edge node or device and gives them aliases and types; data carries aliases alone. The
births are this codec's state. Source: Sparkplug 3.0.0, sections 4 (topics), 5 (behaviour) and 6 (payloads).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import BaseModel

from devices.batch import NO_TIME
from devices.codec import UNNAMED, Decoded, Role
from devices.codecs.readings import NOTHING, CodecParameters, MetricNames, Names, Rows, TooManyNamesError, excerpt
from devices.codecs.sparkplug_births import Births, Known, Node, is_control
from devices.codecs.sparkplug_kernels import (
    HAS_UNIT,
    LEFT,
    PARTS,
    SINGLE,
    TAKEN,
    UNSEEN,
    Found,
    Scanned,
    count_metrics,
    look_up,
    scan,
)
from devices.codecs.sparkplug_wire import (
    BDSEQ,
    DATE_TIME,
    TEXT_TYPES,
    Metric,
    WireError,
    check,
    metric_of,
    restored,
    role_of,
    text_of,
)
from devices.messages import Payloads
from devices.numbers import is_state
from devices.rejection_reasons import Reason

_MOST_TOPICS = 100_000
_KINDS = frozenset({"NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH", "NCMD", "DCMD"})
_REBIRTH = 'ask for one: publish "Node Control/Rebirth" = true on spBv1.0/{group}/NCMD/{node}'


class SparkplugParameters(CodecParameters):
    """Sparkplug describes itself: there is nothing to set but the bounds."""


class _Topic(NamedTuple):
    """What a topic tells: the kind of message, the edge node, and whose message it is, with the codec's code of it."""

    kind: str
    node: str
    owner: str
    device: int
    how_to_ask: str


class SparkplugCodec:
    """Reads births, data and deaths; commands are no data.

    Metric names are as the birth says them, devices are `GROUP/NODE` and `GROUP/NODE/DEVICE`. Numbers and truth values
    are readings, with the unit of the property `engUnit`; strings are states. Members of templates and of data sets are
    metrics below their own. A death tells that the node, with all its devices, or the device is not there; one of
    another session than the newest birth's tells nothing.
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
        self._births = Births(self._metric_names)
        self._topics: dict[str, _Topic] = {}

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode all payloads at once."""
        return _Reading(self, payloads).decoded()

    def needed_births(self) -> dict[str, str]:
        """The edge nodes, `GROUP/NODE`, that a birth is to be asked of, and why."""
        return self._births.needed()

    def state(self) -> dict[str, Any]:
        """The births known, as JSON."""
        return self._births.state()

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self._births.load(saved)

    def topic(self, topic: str) -> _Topic | None:
        """What a topic tells; None where it is none of Sparkplug's. Raises TooManyNamesError."""
        known = self._topics.get(topic)
        if known is None:
            levels = topic.split("/")
            if len(levels) < 4 or levels[0] != "spBv1.0" or levels[2] not in _KINDS:
                return None
            group, kind, edge = levels[1:4]
            owner = "/".join([group, edge, *levels[4:]])
            how = _REBIRTH.format(group=group, node=edge)
            known = _Topic(kind, f"{group}/{edge}", owner, self._device_names.code(owner), how)
            if len(self._topics) >= _MOST_TOPICS:
                self._topics.clear()
            self._topics[topic] = known
        return known


class _Reading:
    """Payloads on their way to columns: what births and odd metrics give as rows, what data gives by the kernels."""

    def __init__(self, codec: SparkplugCodec, payloads: Payloads) -> None:
        self._codec = codec
        self._births = codec._births
        self._payloads = payloads
        self._rows = Rows()
        self._bytes = np.frombuffer(payloads.data or b"\0", np.uint8)
        self._told = told = _scanned(self._bytes, payloads)
        self._found = _nothing_found(len(told.kind))
        as_single = (told.bits & np.uint64(0xFFFF_FFFF)).astype(np.uint32).view(np.float32)
        self._number = np.where(told.kind == SINGLE, as_single, told.bits.view(np.float64))
        self._waiting: list[tuple[int, int, int, int]] = []
        self._device = np.full(len(payloads), -1, np.int32)

    def decoded(self) -> Decoded:
        """All of it, in the order of the messages."""
        for message in range(len(self._payloads)):
            try:
                self._take(message)
            except WireError as error:
                payload = self._payloads[message]
                detail = f"no Sparkplug B payload: {error} in {len(payload)} bytes {excerpt(payload)}"
                self._rows.reject(message, Reason.MALFORMED, detail)
            except TooManyNamesError as error:
                self._rows.reject(message, Reason.TOO_MANY_SERIES, str(error))
        self._look_up()
        return _in_order(self._rows.decoded(), self._told, self._found, self._device)

    def _take(self, message: int) -> None:
        payloads, told = self._payloads, self._told
        topic = self._codec.topic(payloads.topic(message))
        if topic is None:
            detail = f"topic {payloads.topic(message)!r}: expected spBv1.0/GROUP/TYPE/NODE or .../TYPE/NODE/DEVICE"
            self._rows.reject(message, Reason.MALFORMED, detail)
        elif topic.kind in ("NCMD", "DCMD"):
            self._rows.reject(message, Reason.COMMAND, "a command to the node or device")
        elif payloads.start[message] == payloads.end[message]:
            self._rows.reject(message, Reason.CLEARED, "an empty payload: the topic's retained message is cleared")
        elif not told.is_good[message]:
            check(payloads[message])
            raise WireError("it cannot be read")
        else:
            self._device[message] = topic.device
            self._take_good(message, topic)

    def _take_good(self, message: int, topic: _Topic) -> None:
        kind, sequence = topic.kind, int(self._told.sequence[message])
        node = self._births.nodes.get(topic.node)
        if kind == "NDEATH":
            self._take_death_of_node(message, topic, node)
            return
        if kind in ("NBIRTH", "DBIRTH"):
            # What came before it is told by the births before it.
            self._look_up()
            node = self._take_birth(message, topic, node)
        elif node is None:
            node, _ = self._births.begin(topic.node)
            node.needs = "it sends, and no birth of it is known"
        if sequence >= 0 and (gap := node.follow(sequence)):
            self._rows.note(message, "gap", gap)
        if kind == "DDEATH":
            self._tell(message, topic.owner, online=False)
            return
        owner = self._births.owner(node, topic.owner)
        self._waiting.append((message, node.scope, owner.scope, kind.endswith("BIRTH")))

    def _take_birth(self, message: int, topic: _Topic, node: Node | None) -> Node:
        known = self._known(message)
        if topic.kind == "NBIRTH" or node is None:
            node, odd = self._births.begin(topic.node, self._session(message, known))
            if odd:
                self._rows.note(message, "gap", odd)
            if topic.kind == "DBIRTH":
                node.needs = "a device of it is born, and no birth of itself is known"
        self._births.bear(node, topic.owner, filter(None, known))
        self._tell(message, topic.owner, online=True)
        return node

    def _take_death_of_node(self, message: int, topic: _Topic, node: Node | None) -> None:
        """The node and its devices are gone, unless it is the will of a session before (section 6.4.25)."""
        session = self._session(message, self._known(message))
        if node is not None and session >= 0 and node.session >= 0 and session != node.session:
            detail = f"the death of session {BDSEQ} {session}; the newest birth is of session {node.session}"
            self._rows.reject(message, Reason.AVAILABILITY, detail)
            return
        gone = dict.fromkeys([topic.owner, *(node.owners if node is not None else ())])
        for owner in gone:
            self._tell(message, owner, online=False)
        if node is not None:
            self._look_up()
            self._births.end(node)

    def _tell(self, message: int, owner: str, *, online: bool) -> None:
        code = self._codec._metric_names.code(UNNAMED, "", Role.AVAILABILITY)
        self._rows.add(message, code, float(online), self._codec._device_names.code(owner))

    def _metrics_of(self, message: int) -> range:
        return range(int(self._told.first[message]), int(self._told.first[message + 1]))

    def _known(self, message: int) -> list[Known | None]:
        """What a birth says of each metric; None for the definition of a template."""
        data, told, found = self._payloads.data, self._told, []
        for m in self._metrics_of(message):
            if told.kind[m] == PARTS or told.flags[m] & HAS_UNIT:
                metric = self._metric(m)
                known = Known(metric.name, metric.alias, metric.datatype, metric.unit)
                found.append(None if metric.is_definition else known)
            else:
                begin, end = told.name[m].tolist()
                found.append(Known(text_of(data[begin:end]), int(told.alias[m]), int(told.datatype[m]), ""))
        return found

    def _session(self, message: int, known: list[Known | None]) -> int:
        """The number of the session that a birth or death is of; -1 where it tells none."""
        first = int(self._told.first[message])
        of = (m for m, each in enumerate(known, first) if each is not None and each.name == BDSEQ)
        m = next(of, None)
        return -1 if m is None else int(self._told.bits[m])

    def _metric(self, m: int) -> Metric:
        begin, end = self._told.span[m].tolist()
        return metric_of(self._payloads.data[begin:end])

    def _look_up(self) -> None:
        """Read the metrics of the messages that wait for it, by the births up to now."""
        if not self._waiting:
            return
        waiting = np.array(self._waiting, np.int64)
        self._waiting.clear()
        messages, scopes = waiting[:, 0].copy(), waiting[:, 1:].copy()
        left = look_up(self._bytes, self._number, messages, scopes, self._told, self._births.born, self._found)
        first = self._told.first
        begin = first[messages[0]]
        outcome = self._found.outcome[begin : first[messages[-1] + 1]]
        starts, ends = first[messages] - begin, first[messages + 1] - begin
        if left:
            until = np.concatenate([[0], np.cumsum(outcome == LEFT)])
            for message in messages[until[ends] > until[starts]].tolist():
                self._take_left(message)
        until = np.concatenate([[0], np.cumsum(outcome != UNSEEN)])
        for message in messages[(until[ends] == until[starts]) & (scopes[:, 2] == 0)].tolist():
            self._rows.reject(message, Reason.NO_READING, NOTHING)

    def _take_left(self, message: int) -> None:
        """Read what the kernels left of a message: states, units, templates, data sets, and what is unknown or odd."""
        topic = self._codec.topic(self._payloads.topic(message))
        assert topic is not None
        node, time = self._births.nodes[topic.node], int(self._told.time[message])
        at = time * 1_000_000 if 0 <= time < 9_000_000_000_000 else NO_TIME
        mark = self._rows.mark()
        for m in self._metrics_of(message):
            if self._found.outcome[m] != LEFT:
                continue
            try:
                self._take_metric(message, node, topic, self._metric(m), at)
            except WireError as error:
                detail = f"a metric that is no Sparkplug: {error}"
                self._rows.reject(message, Reason.MALFORMED, detail, whole=False)
            except TooManyNamesError as error:
                self._rows.reject(message, Reason.TOO_MANY_SERIES, str(error), whole=False)
        of = self._metrics_of(message)
        if not (self._found.outcome[of.start : of.stop] == TAKEN).any() and not topic.kind.endswith("BIRTH"):
            self._rows.reject_if_empty(message, mark, NOTHING)

    def _take_metric(self, message: int, node: Node, topic: _Topic, metric: Metric, time: int) -> None:
        owner = self._births.owner(node, topic.owner)
        known = owner.metrics.get(metric.name) if metric.name else node.by_alias.get(metric.alias)
        if known is None and not metric.name:
            node.needs = node.needs or f"it sends alias {metric.alias}, which no birth has named"
            detail = f"alias {metric.alias}: no birth has named it; {topic.how_to_ask}"
            self._rows.reject(message, Reason.MALFORMED, detail, whole=False)
            return
        name = known.name if known is not None else metric.name
        datatype = metric.datatype or (known.datatype if known is not None else 0)
        unit = metric.unit or (known.unit if known is not None else "")
        if not is_control(name) and not metric.is_definition:
            self._take_value(message, topic.device, name, metric, datatype, unit, time)

    def _take_value(
        self, message: int, device: int, name: str, metric: Metric, datatype: int, unit: str, time: int
    ) -> None:
        rows, codec = self._rows, self._codec
        at = metric.time if metric.time != NO_TIME else time
        for part in metric.parts:
            self._take_value(message, device, f"{name}.{part.name}", part, part.datatype, part.unit, at)
        if metric.parts or datatype == DATE_TIME:
            return
        if metric.text is not None and (datatype in TEXT_TYPES or not datatype):
            if is_state(metric.text):
                code = codec._metric_names.code(name, "", Role.TEXT)
                rows.add(message, code, float(codec._words.code(metric.text.strip())), device, at)
        elif metric.is_null:
            rows.reject(message, Reason.NO_VALUE, f"{name}: null", whole=False)
        elif metric.number is not None:
            number = restored(metric.number, datatype)
            if isfinite(number):
                rows.note_rounded(message, name, number)
                code = codec._metric_names.code(name, unit, role_of(datatype))
                rows.add(message, code, float(number), device, at)
            else:
                rows.refuse(message, name, float(number), number)


def _scanned(data: np.ndarray[Any, np.dtype[np.uint8]], payloads: Payloads) -> Scanned:
    n, m = len(payloads), count_metrics(data, payloads.start, payloads.end)
    told = Scanned(
        time=np.zeros(n, np.int64),
        sequence=np.zeros(n, np.int64),
        is_good=np.zeros(n, np.bool_),
        first=np.zeros(n + 1, np.int64),
        flags=np.zeros(m, np.uint8),
        alias=np.zeros(m, np.int64),
        metric_time=np.zeros(m, np.int64),
        datatype=np.zeros(m, np.int32),
        kind=np.zeros(m, np.uint8),
        bits=np.zeros(m, np.uint64),
        hash=np.zeros(m, np.uint64),
        name=np.zeros((m, 2), np.int32),
        span=np.zeros((m, 2), np.int32),
    )
    scan(data, payloads.start, payloads.end, told)
    return told


def _nothing_found(metrics: int) -> Found:
    return Found(
        outcome=np.zeros(metrics, np.uint8),
        code=np.zeros(metrics, np.int32),
        time=np.zeros(metrics, np.int64),
        value=np.zeros(metrics),
    )


def _in_order(rows: Decoded, told: Scanned, found: Found, device: np.ndarray[Any, np.dtype[np.int32]]) -> Decoded:
    """The rows, and the metrics that were found, in the order of the messages."""
    taken = found.outcome == TAKEN
    message = np.repeat(np.arange(len(device), dtype=np.int32), np.diff(told.first))[taken]
    metric, time, value = found.code[taken], found.time[taken], found.value[taken]
    if not len(rows.message):
        return Decoded(message, metric, device[message], time, value, rows.rejected, rows.notes)
    order = np.argsort(np.concatenate([rows.message, message]), kind="stable")
    return Decoded(
        np.concatenate([rows.message, message])[order],
        np.concatenate([rows.metric, metric])[order],
        np.concatenate([rows.device, device[message]])[order],
        np.concatenate([rows.time, time])[order],
        np.concatenate([rows.value, value])[order],
        rows.rejected,
        rows.notes,
    )
