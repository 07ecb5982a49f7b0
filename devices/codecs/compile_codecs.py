"""Compile the decoders' kernels ahead of use, so that the first message does not wait for the compiler."""

from __future__ import annotations

from devices.codecs.codec_registry import create
from devices.messages import MessageChunk


def compile_all() -> None:
    """Compile every kernel of the codecs, or load it from numba's cache. Takes seconds the first time on a machine."""
    payloads = MessageChunk.of([(b"", b'{"ts":%d,"value":1.5}' % at, at, 0) for at in range(1, 3)]).payloads()
    codec = create("json")
    codec.decode(payloads)
    codec.decode(payloads)
