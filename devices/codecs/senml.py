"""Decode, codec `senml`: Sensor Measurement Lists (RFC 8428), in JSON and in CBOR.

The device is the base name without a separator at its end, the metric the name: base name `urn:dev:ow:10e2073a0108:`
and name `voltage` are the metric `voltage` of the device `urn:dev:ow:10e2073a0108`. Numbers (`v`) and truth values
(`vb`) are readings, and so is a sum (`s`), as the metric with `.sum` at its end; text and data (`vs`, `vd`) are none.
"""

from __future__ import annotations

from math import isfinite
from typing import ClassVar

import orjson
from pydantic import BaseModel

from devices.batch import NO_TIME
from devices.codec import UNNAMED, Decoded
from devices.codecs.binary import MalformedError, load_cbor
from devices.codecs.json_payload import BYTE_ORDER_MARK, loads
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
from devices.messages import Payloads
from devices.numbers import to_number
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
        self.time: float = 0
        self.value = 0.0
        self.sum = 0.0

    def take(self, record: dict[str, object]) -> None:
        """Take over the base fields of a record."""
        if "bn" in record:
            self.name = _text(record, "bn")
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

    A time that counts from now is the message's arrival where it is zero or absent; other such times cannot be told
    from the payload alone and reject the record. A record with a field that must be understood (its name ends in `_`)
    is rejected.
    """

    name: ClassVar[str] = "senml"
    Parameters: ClassVar[type[BaseModel]] = SenmlParameters

    def __init__(self, parameters: SenmlParameters) -> None:
        self.parameters = parameters
        self._metric_names = Names("metric", parameters.max_names)
        self._device_names = Names("device", parameters.max_names)
        self.metrics = self._metric_names.items
        self.devices = self._device_names.items

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode all payloads at once."""
        rows = Rows()
        for i, payload in enumerate(payloads.to_list()):
            self._decode_one(i, payload, rows)
        return rows.decoded()

    def _decode_one(self, message: int, payload: bytes, rows: Rows) -> None:
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
                self._record(message, labelled, base, rows)
            except _RecordError as error:
                rows.reject(message, error.reason, f"record {i}: {error}", whole=False)
            except TooManyNamesError as error:
                rows.reject(message, Reason.TOO_MANY_SERIES, f"record {i}: {error}", whole=False)
        rows.settle(message, mark, NOTHING)

    def _record(self, message: int, record: dict[str, object], base: _Base, rows: Rows) -> None:
        for key in record:
            if isinstance(key, str) and key.endswith("_"):
                raise _RecordError(Reason.MALFORMED, f"field {excerpt(key)} must be understood and is not")
        values = {key: _value(record, key, base) for key in ("v", "vb", "s") if key in record}
        if not values and base.value and "vs" not in record and "vd" not in record and "n" in record:
            values["v"] = base.value
        if not values:
            return
        name = _text(record, "n") if "n" in record else ""
        device_name = base.name.rstrip(":/_-.")
        time = _time(base.time + _number(record, "t", 0.0))
        device = self._device_names.code(device_name) if device_name else -1
        for key, value in values.items():
            metric = f"{name}.sum" if key == "s" else name or UNNAMED
            if finite(value, frozenset()):
                rows.add(message, self._metric_names.code(metric.lstrip(".")), value, device, time)
            else:
                rows.reject(message, Reason.NOT_FINITE, not_finite(f"{metric}.{key}", value), whole=False)


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
    number = to_number(value) if not isinstance(value, (str, bool)) else None
    if number is None or not isfinite(number):
        reason = Reason.BAD_TIME if key in ("t", "bt") else Reason.MALFORMED
        raise _RecordError(reason, f"{key}: {excerpt(value)}; expected a finite number")
    return number


def _value(record: dict[str, object], key: str, base: _Base) -> float:
    value = record[key]
    if key == "vb" and not isinstance(value, bool):
        raise _RecordError(Reason.MALFORMED, f"vb: {excerpt(value)}; expected true or false")
    number = to_number(value)
    if number is None or (key != "vb" and isinstance(value, bool)):
        raise _RecordError(Reason.MALFORMED, f"{key}: {excerpt(value)}; expected a number")
    return number + (base.value if key == "v" else base.sum if key == "s" else 0.0)


def _time(seconds: float) -> int:
    if seconds == 0:
        return NO_TIME
    if seconds < RELATIVE_BELOW:
        raise _RecordError(
            Reason.BAD_TIME, f"t: {seconds:g} s counts from now; expected seconds since 1970, at least {RELATIVE_BELOW}"
        )
    try:
        return parse_time(seconds, "s")
    except BadTimeError as error:
        raise _RecordError(Reason.BAD_TIME, f"t: {error}") from error
