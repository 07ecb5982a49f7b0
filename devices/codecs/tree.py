"""Decode, shared by JSON, CBOR and MessagePack: from a decoded tree of maps and lists to readings.

The rules, the same for all three:

- Every number in the tree is a reading; its metric is the path of keys joined by dots, list places counted from 0
  (`axis.0`). What counts as a number is stated in `devices.numbers`; text that is no number is no reading, and text in
  a field named like an identity (`id`, `serial`, `firmware`, ...) is none even where it looks like one.
- A map with a time field dates everything in it that is not dated deeper, and one with the `device` field names the
  device likewise. Time fields are no readings. Without a time field, the time is the message's arrival.
- A map in a list that has a time or device of its own is a reading of its own: its place in the list is no part of
  the metric, so `[{"ts": 1, "temp": 20}, {"ts": 2, "temp": 21}]` is two readings of `temp`.
- With the parameter `metric`, a map that has that field and the `value` field is a row: one reading, so named.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from pydantic import Field, field_validator

from devices.batch import NO_TIME
from devices.codec import UNNAMED
from devices.codecs.readings import (
    NOTHING,
    CodecParameters,
    Names,
    Rows,
    TooManyNamesError,
    excerpt,
    finite,
    not_finite,
)
from devices.numbers import to_number
from devices.rejection_reasons import Reason
from devices.times import BadTimeError, TimeUnit, parse_time, parse_zone

TIME_FIELDS = (
    "time",
    "timestamp",
    "ts",
    "Time",
    "Timestamp",
    "TimeStamp",
    "datetime",
    "dateTime",
    "DateTime",
    "date_time",
    "received_at",
    "created_at",
    "measured_at",
    "event_time",
    "eventTime",
    "t",
)
"""Fields taken as the time where the parameter `time` is not set, first one first.

`t` is often a temperature: it counts as a time only where it is text of ten characters or more that begins with a
digit, or a number of at least `PLAUSIBLE_TIME`.
"""

PLAUSIBLE_TIME = 1e8
"""Least number that an unasked-for `t` may be to count as a time: in seconds, March 1973."""

IDENTITY_FIELDS = frozenset(
    re.findall(
        r"\S+",
        """
        id name deviceid devid deveui eui devicename friendlyname serial serialnumber serialno sn mac macaddress ip
        ipaddress imei imsi iccid uuid guid model modelid type devicetype version firmware firmwareversion fw sw hw
        fwver hardware hardwareversion software softwareversion unit units uom tempunit src source gateway gatewayid
        topic
        """,
    )
)
"""Names of fields whose text is never a number, compared in lower case without `_` and `-`."""

IDENTITY_ENDINGS = ("_id", "Id", "ID", "_eui", "_version", "_unit")

MOST_PLAIN = 2.0**63
"""Numbers below this in magnitude are finite whatever their type."""

MAX_NAME = 512
"""Longest metric or device name taken, in characters."""

SINGLE = UNNAMED
"""The metric of a payload that is one bare number."""

_ABSENT = object()


class TreeParameters(CodecParameters):
    """How a tree of maps and lists is read."""

    time: tuple[str, ...] = Field(
        default=(),
        description="Dotted path of the time field, or several of which the first present counts; "
        f"empty looks for {', '.join(TIME_FIELDS)}.",
    )
    time_unit: TimeUnit = Field(
        default="auto", description="Unit of times that are bare numbers; auto goes by magnitude."
    )
    time_zone: str = Field(default="UTC", description="Zone of date-times that name none: UTC, +02:00, Europe/Berlin.")
    device: str = Field(
        default="", description="Dotted path of the field that names the device; empty leaves it to the route."
    )
    metric: str = Field(
        default="",
        description="Field naming the metric, where each reading is a row such as {metric, value, time}.",
    )
    value: str = Field(default="value", description="Field that holds the value of such a row.")
    root: str = Field(
        default="",
        description="Dotted path of the part that holds the readings; metric names begin below it, while time and "
        "device are looked for around it too.",
    )
    include: tuple[str, ...] = Field(default=("*",), description="Globs of the metrics to take.")
    exclude: tuple[str, ...] = Field(default=(), description="Globs of the metrics to leave out, even where included.")
    error_values: tuple[float, ...] = Field(
        default=(), description="Numbers by which a device says that it has no value, such as 65535 or -127."
    )
    max_depth: int = Field(default=16, ge=1, le=64, description="Deepest nesting read; a deeper payload is rejected.")

    @field_validator("time", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        parse_zone(value)
        return value


class _BadFieldError(Exception):
    """A field that must be a time is none."""


class _TooDeepError(Exception):
    """The tree is nested deeper, or unfolds to more, than the limit."""


class TreeReader:
    """Reads decoded trees under one set of parameters, and keeps the name tables."""

    def __init__(self, parameters: TreeParameters) -> None:
        self.parameters = parameters
        self.metrics = Names("metric", parameters.max_names)
        self.devices = Names("device", parameters.max_names)
        self.error_values = frozenset(parameters.error_values)
        self.zone = UTC if parameters.time_zone == "UTC" else parse_zone(parameters.time_zone)
        self._parse_time: Callable[[object], int] = partial(parse_time, unit=parameters.time_unit, zone=self.zone)
        self.implicit_time = not parameters.time
        self.time_fields = tuple(parameters.time or TIME_FIELDS)
        self._dotted = frozenset(name for name in self.time_fields if "." in name)
        self._time_names = frozenset(name.split(".")[0] for name in self.time_fields) | frozenset(self.time_fields)
        self._metric_codes: dict[str, int] = {}
        self._skip: set[str] = set()
        self._budget = 0

    def read(self, message: int, root: object, size: int, rows: Rows) -> None:
        """Add the readings of one payload's tree to `rows`, or its rejection.

        `size` is the payload's in bytes: a tree of more nodes than that is one part used over and over (CBOR tag 29).
        """
        self._budget = size + 1
        mark = rows.mark()
        if self._skip:
            self._skip.clear()
        try:
            if self.parameters.root:
                self._walk_from_root(message, root, rows)
            else:
                self._walk(message, root, "", 0, -1, NO_TIME, rows)
        except _TooDeepError as error:
            rows.rewind(mark)
            rows.reject(message, Reason.MALFORMED, str(error))
        else:
            rows.settle(message, mark, NOTHING)

    def is_time(self, path: str, value: object) -> bool:
        """Whether the value of the time field `path` is meant as a time at all."""
        if value is _ABSENT or value is None or value == "":
            return False
        if self.implicit_time and path == "t" and not isinstance(value, str):
            return isinstance(value, (int, float)) and value >= PLAUSIBLE_TIME
        if self.implicit_time and path == "t":
            return isinstance(value, str) and len(value) >= 10 and value[0].isdigit()
        return True

    def metric_code(self, path: str) -> int:
        """The code of the metric at `path`, -1 where it is left out. Raises TooManyNamesError."""
        code = self._metric_codes.get(path)
        if code is None:
            taken = any(fnmatchcase(path, glob) for glob in self.parameters.include)
            taken = taken and not any(fnmatchcase(path, glob) for glob in self.parameters.exclude)
            if taken and len(path) > MAX_NAME:
                raise TooManyNamesError(f"metric {excerpt(path)}: longer than {MAX_NAME} characters")
            code = self.metrics.code(path) if taken else -1
            if len(self._metric_codes) < self.parameters.max_names:
                self._metric_codes[path] = code
        return code

    def _walk_from_root(self, message: int, node: object, rows: Rows) -> None:
        """Walk the part of the tree at the parameter `root`, under the time and device of the maps around it."""
        time, device = NO_TIME, -1
        inside = self.parameters.root + "."
        path = ""
        try:
            for name in self.parameters.root.split("."):
                if not isinstance(node, dict) or name not in node:
                    return
                time = self._time(node, path, time)
                if self.parameters.device:
                    device = self._device(node, path, device)
                node = node[name]
                path = f"{path}.{name}" if path else name
        except _BadFieldError as error:
            rows.reject(message, Reason.BAD_TIME, str(error))
            return
        except TooManyNamesError as error:
            rows.reject(message, Reason.TOO_MANY_SERIES, str(error))
            return
        self._skip = {skipped.removeprefix(inside) for skipped in self._skip if skipped.startswith(inside)}
        self._walk(message, node, "", 0, device, time, rows)

    def _walk(self, message: int, node: object, path: str, depth: int, device: int, time: int, rows: Rows) -> None:
        kind = type(node)
        if kind is dict or kind is list:
            self._budget -= len(node)  # type: ignore[arg-type]
            if self._budget < 0:
                raise _TooDeepError(f"{path or 'payload'}: holds parts that refer to each other")
            if depth >= self.parameters.max_depth:
                raise _TooDeepError(f"{path or 'payload'}: nested deeper than {self.parameters.max_depth} levels")
            if kind is dict:
                self._walk_map(message, node, path, depth, device, time, rows)  # type: ignore[arg-type]
                return
            children: list[object] = node  # type: ignore[assignment]
            for i, child in enumerate(children):
                inner = f"{path}.{i}" if path else str(i)
                if type(child) is dict and self._is_record(child):
                    inner = path
                self._walk(message, child, inner, depth + 1, device, time, rows)
        else:
            self._leaf(message, node, path or SINGLE, device, time, rows)

    def _walk_map(
        self, message: int, node: dict[Any, object], path: str, depth: int, device: int, time: int, rows: Rows
    ) -> None:
        if not self._time_names.isdisjoint(node):
            try:
                time = self._time(node, path, time)
            except _BadFieldError as error:
                rows.reject(message, Reason.BAD_TIME, str(error), whole=depth == 0)
                return
        if self.parameters.device:
            try:
                device = self._device(node, path, device)
            except TooManyNamesError as error:
                rows.reject(message, Reason.TOO_MANY_SERIES, str(error), whole=depth == 0)
                return
        if self.parameters.metric and self._is_row(node):
            name = node[self.parameters.metric]
            self._leaf(message, node[self.parameters.value], str(name) or SINGLE, device, time, rows, row=True)
            return
        for key, child in node.items():
            name = key if type(key) is str else excerpt(key)
            inner = f"{path}.{name}" if path else name
            kind = type(child)
            if (kind is float or kind is int) and inner and inner not in self._skip:
                # The common case, short: a plain number of a metric that is known.
                code = self._metric_codes.get(inner, -1)
                if code >= 0 and -MOST_PLAIN < child < MOST_PLAIN and child not in self.error_values:  # type: ignore[operator]
                    rows.add(message, code, float(child), device, time)  # type: ignore[arg-type]
                    continue
            if kind is dict or kind is list:
                self._walk(message, child, inner, depth + 1, device, time, rows)
            elif isinstance(child, str) and is_identity(name):
                continue
            else:
                self._leaf(message, child, inner or SINGLE, device, time, rows)

    def _leaf(
        self, message: int, value: object, path: str, device: int, time: int, rows: Rows, *, row: bool = False
    ) -> None:
        if path in self._skip and not row:
            return
        number = value if type(value) is float else to_number(value)
        if number is None:
            return
        try:
            code = self.metric_code(path)
        except TooManyNamesError as error:
            rows.reject(message, Reason.TOO_MANY_SERIES, str(error), whole=False)
            return
        if code < 0:
            return
        if finite(number, self.error_values):
            rows.add(message, code, number, device, time)
        else:
            rows.reject(message, Reason.NOT_FINITE, not_finite(path, value), whole=False)

    def _time(self, node: dict[Any, object], path: str, inherited: int) -> int:
        """The map's own time, or the one inherited. Every time field present is marked as no reading."""
        found = None
        for name in self.time_fields:
            if name not in node and name not in self._dotted:
                continue
            value = _get(node, name)
            if value is _ABSENT or not (value is None or value == "" or self.is_time(name, value)):
                continue
            self._skip.add(f"{path}.{name}" if path else name)
            if found is None and value is not None and value != "":
                try:
                    found = self._parse_time(value)
                except BadTimeError as error:
                    raise _BadFieldError(f"{path}.{name}: {error}" if path else f"{name}: {error}") from error
        return inherited if found is None else found

    def _device(self, node: dict[Any, object], path: str, inherited: int) -> int:
        value = _get(node, self.parameters.device)
        if not isinstance(value, (str, int)) or isinstance(value, bool) or value == "":
            return inherited
        self._skip.add(f"{path}.{self.parameters.device}" if path else self.parameters.device)
        name = value if isinstance(value, str) else excerpt(value)
        if len(name) > MAX_NAME:
            raise TooManyNamesError(f"device {excerpt(name)}: longer than {MAX_NAME} characters")
        return self.devices.code(name)

    def _is_record(self, node: dict[Any, object]) -> bool:
        """Whether a map in a list stands for itself: it has its own time or device, or is a row."""
        if not self._time_names.isdisjoint(node):
            for name in self.time_fields:
                if self.is_time(name, _get(node, name)):
                    return True
        if self.parameters.device and _get(node, self.parameters.device) not in (_ABSENT, None, ""):
            return True
        return bool(self.parameters.metric) and self._is_row(node)

    def _is_row(self, node: dict[Any, object]) -> bool:
        name = node.get(self.parameters.metric)
        return self.parameters.value in node and (
            isinstance(name, str) or (isinstance(name, int) and not isinstance(name, bool))
        )


def is_identity(name: str) -> bool:
    """Whether the text of a field of this name is never a number."""
    return name.endswith(IDENTITY_ENDINGS) or name.lower().replace("_", "").replace("-", "") in IDENTITY_FIELDS


def _get(node: dict[Any, object], path: str) -> object:
    """The value at a dotted path, _ABSENT where there is none; a key that holds the dots itself comes first."""
    if path in node or "." not in path:
        return node.get(path, _ABSENT)
    at: object = node
    for name in path.split("."):
        if not isinstance(at, dict) or name not in at:
            return _ABSENT
        at = at[name]
    return at
