"""Score: time in state, compiled: long visits, visits at odd hours, chatter, a state never seen before."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from common.compiled import subkernel
from detectors.channels.exceedance import SIZES, SIZES_COLUMN, sizes_decades, sizes_learn
from detectors.detector import MAX_SCORE
from detectors.fleet_detector import Column
from detectors.statistics.calendar_time import DAY

STATES = 4
"""States that are told apart; a series with more of them is none for this channel."""
SWITCHES = 8
"""Changes of state whose time taken together tells chatter."""
HOUR = DAY // 24

(
    LEARNED, STATE, EXPECTED, ENTRY, ENTRY_CAUSE, CAUSE, STRAY, USUAL_GAP, USUAL_SWITCHES, SWITCHED, FIRST_DAY, LAST,
    SINCE, QUICK, QUICK_RUN, RING,
) = range(16)  # fmt: skip
"""Columns of `present`: readings learned; row of the present state, -1 for none; exits expected in the present visit
so far; decades of its beginning, -1 where that was not seen, and what they are about; what the last score is about;
share of readings that fit no row; the usual gap; the usual time of eight changes; changes seen; day of the first
reading; time of the last reading; time at which the visit began; changes that came right after the one before, and how
many of those in a row by now; from here on the times of the last eight changes. Times are in ns."""

NOTHING, LONG_VISIT, CHATTER, NEW_STATE, ODD_HOUR = range(5)
"""What a score is about, column `CAUSE`."""

VALUE, KNOWN, VISITS, LONG, EXITS, HOURS = range(6)
"""Columns of `states`: the state's value, 1 where the row is in use; visits begun; visits in a row that were too long
to teach; exits learned, and hours held."""

BY_HOUR, BY_DAY, HELD, LENGTHS = 0, 24, 31, 62
"""Columns of `tables`, from which on there are: exits by hour of the day and by weekday; hours held, likewise; lengths
of ended visits, in exits expected meanwhile."""

_MEMORY_HOURS = 8 * 7 * 24.0
"""Hours in one state after which its tables are halved."""
_GAP = 20.0
"""A silence of so many usual gaps ends a visit unknown, where the series is sampled."""
_UNSEEN_HOUR, _UNSEEN_DAY = 0.05, 0.3
"""Exits expected at an hour of the day, or on a weekday, not seen before: shares of the usual rate."""
_VISITS_TO_TRUST = 3.0
_FEWEST_VISITS = 5.0
_FEWEST_SWITCHES = 6.0 * SWITCHES
_ODD = 3.0
"""Decades from which a visit does not teach."""
_KEEPS_COMING = 10.0
_NEWS, _FAMILIAR, _OFTEN = 5.0, 10.0, 0.2
"""Visits up to which a state is news, and from which it is none; share of the time held that makes it none."""
_FEWEST_DAYS, _FEWEST_DAYS_FOR_WEEKDAYS = 4.0, 21.0
_FEWEST_ENTRIES = 20.0
_USUAL = 0.02
"""A change at hours to which more than this share of the changes falls is not odd."""
_HELD_AT_MOST = DAY
"""For how long a visit that began oddly keeps the score of its beginning."""
_MOST_STRAY, _STRAY_RATE = 0.02, 0.01
_QUICK, _QUICK_SHARE = 2.5, 0.125
"""A change comes right after the one before within so many usual gaps where the state is read at a pace of its own, and
within this share of the usual time of one change where it is sent when it changes."""
_QUICK_PRIOR = 0.2
"""Share of the changes of a typical state that do."""
_SAMPLED = 8.0
"""Readings a change from which on a state is read at a pace of its own, not sent when it changes."""
_LEAST_RUN, _TEACHING_RUN = 6.0, 8.0
"""Changes in a row from which they are chatter at all, and up to which they teach how often that is usual."""
_GAP_RATE, _SWITCHES_RATE, _REACH = 0.05, 0.05, 4.0
_MARGIN = 1.7
"""Nobody minds a visit just longer than the longest before: lengths count as if shorter by this factor."""
_QUESTIONS = math.log10(3.0)
_LONGEST_WALK = 21 * 24


LAYOUT = {
    "present": Column(np.float64, (RING + SWITCHES,)),
    "states": Column(np.float64, (STATES, 6)),
    "tables": Column(np.float32, (STATES, LENGTHS + SIZES)),
    "bursts": SIZES_COLUMN,
}
"""A series' record: what each state's visits were like, and the present one.

`present` (24) float64, see `LEARNED`; `states` (4, 6) float64, see `VALUE`; `tables` (4, 85)
float32, see `BY_HOUR`; `bursts` (SIZES) float32: the usual time of eight changes over the time that they
took. Few arrays, since each costs a reading some time.
"""


@subkernel
def _row(states: Any, value: float) -> int:
    """The row of this state, a free one where it is new, -1 where it fits none."""
    for k in range(STATES):
        if states[k, VALUE] == value or states[k, KNOWN] == 0.0:
            return k
    return -1


@subkernel
def _exit_rate(table: Any, hour: int, day: int, mean: float) -> float:
    """Exits an hour expected at this hour and weekday; `mean` is the state's overall rate, above 0.

    An hour of the day, or a weekday, that the state was not seen in counts as one in which it seldom ends.
    """
    by_hour = (table[BY_HOUR + hour] + _VISITS_TO_TRUST * _UNSEEN_HOUR) / (table[HELD + hour] + _VISITS_TO_TRUST / mean)
    by_day = (table[BY_DAY + day] + _VISITS_TO_TRUST * _UNSEEN_DAY) / (
        mean * table[HELD + BY_DAY + day] + _VISITS_TO_TRUST
    )
    return float(by_hour * min(max(by_day, 0.02), 5.0))


@subkernel
def _expect(state: Any, row: int, clock: int, length: int) -> float:
    """Exits expected of a state in the `length` ns before local time `clock`; none without an exit so far."""
    counts, table = state.states[row], state.tables[row]
    if counts[EXITS] <= 0.0 or counts[HOURS] <= 0.0:
        return 0.0
    mean = counts[EXITS] / counts[HOURS]
    expected, at, steps = 0.0, clock - length, 0
    while at < clock:
        following = min(clock, (at // HOUR + 1) * HOUR) if steps < _LONGEST_WALK else clock
        hour, day = int(at % DAY // HOUR), int(at // DAY % 7)
        expected += (following - at) / HOUR * _exit_rate(table, hour, day, mean)
        at = following
        steps += 1
    return expected


@subkernel
def _hold(state: Any, row: int, clock: int, length: int) -> None:
    """Learn that the state was held for `length` ns up to local time `clock`."""
    table = state.tables[row]
    at, steps = clock - length, 0
    while at < clock and steps < _LONGEST_WALK:
        following = min(clock, (at // HOUR + 1) * HOUR)
        share = (following - at) / HOUR
        table[HELD + int(at % DAY // HOUR)] += share
        table[HELD + BY_DAY + int(at // DAY % 7)] += share
        state.states[row, HOURS] += share
        at = following
        steps += 1


@subkernel
def _long_visit(state: Any, row: int, expected: float) -> float:
    """Decades, per reading, of a visit in which so many exits were expected and none came."""
    begun = state.states[row, VISITS]
    if expected < _MARGIN or begun < _FEWEST_VISITS:
        return 0.0
    readings = max(state.present[LEARNED], 1.0)
    return float(
        sizes_decades(state.tables[row, LENGTHS:], expected / _MARGIN) + max(0.0, math.log10(readings / begun))
    )


@subkernel
def _is_quick(present: Any, time: int) -> bool:
    """Whether a change now comes right after the last one."""
    last = present[RING + (int(present[SWITCHED]) + SWITCHES - 1) % SWITCHES]
    longest = _QUICK * present[USUAL_GAP]
    if present[LEARNED] < _SAMPLED * present[SWITCHED]:
        longest = _QUICK_SHARE * present[USUAL_SWITCHES] / SWITCHES
    return bool(present[SWITCHED] > 0.0 and time - last <= longest)


@subkernel
def _run_of_changes(present: Any, time: int, switch: bool) -> float:
    """Decades of so many changes in a row, each right after the one before; 0 where that is how this state changes."""
    if not _is_quick(present, time):
        return 0.0
    run = present[QUICK_RUN] + (1.0 if switch else 0.0)
    if run < _LEAST_RUN:
        return 0.0
    share = (present[QUICK] + _FEWEST_SWITCHES * _QUICK_PRIOR) / (present[SWITCHED] + _FEWEST_SWITCHES)
    return float((run - 2.0) * -math.log10(min(share, 1.0)))


@subkernel
def _chatter(state: Any, time: int, switch: bool) -> float:
    """Decades, per reading, of changes coming in a burst, up to and with this reading.

    Two measures: eight changes in as short a time as the last eight took, and so many of them in a row.
    """
    present = state.present
    if present[SWITCHED] < _FEWEST_SWITCHES:
        return 0.0
    rarely = max(0.0, math.log10(present[LEARNED] / present[SWITCHED]))
    oldest = present[RING + (int(present[SWITCHED]) + switch) % SWITCHES]
    ratio = present[USUAL_SWITCHES] / max(float(time - oldest), 1.0)
    if ratio < _MARGIN:
        return 0.0
    in_a_row = _run_of_changes(present, time, switch)
    return float(max(sizes_decades(state.bursts, ratio / _MARGIN), in_a_row) + rarely)


@subkernel
def _new_state(state: Any, row: int) -> float:
    """Decades of meeting this state, by the rule of succession; 0 once it is familiar or was held often."""
    begun, hours = state.states[row, VISITS], 0.0
    for other in range(STATES):
        hours += state.states[other, HOURS]
    if begun >= _FAMILIAR or state.states[row, HOURS] > _OFTEN * hours:
        return 0.0
    fresh = min(1.0, (_FAMILIAR - begun) / (_FAMILIAR - _NEWS))
    return float(fresh * math.log10((state.present[LEARNED] + 2.0) / (begun + 1.0)))


@subkernel
def _entries(state: Any, row: int, column: int) -> float:
    """Changes to a state at one hour or on one weekday: those in which the other states ended."""
    entries = 0.0
    for other in range(STATES):
        if other != row:
            entries += float(state.tables[other, column])
    return entries


@subkernel
def _odds_of_hour(state: Any, row: int, hour: int, total: float) -> float:
    """The share of changes to a state expected at one hour of the day, drawn to the hours around it."""
    around = 0.5 * _entries(state, row, BY_HOUR + hour)
    around += 0.25 * _entries(state, row, BY_HOUR + (hour + 1) % 24)
    around += 0.25 * _entries(state, row, BY_HOUR + (hour + 23) % 24)
    return (around + 1.0 / 24.0) / (total + 1.0)


@subkernel
def _odds_of_day(state: Any, row: int, day: int, total: float, days: float) -> float:
    """How many of the changes to a state are expected on one weekday, 1 on average; 1 before three weeks are over."""
    if days < _FEWEST_DAYS_FOR_WEEKDAYS:
        return 1.0
    return 7.0 * (_entries(state, row, BY_DAY + day) + 1.0 / 7.0) / (total + 1.0)


@subkernel
def _odd_hour(state: Any, row: int, clock: int) -> float:
    """Decades, per reading, of a change to this state at such an hour: how few of the changes came at hours as rare.

    A score says at most that such a change comes once in the readings seen so far.
    """
    present = state.present
    days = float(clock // DAY) - present[FIRST_DAY]
    total = 0.0
    for hour in range(24):
        total += _entries(state, row, BY_HOUR + hour)
    if days < _FEWEST_DAYS or total < _FEWEST_ENTRIES:
        return 0.0
    here = _odds_of_hour(state, row, int(clock % DAY // HOUR), total)
    here *= _odds_of_day(state, row, int(clock // DAY % 7), total, days)
    odds, everything = 0.0, 0.0
    for day in range(7):
        of_day = _odds_of_day(state, row, day, total, days)
        for hour in range(24):
            weight = of_day * _odds_of_hour(state, row, hour, total)
            everything += weight
            if weight <= here * 1.001:
                odds += weight
    if odds > _USUAL * everything:
        return 0.0
    rarely = max(0.0, math.log10(present[LEARNED] / total))
    known = math.log10(max(present[LEARNED], 1.0))
    return float(min(rarely - math.log10(odds / everything), known))


@subkernel
def _learn_end(state: Any, row: int, clock: int, expected: float, odd: bool) -> None:
    """Learn that a visit has ended, unless it was too long to be usual; ten such in a row are usual after all."""
    counts = state.states[row]
    counts[LONG] = counts[LONG] + 1.0 if odd else max(0.0, counts[LONG] - 0.5)
    if odd and counts[LONG] < _KEEPS_COMING:
        return
    table = state.tables[row]
    table[BY_HOUR + int(clock % DAY // HOUR)] += 1.0
    table[BY_DAY + int(clock // DAY % 7)] += 1.0
    counts[EXITS] += 1.0
    if expected > 0.0 and counts[VISITS] >= _FEWEST_VISITS and state.present[ENTRY] >= 0.0:
        sizes_learn(table[LENGTHS:], expected)
    if counts[HOURS] > _MEMORY_HOURS:
        counts[EXITS] *= 0.5
        counts[HOURS] *= 0.5
        for k in range(LENGTHS):
            table[k] *= 0.5


@subkernel
def _learn_switch(state: Any, time: int, chatter: float) -> None:
    """Note one more change, and each eighth time how quickly the last eight came."""
    present = state.present
    quick = _is_quick(present, time)
    present[QUICK_RUN] = present[QUICK_RUN] + 1.0 if quick else 0.0
    if 0.0 < present[QUICK_RUN] <= _TEACHING_RUN:
        present[QUICK] += 1.0
    place = int(present[SWITCHED]) % SWITCHES
    taken = time - present[RING + (place + 1) % SWITCHES]
    present[RING + place] = time
    present[SWITCHED] += 1.0
    if present[SWITCHED] <= SWITCHES or taken <= 0.0:
        return
    if present[USUAL_SWITCHES] == 0.0:
        present[USUAL_SWITCHES] = taken
    if chatter < _ODD:
        ratio = taken / present[USUAL_SWITCHES]
        rate = max(_SWITCHES_RATE, 1.0 / (present[SWITCHED] - SWITCHES))
        present[USUAL_SWITCHES] *= max(1.0 / _REACH, min(_REACH, ratio)) ** rate
        if place == 0:
            sizes_learn(state.bursts, 1.0 / ratio)


@subkernel
def _is_gap(present: Any, gap: float) -> bool:
    """Whether nothing is known of the state during a silence of `gap` ns: the series is sampled, and was not."""
    sampled = present[LEARNED] > 2.0 * present[SWITCHED] and present[LEARNED] > 10.0
    return bool(sampled and gap > present[USUAL_GAP] * _GAP)


@subkernel
def dwell_overdue(state: Any, time: int, clock: int) -> float:
    """Decades of the present visit's having lasted up to `time` (ns) without a reading; NaN with nothing to say.

    For what is driven by the clock: of a door that is open nobody sends a reading. Changes nothing.
    """
    present = state.present
    row, gap = int(present[STATE]), time - int(present[LAST])
    if present[STRAY] > _MOST_STRAY or present[LEARNED] == 0.0 or row < 0 or gap < 0 or _is_gap(present, float(gap)):
        return math.nan
    more = _expect(state, row, clock, gap)
    return max(0.0, min(MAX_SCORE, _long_visit(state, row, present[EXPECTED] + more) - _QUESTIONS))


@subkernel
def _begin(state: Any, row: int, time: int, entry: float, about: int) -> None:
    """Begin a visit to `row`; `entry` is the decades of its beginning, -1 where that was not seen."""
    present = state.present
    present[STATE] = row
    present[EXPECTED] = 0.0
    present[ENTRY] = entry
    present[ENTRY_CAUSE] = about
    present[SINCE] = time
    if entry >= 0.0:
        state.states[row, VISITS] += 1.0


@subkernel
def dwell_step(state: Any, time: int, clock: int, value: float, learn: bool) -> float:
    """Decades of one reading, NaN with nothing to say; learns it where `learn`.

    `state` is a record of `LAYOUT`; `time` in ns; `clock` the local time in ns since a Monday's midnight.
    """
    present = state.present
    warm = present[LEARNED] > 0.0
    gap = max(time - int(present[LAST]), 0) if warm else 0
    before = int(present[STATE]) if warm else -1
    row = _row(state.states, value)
    if before >= 0 and _is_gap(present, float(gap)):
        before = -1
    expected, long = present[EXPECTED], 0.0
    if before >= 0:
        expected += _expect(state, before, clock, gap)
        long = _long_visit(state, before, expected)
    switch = before >= 0 and row >= 0 and row != before
    entry, about, chatter = 0.0, NOTHING, _chatter(state, time, switch)
    if switch:
        new, hour = _new_state(state, row), _odd_hour(state, row, clock)
        entry, about = (new, NEW_STATE) if new >= hour else (hour, ODD_HOUR)
    elif before >= 0 and row == before and time - present[SINCE] <= _HELD_AT_MOST:
        entry, about = max(present[ENTRY], 0.0), int(present[ENTRY_CAUSE])
    score = max(entry, long, chatter)
    told = warm and present[STRAY] <= _MOST_STRAY
    if learn:
        present[CAUSE] = about if score == entry else LONG_VISIT if score == long else CHATTER
        if before >= 0:
            _learn_held(state, before, clock, gap, expected, long, switch and chatter < _ODD)
        if switch:
            _learn_switch(state, time, chatter)
        if row >= 0 and (switch or before < 0):
            _begin(state, row, time, entry if switch else -1.0, about)
            state.states[row, VALUE] = value
            state.states[row, KNOWN] = 1.0
        _learn_reading(state, time, clock, gap, row)
    return max(0.0, min(MAX_SCORE, score - _QUESTIONS)) if told else math.nan


@subkernel
def _learn_held(state: Any, row: int, clock: int, gap: int, expected: float, long: float, ended: bool) -> None:
    """Learn that the state was held for `gap` ns more, unless the visit is too long to be usual, and its end."""
    odd = long >= _ODD
    if not odd or state.states[row, LONG] >= _KEEPS_COMING:
        _hold(state, row, clock, gap)
    if ended:
        _learn_end(state, row, clock, expected, odd)
    else:
        state.present[EXPECTED] = expected


@subkernel
def _learn_reading(state: Any, time: int, clock: int, gap: int, row: int) -> None:
    """Learn the cadence, and whether readings fit a state at all."""
    present = state.present
    if present[LEARNED] == 0.0:
        present[FIRST_DAY] = clock // DAY
    elif gap > 0:
        if present[USUAL_GAP] == 0.0:
            present[USUAL_GAP] = float(gap)
        change = math.log(gap / present[USUAL_GAP])
        present[USUAL_GAP] *= 1.0 + _GAP_RATE * max(-1.0, min(1.0, change))
    present[STRAY] += _STRAY_RATE * ((1.0 if row < 0 else 0.0) - present[STRAY])
    if row < 0:
        present[STATE] = -1.0
    present[LEARNED] += 1.0
    present[LAST] = time
