"""The state of a shard's engine as bytes, for whoever keeps it between two batches."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
import orjson
import zstandard
from numpy.typing import NDArray

VERSION = 1
_MAGIC = b"driftline shard "
_LEVEL = 1
_BYTES = 4
"""Of a checksum, and of a length."""


def encode_state(parts: Mapping[str, NDArray[Any]], rest: Mapping[str, Any]) -> bytes:
    """Arrays by name, none of objects, and the rest as JSON, compressed and with a checksum."""
    head = orjson.dumps({"version": VERSION, "names": list(parts), "rest": dict(rest)})
    body = io.BytesIO()
    body.write(len(head).to_bytes(_BYTES))
    body.write(head)
    for array in parts.values():
        np.lib.format.write_array(body, np.asanyarray(array), allow_pickle=False)
    data = zstandard.ZstdCompressor(level=_LEVEL).compress(body.getbuffer())
    return _MAGIC + crc32(data).to_bytes(_BYTES) + data


def decode_state(blob: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """What `encode_state` was given. Raises ValueError where the bytes are damaged, or of another version."""
    data = blob[len(_MAGIC) + _BYTES :]
    if not blob.startswith(_MAGIC) or crc32(data) != int.from_bytes(blob[len(_MAGIC) : len(_MAGIC) + _BYTES]):
        raise ValueError(f"the state of a shard, {len(blob):,} bytes, is damaged")
    body = io.BytesIO(zstandard.ZstdDecompressor().decompress(data))
    head = orjson.loads(body.read(int.from_bytes(body.read(_BYTES))))
    if head["version"] != VERSION:
        raise ValueError(f"the state of a shard is of version {head['version']}: expected {VERSION}")
    return {name: np.lib.format.read_array(body, allow_pickle=False) for name in head["names"]}, head["rest"]
