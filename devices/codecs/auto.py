"""Decode, codec `auto`: JSON where the first byte is a brace or bracket, else plain text.

Binary encodings are never guessed: a CBOR or MessagePack payload can look like text, so their routes name the codec.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel

from devices.codec import Decoded
from devices.codecs.json_payload import BYTE_ORDER_MARK, JsonCodec
from devices.codecs.plain import PlainCodec, PlainParameters
from devices.codecs.readings import Rows
from devices.codecs.tree import TreeParameters
from devices.messages import Payloads


class AutoCodec:
    """Reads JSON objects and arrays as the codec `json` does, everything else as `plain`."""

    name: ClassVar[str] = "auto"
    Parameters: ClassVar[type[BaseModel]] = TreeParameters

    def __init__(self, parameters: TreeParameters) -> None:
        self.parameters = parameters
        self._json = JsonCodec(parameters)
        plain = PlainParameters(max_names=parameters.max_names, error_values=parameters.error_values)
        self._plain = PlainCodec(plain, self._json.names)
        self.metrics = self._json.metrics
        self.devices = self._json.devices

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode all payloads at once."""
        return self._json.layouts.decode(payloads, self._decode_one)

    def _decode_one(self, message: int, payload: bytes, rows: Rows) -> bool:
        if _is_json(payload):
            return self._json.decode_one(message, payload, rows)
        self._plain.decode_one(message, payload, rows)
        return False


def _is_json(payload: bytes) -> bool:
    return payload.removeprefix(BYTE_ORDER_MARK).lstrip()[:1] in (b"{", b"[")
