"""Decode, compiled: the numbers of JSON, each read as the double nearest to what is written."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.compiled import subkernel

_POWERS = 60
_MASK32 = np.uint64(0xFFFFFFFF)

_EXACT = np.array([10.0**i for i in range(23)])


def _powers_of_five() -> NDArray[np.uint64]:
    """128 bits of 5^q for q from -_POWERS to _POWERS, (2 * _POWERS + 1, 2): high and low words."""
    table = np.empty((2 * _POWERS + 1, 2), np.uint64)
    for q in range(-_POWERS, _POWERS + 1):
        power = 5 ** abs(q)
        if q < 0:
            bits = (power - 1).bit_length()
            power = (1 << (bits + 127 if q >= -27 else 2 * bits + 128)) // power + 1
        length = power.bit_length()
        power = power << (128 - length) if length < 128 else power >> (length - 128)
        table[q + _POWERS] = (power >> 64, power & 0xFFFF_FFFF_FFFF_FFFF)
    return table


_FIVES = _powers_of_five()


@subkernel
def _multiply(a: Any, b: Any) -> tuple[Any, Any]:
    """High and low words of the product of two words."""
    a0, a1 = a & _MASK32, a >> np.uint64(32)
    b0, b1 = b & _MASK32, b >> np.uint64(32)
    middle = a1 * b0 + ((a0 * b0) >> np.uint64(32))
    cross = a0 * b1 + (middle & _MASK32)
    return a1 * b1 + (middle >> np.uint64(32)) + (cross >> np.uint64(32)), a * b


@subkernel
def _scaled(mantissa: Any, power: Any) -> Any:
    """The bits of the double nearest to mantissa * 10^power (mantissa > 0, |power| <= _POWERS).

    Source: Lemire, "Number parsing at a gigabyte per second", Software: Practice and Experience 51(8), 2021. In the
    range of powers given, the 128-bit product always decides.
    """
    shift = np.uint64(0)
    width = np.uint64(32)
    w = mantissa
    while width > np.uint64(0):
        if w >> (np.uint64(64) - width) == np.uint64(0):
            w = w << width
            shift += width
        width = width >> np.uint64(1)
    high, low = _multiply(w, _FIVES[power + _POWERS, 0])
    if high & np.uint64(0x1FF) == np.uint64(0x1FF):
        carry, _ = _multiply(w, _FIVES[power + _POWERS, 1])
        low += carry
        if carry > low:
            high += np.uint64(1)
    top = high >> np.uint64(63)
    down = top + np.uint64(9)
    bits = high >> down
    exponent = ((217706 * power) >> 16) + 63 + np.int64(top) - np.int64(shift) + 1023
    if low <= np.uint64(1) and -4 <= power <= 23 and bits & np.uint64(3) == np.uint64(1) and bits << down == high:
        bits &= ~np.uint64(1)
    bits = (bits + (bits & np.uint64(1))) >> np.uint64(1)
    if bits >= np.uint64(1) << np.uint64(53):
        bits = np.uint64(1) << np.uint64(52)
        exponent += 1
    return (np.uint64(exponent) << np.uint64(52)) | (bits & np.uint64(0xFFFFFFFFFFFFF))


@subkernel
def _nearest(mantissa: Any, power: int, scratch: Any, place: int) -> tuple[bool, Any]:
    """Whether mantissa * 10^power can be told here, and the double nearest to it; scratch[place] is written over."""
    if mantissa == np.uint64(0):
        return True, 0.0
    if power == 0:
        return True, np.float64(mantissa)
    if mantissa <= np.uint64(1 << 53) and -22 <= power <= 22:
        value = np.float64(mantissa)
        return True, value / _EXACT[-power] if power < 0 else value * _EXACT[power]
    if -_POWERS <= power <= _POWERS:
        scratch.view(np.uint64)[place] = _scaled(mantissa, power)
        return True, scratch[place]
    return False, 0.0


@subkernel
def read_number(data: Any, at: int, stop: int, scratch: Any, place: int) -> tuple[int, bool, Any, bool]:
    """Read a JSON number at `at` into scratch[place]; its end, or -1 where the general path must read it.

    The number is whole where `fraction` (second result) is False; then the third is its magnitude, the fourth its sign.
    """
    negative = at < stop and data[at] == 45
    if negative:
        at += 1
    first = at
    mantissa = np.uint64(0)
    while at < stop and 48 <= data[at] <= 57:
        mantissa = mantissa * np.uint64(10) + np.uint64(data[at] - 48)
        at += 1
    digits = at - first
    if digits == 0 or digits > 18 or (digits > 1 and data[first] == 48):
        return -1, False, mantissa, negative
    power = 0
    fraction = False
    if at < stop and data[at] == 46:
        fraction = True
        at += 1
        first = at
        while at < stop and 48 <= data[at] <= 57:
            mantissa = mantissa * np.uint64(10) + np.uint64(data[at] - 48)
            at += 1
        power = first - at
        # Nineteen digits fit a word; leading zeros count here, which only sends more to the general path.
        if power == 0 or digits - power > 19:
            return -1, True, mantissa, negative
    if at < stop and (data[at] | 32) == 101:
        fraction = True
        at += 1
        down = at < stop and data[at] == 45
        if at < stop and (data[at] == 45 or data[at] == 43):
            at += 1
        first = at
        exponent = 0
        while at < stop and at - first < 3 and 48 <= data[at] <= 57:
            exponent = exponent * 10 + (data[at] - 48)
            at += 1
        if at == first or (at < stop and 48 <= data[at] <= 57):
            return -1, True, mantissa, negative
        power += -exponent if down else exponent
    good, value = _nearest(mantissa, power, scratch, place)
    if not good:
        return -1, fraction, mantissa, negative
    # A whole number has no zero with a sign.
    negative = negative and (fraction or mantissa != np.uint64(0))
    scratch[place] = -value if negative else value
    return at, fraction, mantissa, negative
