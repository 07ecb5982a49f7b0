"""Decode, shared by JSON, CBOR and MessagePack: from a decoded tree of maps and lists to readings.

The rules, the same for all three:

- Every number in the tree is a reading; its metric is the path of keys joined by dots, list places counted from 0
  (`axis.0`). What counts as a number is stated in `devices.numbers`. Short text that is no number is a state. A field
  named like an identity (`id`, `serial`, `firmware`, ...) is no reading, unless `include` names metrics.
- A map with a time field dates everything in it that is not dated deeper, and one with the `device` field names the
  device likewise. Time fields are no readings. Without a time field, or with one that cannot be read, the time is the
  message's arrival.
- Shapes in which names are values are read as `devices.codecs.shapes` states. Text that holds JSON is read as JSON.
- A map in a list that has a time or device of its own is a reading of its own: its place in the list is no part of
  the metric, so `[{"ts": 1, "temp": 20}, {"ts": 2, "temp": 21}]` is two readings of `temp`.
- With the parameter `metric`, a map that has that field and the `value` field is a row: one reading, so named.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any

import orjson

from devices.batch import NO_TIME
from devices.codec import Role
from devices.codecs import shapes
from devices.codecs.readings import (
    NOTHING,
    Rows,
    TooManyNamesError,
    excerpt,
    finite,
)
from devices.codecs.shape_words import CONTAINERS
from devices.codecs.tree_fields import TreeFields, joined, names_of
from devices.codecs.tree_parameters import MOST_PLAIN, SINGLE
from devices.kinds import is_identity
from devices.numbers import doubtful_comma, is_state, to_number, unit_of
from devices.rejection_reasons import Reason

_DEMANDS = frozenset({"desired", "delta"})
"""What is asked of a device, beside what it has reported: a twin or shadow."""


class _TooDeepError(Exception):
    """The tree is nested deeper, or unfolds to more, than the limit."""


class TreeReader(TreeFields):
    """Reads decoded trees under one set of parameters."""

    def read(self, message: int, root: object, size: int, rows: Rows, arrival: int | None = None) -> None:
        """Add the readings of one payload's tree to `rows`, or its rejection; as `read_all`."""
        self.read_all(message, [root], size, rows, arrival)

    def read_all(self, message: int, roots: list[object], size: int, rows: Rows, arrival: int | None = None) -> None:
        """Add the readings of one payload's trees to `rows`, or its rejection.

        `size` is the payload's in bytes: a tree of more nodes than that is one part used over and over (CBOR tag 29).
        `arrival` (ns) tells the two times apart that a clock shows twice.
        """
        self._budget = size + 1
        self._message, self._rows, self._arrival = message, rows, arrival
        self._empty, self._missing = False, ""
        mark = rows.mark()
        try:
            for root in roots:
                self._skip.clear()
                self._units.clear()
                if self.parameters.root:
                    self._walk_from_root(root)
                else:
                    self._walk(root, "", 0, -1, NO_TIME)
        except _TooDeepError as error:
            rows.rewind(mark)
            rows.reject(message, Reason.MALFORMED, str(error))
        else:
            if mark == rows.mark():
                rows.reject(message, *self._nothing(roots))

    def _nothing(self, roots: list[object]) -> tuple[Reason, str]:
        """Why a payload that is well formed gave no reading."""
        if self._missing:
            return Reason.NO_READING, f'no "{self._missing}": expected the readings in it'
        if self._empty or not any(roots):
            return Reason.NO_VALUE, "it is empty"
        return Reason.NO_READING, NOTHING

    def _walk_from_root(self, node: object) -> None:
        """Walk the part of the tree at the parameter `root`, under the time and device of the maps around it."""
        time, device = NO_TIME, -1
        inside = self.parameters.root + "."
        path = ""
        for name in self.parameters.root.split("."):
            if not isinstance(node, dict) or name not in node:
                self._missing = self.parameters.root
                return
            time = self._time(node, path, time)
            if self.device_fields:
                try:
                    device = self._device(node, path, device)
                except TooManyNamesError as error:
                    self._rows.reject(self._message, Reason.TOO_MANY_SERIES, str(error))
                    return
            node = node[name]
            path = f"{path}.{name}" if path else name
        self._empty = node in ({}, [])
        self._skip = {skipped.removeprefix(inside) for skipped in self._skip if skipped.startswith(inside)}
        if isinstance(node, str):
            node = self._inner(node) or node
        self._walk(node, "", 0, device, time)

    def _walk(self, node: object, path: str, depth: int, device: int, time: int, unit: str = "") -> None:
        kind = type(node)
        if kind is not dict and kind is not list:
            self._leaf(node, path or SINGLE, device, time, unit)
            return
        self._budget -= len(node)  # type: ignore[arg-type]
        if self._budget < 0:
            raise _TooDeepError(f"{path or 'payload'}: holds parts that refer to each other")
        if depth >= self.parameters.max_depth:
            raise _TooDeepError(f"{path or 'payload'}: nested deeper than {self.parameters.max_depth} levels")
        if kind is dict:
            self._walk_map(node, path, depth, device, time)  # type: ignore[arg-type]
        else:
            self._walk_list(node, path, depth, device, time)  # type: ignore[arg-type]

    def _walk_list(self, children: list[object], path: str, depth: int, device: int, time: int) -> None:
        self._walk_places(children, range(len(children)), path, depth, device, time)

    def _walk_places(
        self, children: list[object], places: Iterable[int], path: str, depth: int, device: int, time: int
    ) -> None:
        rows = named = None
        if self.parameters.shapes and shapes.are_pairs(children):
            self.unsteady()
            if shapes.are_times([child[0] for child in children]):  # type: ignore[index]
                for child in children:
                    at = self._pair_time(child[0])  # type: ignore[index]
                    self._leaf(child[1], path or SINGLE, device, time if at is None else at, "")  # type: ignore[index]
                return
        if self.parameters.shapes and not self.parameters.metric and children and type(children[0]) is dict:
            rows = all(isinstance(child, dict) and shapes.row_fields(child, alone=False) for child in children)
            if not rows:
                dated = all(isinstance(child, dict) and self._has_time(child) for child in children)
                own = {name for field in self.device_fields for name in names_of(field)}
                named = shapes.record_name(children, path, dated=dated, without=own)
        for i, child in zip(places, children, strict=True):
            inner = f"{path}.{i}" if path else str(i)
            if rows:
                self._row(child, path, depth + 1, device, time)  # type: ignore[arg-type]
                continue
            if type(child) is dict:
                if named is not None:
                    inner = joined(path, self.fixed(child[named]))
                    self._skip.add(joined(inner, named))
                elif self._is_record(child):
                    inner = path
            self._walk(child, inner, depth + 1, device, time)

    def _walk_map(self, node: dict[Any, object], path: str, depth: int, device: int, time: int) -> None:
        if not self._time_names.isdisjoint(node):
            time = self._time(node, path, time)
        if self.device_fields:
            try:
                device = self._device(node, path, device)
            except TooManyNamesError as error:
                self._rows.reject(self._message, Reason.TOO_MANY_SERIES, str(error), whole=depth == 0)
                return
        for field, glob in self.parameters.unit_fields.items():
            if isinstance(node.get(field), str):
                self._units.append((glob, self.fixed(node[field])))
                self._skip.add(joined(path, field))
        if self.parameters.shapes:
            self._take_units(node, path)
        if self.parameters.metric and self._is_row(node):
            name = node[self.parameters.metric]
            value = node[self.parameters.value]
            self._leaf(value, str(name) or SINGLE, device, time, self._unit_beside(node), row=True)
        elif not self.parameters.shapes or not (
            self._walk_node(node, path, depth, device, time) or self._walk_shape(node, path, depth, device, time)
        ):
            self._walk_fields(node, path, depth, device, time)

    def _walk_fields(self, node: dict[Any, object], path: str, depth: int, device: int, time: int) -> None:
        plain = not self._units
        for key, child in node.items():
            name = key if type(key) is str else excerpt(key)
            inner = f"{path}.{name}" if path else name
            kind = type(child)
            if plain and (kind is float or kind is int) and inner and inner not in self._skip:
                # The common case, short: a plain number of a metric that is known.
                code = self._metric_codes.get(inner, -1)
                if code >= 0 and -MOST_PLAIN <= child <= MOST_PLAIN and child not in self.error_values:  # type: ignore[operator]
                    self._rows.add(self._message, code, float(child), device, time)  # type: ignore[arg-type]
                    continue
            if kind is dict or kind is list:
                if inner not in self._skip:
                    self._walk_child(name, child, inner, depth, device, time)
            elif not is_identity(name) or self._takes_identities:
                self._leaf(child, inner or SINGLE, device, time, "")

    def _walk_child(self, name: str, child: object, inner: str, depth: int, device: int, time: int) -> None:
        if self.parameters.shapes:
            if shapes.is_pair(child):
                at = self._pair_time(child[0])  # type: ignore[index]
                if at is not None:
                    self._leaf(child[1], inner, device, at, "")  # type: ignore[index]
                    return
            if isinstance(child, list) and name.lower() in CONTAINERS and _holds_rows(child):
                inner = inner.rpartition(".")[0]
        self._walk(child, inner, depth + 1, device, time)

    def _walk_node(self, node: dict[Any, object], path: str, depth: int, device: int, time: int) -> bool:
        """Read a node of OPC UA whose value stands in a map of its own; False where it is none."""
        if shapes.may_name_node(node):
            self.unsteady()
        name = shapes.node_field(node)
        if name is None or path or not isinstance(node.get("Value"), dict):
            return False
        self._walk(node["Value"], self.fixed(node[name]), depth + 1, device, time)
        return True

    def _walk_shape(self, node: dict[Any, object], path: str, depth: int, device: int, time: int) -> bool:
        """Read a map of a known shape; False where it is of none."""
        if self._walk_envelope(node, path, depth, device, time):
            return True
        if (fields := shapes.table(node)) is not None:
            self._table(node, fields, path, depth, device, time)
            return True
        if (records := shapes.columns(node, self._time_names)) is not None:
            self.unsteady()
            self._walk(records, path, depth + 1, device, time)
            return True
        if not self.parameters.metric and shapes.row_fields(node, alone=True) and not path:
            self._row(node, path, depth, device, time, alone=True)
            return True
        if not path and not self.parameters.metric and (row := shapes.loose_row(node)) is not None:
            name, field = row
            self.unsteady()
            rest = {key: child for key, child in node.items() if key not in row and key not in shapes.UNIT_FIELDS}
            self._value(node, field, self.fixed(node[name]), device, time)
            self._walk_fields(rest, path, depth, device, time)
            return True
        if shapes.is_wrapper(node) and (path or shapes.has_quality(node)):
            field = shapes.value_field(node) or ""
            self._value(node, field, path or field, device, time)
            return True
        if path and not self.parameters.metric and shapes.row_fields(node, alone=True):
            around, _, key = path.rpartition(".")
            named = joined(around, self.fixed(node[(shapes.row_fields(node, alone=True) or ("",))[0]]))
            self._value(node, shapes.value_field(node) or "", named if key.isdecimal() else path, device, time)
            return True
        lists = {key: child for key, child in node.items() if shapes.is_device_list(key, child)}
        if not lists or any(isinstance(child, dict) for child in node.values()):
            return False
        for key, child in lists.items():
            owner = self._own_device(device, key)
            for record in child:  # type: ignore[attr-defined]
                if shapes.row_fields(record, alone=False):
                    self._row(record, "", depth + 2, owner, time)
                else:
                    self._walk(record, "", depth + 2, owner, time)
        return True

    def _walk_envelope(self, node: dict[Any, object], path: str, depth: int, device: int, time: int) -> bool:
        """Read a map of an agent, a twin, a shadow, or of values and their time; False where it is none."""
        if shapes.is_telegraf(node):
            self._telegraf(node, depth, device, time)
            return True
        if (metric := shapes.of_agent(node)) is not None:
            self.unsteady()
            host, name, fields = metric
            owner = self._named_device(host, device) if isinstance(host, str) and device < 0 else device
            self._walk_fields(fields, joined(path, name), depth, owner, time)
            return True
        if isinstance(node.get("reported"), dict) and not _DEMANDS.isdisjoint(node):
            said = {key: child for key, child in node.items() if key not in _DEMANDS}
            self._walk_fields(said, path, depth, device, time)
            return True
        values = node.get("values", node.get("Values"))
        if isinstance(values, dict) and not self._time_names.isdisjoint(node):
            self._walk(values, path, depth + 1, device, time)
            return True
        return False

    def _row(
        self, node: dict[Any, object], path: str, depth: int, device: int, time: int, *, alone: bool = False
    ) -> None:
        """Read a map that names its one value."""
        if depth >= self.parameters.max_depth:
            raise _TooDeepError(f"{path or 'payload'}: nested deeper than {self.parameters.max_depth} levels")
        name, value = shapes.row_fields(node, alone=alone) or ("", "")
        metric = joined(path, self.fixed(node[name]))
        if not self._time_names.isdisjoint(node):
            time = self._time(node, path, time)
        self._value(node, value, metric, device, time)

    def _value(self, node: dict[Any, object], field: str, metric: str, device: int, time: int) -> None:
        if shapes.has_quality(node):
            self.unsteady()
            if shapes.is_bad_quality(node):
                detail = f"{metric}: the row says that its value {excerpt(node[field])} is of bad quality"
                self._rows.reject(self._message, Reason.NO_VALUE, detail, whole=False)
                return
        self._leaf(node[field], metric, device, time, self._unit_beside(node), row=True)

    def _table(
        self, node: dict[Any, object], fields: tuple[str, str], path: str, depth: int, device: int, time: int
    ) -> None:
        """Read a map of column names and rows: the rows as records, then what stands beside them."""
        self.unsteady()
        records, ragged = shapes.records(node, *fields)
        for place, why in ragged.items():
            where = joined(path, f"{fields[1]}.{place}")
            self._rows.reject(self._message, Reason.MALFORMED, f"{where}: {why}", whole=False)
        self._empty = self._empty or not node[fields[1]]
        found: list[object] = list(records.values())
        if len(found) == 1 and not ragged:
            # One row is the reading itself; of several without a time or a name the place tells which.
            self._walk(found[0], path, depth + 1, device, time)
        else:
            self._walk_places(found, records, path, depth + 1, device, time)
        beside = {key: child for key, child in node.items() if key not in (*fields, "index")}
        self._walk_fields(beside, path, depth, device, time)

    def _telegraf(self, node: dict[Any, object], depth: int, device: int, time: int) -> None:
        tags = node.get("tags")
        labels = [self.fixed(node[shapes.telegraf_name(node)])]
        if isinstance(tags, dict):
            for key in sorted(key for key in tags if isinstance(key, str)):
                if key == "host" and isinstance(tags[key], str) and device < 0:
                    device = self._named_device(tags[key], device)
                elif isinstance(tags[key], (str, int)):
                    labels.append(self.fixed(tags[key]))
        self._walk(node["fields"], ".".join(labels), depth + 1, device, time)

    def _leaf(self, value: object, path: str, device: int, time: int, unit: str, *, row: bool = False) -> None:
        if path in self._skip and not row:
            return
        number = value if type(value) is float else to_number(value)
        if number is None:
            if isinstance(value, str):
                self._text(value, path, device, time)
            return
        if isinstance(value, str) and not unit:
            unit = unit_of(value)
        if self._units and not unit:
            unit = next((stated for glob, stated in self._units if fnmatchcase(path, glob)), "")
        try:
            code = self.metric_code(path, unit, Role.TRUTH if self.is_truth(value) else Role.VALUE)
        except TooManyNamesError as error:
            self._rows.reject(self._message, Reason.TOO_MANY_SERIES, str(error), whole=False)
            return
        if code < 0:
            return
        if finite(number, self.error_values):
            self._rows.note_rounded(self._message, path, value)
            self._rows.add(self._message, code, number, device, time)
        else:
            self._rows.refuse(self._message, path, number, value)

    def _text(self, value: str, path: str, device: int, time: int) -> None:
        """Take text that is no number: JSON, or a state."""
        inner = self._inner(value)
        if inner is not None:
            name = path.rpartition(".")[2].lower()
            self._walk(inner, path.rpartition(".")[0] if name in CONTAINERS else path, 1, device, time)
        elif doubtful_comma(value):
            detail = (
                f"{path}: {excerpt(value)} may have a decimal comma or a thousands comma; expected one that is clear"
            )
            self._rows.reject(self._message, Reason.MALFORMED, detail, whole=False)
        elif is_state(value):
            try:
                code = self.metric_code(path, "", Role.TEXT)
                if code >= 0:
                    self._rows.add(self._message, code, self.word(value.strip()), device, time)
            except TooManyNamesError as error:
                self._rows.reject(self._message, Reason.TOO_MANY_SERIES, str(error), whole=False)

    def _inner(self, text: str) -> object:
        """The map or list that is written in a text; None where none is."""
        if text.lstrip()[:1] in ("{", "["):
            with suppress(orjson.JSONDecodeError):
                found = self.inner(text)
                self._budget += len(text)
                return found if isinstance(found, (dict, list)) else None
        return None


def _holds_rows(children: list[object]) -> bool:
    return bool(children) and all(
        isinstance(child, dict) and (shapes.row_fields(child, alone=False) is not None or shapes.is_telegraf(child))
        for child in children
    )
