"""Decode, shared by JSON, CBOR and MessagePack: what a map's own fields say of its readings: name, time, device."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC
from fnmatch import fnmatchcase
from functools import partial
from glob import escape as glob_escape
from typing import Any

import orjson

from devices.codec import Role
from devices.codecs import shapes
from devices.codecs.readings import (
    MetricNames,
    Names,
    Rows,
    TooManyNamesError,
    excerpt,
)
from devices.codecs.tree_parameters import MAX_NAME, MAYBE_TIMES, PLAUSIBLE_TIME, TIME_FIELDS, TreeParameters
from devices.numbers import UNITS, is_truth
from devices.quantities import canonical
from devices.rejection_reasons import Reason
from devices.times import BadTimeError, parse_time, parse_zone
from devices.topics import without_gaps

_ABSENT = object()
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:\s*[AaPp][Mm])?")
_PLACE = re.compile(r"\{([^{}]+)\}")


class TreeFields:
    """The name tables of one set of parameters, and the rules by which a map's own fields are read."""

    def __init__(self, parameters: TreeParameters) -> None:
        self.parameters = parameters
        self.metrics = MetricNames(parameters.max_names)
        self.devices = Names("device", parameters.max_names)
        self.words = Names("state", parameters.max_names)
        self.error_values = frozenset(parameters.error_values)
        self.zone = UTC if parameters.time_zone == "UTC" else parse_zone(parameters.time_zone)
        self._parse_time: Callable[..., int] = partial(
            parse_time, unit=parameters.time_unit, zone=self.zone, form=parameters.time_format
        )
        self.implicit_time = not parameters.time
        self.time_fields = tuple(parameters.time or TIME_FIELDS)
        self._dotted = frozenset(name for name in self.time_fields if "." in name)
        self._time_names = frozenset(name.split(".")[0] for name in self.time_fields) | frozenset(self.time_fields)
        self.device_fields = tuple(_PLACE.findall(parameters.device)) or (
            (parameters.device,) if parameters.device else ()
        )
        self._takes_identities = parameters.include != ("*",)
        self._metric_codes: dict[str, int] = {}
        self._other_codes: dict[tuple[str, str, Role], int] = {}
        self._skip: set[str] = set()
        self._units: list[tuple[str, str]] = []
        self._empty = False
        self._missing = ""
        self._budget = 0
        self._message = 0
        self._rows = Rows()
        self._arrival: int | None = None

    def metric_code(self, path: str, unit: str = "", role: Role = Role.VALUE) -> int:
        """The code of the metric at `path`, -1 where it is left out. Raises TooManyNamesError."""
        if not unit and role == Role.VALUE:
            code = self._metric_codes.get(path)
            if code is None:
                code = self._new_code(path, unit, role)
                if len(self._metric_codes) < self.parameters.max_names:
                    self._metric_codes[path] = code
            return code
        key = (path, unit, role)
        code = self._other_codes.get(key)
        if code is None:
            code = self._new_code(path, unit, role)
            if len(self._other_codes) < self.parameters.max_names:
                self._other_codes[key] = code
        return code

    def _new_code(self, path: str, unit: str, role: Role) -> int:
        taken = any(fnmatchcase(path, glob) for glob in self.parameters.include)
        taken = taken and not any(fnmatchcase(path, glob) for glob in self.parameters.exclude)
        if taken and len(path) > MAX_NAME:
            raise TooManyNamesError(f"metric {excerpt(path)}: longer than {MAX_NAME} characters")
        return self.metrics.code(path, unit, role) if taken else -1

    def is_time(self, path: str, value: object) -> bool:
        """Whether the value of the time field `path` is meant as a time at all."""
        if value is _ABSENT or value is None or value == "" or isinstance(value, (bool, dict, list)):
            return False
        if self.implicit_time and path in MAYBE_TIMES and not isinstance(value, str):
            return isinstance(value, (int, float)) and value >= PLAUSIBLE_TIME
        if self.implicit_time and path in MAYBE_TIMES:
            return isinstance(value, str) and len(value) >= 10 and value[0].isdigit()
        return True

    def word(self, text: str) -> float:
        """The value that stands for a state. Raises TooManyNamesError."""
        return float(self.words.code(text))

    def is_truth(self, value: object) -> bool:
        """Whether a leaf tells a truth value."""
        return is_truth(value)

    def fixed(self, value: object) -> str:
        """Text of a leaf that the readings' names or units depend on."""
        return str(value)

    def inner(self, text: str) -> object:
        """The tree that is written in a leaf. Raises orjson.JSONDecodeError."""
        return orjson.loads(text)

    def passed_over(self, value: object) -> None:
        """Called with what a field says that would name the device, were there not one that comes first."""

    def unsteady(self) -> None:
        """Called where what is read depends on more than the places of the payload's parts."""

    def _own_device(self, device: int, key: str) -> int:
        """The device that a key names, below the one that the payload names around it."""
        around = f"{self.devices.items[device]}/" if device >= 0 else ""
        return self._named_device(around + key, device)

    def _named_device(self, name: str, inherited: int) -> int:
        if len(name) > MAX_NAME:
            return inherited
        try:
            return self.devices.code(name)
        except TooManyNamesError as error:
            self._rows.reject(self._message, Reason.TOO_MANY_SERIES, str(error), whole=False)
            return inherited

    def _unit_beside(self, node: dict[Any, object]) -> str:
        unit = shapes.unit_beside(node)
        return "" if unit is None else self.fixed(unit)

    def _time(self, node: dict[Any, object], path: str, inherited: int) -> int:
        """The map's own time, or the one inherited. Every time field present is marked as no reading."""
        found = None
        for name in self.time_fields:
            if name not in node and name not in self._dotted:
                continue
            value = self._moment(_get(node, name))
            if value is _ABSENT or not (value is None or value == "" or self.is_time(name, value)):
                continue
            self._skip.add(f"{path}.{name}" if path else name)
            if found is None and value is not None and value != "":
                try:
                    found = self._parse_time(self._with_date(node, value), near=self._arrival)
                except BadTimeError as error:
                    self._rows.note(self._message, "time_unread", f"{joined(path, name)}: {error}")
        return inherited if found is None else found

    def _moment(self, value: object) -> object:
        """A time that stands in a map, `{"$date": ...}` or `{"seconds": ..., "nanos": ...}`; any other as it is."""
        if not isinstance(value, dict) or not 0 < len(value) <= 2:
            return value
        self.unsteady()
        if "$date" in value:
            return value["$date"]
        seconds, nanos = value.get("seconds"), value.get("nanos", 0)
        is_whole = isinstance(seconds, (int, str)) and str(seconds).isdecimal() and isinstance(nanos, int)
        return int(seconds) * 10**9 + nanos if is_whole else value  # type: ignore[arg-type]

    def _first(self, node: dict[Any, object], names: list[str]) -> object:
        """The value at the first of several dotted paths that holds one; _ABSENT where none does."""
        values = [_get(node, name) for name in names]
        said = [value for value in values if _is_said(value)]
        for other in said[1:]:
            self.passed_over(other)
        return said[0] if said else values[0] if len(names) == 1 else _ABSENT

    def _with_date(self, node: dict[Any, object], value: object) -> object:
        """A time of day with the date that stands beside it; any other time as it is."""
        if not self.implicit_time or not isinstance(value, str) or _TIME_OF_DAY.fullmatch(value.strip()) is None:
            return value
        date = next((node[name] for name in ("date", "Date") if isinstance(node.get(name), str)), None)
        return value if date is None else f"{date} {value}"

    def _pair_time(self, value: object) -> int | None:
        try:
            return self._parse_time(value, near=self._arrival)
        except BadTimeError:
            return None

    def _device(self, node: dict[Any, object], path: str, inherited: int) -> int:
        """The code of the device that the map names by all its fields, or the one inherited."""
        parts: dict[str, str] = {}
        for field in self.device_fields:
            value = self._first(node, names_of(field))
            if field.endswith("?") and (value is _ABSENT or value is None):
                parts[field] = ""
                continue
            if not isinstance(value, (str, int)) or isinstance(value, bool) or value == "":
                return inherited
            parts[field] = value if isinstance(value, str) else excerpt(value)
        for field in self.device_fields:
            self._skip.update(joined(path, name) for name in names_of(field))
        name = parts[self.device_fields[0]]
        if self.parameters.device != self.device_fields[0]:
            name = _PLACE.sub(lambda found: parts[found[1]], self.parameters.device)
            name = without_gaps(name) if "?" in self.parameters.device else name
        if len(name) > MAX_NAME:
            raise TooManyNamesError(f"device {excerpt(name)}: longer than {MAX_NAME} characters")
        return self.devices.code(name)

    def _take_units(self, node: dict[Any, object], path: str) -> None:
        """Note what fields of the map say of the units of others: `TempUnit`, `unit` of the one number, `units`."""
        for key, value in node.items():
            if not isinstance(key, str) or key in self.parameters.unit_fields:
                continue
            if isinstance(value, str) and (stem := shapes.unit_is_of(key)):
                self._note_unit(glob_escape(joined(path, stem)) + "*", joined(path, key), value)
            elif isinstance(value, str) and key in shapes.UNIT_FIELDS and (only := shapes.only_number(node)):
                self._note_unit(glob_escape(joined(path, only)), joined(path, key), value)
            elif key.lower() == "metadata" and isinstance(value, dict):
                for name, said in value.items():
                    unit = shapes.unit_beside(said) if isinstance(said, dict) else None
                    if isinstance(unit, str):
                        self._note_unit(glob_escape(joined(path, name)), joined(joined(path, key), name), unit)
            elif key == "units" and isinstance(value, dict):
                for name, unit in value.items():
                    if name in node and isinstance(unit, str):
                        self._note_unit(glob_escape(joined(path, name)), joined(joined(path, key), name), unit)

    def _note_unit(self, glob: str, field: str, value: str) -> None:
        unit = self.fixed(value).strip()
        if canonical(unit) in UNITS:
            self._units.append((glob, unit))
            self._skip.add(field)

    def _has_time(self, node: dict[Any, object]) -> bool:
        """Whether a map has a time of its own."""
        return not self._time_names.isdisjoint(node) and any(
            self.is_time(name, self._moment(_get(node, name))) for name in self.time_fields
        )

    def _is_record(self, node: dict[Any, object]) -> bool:
        """Whether a map in a list stands for itself: it has its own time or device, or is a row."""
        if self._has_time(node):
            return True
        if any(any(_is_said(_get(node, name)) for name in names_of(field)) for field in self.device_fields):
            return True
        if self.parameters.shapes and (shapes.is_telegraf(node) or shapes.of_agent(node) is not None):
            return True
        return bool(self.parameters.metric) and self._is_row(node)

    def _is_row(self, node: dict[Any, object]) -> bool:
        name = node.get(self.parameters.metric)
        return self.parameters.value in node and (
            isinstance(name, str) or (isinstance(name, int) and not isinstance(name, bool))
        )


def joined(path: str, name: str) -> str:
    """The path of a name below another."""
    return f"{path}.{name}" if path and name else path or name


def names_of(field: str) -> list[str]:
    """The fields that a place of a template asks for: `{serial|sn?}` for the first that is there."""
    return field.removesuffix("?").split("|")


def _is_said(value: object) -> bool:
    return value is not _ABSENT and value is not None and value != ""


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
