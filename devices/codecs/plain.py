"""Decode, codec `plain`: one number or word as text, or a list of numbers; the topic names what it measures.

`21.5`, `21,5`, `21.5 °C`, `1 234,5`, `1.234,56 kWh`, `on` are one reading without a name of its own (`UNNAMED`): the
route names it by the topic. A short text that is no number is a state. Several numbers are the metrics `0`, `1`, ...:
split at `;` where there is one, else at commas. `21, 5` and `1,2,3` are lists, and so is a JSON array of numbers. One
comma between digits is a decimal comma where one digit follows, a unit, or nothing but zero stands before it; of
`21,40` nothing tells whether it is 21.4 or the two numbers 21 and 40, and the parameter `comma` says so.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import ClassVar, Literal

import orjson
from pydantic import BaseModel, Field

from devices.batch import NO_TIME
from devices.codec import UNNAMED, Decoded, Role
from devices.codecs.readings import CodecParameters, MetricNames, Names, Rows, TooManyNamesError, excerpt, finite
from devices.messages import Payloads
from devices.numbers import is_state, is_truth, text_to_number, to_number, unit_of
from devices.rejection_reasons import Reason

_ONE_COMMA = re.compile(r"[+-]?(\d+),(\d+)(?:[eE][+-]?\d+)?(\s*[^\d\s,;][^,;]*)?", re.ASCII)
_THOUSANDS = re.compile(r"[^,;]*\d,\d{3}\.\d+[^,;]*", re.ASCII)
_POINTS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+,\d+\s*[^\d\s.,;][^,;]*", re.ASCII)
"""Thousands parted by points, a decimal comma and a unit: `1.234,56 kWh`."""
_SPACED = re.compile(r"[+-]?\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?:[.,]\d+)?")
_THIN_SPACE = re.compile(r"[ \u00a0\u202f]")
_LONGEST = 65_536

Comma = Literal["auto", "decimal", "list"]


class PlainParameters(CodecParameters):
    """How plain text is read."""

    comma: Comma = Field(
        default="auto",
        description="What one comma between digits is: a decimal comma, or what parts a list; auto refuses "
        "the doubtful ones.",
    )
    error_values: tuple[float, ...] = Field(
        default=(), description="Numbers by which a device says that it has no value, such as 65535 or -127."
    )


class PlainCodec:
    """Reads bare numbers, words such as `on`, and lists of numbers. What counts as a number: `devices.numbers`."""

    name: ClassVar[str] = "plain"
    Parameters: ClassVar[type[BaseModel]] = PlainParameters

    def __init__(
        self, parameters: PlainParameters, names: MetricNames | None = None, words: Names | None = None
    ) -> None:
        self.parameters = parameters
        self._names = MetricNames(parameters.max_names) if names is None else names
        self._words = Names("state", parameters.max_names) if words is None else words
        self._error_values = frozenset(parameters.error_values)
        self.metrics = self._names.items
        self.words = self._words.items
        self.devices: list[str] = []

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode all payloads at once."""
        rows = Rows()
        for i, payload in enumerate(payloads.to_list()):
            self.decode_one(i, payload, rows)
        return rows.decoded()

    def decode_one(self, message: int, payload: bytes, rows: Rows) -> None:
        """Add the readings of one payload to `rows`, or its rejection."""
        number = _bare_number(payload)
        if number is not None:
            self._add(message, UNNAMED, number, payload, rows, whole=True)
            return
        if len(payload) > _LONGEST:
            rows.reject(message, Reason.TOO_LARGE, f"{len(payload)} bytes of text, at most {_LONGEST} are read")
            return
        try:
            text = payload.decode("utf-8-sig").strip().strip("\0")
        except UnicodeDecodeError as error:
            rows.reject(message, Reason.MALFORMED, f"byte {error.start}: no UTF-8 text: {excerpt(payload)}")
            return
        self.decode_text(message, text, rows)

    def decode_text(self, message: int, text: str, rows: Rows) -> None:
        """As `decode_one`, of a text without blanks around it."""
        if not text:
            rows.reject(message, Reason.CLEARED, "an empty payload: the topic's retained message is cleared")
            return
        if _SPACED.fullmatch(text):
            text = _THIN_SPACE.sub("", text)
        # Of `1,234.5` the point would be taken for the begin of a unit.
        comma = None if _THOUSANDS.fullmatch(text) else _ONE_COMMA.fullmatch(text)
        if comma is not None and self.parameters.comma == "auto" and _is_doubtful(comma):
            detail = (
                f"{excerpt(text)} may be one number with a decimal comma, or two numbers; "
                'codec = { type = "plain", comma = "decimal" } (or "list") says which'
            )
            rows.reject(message, Reason.MALFORMED, detail)
            return
        values = self._split(text, one=comma is not None)
        if values is None:
            decimal = text.replace(",", ".") if comma is not None else text
            self._add(message, UNNAMED, text_to_number(decimal), text, rows, whole=True)
            return
        self.add_list(message, values, rows)
        if not values:
            rows.reject(message, Reason.NO_READING, f"{excerpt(text)}: an empty list")

    def add_list(self, message: int, values: list[object], rows: Rows, time: int = NO_TIME, first: int = 0) -> None:
        """Add the members of a list as the metrics `first`, `first` + 1, ..."""
        for i, value in enumerate(values, start=first):
            self._add(message, str(i), to_number(value), value, rows, whole=False, time=time)

    def add_sample(self, message: int, time: int, values: list[str], rows: Rows) -> None:
        """Add values of one time: one as it is named by the topic, several as a list."""
        if len(values) > 1:
            self.add_list(message, list(values), rows, time, first=1)
        else:
            self._add(message, UNNAMED, to_number(values[0]), values[0], rows, whole=False, time=time)

    def _split(self, text: str, *, one: bool) -> list[object] | None:
        """The members of a list, or None for a single value; `one`: the text is digits with one comma in them."""
        if text.startswith("["):
            try:
                members: list[object] = orjson.loads(text)
            except orjson.JSONDecodeError:
                return None
            return members
        if ";" in text:
            parts = text.split(";")
        elif (
            "," not in text
            or _THOUSANDS.fullmatch(text)
            or ((one or _POINTS.fullmatch(text)) and self.parameters.comma != "list")
        ):
            return None
        else:
            parts = text.split(",")
        numbers = [part for part in parts if to_number(part) is not None]
        return list(parts) if numbers else None

    def _add(
        self,
        message: int,
        metric: str,
        number: float | None,
        value: object,
        rows: Rows,
        *,
        whole: bool,
        time: int = NO_TIME,
    ) -> None:
        try:
            if number is None and isinstance(value, str) and is_state(value):
                code = self._words.code(value.strip())
                rows.add(message, self._names.code(metric, "", Role.TEXT), float(code), time=time)
            elif number is None:
                place = f"{metric}: " if metric else ""
                reason = Reason.TEXT if isinstance(value, str) else Reason.NO_READING
                rows.reject(message, reason, f"{place}{excerpt(value)} is no number or state", whole=whole)
            elif not finite(number, self._error_values):
                rows.refuse(message, metric, number, value, whole=whole)
            else:
                unit = unit_of(value) if isinstance(value, str) else ""
                role = Role.TRUTH if is_truth(value) else Role.VALUE
                rows.add(message, self._names.code(metric, unit, role), number, time=time)
        except TooManyNamesError as error:
            rows.reject(message, Reason.TOO_MANY_SERIES, str(error), whole=whole)


def _is_doubtful(comma: re.Match[str]) -> bool:
    """Whether digits around one comma may as well be two numbers, or thousands."""
    whole, fraction, unit = comma.groups()
    return unit is None and whole.strip("0") != "" and len(fraction) > 1


def _bare_number(payload: bytes) -> float | None:
    """The number that the payload is, as most are; None where a closer look is needed."""
    if len(payload) > 32 or b"_" in payload:
        return None
    try:
        number = float(payload)
    except ValueError:
        return None
    return number if isfinite(number) else None
