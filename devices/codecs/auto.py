"""Decode, codec `auto`: what a payload is goes by its looks.

Compressed payloads are unpacked first. JSON is told by its first character; of other text, InfluxDB line protocol,
`key=value` pairs, CSV with a time in front and log lines are told by their form, and the rest is plain. Text in quotes
is read as what stands in them. Binary encodings are never guessed, since a CBOR or MessagePack payload can look like
text: their routes name the codec, and what is no text is refused with the name of the codec that it may be for.
"""

from __future__ import annotations

import re
from typing import ClassVar

import orjson
from pydantic import BaseModel

from devices.codec import Decoded
from devices.codecs.influx_line import InfluxLineCodec, InfluxLineParameters
from devices.codecs.json_payload import JsonCodec
from devices.codecs.plain import PlainCodec, PlainParameters
from devices.codecs.readings import Rows, excerpt
from devices.codecs.text_forms import (
    collectd_sample,
    is_line_protocol,
    is_log_line,
    key_value_pairs,
    looks_like,
    table,
    time_and_values,
)
from devices.codecs.tree_parameters import TreeParameters
from devices.codecs.wrappers import UnpackError, from_windows, is_wrapped, unwrapped
from devices.messages import Payloads
from devices.numbers import text_to_number
from devices.rejection_reasons import Reason

_BRACKETED_LEVEL = re.compile(rb"\s*\[[A-Z]{4,7}\]")
_STRUCTURE = re.compile(rb"[=:\n]|\[[A-Z]{4}")


class AutoCodec:
    """Reads JSON as the codec `json` does, line protocol as `influx_line`, and other text as `plain`."""

    name: ClassVar[str] = "auto"
    Parameters: ClassVar[type[BaseModel]] = TreeParameters

    def __init__(self, parameters: TreeParameters) -> None:
        self.parameters = parameters
        self._json = JsonCodec(parameters)
        plain = PlainParameters(max_names=parameters.max_names, error_values=parameters.error_values)
        self._plain = PlainCodec(plain, self._json.names, self._json.word_names)
        lines = InfluxLineParameters(max_names=parameters.max_names)
        self._lines = InfluxLineCodec(lines, self._json.names, self._json.device_names)
        self.metric_names = self._json.names
        self.metrics = self._json.metrics
        self.devices = self._json.devices
        self.words = self._json.words

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode all payloads at once."""
        return self._json.layouts.decode(payloads, self.decode_one)

    def decode_one(self, message: int, payload: bytes, rows: Rows, arrival: int | None = None) -> bool:
        """Add the readings of one payload to `rows`, or its rejection. Returns whether it is one plain JSON text."""
        if is_wrapped(payload):
            try:
                payload = unwrapped(payload)
            except UnpackError as error:
                rows.reject(message, Reason.MALFORMED, f"{len(payload)} bytes {excerpt(payload)}: {error}")
                return False
        start = payload.lstrip()[:1]
        if start == b"<" and payload.rstrip(b"\0 \r\n\t").endswith(b">"):
            detail = f"{excerpt(payload)} looks like XML or HTML, which no codec reads; expected JSON, text or numbers"
            rows.reject(message, Reason.MALFORMED, detail)
            return False
        if start in (b"{", b"[") and not _BRACKETED_LEVEL.match(payload):
            return self._json.decode_one(message, payload, rows, arrival)
        if start in (b'"', b"'"):
            payload = _within_quotes(payload)
            if payload.lstrip()[:1] in (b"{", b"["):
                self._json.decode_one(message, payload, rows, arrival)
                return False
        self._text(message, payload, rows, arrival)
        return False

    def _text(self, message: int, payload: bytes, rows: Rows, arrival: int | None) -> None:
        if len(payload) <= 32 and not _STRUCTURE.search(payload):
            self._plain_or_binary(message, _number_in_utf8(payload), rows)
            return
        try:
            text = payload.decode("utf-8").strip()
        except UnicodeDecodeError:
            self._plain_or_binary(message, payload, rows)
            return
        if is_log_line(text):
            rows.reject(message, Reason.LOG, f"a line of a log: {excerpt(text)}")
        elif "=" in text and is_line_protocol(text):
            self._lines.decode_one(message, payload, rows)
        elif (pairs := key_value_pairs(text)) is not None:
            self._json.add_fields(message, dict(pairs), len(payload), rows)
        elif (dated := time_and_values(text)) is not None:
            time, values = dated
            self._plain.add_list(message, list(values), rows, time, first=1)
        elif (sample := collectd_sample(text)) is not None:
            self._plain.add_sample(message, *sample, rows)
        elif "\n" in text and (lines := table(text)) is not None:
            self._json.add_records(message, lines, len(payload), rows, arrival)
        else:
            self._plain.decode_one(message, payload, rows)

    def _plain_or_binary(self, message: int, payload: bytes, rows: Rows) -> None:
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError as error:
            detail = f"byte {error.start}: no UTF-8 text: {excerpt(payload)}; {looks_like(payload)}"
            rows.reject(message, Reason.MALFORMED, detail)
            return
        if not text.isprintable() and any(ord(character) < 9 for character in text):
            detail = f"{len(payload)} bytes {excerpt(payload)} are no text; {looks_like(payload)}"
            rows.reject(message, Reason.MALFORMED, detail)
            return
        if len(payload) > 32:
            self._plain.decode_one(message, payload, rows)
        elif (dated := time_and_values(text.strip())) is not None:
            self._plain.add_list(message, list(dated[1]), rows, dated[0], first=1)
        else:
            self._plain.decode_one(message, payload, rows)


def _number_in_utf8(payload: bytes) -> bytes:
    """A number with a unit in Windows-1252 (`21.5 °C`) in UTF-8; any other payload as it is."""
    text = from_windows(payload)
    return text if text is not None and text_to_number(text.decode()) is not None else payload


def _within_quotes(payload: bytes) -> bytes:
    """What a text in quotes says, of JSON or single ones; the payload as it is where it is none."""
    text = payload.strip()
    if text.startswith(b"'"):
        return text[1:-1] if len(text) > 1 and text.endswith(b"'") else payload
    try:
        inner = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload
    return inner.encode("utf-8", "replace") if isinstance(inner, str) else payload
