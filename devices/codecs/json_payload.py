"""Decode, codec `json`: JSON objects, nested or flat, arrays of them, arrays of numbers (RFC 8259)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isinf
from typing import ClassVar

import orjson
from pydantic import BaseModel

from devices.codec import Decoded
from devices.codecs.layouts import LayoutReader
from devices.codecs.readings import Rows, excerpt
from devices.codecs.tree import TreeReader
from devices.codecs.tree_parameters import TreeParameters
from devices.codecs.wrappers import from_windows
from devices.messages import Payloads
from devices.rejection_reasons import Reason

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_STRING_OR_ODD_NUMBER = re.compile(
    rb'"(?:[^"\\]|\\.)*+"|(-?\b(?:nan|inf(?:inity)?)\b)|(-?\d[\d.eE+-]*)', re.IGNORECASE | re.DOTALL
)


class JsonCodec:
    """Reads JSON payloads; the rules of what is a reading are stated in `devices.codecs.tree`.

    A byte-order mark and NUL bytes at the end are skipped. What is no UTF-8 is read as Windows-1252. Several texts, one
    a line (NDJSON), are read one by one. `NaN`, `Infinity` and numbers beyond float64, which JSON does not have but
    devices send, reject the one reading. Of a key that occurs twice in an object, the last counts.
    """

    name: ClassVar[str] = "json"
    Parameters: ClassVar[type[BaseModel]] = TreeParameters

    def __init__(self, parameters: TreeParameters) -> None:
        self.parameters = parameters
        self._tree = TreeReader(parameters)
        self.layouts = LayoutReader(self._tree)
        self.names = self._tree.metrics
        self.metrics = self.names.items
        self.word_names = self._tree.words
        self.device_names = self._tree.devices
        self.devices = self._tree.devices.items
        self.words = self._tree.words.items

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode all payloads at once."""
        return self.layouts.decode(payloads, self.decode_one)

    def decode_one(self, message: int, payload: bytes, rows: Rows, arrival: int | None = None) -> bool:
        """Add the readings of one payload to `rows`, or its rejection. Returns whether the payload is one JSON text."""
        try:
            root = loads(payload)
        except orjson.JSONDecodeError as error:
            if (text := from_windows(payload)) is not None:
                self.decode_one(message, text, rows, arrival)
                return False
            roots = _lines(payload)
            if roots:
                self._tree.read_all(message, roots, len(payload), rows, arrival)
            elif not payload.strip(b" \t\r\n\0"):
                rows.reject(message, Reason.CLEARED, "an empty payload: the topic's retained message is cleared")
            else:
                rows.reject(message, Reason.MALFORMED, _malformed(payload, error))
            return False
        self._tree.read(message, root, len(payload), rows, arrival)
        return True

    def add_records(self, message: int, records: Sequence[object], size: int, rows: Rows, arrival: int | None) -> None:
        """Add the readings of several trees of one payload of `size` bytes."""
        self._tree.read_all(message, list(records), size, rows, arrival)

    def add_fields(self, message: int, fields: dict[str, str], size: int, rows: Rows) -> None:
        """Add the readings of named fields that are text; `size` is the payload's, in bytes."""
        self._tree.read(message, fields, size, rows)


def loads(payload: bytes) -> object:
    """The tree of a JSON text. `NaN`, `Infinity` and numbers beyond float64 come as text that `to_number` knows.

    Raises orjson.JSONDecodeError.
    """
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        lenient = _STRING_OR_ODD_NUMBER.sub(_quoted, payload.removeprefix(BYTE_ORDER_MARK))
        if lenient == payload:
            raise
        return orjson.loads(lenient)


def _lines(payload: bytes) -> list[object]:
    """The trees of a payload of several JSON texts, one a line or end to end, with NUL bytes at the end; none if it is
    not.
    """
    text = payload.rstrip(b"\0 \t\r\n")
    for whole in (text, _TOUCHING.sub(b"}\n{", text)):
        try:
            return [loads(line) for line in whole.split(b"\n") if line.strip()]
        except orjson.JSONDecodeError:
            continue
    return []


def _quoted(found: re.Match[bytes]) -> bytes:
    word, number = found.groups()
    if word is not None:
        return b'"' + word + b'"'
    if number is not None and len(number) > 3 and _overflows(number):
        return b'"-inf"' if number.startswith(b"-") else b'"inf"'
    return found.group()


def _overflows(number: bytes) -> bool:
    try:
        return isinf(float(number))
    except ValueError:
        return False


_TOUCHING = re.compile(rb"\}\s*\{")
_PYTHON = re.compile(rb"^\s*\[?\s*\{\s*'|:\s*(?:True|False|None)\b")
_DECIMAL_COMMA = re.compile(rb'":\s*-?\d+,\d+\s*[,}]')
_UNESCAPED = re.compile(rb':\s*"\s*[{\[]\s*"')


def _malformed(payload: bytes, error: orjson.JSONDecodeError) -> str:
    # The position counts characters of the text that orjson saw; bytes and characters agree up to the first non-ASCII.
    text = payload.removeprefix(BYTE_ORDER_MARK).decode("utf-8", "replace")
    at = len(text[: error.pos].encode("utf-8", "replace")) + (len(payload) - len(payload.removeprefix(BYTE_ORDER_MARK)))
    shown = f"byte {min(at, len(payload))}: {error.msg} near {excerpt(_text_around(payload, at))}"
    if _UNESCAPED.search(payload):
        return f"{shown}: JSON stands in quotes without escapes; whoever wraps it must escape its quotes"
    if _PYTHON.search(payload):
        return f"{shown}: it looks like a dict as Python prints it; JSON is what json.dumps writes"
    if _DECIMAL_COMMA.search(payload):
        return f"{shown}: a number has a decimal comma; JSON wants a point"
    return shown


def _text_around(payload: bytes, at: int) -> str:
    """Some characters on both sides of a byte; those that the cut goes through are left out."""
    return payload[max(0, at - 20) : at + 20].decode("utf-8", "replace").strip("\ufffd")
