"""Decode, codec `senml`: Sensor Measurement Lists (RFC 8428), in JSON and in CBOR.

The device is the base name without a separator at its end, the metric the name: base name `urn:dev:ow:10e2073a0108:`
and name `voltage` are the metric `voltage` of the device `urn:dev:ow:10e2073a0108`. Numbers (`v`) and truth values
(`vb`) are readings, and so is a sum (`s`), as the metric with `.sum` at its end; text (`vs`) is a state, data (`vd`)
nothing. Units are those of `u` and `bu`.
"""

from __future__ import annotations

from datetime import datetime
from math import isfinite
from typing import ClassVar

import orjson
from pydantic import BaseModel

from devices.batch import NO_TIME
from devices.codec import UNNAMED, Decoded, Role
from devices.codecs.binary import MalformedError, load_cbor
from devices.codecs.json_payload import BYTE_ORDER_MARK, loads
from devices.codecs.readings import (
    NOTHING,
    CodecParameters,
    MetricNames,
    Names,
    Rows,
    TooManyNamesError,
    excerpt,
    finite,
)
from devices.messages import Payloads
from devices.numbers import is_state, to_number
from devices.rejection_reasons import Reason
from devices.times import BadTimeError, parse_time

LABELS = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs",
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}  # fmt: skip
"""Integer labels of the CBOR form (RFC 8428, table 4)."""

RELATIVE_BELOW = 2**28
"""Times below this many seconds count from now (RFC 8428, section 4.5.3)."""

VERSION = 10
"""Highest version of SenML read (RFC 8428, section 4.4)."""


class SenmlParameters(CodecParameters):
    """SenML describes itself: there is nothing to set but the bounds."""


class _RecordError(ValueError):
    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


class _Base:
    """The base fields in force (RFC 8428, section 4.1)."""

    def __init__(self) -> None:
        self.name = ""
        self.unit = ""
        self.time: float = 0
        self.value = 0.0
        self.sum = 0.0

    def take(self, record: dict[str, object]) -> None:
        """Take over the base fields of a record."""
        if "bn" in record:
            self.name = _text(record, "bn")
        if "bu" in record:
            self.unit = _text(record, "bu")
        if "bt" in record:
            self.time = _number(record, "bt")
        if "bv" in record:
            self.value = _number(record, "bv")
        if "bs" in record:
            self.sum = _number(record, "bs")
        if _number(record, "bver", VERSION) > VERSION:
            raise _RecordError(Reason.MALFORMED, f"bver: {excerpt(record['bver'])}; versions up to {VERSION} are read")


class SenmlCodec:
    """Reads SenML packs; JSON where the first byte is a bracket, else CBOR.

    A time that counts from now is so long before or after the message's arrival. A record
    with a field that must be understood (its name ends in `_`) is rejected.
    """

    name: ClassVar[str] = "senml"
    Parameters: ClassVar[type[BaseModel]] = SenmlParameters

    def __init__(self, parameters: SenmlParameters) -> None:
        self.parameters = parameters
        self._metric_names = MetricNames(parameters.max_names)
        self._words = Names("state", parameters.max_names)
        self._device_names = Names("device", parameters.max_names)
        self.metrics = self._metric_names.items
        self.devices = self._device_names.items
        self.words = self._words.items

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode all payloads at once."""
        rows = Rows()
        for i, payload in enumerate(payloads.to_list()):
            self._decode_one(i, payload, payloads.arrival_of(i), rows)
        return rows.decoded()

    def _decode_one(self, message: int, payload: bytes, arrival: int | None, rows: Rows) -> None:
        if not payload:
            rows.reject(message, Reason.CLEARED, "an empty payload: the topic's retained message is cleared")
            return
        try:
            pack = _pack(payload)
        except MalformedError as error:
            rows.reject(message, Reason.MALFORMED, str(error))
            return
        mark = rows.mark()
        base = _Base()
        for i, record in enumerate(pack):
            try:
                if not isinstance(record, dict):
                    raise _RecordError(Reason.MALFORMED, f"{excerpt(record)}: expected a map")
                labelled: dict[str, object] = {_label(key): value for key, value in record.items()}
                base.take(labelled)
                self._record(message, labelled, base, arrival, rows)
            except _RecordError as error:
                rows.reject(message, error.reason, f"record {i}: {error}", whole=False)
            except TooManyNamesError as error:
                rows.reject(message, Reason.TOO_MANY_SERIES, f"record {i}: {error}", whole=False)
        rows.reject_if_empty(message, mark, NOTHING)

    def _record(self, message: int, record: dict[str, object], base: _Base, arrival: int | None, rows: Rows) -> None:
        for key in record:
            if isinstance(key, str) and key.endswith("_"):
                raise _RecordError(Reason.MALFORMED, f"field {excerpt(key)} must be understood and is not")
        values = {key: _value(record, key, base) for key in ("v", "vb", "s") if key in record}
        if not values and base.value and "vs" not in record and "vd" not in record and "n" in record:
            values["v"] = base.value
        word = record.get("vs")
        if not values and not (isinstance(word, str) and is_state(word)):
            return
        name = _text(record, "n") if "n" in record else ""
        device_name = base.name.rstrip(":/_-.")
        time = self._time(message, base.time + _number(record, "t", 0.0), arrival, rows)
        device = self._device_names.code(device_name) if device_name else -1
        unit = _text(record, "u") if "u" in record else base.unit
        if not values:
            code = self._metric_names.code(name or UNNAMED, "", Role.TEXT)
            rows.add(message, code, float(self._words.code(str(word).strip())), device, time)
        for key, value in values.items():
            metric = f"{name}.sum" if key == "s" else name or UNNAMED
            if finite(value, frozenset()):
                role = Role.TRUTH if key == "vb" else Role.VALUE
                rows.add(message, self._metric_names.code(metric.lstrip("."), unit, role), value, device, time)
            else:
                rows.refuse(message, f"{metric}.{key}", value, record[key])

    def _time(self, message: int, seconds: float, arrival: int | None, rows: Rows) -> int:
        if seconds == 0:
            return NO_TIME
        if seconds < RELATIVE_BELOW:
            return NO_TIME if arrival is None else arrival + round(seconds * 1e9)
        try:
            return parse_time(seconds, "s")
        except BadTimeError as error:
            rows.note(message, "time_unread", f"t: {error}")
            return NO_TIME


def _pack(payload: bytes) -> list[object]:
    start = payload.removeprefix(BYTE_ORDER_MARK).lstrip()[:1]
    if start in (b"[", b"{"):
        try:
            root = loads(payload)
        except orjson.JSONDecodeError as error:
            raise MalformedError(f"byte {error.pos}: {error.msg} near {excerpt(payload[error.pos :])}") from error
    else:
        root = load_cbor(payload)
    if not isinstance(root, list):
        raise MalformedError(f"{excerpt(root)}: expected a list of records")
    return root


def _label(key: object) -> str:
    if isinstance(key, str):
        return key
    return LABELS.get(key, "") if isinstance(key, int) else ""


def _text(record: dict[str, object], key: str) -> str:
    value = record[key]
    if not isinstance(value, str) or len(value) > 512:
        raise _RecordError(Reason.MALFORMED, f"{key}: {excerpt(value)}; expected text of at most 512 characters")
    return value


def _number(record: dict[str, object], key: str, default: float = 0.0) -> float:
    value = record.get(key, default)
    if isinstance(value, datetime) and key in ("t", "bt"):
        value = value.timestamp()  # CBOR's tag 1
    number = to_number(value) if not isinstance(value, (str, bool)) else None
    if number is None or not isfinite(number):
        raise _RecordError(Reason.MALFORMED, f"{key}: {excerpt(value)}; expected a finite number")
    return number


def _value(record: dict[str, object], key: str, base: _Base) -> float:
    value = record[key]
    if key == "vb" and not isinstance(value, bool):
        raise _RecordError(Reason.MALFORMED, f"vb: {excerpt(value)}; expected true or false")
    number = to_number(value)
    if number is None or (key != "vb" and isinstance(value, bool)):
        raise _RecordError(Reason.MALFORMED, f"{key}: {excerpt(value)}; expected a number")
    return number + (base.value if key == "v" else base.sum if key == "s" else 0.0)
