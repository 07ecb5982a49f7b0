"""Decode, codec `influx_line`: InfluxDB line protocol, one or several lines a payload.

`weather,station=north temperature=21.5,humidity=40i 1556813561098000000` is two readings of the device `north`:
`weather.temperature` and `weather.humidity`. Source: InfluxDB v2 reference, "Line protocol".
"""

from __future__ import annotations

import re
from math import isfinite
from typing import ClassVar

from pydantic import BaseModel, Field

from devices.batch import NO_TIME
from devices.codec import Decoded, Role
from devices.codecs.readings import NOTHING, CodecParameters, MetricNames, Names, Rows, TooManyNamesError, excerpt
from devices.messages import Payloads
from devices.rejection_reasons import Reason
from devices.times import BadTimeError, TimeUnit, parse_time


class InfluxLineParameters(CodecParameters):
    """How lines are named and dated."""

    device: tuple[str, ...] = Field(
        default=(),
        description="Tags whose values, joined by /, name the device; empty takes the tag host, with the values of the "
        "other tags in the metric, or where there is none all tags in order of their keys.",
    )
    measurement: bool = Field(
        default=True, description="Whether metrics begin with the measurement: weather.temperature."
    )
    time_unit: TimeUnit = Field(default="auto", description="Unit of the timestamps; auto goes by magnitude.")


# Every repeat is possessive: nothing is tried twice, so that no payload takes long to refuse.
_TEXT_FIELD = r'"(?:[^"\\]|\\.)*+"'
_LINE = re.compile(
    r"(?P<head>(?:[^\s\\]|\\.?)++)[ ]++(?P<fields>(?:" + _TEXT_FIELD + r'|\\.?|[^\s"\\])++)'
    r"(?:[ ]++(?P<time>[+-]?\d++))?[ ]*+",
    re.DOTALL,
)
_COMMA = re.compile(r"(?:[^,\\]|\\.?)++", re.DOTALL)
_FIELD = re.compile(
    r"(?P<key>(?:[^,=\\]|\\.?)++)=(?:(?P<text>" + _TEXT_FIELD + r')|(?P<value>[^,"]*+))(?:,(?=.)|\Z)', re.DOTALL
)
_TAG = re.compile(r"(?P<key>(?:[^=\\]|\\.?)++)=(?P<value>.+)", re.DOTALL)
_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+[iu]", re.ASCII)
_ESCAPE = re.compile(r"\\([,= \\])")
_NEW_LINE = re.compile(r"\r?\n")
_TRUTH = {"t": 1.0, "T": 1.0, "true": 1.0, "True": 1.0, "TRUE": 1.0} | {
    "f": 0.0,
    "F": 0.0,
    "false": 0.0,
    "False": 0.0,
    "FALSE": 0.0,
}


class _LineError(ValueError):
    """The line is not line protocol."""


class InfluxLineCodec:
    """Reads line protocol: float, integer (`i`), unsigned (`u`) and Boolean fields; text fields are no readings.

    Lines that begin with `#` are comments. A line that cannot be read is rejected alone, the others are kept.
    """

    name: ClassVar[str] = "influx_line"
    Parameters: ClassVar[type[BaseModel]] = InfluxLineParameters

    def __init__(
        self, parameters: InfluxLineParameters, metrics: MetricNames | None = None, devices: Names | None = None
    ) -> None:
        self.parameters = parameters
        self._metric_names = MetricNames(parameters.max_names) if metrics is None else metrics
        self._device_names = Names("device", parameters.max_names) if devices is None else devices
        self.metrics = self._metric_names.items
        self.devices = self._device_names.items
        self.words: list[str] = []

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode all payloads at once."""
        rows = Rows()
        for i, payload in enumerate(payloads.to_list()):
            self.decode_one(i, payload, rows)
        return rows.decoded()

    def decode_one(self, message: int, payload: bytes, rows: Rows) -> None:
        """Add the readings of one payload to `rows`, or its rejection."""
        if not payload.strip(b"\0 \r\n"):
            rows.reject(message, Reason.CLEARED, "an empty payload: the topic's retained message is cleared")
            return
        try:
            text = payload.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            rows.reject(message, Reason.MALFORMED, f"byte {error.start}: no UTF-8 text: {excerpt(payload)}")
            return
        mark = rows.mark()
        lines = [line for line in _NEW_LINE.split(text) if line.strip() and not line.lstrip().startswith("#")]
        for number, line in enumerate(lines, start=1):
            reason, detail = Reason.MALFORMED, ""
            try:
                self._line(message, line.strip(" \t"), rows)
            except _LineError as error:
                detail = str(error)
            except TooManyNamesError as error:
                reason, detail = Reason.TOO_MANY_SERIES, str(error)
            if detail:
                rows.reject(message, reason, f"line {number}: {detail}", whole=len(lines) == 1)
        rows.reject_if_empty(message, mark, NOTHING)

    def _line(self, message: int, line: str, rows: Rows) -> None:
        found = _LINE.fullmatch(line)
        if found is None or found["head"].startswith(","):
            raise _LineError(f"{excerpt(line)}: expected MEASUREMENT,TAG=VALUE FIELD=VALUE TIME")
        measurement, *tags = _COMMA.findall(found["head"])
        time = NO_TIME
        if found["time"] is not None:
            try:
                time = parse_time(found["time"], self.parameters.time_unit)
            except BadTimeError as error:
                rows.note(message, "time_unread", str(error))
        fields = self._fields(found["fields"])
        device_name, labels = self._device_name(tags)
        device = self._device_names.code(device_name) if device_name else -1
        before = [_unescape(measurement), *labels] if self.parameters.measurement else labels
        for key, value, role in fields:
            path = ".".join([*before, key])
            if not isfinite(value):
                rows.refuse(message, path, value, value)
                continue
            try:
                rows.add(message, self._metric_names.code(path, "", role), value, device, time)
            except TooManyNamesError as error:
                rows.reject(message, Reason.TOO_MANY_SERIES, str(error), whole=False)

    def _device_name(self, tags: list[str]) -> tuple[str, list[str]]:
        """The device that the tags name, and what of them stands in the metric."""
        values: dict[str, str] = {}
        for tag in tags:
            found = _TAG.fullmatch(tag)
            if found is None:
                raise _LineError(f"tag {excerpt(tag)}: expected KEY=VALUE")
            values[_unescape(found["key"])] = _unescape(found["value"])
        if not self.parameters.device and "host" in values:
            return values["host"], [values[key] for key in sorted(values) if key != "host"]
        keys = self.parameters.device or sorted(values)
        return "/".join(values[key] for key in keys if key in values), []

    def _fields(self, text: str) -> list[tuple[str, float, Role]]:
        """Fields that are numbers. All are read before any is taken, so that a bad line gives nothing."""
        fields: list[tuple[str, float, Role]] = []
        at = 0
        while at < len(text):
            found = _FIELD.match(text, at)
            if found is None:
                raise _LineError(f"field {excerpt(text[at:])}: expected KEY=VALUE")
            at = found.end()
            if found["text"] is None:
                role = Role.TRUTH if found["value"] in _TRUTH else Role.VALUE
                fields.append((_unescape(found["key"]), _number(found["key"], found["value"]), role))
        return fields


def checked_lines(text: str, time_unit: int) -> tuple[list[str], list[str]]:
    """The lines of a text that can be read, their timestamps, told in units of `time_unit` ns, in ns; and what is wrong
    with each of the others: its number, what was found, and what was expected.
    """
    codec = InfluxLineCodec(InfluxLineParameters())
    good, wrong = [], []
    for number, line in enumerate(_NEW_LINE.split(text), start=1):
        stripped = line.strip(" \t\0")
        if not stripped or stripped.startswith("#"):
            continue
        try:
            codec._line(0, stripped, Rows())
        except (_LineError, TooManyNamesError) as error:
            wrong.append(f"line {number}: {error}")
            continue
        found = _LINE.fullmatch(stripped)
        assert found is not None
        time = found["time"]
        good.append(stripped if time is None else f"{found['head']} {found['fields']} {int(time) * time_unit}")
    return good, wrong


def _number(key: str, text: str) -> float:
    if text in _TRUTH:
        return _TRUTH[text]
    if _FLOAT.fullmatch(text):
        return float(text)
    if _WHOLE.fullmatch(text):
        return float(text[:-1])
    if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        return float(text)
    raise _LineError(f'field {excerpt(key)}: {excerpt(text)} is no 1.5, 15i, 15u, true, false or "text"')


def _unescape(text: str) -> str:
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text
