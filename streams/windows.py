"""Streams: the clock of event time, and which windows a row belongs to and when they give their result.

All depends on the rows and on the moments (arrivals of messages and ticks) alone, message by message, and not on how
the journal was cut into entries. A row keeps where the watermark stood when it came (`seen`). A window fires at the
first moment whose watermark reaches a point, and then holds the rows that were seen before that point.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

BEFORE_ALL = -(2**62)
"""A watermark before any row has come."""

FINAL, EARLY, CORRECTION = "final", "early", "correction"


@dataclass(frozen=True, slots=True, order=True)
class Firing:
    """A window gives a result at the first moment whose watermark is at `at` (ns): rows of `key` from `start` up to
    and without `end` that were seen before `at`. `complete` is False where rows were left out for a limit."""

    at: int
    end: int
    start: int
    key: str
    kind: str
    revision: int = 0
    complete: bool = True


@dataclass(slots=True)
class EventClock:
    """Event time as it passes for a stream: the newest row's, and where none comes, on with arrival.

    With arrival it goes as far behind it as the newest row was, until the windows of all rows are over (`end`) and no
    further: after a pause, rows that go on where they stopped are not late. A row ahead of its arrival counts as of its
    arrival, so that a wrong clock makes nothing late. The watermark is `lateness` behind, and never goes back.
    """

    lateness: int
    newest: int = BEFORE_ALL
    behind: int = BEFORE_ALL
    end: int = BEFORE_ALL
    watermark: int = BEFORE_ALL

    def advance(
        self, moments: NDArray[np.int64], time: NDArray[np.int64], end: NDArray[np.int64], at: NDArray[np.intp]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The watermark after each of the m `moments`, (m,), and before the message of each row, (n,).

        Of the n rows: `time` is event time, `end` when the last window of each is over, `at` the index of its moment.
        """
        newest, ends = np.full((2, len(moments)), BEFORE_ALL, np.int64)
        np.maximum.at(newest, at, np.minimum(time, moments[at]))
        np.maximum.at(ends, at, end)
        newest = np.maximum(np.maximum.accumulate(newest), self.newest)
        ends = np.maximum(np.maximum.accumulate(ends), self.end)
        grew = newest > np.concatenate([[self.newest], newest[:-1]])
        last = np.maximum.accumulate(np.where(grew, np.arange(len(moments)), -1))
        behind = np.where(last >= 0, (newest - moments)[last], self.behind)
        known = newest > BEFORE_ALL
        passed = np.minimum(moments + np.where(known, behind, 0) - self.lateness, ends)
        after = np.where(known, np.maximum(passed, newest - self.lateness), BEFORE_ALL)
        after = np.maximum(np.maximum.accumulate(after), self.watermark)
        before = np.concatenate([[self.watermark], after[:-1]])
        self.newest, self.behind = int(newest[-1]), int(behind[-1])
        self.end, self.watermark = int(ends[-1]), int(after[-1])
        return after, before[at]

    def stand_until(self, arrival: int) -> None:
        """Let event time go on with arrival no sooner than at `arrival`, from where it stands, or with a newer row."""
        if self.newest > BEFORE_ALL:
            self.behind = max(self.newest, self.watermark + self.lateness) - arrival

    def state(self) -> list[int]:
        """All of it."""
        return [self.newest, self.behind, self.end, self.watermark]

    def load(self, saved: list[int]) -> None:
        """Take over what `state` returned."""
        self.newest, self.behind, self.end, self.watermark = saved

    def arrival_at(self, watermark: int) -> int | None:
        """The arrival at which the watermark will be there where no row comes before; None before the first row."""
        return None if self.newest == BEFORE_ALL else watermark - self.behind + self.lateness


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of rows, masks (n,): taken, `corrected` those of them that came late; late for good; over a limit."""

    taken: NDArray[np.bool_]
    corrected: NDArray[np.bool_]
    late: NDArray[np.bool_]
    dropped: NDArray[np.bool_]


class Windows(Protocol):
    """The windows of one stream that are open."""

    def over(self, time: NDArray[np.int64]) -> NDArray[np.int64]:
        """The watermark at which the last window of a row of each `time` has given its last result."""
        ...

    def take(self, time: NDArray[np.int64], seen: NDArray[np.int64], keys: list[str] | None) -> Taken:
        """Take rows in the order in which they came; `keys` is the key of each, None where there are none."""
        ...

    def due(self, watermark: int) -> list[Firing]:
        """What fires up to a watermark, in order; windows that are over are forgotten."""
        ...

    def needed_from(self, watermark: int) -> int:
        """The earliest event time of rows that a window may still need."""
        ...

    @property
    def next_firing(self) -> int | None:
        """The watermark at which the next window fires; None where none is open."""
        ...

    def state(self) -> dict[str, Any]:
        """All of it, as JSON."""
        ...

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        ...


@dataclass(slots=True)
class PaneWindows:
    """Tumbling, hopping and sliding windows (ns). Rows are counted in panes: stretches of one `hop`.

    `sliding` windows end with each row, and their panes are as long as they are. Results are given every `early` ns
    before a window's end where that is above 0, and anew for `corrections` ns after it.
    """

    size: int
    hop: int
    max_rows: int
    max_keys: int
    sliding: bool = False
    early: int = 0
    corrections: int = 0
    pending: set[tuple[int, int, int, str, str]] = field(default_factory=set)
    """Firings to come: at, end, start, key, kind."""
    revisions: dict[tuple[int, str], int] = field(default_factory=dict)
    panes: dict[int, dict[str, list[int]]] = field(default_factory=dict)
    """Of each pane and key: how many rows were taken, and where the watermark stood when the first was left out."""

    def over(self, time: NDArray[np.int64]) -> NDArray[np.int64]:
        """The watermark at which the last window of a row of each `time` has given its last result."""
        last = time + 1 if self.sliding else time // self.hop * self.hop + self.size
        return last + (self.corrections + self.hop if self.corrections else 0)

    def take(self, time: NDArray[np.int64], seen: NDArray[np.int64], keys: list[str] | None) -> Taken:
        """Take rows in the order in which they came; `keys` is the key of each, None where there are none."""
        pane = time // self.hop
        last_end = time + 1 if self.sliding else pane * self.hop + self.size
        behind = last_end <= seen
        late = behind & (last_end + self.corrections <= seen)
        dropped = np.zeros(len(time), np.bool_)
        for number, key, rows in _groups(pane, keys, np.flatnonzero(~late)):
            kept = self._within_limits(number, key, rows, seen)
            dropped[rows[kept:]] = True
            if kept:
                self._plan(number, key, time[rows[:kept]], seen[rows[:kept]])
        taken = ~late & ~dropped
        return Taken(taken, taken & behind, late, dropped)

    def _within_limits(self, pane: int, key: str, rows: NDArray[np.intp], seen: NDArray[np.int64]) -> int:
        """Count rows of a pane and key; returns how many of them may be taken."""
        counts = self.panes.setdefault(pane, {})
        if key not in counts and len(counts) >= self.max_keys:
            return 0
        count = counts.setdefault(key, [0, -BEFORE_ALL])
        most = max(1, self.max_rows * self.hop // self.size)
        kept = min(len(rows), max(0, most - count[0]))
        count[0] += kept
        if kept < len(rows):
            count[1] = min(count[1], int(seen[rows[kept]]))
        return kept

    def _plan(self, pane: int, key: str, time: NDArray[np.int64], seen: NDArray[np.int64]) -> None:
        """Note when the windows of rows of one pane and key give their results."""
        if self.sliding:
            for at in np.unique(time + 1).tolist():
                self.pending.add((at, at, at - self.size, key, FINAL))
            return
        first_seen = int(seen.min())
        for end in range((pane + 1) * self.hop, pane * self.hop + self.size + 1, self.hop):
            start = end - self.size
            if first_seen < end:
                self.pending.add((end, end, start, key, FINAL))
            for at in self._early_points(start, end, first_seen):
                self.pending.add((at, end, start, key, EARLY))
            after = seen[(seen >= end) & (seen < end + self.corrections)] if self.corrections else seen[:0]
            for at in np.unique((after // self.hop + 1) * self.hop).tolist():
                self.pending.add((at, end, start, key, CORRECTION))

    def _early_points(self, start: int, end: int, seen: int) -> range:
        if not self.early:
            return range(0)
        passed = max(0, (seen - start) // self.early)
        return range(start + (passed + 1) * self.early, end, self.early)

    def due(self, watermark: int) -> list[Firing]:
        """What fires up to a watermark, in order; windows that are over are forgotten."""
        ready = sorted(each for each in self.pending if each[0] <= watermark)
        self.pending.difference_update(ready)
        firings = []
        for at, end, start, key, kind in ready:
            revision = self.revisions[start, key] = self.revisions.get((start, key), -1) + 1
            firings.append(Firing(at, end, start, key, kind, revision, self._is_complete(start, end, key, at)))
        over = watermark - self.size - self.corrections - self.hop
        self.revisions = {each: count for each, count in self.revisions.items() if each[0] > over}
        self.panes = {pane: counts for pane, counts in self.panes.items() if (pane + 1) * self.hop > over}
        return firings

    def _is_complete(self, start: int, end: int, key: str, at: int) -> bool:
        panes = (self.panes.get(pane, {}).get(key) for pane in range(start // self.hop, (end - 1) // self.hop + 1))
        return all(count is None or count[1] >= at for count in panes)

    def needed_from(self, watermark: int) -> int:
        """The earliest event time of rows that a window may still need."""
        return watermark - self.size - self.corrections - self.hop

    @property
    def next_firing(self) -> int | None:
        """The watermark at which the next window fires; None where none is open."""
        return min((each[0] for each in self.pending), default=None)

    def state(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {
            "pending": sorted(map(list, self.pending)),
            "revisions": [[start, key, count] for (start, key), count in self.revisions.items()],
            "panes": [[pane, key, *count] for pane, counts in self.panes.items() for key, count in counts.items()],
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self.pending = {(at, end, start, key, kind) for at, end, start, key, kind in saved["pending"]}
        self.revisions = {(start, key): count for start, key, count in saved["revisions"]}
        self.panes = {}
        for pane, key, count, left_out in saved["panes"]:
            self.panes.setdefault(pane, {})[key] = [count, left_out]


@dataclass(slots=True)
class SessionWindows:
    """Sessions: rows of a key with less than `gap` ns between them. A session ends one gap after its newest row."""

    gap: int
    max_rows: int
    max_keys: int
    sessions: dict[str, list[list[int]]] = field(default_factory=dict)
    """Of each key: start, end, rows, and where the watermark stood when the first row was left out."""
    ended: list[Firing] = field(default_factory=list)
    _nearest: int = -BEFORE_ALL
    """No session ends before."""

    def over(self, time: NDArray[np.int64]) -> NDArray[np.int64]:
        """The watermark at which a session that ends with a row of each `time` has given its result."""
        return time + self.gap

    def take(self, time: NDArray[np.int64], seen: NDArray[np.int64], keys: list[str] | None) -> Taken:
        """Take rows in the order in which they came; `keys` is the key of each, None where there are none."""
        late, dropped = np.zeros((2, len(time)), np.bool_)
        for row, (at, watermark) in enumerate(zip(time.tolist(), seen.tolist(), strict=True)):
            key = "" if keys is None else keys[row]
            self._end(watermark)
            before = self.sessions.get(key, [])
            touched = [each for each in before if each[0] - self.gap < at < each[1]]
            if not touched and at + self.gap <= watermark:
                late[row] = True
                continue
            if not before and len(self.sessions) >= self.max_keys:
                dropped[row] = True
                continue
            joined = [
                min([at, *(each[0] for each in touched)]),
                max([at + self.gap, *(each[1] for each in touched)]),
                sum(each[2] for each in touched),
                min([-BEFORE_ALL, *(each[3] for each in touched)]),
            ]
            if joined[2] >= self.max_rows:
                dropped[row] = True
                for each in touched:
                    each[3] = min(each[3], watermark)
                continue
            joined[2] += 1
            self._nearest = min(self._nearest, joined[1])
            self.sessions[key] = [each for each in before if each not in touched] + [joined]
        taken = ~late & ~dropped
        return Taken(taken, np.zeros(len(time), np.bool_), late, dropped)

    def _end(self, watermark: int) -> None:
        if self._nearest > watermark:
            return
        for key in list(self.sessions):
            for start, end, _, left_out in [each for each in self.sessions[key] if each[1] <= watermark]:
                self.ended.append(Firing(end, end, start, key, FINAL, 0, left_out >= end))
            self.sessions[key] = [each for each in self.sessions[key] if each[1] > watermark]
            if not self.sessions[key]:
                del self.sessions[key]
        self._nearest = -BEFORE_ALL if self.next_firing is None else self.next_firing

    def due(self, watermark: int) -> list[Firing]:
        """What fires up to a watermark, in order; sessions that are over are forgotten."""
        self._end(watermark)
        ended, self.ended = sorted(self.ended), []
        return ended

    def needed_from(self, watermark: int) -> int:
        """The earliest event time of rows that a session may still need."""
        starts = [each[0] for of_key in self.sessions.values() for each in of_key]
        return min([watermark - self.gap, *starts])

    @property
    def next_firing(self) -> int | None:
        """The watermark at which the next session ends; None where none is open."""
        return min((each[1] for of_key in self.sessions.values() for each in of_key), default=None)

    def state(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {"sessions": [[key, *each] for key, of_key in self.sessions.items() for each in of_key]}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self.sessions = {}
        for key, *session in saved["sessions"]:
            self.sessions.setdefault(key, []).append(session)
        self._nearest = BEFORE_ALL


def _groups(
    pane: NDArray[np.int64], keys: list[str] | None, rows: NDArray[np.intp]
) -> Iterator[tuple[int, str, NDArray[np.intp]]]:
    """Rows by pane and key, each group in the order in which they came."""
    panes = pane[rows]
    if keys is None:
        for number in np.unique(panes).tolist():
            yield number, "", rows[panes == number]
        return
    grouped: dict[tuple[int, str], list[int]] = {}
    for row, number in zip(rows.tolist(), panes.tolist(), strict=True):
        grouped.setdefault((number, keys[row]), []).append(row)
    for (number, key), of_group in grouped.items():
        yield number, key, np.array(of_group, np.intp)
