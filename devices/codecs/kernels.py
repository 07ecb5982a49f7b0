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
from devices.codecs.number_kernels import read_number
from devices.codecs.text_kernels import end_of_text, hashes_of_words, is_prose, read_truth
from devices.codecs.time_kernels import read_date_time, read_epoch
from devices.times import AUTO_BOUNDS

LITERAL, NUMBER, TRUTH, TIME_NUMBER, TIME_TEXT, TEXT, PROSE, DEVICE = range(8)
"""Kinds of operation. A TEXT slot is in a place where text is no reading whatever it says; the text of a PROSE slot
must be such that it is none; a DEVICE slot names the device."""

ANY, BELOW_TIME, FROM_TIME = range(3)
"""What a number slot must be: anything, too small for an unasked-for time, or large enough for one."""

_MOST_EXACT = 2.0**53


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
    return Rules(scale, zoneless, plausible, bounds, hashes_of_words(), np.array(errors, np.float64))


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
            at, fraction, magnitude, negative = read_number(data, at, stop, values, a)
            if at < 0:
                return False
            value = values[a]
            if (b == BELOW_TIME and value >= rules.plausible) or (b == FROM_TIME and value < rules.plausible):
                return False
            # 2^53 + 1 reads as 2^53 too: from there on the general path says what was rounded.
            if kind == NUMBER and not fraction and abs(value) >= _MOST_EXACT:
                return False
            if kind == TIME_NUMBER:
                good, times[a] = read_epoch(value, fraction, magnitude, negative, rules.scale, rules.bounds)
                if not good:
                    return False
        elif kind == TIME_TEXT:
            at, times[a] = read_date_time(data, at, stop, rules.zoneless)
            if at < 0:
                return False
        elif kind == TRUTH:
            at, values[a] = read_truth(data, at, stop)
            if at < 0:
                return False
        else:
            end = end_of_text(data, at, stop)
            if end < 0 or (kind == DEVICE and not 0 < end - at <= 512):
                return False
            if kind == PROSE and not is_prose(data, at, end, rules.words):
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
