"""Decode, before the codec: compressed payloads are unpacked, and what stands around text is taken off."""

from __future__ import annotations

import zlib
from contextlib import suppress

import zstandard

MOST_UNPACKED = 16 << 20
"""Most bytes that a compressed payload may unfold to."""

_ZSTD_STEP = 256
"""Bytes of zstd unpacked at a time. A block of four bytes unfolds to 128 KiB at most, so a step to 8 MiB."""

_UTF8_MARK = b"\xef\xbb\xbf"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_ZLIB = (b"\x78\x01", b"\x78\x9c", b"\x78\xda")
_UTF16_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


class UnpackError(ValueError):
    """The payload looks compressed and cannot be unpacked; the message says why."""


def unwrapped(payload: bytes) -> bytes:
    """The payload without compression, byte-order mark and NUL bytes at its end.

    Raises UnpackError where it begins like a compressed payload and is none, or unfolds to more than `MOST_UNPACKED`.
    """
    start = payload[:4]
    if start[:2] == _GZIP or (start[:2] in _ZLIB and len(payload) > 8 and not payload.isascii()):
        payload = _inflated(payload)
    elif start == _ZSTD:
        payload = _zstd(payload)
    encoding = _UTF16_MARKS.get(payload[:2])
    if encoding is not None:
        try:
            payload = payload[2:].decode(encoding).encode()
        except UnicodeDecodeError as error:
            raise UnpackError(f"begins like UTF-16, and is none: byte {error.start + 2}") from error
    return _without_nul(payload.removeprefix(_UTF8_MARK))


def from_windows(payload: bytes) -> bytes | None:
    """UTF-8 of a text in Windows-1252, of which Latin-1 is a part; None where it is UTF-8 already, or no text."""
    if payload.isascii():
        return None
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        with suppress(UnicodeDecodeError):
            text = payload.decode("cp1252")
            return text.encode() if all(character >= " " or character in "\t\r\n" for character in text) else None
    return None


def is_wrapped(payload: bytes) -> bool:
    """Whether `unwrapped` has anything to do."""
    start = payload[:2]
    return payload[-1:] == b"\0" or start in (_GZIP, b"\x28\xb5", b"\xef\xbb", *_ZLIB) or start in _UTF16_MARKS


def _without_nul(payload: bytes) -> bytes:
    """Text without the NUL bytes at its end; anything else as it is, since there they may be numbers."""
    text = payload.rstrip(b"\0")
    try:
        readable = all(character >= " " or character in "\t\r\n\x1b" for character in text.decode("utf-8"))
    except UnicodeDecodeError:
        return payload
    return text if readable else payload


def _inflated(payload: bytes) -> bytes:
    reader = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, by its header
    try:
        unpacked = reader.decompress(payload, MOST_UNPACKED)
    except zlib.error as error:
        raise UnpackError(f"begins like gzip or zlib, and is none: {error}") from error
    if reader.unconsumed_tail:
        raise UnpackError(f"unfolds to more than {MOST_UNPACKED} bytes")
    if not reader.eof:
        raise UnpackError("is gzip or zlib that is cut off")
    return unpacked


def _zstd(payload: bytes) -> bytes:
    reader = zstandard.ZstdDecompressor().decompressobj()
    parts: list[bytes] = []
    size = 0
    try:
        for at in range(0, len(payload), _ZSTD_STEP):
            parts.append(reader.decompress(payload[at : at + _ZSTD_STEP]))
            size += len(parts[-1])
            if size > MOST_UNPACKED:
                raise UnpackError(f"unfolds to more than {MOST_UNPACKED} bytes")
            if reader.eof:
                return b"".join(parts)
    except zstandard.ZstdError as error:
        raise UnpackError(f"begins like zstd, and is none: {error}") from error
    raise UnpackError("is zstd that is cut off")
