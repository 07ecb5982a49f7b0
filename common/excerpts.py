"""Values from outside as they can stand in a sentence."""

from __future__ import annotations

import codecs
from typing import Any

_MOST_PARTS = 20
_DEEPEST = 3
_MOSTLY = 0.6
"""The share of characters that can be read, beyond which bytes are text."""


def shortened(value: object, most: int = 60) -> str:
    """A value's repr, cut to `most` characters; bytes are shown as the text that they are, else in hex: ff 00 fe."""
    try:
        shown = _bytes_shown(bytes(value), most) if isinstance(value, _BYTES) else repr(_plain(value, most, _DEEPEST))
    except ValueError:
        # Python refuses to write integers of more than some thousand digits.
        shown = f"a huge {type(value).__name__}"
    return shown if len(shown) <= most else shown[: most - 3] + "..."


_BYTES = (bytes, bytearray, memoryview)


class _Shown(str):
    """Text that stands for bytes, without quotes of its own."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _plain(value: Any, most: int, depth: int) -> Any:
    """The value with what is shown of its bytes in their place; parts that would be cut off are left out."""
    if isinstance(value, str):
        return value[: most + 1]
    if isinstance(value, _BYTES):
        return _Shown(_bytes_shown(bytes(value), most))
    if depth and isinstance(value, list | tuple):
        parts = [_plain(each, most, depth - 1) for each in value[:_MOST_PARTS]]
        return parts if isinstance(value, list) else tuple(parts)
    if depth and isinstance(value, dict):
        named = list(value.items())[:_MOST_PARTS]
        return {_plain(name, most, 0): _plain(each, most, depth - 1) for name, each in named}
    return value


def _bytes_shown(value: bytes, most: int) -> str:
    cut = value[: 4 * most]
    try:
        # A character that the cut goes through is no error.
        text = codecs.getincrementaldecoder("utf-8")().decode(cut, final=len(value) == len(cut))
        shown = repr(text[: most + 1])
    except UnicodeDecodeError:
        text = cut.decode("ascii", "ignore")
        # What a byte beyond ASCII stands for is not known: it is shown as such.
        shown = repr(cut[: most + 1])[1:]
    readable = sum(each.isprintable() or each.isspace() for each in text)
    return shown if readable > _MOSTLY * len(cut.decode("utf-8", "replace")) or not value else cut[:most].hex(" ")
