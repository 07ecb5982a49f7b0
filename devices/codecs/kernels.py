"""Decode, compiled: read payloads whose layout is known straight from the bytes into columns.

A layout is a payload with its changing parts cut out: a run of operations, each either literal bytes that must be
there or a slot that holds a number, a truth value, a time, or text. A payload that differs from every layout in
anything but the slots, or whose slot holds anything unusual, is left to the general path; so what is read here is
valid, and equal to what the general path reads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit, subkernel
from devices.numbers import FALSE_WORDS, INFINITY_WORDS, NO_VALUE_WORDS, TRUE_WORDS
from devices.times import AUTO_BOUNDS

LITERAL, NUMBER, TRUTH, TIME_NUMBER, TIME_TEXT, TEXT, PROSE, DEVICE = range(8)
"""Kinds of operation. A TEXT slot is in a place where text is no reading whatever it says; the text of a PROSE slot
must be such that it is none; a DEVICE slot names the device."""

ANY, BELOW_TIME, FROM_TIME = range(3)
"""What a number slot must be: anything, too small for an unasked-for time, or large enough for one."""

_MOST_EXACT = 2.0**53
_POWERS = 60
_MASK32 = np.uint64(0xFFFFFFFF)
_FNV_BASIS = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
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


def _hashes_of_words() -> NDArray[np.uint64]:
    """FNV-1a hashes of the lower-case words that are readings."""
    hashes = []
    for word in TRUE_WORDS | FALSE_WORDS | NO_VALUE_WORDS | INFINITY_WORDS:
        code = _FNV_BASIS
        for byte in word.encode():
            code = (code ^ byte) * _FNV_PRIME & 0xFFFF_FFFF_FFFF_FFFF
        hashes.append(code)
    return np.array(sorted(hashes), np.uint64)


class Rules(NamedTuple):
    """What is read as what; given to the kernels as arguments, since their cache would keep globals of other modules.

    `scale`: nanoseconds in the unit of bare times, 0 to go by `bounds` (3,); `zoneless`: whether date-times without a
    zone are UTC; `plausible`: least number that an unasked-for time may be; `words`: hashes of words that are readings;
    `errors`: numbers that stand for no value.
    """

    scale: int
    zoneless: bool
    plausible: float
    bounds: NDArray[np.float64]
    words: NDArray[np.uint64]
    errors: NDArray[np.float64]


def rules_of(*, scale: int, zoneless: bool, plausible: float, errors: tuple[float, ...]) -> Rules:
    """The rules with these settings, and the bounds and words that all share."""
    bounds = np.array([bound for bound, _ in AUTO_BOUNDS])
    return Rules(scale, zoneless, plausible, bounds, _hashes_of_words(), np.array(errors, np.float64))


class Layouts(NamedTuple):
    """Layouts as flat arrays. Layout `k` has operations `first_operation[k]` to `first_operation[k + 1]`, and the
    readings `first_output[k]` to `first_output[k + 1]`.

    An operation: `kind`; for LITERAL the bytes `literals[start:end]`, else the slot's number within the layout in
    `start` and the demand (ANY, ...) in `end`. A reading: `metric` code; `slot` of its value, or -1 for `constant`;
    slots of its time and device, or -1.
    """

    first_operation: NDArray[np.int32]
    kind: NDArray[np.int8]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    literals: NDArray[np.uint8]
    first_output: NDArray[np.int32]
    metric: NDArray[np.int32]
    slot: NDArray[np.int32]
    constant: NDArray[np.float64]
    time_slot: NDArray[np.int32]
    device_slot: NDArray[np.int32]


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
def _number(data: Any, at: int, stop: int, scratch: Any, place: int) -> tuple[int, bool, Any, bool]:
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
    if mantissa == np.uint64(0):
        value = 0.0
        negative = negative and fraction
    elif power == 0:
        value = np.float64(mantissa)
    elif mantissa <= np.uint64(1 << 53) and -22 <= power <= 22:
        value = np.float64(mantissa)
        value = value / _EXACT[-power] if power < 0 else value * _EXACT[power]
    elif -_POWERS <= power <= _POWERS:
        scratch.view(np.uint64)[place] = _scaled(mantissa, power)
        value = scratch[place]
    else:
        return -1, fraction, mantissa, negative
    scratch[place] = -value if negative else value
    return at, fraction, mantissa, negative


@subkernel
def _epoch(value: Any, fraction: bool, magnitude: Any, negative: bool, rules: Rules) -> tuple[bool, Any]:
    """Whether a number counts as a time here, and its nanoseconds."""
    size = abs(value)
    scale = rules.scale
    if scale == 0:
        if 1.97e13 <= size < 2.11e13:  # may write a date: see devices.times
            return False, 0
        if size < rules.bounds[0]:
            scale = 1_000_000_000
        elif size < rules.bounds[1]:
            scale = 1_000_000
        elif size < rules.bounds[2]:
            scale = 1_000
        else:
            scale = 1
    if not fraction:
        if magnitude > np.uint64(9_223_372_036_854_775_807 // scale):
            return False, 0
        whole = np.int64(magnitude) * scale
        return True, -whole if negative else whole
    if scale == 1 or size * scale > 9.2e18:
        return False, 0
    floor = np.floor(value)
    return True, np.int64(floor) * scale + np.int64(np.rint((value - floor) * (scale // 1_000))) * 1_000


@subkernel
def _two(data: Any, at: int) -> Any:
    """The two-digit number at `at`, or a large one where there is none."""
    a, b = np.int64(data[at]) - 48, np.int64(data[at + 1]) - 48
    return a * 10 + b if 0 <= a <= 9 and 0 <= b <= 9 else 1_000


@subkernel
def _date_time(data: Any, at: int, stop: int, zoneless: bool) -> tuple[int, Any]:
    """End and nanoseconds of an ISO 8601 date-time up to a quote; end -1 where the general path must read it."""
    if stop - at < 20:
        return -1, 0
    century, year, month, day = _two(data, at), _two(data, at + 2), _two(data, at + 5), _two(data, at + 8)
    hour, minute, second = _two(data, at + 11), _two(data, at + 14), _two(data, at + 17)
    if data[at + 4] != 45 or data[at + 7] != 45 or data[at + 13] != 58 or data[at + 16] != 58:
        return -1, 0
    year += century * 100
    if (data[at + 10] != 84 and data[at + 10] != 32) or not 1970 <= year <= 2261 or not 1 <= month <= 12:
        return -1, 0
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    longest = (29 if leap else 28) if month == 2 else 30 if month in (4, 6, 9, 11) else 31
    if not 1 <= day <= longest or hour > 23 or minute > 59 or second > 59:
        return -1, 0
    # Days from the civil calendar, with years that begin in March so that the leap day comes last.
    y = year - 1 if month <= 2 else year
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = y * 365 + y // 4 - y // 100 + y // 400 + day_of_year - 719_468
    at += 19
    nanoseconds = 0
    if data[at] == 46:
        at += 1
        unit = 100_000_000
        first = at
        while at < stop and at - first < 9 and 48 <= data[at] <= 57:
            nanoseconds += (data[at] - 48) * unit
            unit //= 10
            at += 1
        if at == first or at >= stop:
            return -1, 0
    seconds = days * 86_400 + hour * 3_600 + minute * 60 + second
    if data[at] == 90:
        at += 1
    elif data[at] == 43 or data[at] == 45:
        if stop - at < 7 or data[at + 3] != 58:
            return -1, 0
        hours, minutes = _two(data, at + 1), _two(data, at + 4)
        if hours > 23 or minutes > 59:
            return -1, 0
        offset = hours * 3_600 + minutes * 60
        seconds += -offset if data[at] == 43 else offset
        at += 6
    elif not zoneless:
        return -1, 0
    if at >= stop or data[at] != 34:
        return -1, 0
    return at, seconds * 1_000_000_000 + nanoseconds


@subkernel
def _truth(data: Any, at: int, stop: int) -> tuple[int, float]:
    """End and value of `true` or `false`; end -1 where neither is there."""
    if stop - at >= 4 and data[at] == 116 and data[at + 1] == 114 and data[at + 2] == 117 and data[at + 3] == 101:
        return at + 4, 1.0
    if stop - at >= 5 and data[at] == 102 and data[at + 1] == 97 and data[at + 2] == 108 and data[at + 3] == 115:
        return (at + 5, 0.0) if data[at + 4] == 101 else (-1, 0.0)
    return -1, 0.0


@subkernel
def _text(data: Any, at: int, stop: int) -> int:
    """End of plain text: printable ASCII without escapes, up to a quote; -1 where it is anything else."""
    while at < stop and 32 <= data[at] <= 126 and data[at] != 34 and data[at] != 92:
        at += 1
    return at if at < stop and data[at] == 34 else -1


@subkernel
def _is_prose(data: Any, at: int, end: int, words: Any) -> bool:
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


@subkernel
def _match(
    data: Any, at: int, stop: int, layout: int, layouts: Any, rules: Rules, values: Any, times: Any, spans: Any,
) -> bool:  # fmt: skip
    """Whether data[at:stop] is of this layout; its slots are then in `values`, `times` and `spans`."""
    for i in range(layouts.first_operation[layout], layouts.first_operation[layout + 1]):
        kind = layouts.kind[i]
        a = layouts.start[i]
        b = layouts.end[i]
        if kind == LITERAL:
            if stop - at < b - a:
                return False
            for j in range(b - a):
                if data[at + j] != layouts.literals[a + j]:
                    return False
            at += b - a
        elif kind in (NUMBER, TIME_NUMBER):
            at, fraction, magnitude, negative = _number(data, at, stop, values, a)
            if at < 0:
                return False
            value = values[a]
            if (b == BELOW_TIME and value >= rules.plausible) or (b == FROM_TIME and value < rules.plausible):
                return False
            # 2^53 + 1 reads as 2^53 too: from there on the general path says what was rounded.
            if kind == NUMBER and not fraction and abs(value) >= _MOST_EXACT:
                return False
            if kind == TIME_NUMBER:
                good, times[a] = _epoch(value, fraction, magnitude, negative, rules)
                if not good:
                    return False
        elif kind == TIME_TEXT:
            at, times[a] = _date_time(data, at, stop, rules.zoneless)
            if at < 0:
                return False
        elif kind == TRUTH:
            at, values[a] = _truth(data, at, stop)
            if at < 0:
                return False
        else:
            end = _text(data, at, stop)
            if end < 0 or (kind == DEVICE and not 0 < end - at <= 512):
                return False
            if kind == PROSE and not _is_prose(data, at, end, rules.words):
                return False
            spans[a, 0], spans[a, 1] = at, end
            values[a] = at * 128.0 + min(end - at, 127)
            at = end
    return at == stop


@njit
def read_layouts(
    data: Any, start: Any, end: Any, layouts: Any, slots: Any, rules: Rules, no_time: int, message: Any, metric: Any,
    device: Any, time: Any, value: Any, device_spans: Any, unread: Any, hits: Any,
) -> tuple[int, int, int]:  # fmt: skip
    """Read every payload that is of a known layout.

    Fills the columns `message`, `metric`, `device`, `time`, `value`; `device` holds rows of `device_spans` (start and
    end in `data`), or -1. `unread` gets the indices of the payloads left over, `hits` counts payloads by layout. The
    caller makes the arrays large enough. The value of a row of text tells where it stands: start * 128 + length, of
    which 127 stands for longer ones too. Returns how many rows, device spans and unread payloads there are.
    """
    rows = 0
    left = 0
    devices = 0
    last = 0
    count = len(layouts.first_operation) - 1
    values = np.empty(slots)
    times = np.empty(slots, np.int64)
    spans = np.empty((slots, 2), np.int32)
    seen = np.empty(slots, np.int32)
    for m in range(len(start)):
        found = -1
        for k in range(count):
            layout = last + k
            if layout >= count:
                layout -= count
            # As int64, to which they add up: else what reads a number compiles for both.
            first, stop = np.int64(start[m]), np.int64(end[m])
            if _match(data, first, stop, layout, layouts, rules, values, times, spans):  # type: ignore[arg-type]
                found = layout
                break
        before_rows, before_devices = rows, devices
        if found >= 0:
            last = found
            seen[:] = -1
            for i in range(layouts.first_output[found], layouts.first_output[found + 1]):
                slot = layouts.slot[i]
                number = values[slot] if slot >= 0 else layouts.constant[i]
                for j in range(len(rules.errors)):
                    if number == rules.errors[j]:
                        found = -1
                message[rows] = m
                metric[rows] = layouts.metric[i]
                value[rows] = number
                time[rows] = times[layouts.time_slot[i]] if layouts.time_slot[i] >= 0 else no_time
                where = layouts.device_slot[i]
                if where < 0:
                    device[rows] = -1
                else:
                    if seen[where] < 0:
                        seen[where] = devices
                        device_spans[devices, 0] = spans[where, 0]
                        device_spans[devices, 1] = spans[where, 1]
                        devices += 1
                    device[rows] = seen[where]
                rows += 1
        if found >= 0:
            hits[found] += 1
        else:
            rows, devices = before_rows, before_devices
            unread[left] = m
            left += 1
    return rows, devices, left
