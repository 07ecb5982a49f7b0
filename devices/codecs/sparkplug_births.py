"""Decode, codec `sparkplug`: what births said of edge nodes and devices, kept for the data that come after them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from common.growth import grown
from devices.codecs.readings import MetricNames, TooManyNamesError
from devices.codecs.sparkplug_kernels import GENERAL, NO_READING, Born, put_aliases, put_names
from devices.codecs.sparkplug_wire import BDSEQ, DATE_TIME, role_of

_MOST_LATE = 32
"""So many missing messages may still come, out of their order; where more are missing a birth is needed."""
_LEAST_PLACES = 64


@dataclass(slots=True)
class Known:
    """What a birth says of a metric; `alias` is -1 where it has none."""

    name: str
    alias: int
    datatype: int
    unit: str


@dataclass(slots=True)
class Owner:
    """An edge node or a device of one: the metrics of its birth by name, and the scope of their names."""

    scope: int
    metrics: dict[str, Known] = field(default_factory=dict)


@dataclass(slots=True)
class Node:
    """An edge node: itself and its devices by name, the scope of its aliases, its newest sequence number, the number of
    its session (`bdSeq`), messages that are missing so far, and why a birth is needed; empty where none is.
    """

    scope: int
    owners: dict[str, Owner] = field(default_factory=dict)
    by_alias: dict[int, Known] = field(default_factory=dict)
    sequence: int = -1
    session: int = -1
    missing: set[int] = field(default_factory=set)
    needs: str = ""

    def follow(self, sequence: int) -> str:
        """Take note of the sequence number of a message after a birth; what is missing before it, as a sentence."""
        expected = (self.sequence + 1) % 256
        if self.sequence < 0 or sequence == expected:
            self.sequence = sequence
            return ""
        if sequence in self.missing:
            self.missing.discard(sequence)
            if not self.missing and self.needs.startswith("sequence"):
                self.needs = ""
            return ""
        count = (sequence - expected) % 256
        self.needs = f"sequence number {sequence}, expected {expected}"
        if count <= _MOST_LATE:
            self.missing |= {(expected + each) % 256 for each in range(count)}
        else:
            self.missing.clear()
        self.sequence = sequence
        return f"{self.needs}: messages are missing before it"


class Births:
    """All edge nodes, and their metrics as the kernels look them up. `nodes` is by `GROUP/NODE`."""

    def __init__(self, names: MetricNames) -> None:
        self.nodes: dict[str, Node] = {}
        self._names = names
        self._scopes = self._entries = self._in_use = 0
        self._clear(_LEAST_PLACES)

    @property
    def born(self) -> Born:
        """The metrics for the kernels; it is another one after each birth."""
        return self._born

    def begin(self, name: str, session: int = -1) -> tuple[Node, str]:
        """An edge node is born: none of its aliases holds any more, and none of its devices is there yet.

        Returns it, and what is odd about the number of its session, as a sentence.
        """
        was = self.nodes.get(name)
        node = self.nodes[name] = Node(self._scope(), session=session)
        if was is None or session < 0 or was.session < 0:
            return node, ""
        expected = (was.session + 1) % 256
        if session in (was.session, expected):
            return node, ""
        return node, f"{BDSEQ} {session}, expected {expected}: a session was missed before it"

    def bear(self, node: Node, name: str, metrics: Iterable[Known]) -> None:
        """The edge node itself, or a device of it, is born with these metrics."""
        owner = node.owners[name] = Owner(self._scope(), {each.name: each for each in metrics})
        node.by_alias |= {each.alias: each for each in owner.metrics.values() if each.alias >= 0}
        self._put(node, owner)

    def end(self, node: Node) -> None:
        """The edge node is gone: its aliases hold no more, since it may come back with others."""
        node.scope, node.by_alias = self._scope(), {}

    def needed(self) -> dict[str, str]:
        """The edge nodes that a birth is to be asked of, and why."""
        return {name: node.needs for name, node in list(self.nodes.items()) if node.needs}

    def owner(self, node: Node, name: str) -> Owner:
        """The edge node or device of a name; one without metrics where no birth has told of it."""
        known = node.owners.get(name)
        if known is None:
            known = node.owners[name] = Owner(self._scope())
        return known

    def state(self) -> dict[str, Any]:
        """The births known, as JSON."""
        return {
            name: {
                "sequence": node.sequence,
                "session": node.session,
                "missing": sorted(node.missing),
                "needs": node.needs,
                "devices": list(node.owners),
                "metrics": [
                    [each.alias if node.by_alias.get(each.alias) is each else -1, owner, each.name, each.datatype,
                     each.unit]
                    for owner, known in node.owners.items()
                    for each in known.metrics.values()
                ],
            }
            for name, node in self.nodes.items()
        }  # fmt: skip

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state` returned, of this version or one before it, which named each alias on its own."""
        self.nodes = {}
        self._clear(_LEAST_PLACES)
        for name, told in saved.items():
            node, _ = self.begin(name, int(told.get("session", -1)))
            node.sequence, node.needs = int(told["sequence"]), told.get("needs", "")
            node.missing = set(told.get("missing", ()))
            metrics: dict[str, dict[str, Known]] = {device: {} for device in told["devices"]}
            for alias, owner, metric, datatype, unit in told["metrics"]:
                known = metrics.setdefault(owner, {})
                if alias >= 0 or metric not in known:
                    known[metric] = Known(metric, int(alias), int(datatype), unit)
            for owner, of_owner in metrics.items():
                self.bear(node, owner, of_owner.values())

    def _scope(self) -> int:
        self._scopes += 1
        return self._scopes

    def _clear(self, places: int) -> None:
        self._entries = self._in_use = self._name_bytes = 0
        self._born = Born(
            scope=np.zeros(places, np.int64),
            key=np.zeros(places, np.uint64),
            entry=np.full(places, -1, np.int32),
            code=np.zeros(places, np.int32),
            datatype=np.zeros(places, np.int32),
            name=np.zeros((places, 2), np.int32),
            names=np.zeros(1_024, np.uint8),
        )

    def _put(self, node: Node, owner: Owner) -> None:
        """Let the kernels know an owner's metrics. Those of births before stay in the table until it is full."""
        if 2 * (self._in_use + 2 * len(owner.metrics)) > len(self._born.entry):
            every = [(each, one) for each in self.nodes.values() for one in each.owners.values()]
            needed = 2 * sum(len(one.metrics) for _, one in every) + 2 * len(owner.metrics)
            self._clear(1 << (4 * needed + _LEAST_PLACES).bit_length())
            for each, one in every:
                self._put_one(each, one)
            return
        self._put_one(node, owner)

    def _put_one(self, node: Node, owner: Owner) -> None:
        at, first, known = self._name_bytes, self._entries, list(owner.metrics.values())
        names = [each.name.encode() for each in known]
        end, ends = first + len(known), at + np.cumsum([0, *map(len, names)])
        self._born = born = self._born._replace(names=grown(self._born.names, int(ends[-1]), 0))
        born.names[at : ends[-1]] = np.frombuffer(b"".join(names), np.uint8)
        born.code[first:end] = [self._code(each) for each in known]
        born.datatype[first:end] = [each.datatype for each in known]
        born.name[first:end, 0], born.name[first:end, 1] = ends[:-1], ends[1:]
        entries = np.arange(first, end, dtype=np.int32)
        has_alias = np.array([node.by_alias.get(each.alias) is each for each in known], np.bool_)
        aliases = np.array([each.alias for each in known], np.int64)[has_alias].astype(np.uint64)
        put_names(owner.scope, entries, born)
        put_aliases(node.scope, aliases, entries[has_alias], born)
        self._name_bytes, self._entries = int(ends[-1]), end
        self._in_use += len(known) + len(aliases)

    def _code(self, known: Known) -> int:
        if known.datatype == DATE_TIME or is_control(known.name):
            return NO_READING
        try:
            return self._names.code(known.name, known.unit, role_of(known.datatype))
        except TooManyNamesError:
            return GENERAL


def is_control(name: str) -> bool:
    """Whether a metric controls the edge node or its session, and measures nothing."""
    return name == BDSEQ or name.startswith(("Node Control/", "Device Control/"))
