"""Decode, compiled: words and texts, and which of them are readings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.compiled import subkernel
from devices.numbers import FALSE_WORDS, INFINITY_WORDS, NO_VALUE_WORDS, TRUE_WORDS

_FNV_BASIS = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3


def hashes_of_words() -> NDArray[np.uint64]:
    """FNV-1a hashes of the lower-case words that are readings."""
    hashes = []
    for word in TRUE_WORDS | FALSE_WORDS | NO_VALUE_WORDS | INFINITY_WORDS:
        code = _FNV_BASIS
        for byte in word.encode():
            code = (code ^ byte) * _FNV_PRIME & 0xFFFF_FFFF_FFFF_FFFF
        hashes.append(code)
    return np.array(sorted(hashes), np.uint64)


@subkernel
def read_truth(data: Any, at: int, stop: int) -> tuple[int, float]:
    """End and value of `true` or `false`; end -1 where neither is there."""
    if stop - at >= 4 and data[at] == 116 and data[at + 1] == 114 and data[at + 2] == 117 and data[at + 3] == 101:
        return at + 4, 1.0
    if stop - at >= 5 and data[at] == 102 and data[at + 1] == 97 and data[at + 2] == 108 and data[at + 3] == 115:
        return (at + 5, 0.0) if data[at + 4] == 101 else (-1, 0.0)
    return -1, 0.0


@subkernel
def end_of_text(data: Any, at: int, stop: int) -> int:
    """End of plain text: printable ASCII without escapes, up to a quote; -1 where it is anything else."""
    while at < stop and 32 <= data[at] <= 126 and data[at] != 34 and data[at] != 92:
        at += 1
    return at if at < stop and data[at] == 34 else -1


@subkernel
def is_prose(data: Any, at: int, end: int, words: Any) -> bool:
    """Whether the plain text data[at:end] is surely no number or word for one, by the rules of `devices.numbers`.

    Text that begins with a letter is none unless it is one of the words; no number or unit holds a colon; and no number
    without a comma holds two points.
    """
    if at == end or data[at] == 32 or data[end - 1] == 32:
        return False
    if 97 <= (data[at] | 32) <= 122:
        code = np.uint64(_FNV_BASIS)
        for i in range(at, end):
            byte = data[i] + 32 if 65 <= data[i] <= 90 else data[i]
            code = (code ^ np.uint64(byte)) * np.uint64(_FNV_PRIME)
        for word in words:  # noqa: SIM110  the compiler has no generators
            if word == code:
                return False
        return True
    colons = commas = points = 0
    for i in range(at, end):
        colons += data[i] == 58
        commas += data[i] == 44
        points += data[i] == 46
    return 48 <= data[at] <= 57 and (colons > 0 or (points > 1 and commas == 0))
