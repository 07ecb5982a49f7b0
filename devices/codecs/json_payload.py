"""Decode, codec `json`: JSON objects, nested or flat, arrays of them, arrays of numbers (RFC 8259)."""

from __future__ import annotations

import re
from math import isinf
from typing import ClassVar

import orjson
from pydantic import BaseModel

from devices.codec import Decoded
from devices.codecs.layouts import LayoutReader
from devices.codecs.readings import Rows, excerpt
from devices.codecs.tree import TreeParameters, TreeReader
from devices.messages import Payloads
from devices.rejection_reasons import Reason

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_STRING_OR_ODD_NUMBER = re.compile(
    rb'"(?:[^"\\]|\\.)*+"|(-?\b(?:nan|inf(?:inity)?)\b)|(-?\d[\d.eE+-]*)', re.IGNORECASE | re.DOTALL
)


class JsonCodec:
    """Reads JSON payloads; the rules of what is a reading are stated in `devices.codecs.tree`.

    A byte-order mark is skipped. `NaN`, `Infinity` and numbers beyond float64, which JSON does not have but devices
    send, reject the one reading. Of a key that occurs twice in an object, the last counts.
    """

    name: ClassVar[str] = "json"
    Parameters: ClassVar[type[BaseModel]] = TreeParameters

    def __init__(self, parameters: TreeParameters) -> None:
        self.parameters = parameters
        self._tree = TreeReader(parameters)
        self.layouts = LayoutReader(self._tree)
        self.names = self._tree.metrics
        self.metrics = self.names.items
        self.devices = self._tree.devices.items

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode all payloads at once."""
        return self.layouts.decode(payloads, self.decode_one)

    def decode_one(self, message: int, payload: bytes, rows: Rows) -> bool:
        """Add the readings of one payload to `rows`, or its rejection. Returns whether the payload is JSON."""
        try:
            root = loads(payload)
        except orjson.JSONDecodeError as error:
            rows.reject(message, Reason.MALFORMED, _malformed(payload, error))
            return False
        self._tree.read(message, root, len(payload), rows)
        return True


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


def _malformed(payload: bytes, error: orjson.JSONDecodeError) -> str:
    if not payload:
        return "empty payload, expected JSON"
    # The position counts characters of the text that orjson saw; bytes and characters agree up to the first non-ASCII.
    text = payload.removeprefix(BYTE_ORDER_MARK).decode("utf-8", "replace")
    at = len(text[: error.pos].encode("utf-8", "replace")) + (len(payload) - len(payload.removeprefix(BYTE_ORDER_MARK)))
    return f"byte {min(at, len(payload))}: {error.msg} near {excerpt(payload[max(0, at - 20) : at + 20])}"
