"""Decode, the fast path of JSON: a payload read the general way with every leaf marked, to see where they end up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from devices.codec import Role
from devices.codecs.kernels import (
    ANY,
    BELOW_TIME,
    DEVICE,
    FROM_TIME,
    LITERAL,
    NUMBER,
    PROSE,
    TEXT,
    TIME_NUMBER,
    TIME_TEXT,
    TRUTH,
)
from devices.codecs.readings import Names
from devices.codecs.shapes import name_fields, value_field
from devices.codecs.tree import TreeReader
from devices.codecs.tree_parameters import MAYBE_TIMES
from devices.kinds import is_identity
from devices.numbers import LONGEST_STATE, is_state, text_to_number

MOST_SLOTS = 4_096
"""Most slots of a layout."""

_SPACE = re.compile(rb"[ \t\r\n]*")
_TOKEN = re.compile(rb'"((?:[^"\\]|\\.)*+)"|(-?\d[\d.eE+-]*)|(true|false)|null|[{}\[\]:,]')


class UnlearnableError(Exception):
    """The payload is not of a kind that repeats with other values."""


class MarkedNumber(float):
    """A number or truth value that knows its leaf."""

    leaf: int


class MarkedText(str):
    """Text that knows its leaf."""

    __slots__ = ("leaf",)
    leaf: int


@dataclass(slots=True)
class Leaf:
    """A part of the payload that may differ: where it stands, what it is, and what its value must be."""

    start: int
    end: int
    kind: int
    demand: int = ANY


class Marker:
    """Parses a payload that is known to be valid JSON into a tree whose leaves are marked with their place."""

    def __init__(self, payload: bytes, named: frozenset[str]) -> None:
        self._payload = payload
        self._named = named
        self._at = 0
        self.leaves: list[Leaf] = []
        self.root = self._value("", depth=0)
        if _SPACE.sub(b"", payload[self._at :], count=1):
            raise UnlearnableError

    def _token(self) -> re.Match[bytes]:
        start = _SPACE.match(self._payload, self._at).end()  # type: ignore[union-attr]
        found = _TOKEN.match(self._payload, start)
        if found is None:
            raise UnlearnableError
        self._at = found.end()
        return found

    def _value(self, key: str, depth: int) -> object:
        if depth > 64:
            raise UnlearnableError
        token = self._token()
        symbol = token.group()
        if symbol == b"{":
            return self._map(depth)
        if symbol == b"[":
            return self._list(key, depth)
        text, number, truth = token.groups()
        if text is not None:
            decoded: str = orjson.loads(symbol)
            kind = LITERAL if not decoded or key in self._named else TEXT if is_identity(key) else PROSE
            if kind == PROSE and (len(decoded) > LONGEST_STATE or text_to_number(decoded) is not None):
                kind = LITERAL
            marked = MarkedText(decoded)
            marked.leaf = self._leaf(token.start(1), token.end(1), kind)
            return marked
        if number is None and truth is None:
            return None
        if key in self._named:
            raise UnlearnableError
        value = MarkedNumber(number if number is not None else truth == b"true")
        value.leaf = self._leaf(token.start(), token.end(), NUMBER if number is not None else TRUTH)
        return value

    def _leaf(self, start: int, end: int, kind: int) -> int:
        if len(self.leaves) >= MOST_SLOTS:
            raise UnlearnableError
        self.leaves.append(Leaf(start, end, kind))
        return len(self.leaves) - 1

    def _map(self, depth: int) -> dict[str, object]:
        node: dict[str, object] = {}
        token = self._token()
        while token.group() != b"}":
            if token.group() == b",":
                token = self._token()
            key: str = orjson.loads(token.group())
            if key in node:
                raise UnlearnableError
            self._token()
            node[key] = self._value(key, depth + 1)
            token = self._token()
        return node

    def _list(self, key: str, depth: int) -> list[object]:
        node: list[object] = []
        while True:
            before = self._at
            token = self._token().group()
            if token == b"]":
                return node
            if token != b",":
                self._at = before
            # Text in a list is read even where the list is named like an identity.
            node.append(self._value(key if key in self._named else "", depth + 1))


class Learner(TreeReader):
    """The general reader, giving leaves instead of times and devices."""

    def __init__(self, reader: TreeReader) -> None:
        super().__init__(reader.parameters)
        self.metrics = reader.metrics
        self.leaves: list[Leaf] = []
        self.steady: set[int] = set()
        """Leaves that must say the same in every payload: they are a part of names."""
        self._parse_time = self._time_leaf
        self.devices = _DeviceLeaves(self)

    def is_time(self, path: str, value: object) -> bool:
        """As the general reader; what the answer demands of the value is noted."""
        result = super().is_time(path, value)
        if self.implicit_time and path in MAYBE_TIMES:
            if isinstance(value, MarkedNumber):
                self.leaves[value.leaf].demand = FROM_TIME if result else BELOW_TIME
            elif isinstance(value, MarkedText):
                raise UnlearnableError
        elif isinstance(value, MarkedText) and value:
            # Time fields after the first are no readings, whatever they say.
            self.leaves[value.leaf].kind = TEXT
        return result

    def is_truth(self, value: object) -> bool:
        """As the general reader; a truth value of JSON is marked as one."""
        return self.leaves[value.leaf].kind == TRUTH if isinstance(value, MarkedNumber) else super().is_truth(value)

    def fixed(self, value: object) -> str:
        """As the general reader; the leaf must then say the same in every payload. Raises UnlearnableError."""
        if not isinstance(value, (MarkedNumber, MarkedText)) or self.leaves[value.leaf].kind in (NUMBER, DEVICE):
            raise UnlearnableError
        self.leaves[value.leaf].kind = LITERAL
        self.steady.add(value.leaf)
        return super().fixed(value)

    def inner(self, text: str) -> object:  # noqa: ARG002
        """Raises UnlearnableError: what is written in a leaf has no place of its own."""
        raise UnlearnableError

    def passed_over(self, value: object) -> None:
        """The leaf may say anything. Raises UnlearnableError where it is no text."""
        if not isinstance(value, MarkedText):
            raise UnlearnableError
        self.leaves[value.leaf].kind = TEXT

    def unsteady(self) -> None:
        """Raises UnlearnableError."""
        raise UnlearnableError

    def _text(self, value: str, path: str, device: int, time: int) -> None:
        if not isinstance(value, MarkedText) or self.leaves[value.leaf].kind != PROSE:
            if is_state(value) or value.lstrip()[:1] in ("{", "["):
                raise UnlearnableError
            return
        code = self.metric_code(path, "", Role.TEXT)
        if code >= 0:
            place = MarkedNumber(0)
            place.leaf = value.leaf
            self._rows.add(self._message, code, place, device, time)

    def _pair_time(self, value: object) -> int | None:  # noqa: ARG002
        raise UnlearnableError

    def _own_device(self, device: int, key: str) -> int:  # noqa: ARG002
        raise UnlearnableError

    def _telegraf(self, node: dict[Any, object], depth: int, device: int, time: int) -> None:
        tags = node.get("tags")
        if isinstance(tags, dict) and any(isinstance(tag, MarkedNumber) for tag in tags.values()):
            raise UnlearnableError
        super()._telegraf(node, depth, device, time)

    def _walk_shape(self, node: dict[Any, object], path: str, depth: int, device: int, time: int) -> bool:
        if value_field(node) is not None:
            _require_text_names([node])
        return super()._walk_shape(node, path, depth, device, time)

    def _walk_list(self, children: list[object], path: str, depth: int, device: int, time: int) -> None:
        if self.parameters.shapes:
            _require_text_names(children, path)
        super()._walk_list(children, path, depth, device, time)

    def _time_leaf(self, value: object, near: int | None = None) -> int:  # noqa: ARG002
        if isinstance(value, MarkedNumber):
            self.leaves[value.leaf].kind = TIME_NUMBER
            return value.leaf
        if isinstance(value, MarkedText) and not self.parameters.time_format:
            self.leaves[value.leaf].kind = TIME_TEXT
            return value.leaf
        raise UnlearnableError


class _DeviceLeaves(Names):
    """Gives the leaf of a device's name instead of a code."""

    def __init__(self, learner: Learner) -> None:
        super().__init__("device", 1)
        self._learner = learner

    def code(self, name: str) -> int:
        if not isinstance(name, MarkedText) or name.leaf in self._learner.steady:
            raise UnlearnableError
        self._learner.leaves[name.leaf].kind = DEVICE
        return name.leaf


def _require_text_names(nodes: list[object], container: str = "") -> None:
    """A number may be a name by its being whole, which a layout does not hold."""
    for node in nodes:
        if isinstance(node, dict) and any(isinstance(node.get(name), MarkedNumber) for name in name_fields(container)):
            raise UnlearnableError
