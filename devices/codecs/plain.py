"""Decode, codec `plain`: one number or word as text, or a list of numbers; the topic names what it measures.

`21.5`, `21,5`, `21.5 °C`, `on` are one reading without a name of its own (`UNNAMED`): the route names it by the topic.
Several numbers are the metrics `0`, `1`, ...: split at `;` where there is one, else at commas. One comma alone between
digits (`21,5`) is a decimal comma, not a list; `21, 5` and `1,2,3` are lists. A JSON array of numbers is a list too.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import ClassVar

import orjson
from pydantic import BaseModel, Field

from devices.codec import UNNAMED, Decoded
from devices.codecs.readings import CodecParameters, Names, Rows, TooManyNamesError, excerpt, finite, not_finite
from devices.messages import Payloads
from devices.numbers import text_to_number, to_number
from devices.rejection_reasons import Reason

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?(?:\s*[^\d\s,;][^,;]*)?|[^,;]*\d,\d{3}\.\d+[^,;]*", re.ASCII)
_LONGEST = 65_536


class PlainParameters(CodecParameters):
    """How plain text is read."""

    error_values: tuple[float, ...] = Field(
        default=(), description="Numbers by which a device says that it has no value, such as 65535 or -127."
    )


class PlainCodec:
    """Reads bare numbers, words such as `on`, and lists of numbers. What counts as a number: `devices.numbers`."""

    name: ClassVar[str] = "plain"
    Parameters: ClassVar[type[BaseModel]] = PlainParameters

    def __init__(self, parameters: PlainParameters, names: Names | None = None) -> None:
        self.parameters = parameters
        self._names = Names("metric", parameters.max_names) if names is None else names
        self._error_values = frozenset(parameters.error_values)
        self.metrics = self._names.items
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
        try:
            text = payload[: _LONGEST + 1].decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            rows.reject(message, Reason.MALFORMED, f"byte {error.start}: no UTF-8 text: {excerpt(payload)}")
            return
        if len(payload) > _LONGEST:
            rows.reject(message, Reason.TOO_LARGE, f"{len(payload)} bytes of text, at most {_LONGEST} are read")
            return
        values = self._split(text)
        if values is None:
            self._add(message, UNNAMED, text_to_number(text), text, rows, whole=True)
            return
        for i, value in enumerate(values):
            self._add(message, str(i), to_number(value), value, rows, whole=False)
        if not values:
            rows.reject(message, Reason.NO_READING, f"{excerpt(text)}: an empty list")

    def _split(self, text: str) -> list[object] | None:
        """The members of a list, or None for a single value."""
        if text.startswith("["):
            try:
                members: list[object] = orjson.loads(text)
            except orjson.JSONDecodeError:
                return None
            return members
        if ";" in text:
            return list(text.split(";"))
        if "," not in text or _DECIMAL_COMMA.fullmatch(text):
            return None
        return list(text.split(","))

    def _add(self, message: int, metric: str, number: float | None, value: object, rows: Rows, *, whole: bool) -> None:
        if number is None:
            shown = excerpt(value)
            place = f"{metric}: " if metric else ""
            rows.reject(message, Reason.NO_READING, f"{place}{shown} is no number or word for one", whole=whole)
        elif not finite(number, self._error_values):
            rows.reject(message, Reason.NOT_FINITE, not_finite(metric, value), whole=whole)
        else:
            try:
                rows.add(message, self._names.code(metric), number)
            except TooManyNamesError as error:
                rows.reject(message, Reason.TOO_MANY_SERIES, str(error), whole=whole)


def _bare_number(payload: bytes) -> float | None:
    """The number that the payload is, as most are; None where a closer look is needed."""
    if len(payload) > 32 or b"_" in payload:
        return None
    try:
        number = float(payload)
    except ValueError:
        return None
    return number if isfinite(number) else None
