"""Decode, codecs `cbor` (RFC 8949) and `msgpack`: the same trees as JSON, written in binary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from io import BytesIO
from typing import ClassVar

import cbor2
import msgpack
from pydantic import BaseModel

from devices.codec import Decoded
from devices.codecs.readings import Rows, excerpt
from devices.codecs.tree import TreeReader
from devices.codecs.tree_parameters import TreeParameters
from devices.messages import Payloads
from devices.rejection_reasons import Reason


class MalformedError(ValueError):
    """The bytes are not of the encoding expected."""


class _TreeCodec(ABC):
    """A codec whose payload is one tree of maps and lists."""

    name: ClassVar[str]
    Parameters: ClassVar[type[BaseModel]] = TreeParameters

    def __init__(self, parameters: TreeParameters) -> None:
        self.parameters = parameters
        self._tree = TreeReader(parameters)
        self.metrics = self._tree.metrics.items
        self.devices = self._tree.devices.items
        self.words = self._tree.words.items

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode all payloads at once."""
        rows = Rows()
        for i, payload in enumerate(payloads.to_list()):
            if not payload:
                rows.reject(i, Reason.CLEARED, "an empty payload: the topic's retained message is cleared")
                continue
            try:
                root = self._loads(payload)
            except MalformedError as error:
                rows.reject(i, Reason.MALFORMED, f"{error} in {len(payload)} bytes {excerpt(payload)}")
            else:
                self._tree.read(i, root, len(payload), rows, payloads.arrival_of(i))
        return rows.decoded()

    @abstractmethod
    def _loads(self, payload: bytes) -> object:
        """The tree of a payload. Raises MalformedError."""


class CborCodec(_TreeCodec):
    """Reads CBOR payloads; the rules of what is a reading are stated in `devices.codecs.tree`.

    Date-times (tags 0 and 1), big numbers, decimals and rationals are read; of other tags, what the tag holds is no
    reading.
    """

    name: ClassVar[str] = "cbor"

    def _loads(self, payload: bytes) -> object:
        return load_cbor(payload)


class MsgpackCodec(_TreeCodec):
    """Reads MessagePack payloads; the rules of what is a reading are stated in `devices.codecs.tree`.

    Timestamps (extension type -1) are read to the microsecond; other extension types are no readings.
    """

    name: ClassVar[str] = "msgpack"

    def _loads(self, payload: bytes) -> object:
        try:
            return msgpack.unpackb(payload, timestamp=3, strict_map_key=False)
        except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
            raise MalformedError(f"no MessagePack: {str(error) or type(error).__name__}") from error


def load_cbor(payload: bytes) -> object:
    """The tree of a CBOR payload. Raises MalformedError; shared references and patterns are not followed."""
    stream = BytesIO(payload)
    try:
        root: object = cbor2.CBORDecoder(stream, semantic_decoders=_REFUSED).decode()
    except (cbor2.CBORError, ValueError, TypeError, OverflowError) as error:
        raise MalformedError(f"no CBOR: {error}") from error
    rest = len(stream.read())
    if rest:
        raise MalformedError(f"no CBOR: {rest} bytes after the end of the first value")
    return root


def _refuse(_value: object, _immutable: bool) -> object:
    raise ValueError("shared references and patterns are not read")


_REFUSED = dict.fromkeys((28, 29, 35), _refuse)
