"""Receive and journal: read, split, journal, acknowledge, in one thread, in this order and no other."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable

import numpy as np

from common.durations import parse_duration
from common.storage_errors import StorageCorruptError, StorageFullError
from common.time_units import SECOND
from devices.messages import MessageChunk
from ingest.frames import Group
from ingest.given_chunks import GivenChunks, Made
from ingest.read_pace import ReadPace
from ingest.receiver_state import ReceiverState, ReceiverStatistics
from ingest.session import MqttSession, SessionState
from storage.storage_settings import JournalSettings
from storage.store import MessageLog

log = logging.getLogger(__name__)

_IDLE_WAIT = 0.5
_FIRST_RETRY, _LONGEST_RETRY, _LONGEST_PAUSE = 0.25, 5.0, 30.0
_FAILURE_STEP = 0.05
_DRAIN_WITHIN = 2.0

_LARGEST_STEP = 5 * SECOND
"""Nanoseconds by which a clock may go back before arrival times go back with it."""


OnAppend = Callable[[int, int, MessageChunk], None]
"""Called with position, offset and chunk of what was just journaled."""


OnWritten = Callable[[int, int, int], None]
"""Called with the position of what was just journaled, and when its writing began and ended, ns."""


def _ignore(_position: int, _offset: int, _chunk: MessageChunk) -> None: ...


class Receiver:
    """Takes messages from the session into the journal, and acknowledges them once they are on disk.

    A group is written when it is full, when it is old, and at once when the socket is drained and a message waits for
    its acknowledgement. Arrival times are strictly increasing within a group, and over the whole journal as long as the
    host's clock is not set back by more than 5 s.

    All work is in one thread of its own. `on_append` and `on_written` are called there and must not block. Every method
    may be called from any thread.
    """

    def __init__(
        self,
        session: MqttSession,
        journal: MessageLog,
        clock: Callable[[], int],
        settings: JournalSettings | None = None,
        *,
        on_append: OnAppend = _ignore,
        on_written: OnWritten | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._journal = journal
        self._clock = clock
        self._delay = parse_duration((settings or JournalSettings()).group_delay) / 1e9
        self._on_append = on_append
        self._on_written = on_written
        self._monotonic = monotonic
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._paused = False
        self._tick_wanted = False
        self.given = GivenChunks(session.wake)
        """What comes another way than from the broker."""
        self._started = False
        self._failure = ""
        self._full = ""
        self._held: Group | None = None
        self._connection_mark: MessageChunk | None = None
        self._retry_at = 0.0
        self._retry_delay = _FIRST_RETRY
        self._pace = ReadPace()
        self._next_read = 0.0
        self._group_since = 0.0
        self._waiting = 0
        self._more = False
        self._last_arrival = 0
        self._messages = 0
        self._chunks = 0

    def start(self) -> None:
        """Start receiving. A broker that is away is waited for."""
        self._last_arrival = self._journal.last_arrival
        self._session.open(self._journal.newest_first, self._mark_connection)
        self._started = True
        self._thread = threading.Thread(target=self._run, name="receive", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 8.0) -> bool:
        """Journal and acknowledge what was received, disconnect and end. False where `timeout` seconds were too few."""
        self._stopping = True
        if self._thread is None:
            return True
        self._session.wake()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def pause(self) -> None:
        """Stop reading until `resume`, so that the broker holds messages back. What was read is still journaled."""
        self._paused = True
        self._session.wake()

    def resume(self) -> None:
        """Read on."""
        self._paused = False
        self._session.wake()

    def request_tick(self) -> None:
        """Let arrival time go on in the journal, by a tick where no message does it."""
        self._tick_wanted = True
        self._session.wake()

    def statistics(self) -> ReceiverStatistics:
        """Counts and state now."""
        session = self._session
        state, reason = self._state()
        since = session.connected_at
        return ReceiverStatistics(
            state=state,
            reason=reason,
            messages=self._messages,
            bytes=session.bytes_received,
            chunks=self._chunks,
            truncated=session.buffer.truncated,
            reconnects=max(0, session.connections - 1),
            connected_since=None if since is None else self._clock() - round((self._monotonic() - since) * 1e9),
            pending_acknowledgements=self._waiting,
        )

    @property
    def waiting(self) -> int:
        """Messages that were read and are not in the journal yet."""
        held = self._held
        return self._session.buffer.rows + (0 if held is None else len(held.chunk))

    def _state(self) -> tuple[ReceiverState, str]:
        session, held = self._session, self._held
        if self._failure:
            return ReceiverState.FAILED, self._failure
        if not self._started or (self._stopping and session.state == SessionState.CLOSED):
            return ReceiverState.STOPPED, ""
        if held is not None:
            return (
                ReceiverState.JOURNAL_FULL,
                f"{self._full}; {len(held.chunk)} messages wait in memory, the rest at the broker",
            )
        if session.state == SessionState.TAKEN_OVER:
            return ReceiverState.TAKEN_OVER, session.reason
        if session.state == SessionState.CONNECTING:
            return ReceiverState.STARTING, session.reason
        if session.state != SessionState.CONNECTED:
            return ReceiverState.NO_BROKER, f"{session.state}: {session.reason}"
        if not session.subscribed:
            return ReceiverState.STARTING, "waiting for the broker to confirm the subscriptions"
        if session.refusal:
            return ReceiverState.NOT_SUBSCRIBED, session.refusal
        if self._paused:
            return ReceiverState.PAUSED, "held back until the journal's backlog is worked off"
        return ReceiverState.RUNNING, session.reason

    def _run(self) -> None:
        """Until the end, whatever happens: after an error of ours the broker delivers again what has no answer yet."""
        pause, written = _FIRST_RETRY, 0
        try:
            while not self._stopping:
                try:
                    self._turn()
                except Exception as error:
                    self._failure = f"receiving failed: {type(error).__name__}: {error}; trying again"
                    log.exception("receiving failed; nothing is acknowledged until it goes on")
                    self._session.give_up_connection(self._failure)
                    self._wait_in_failure(pause)
                    pause, written = min(2 * pause, _LONGEST_PAUSE), self._chunks
                else:
                    if self._failure and self._chunks > written:
                        log.info("receiving goes on")
                        self._failure, pause = "", _FIRST_RETRY
            self._drain()
        except Exception:
            log.exception("what was received last could not be journaled; the broker will deliver it again")
        finally:
            self._session.close()

    def _wait_in_failure(self, seconds: float) -> None:
        until = self._monotonic() + seconds
        while not self._stopping and self._monotonic() < until:
            time.sleep(_FAILURE_STEP)

    def _turn(self) -> None:
        """Once around: wait, read, journal, acknowledge."""
        now = self._monotonic()
        if self._held is not None and now >= self._retry_at:
            self._write(self._held)
        reading = self._held is None and not self._paused and now >= self._next_read
        drained = False
        if self._session.wait(self._patience(now), reading=reading) or (reading and self._more):
            drained = self._read()
        if self.given:
            self._write_given()
        if self._held is None:
            if self._is_due(drained):
                self._flush()
            elif self._tick_wanted:
                self._tick()

    def _patience(self, now: float) -> float:
        """Seconds until something is to be done although nothing comes in."""
        if self._more and self._held is None and not self._paused:
            return 0.0
        times = [now + _IDLE_WAIT]
        if self._held is not None:
            times.append(self._retry_at)
        elif self._session.buffer.rows:
            times.append(self._group_since + self._delay)
        if self._next_read > now:
            times.append(self._next_read)
        return max(0.0, min(times) - now)

    def _read(self) -> bool:
        """Read once and stamp what came. True where the socket is drained.

        A drained socket is left alone for a moment, so that one call brings many messages and not one.
        """
        buffer = self._session.buffer
        first_row = buffer.rows
        drained = self._session.read()
        self._more = buffer.is_full
        now = self._monotonic()
        new = buffer.rows - first_row
        unacknowledged = int(np.count_nonzero(buffer.packet_ids(first_row))) if new > 0 else 0
        if drained:
            self._next_read = now + self._pace.pause(new, unacknowledged)
        if new > 0:
            if first_row == 0:
                self._group_since = now
            arrival = self._next_arrival(group_begins=first_row == 0)
            buffer.stamp(first_row, arrival)
            self._last_arrival = arrival + new - 1
            self._waiting += unacknowledged
        return drained

    def _next_arrival(self, *, group_begins: bool) -> int:
        """The host's time, beyond that of the message before.

        A clock that was set back is followed from the next group on; only its small steps are waited out. The order of
        messages is their place in the journal, not their arrival.
        """
        now = self._clock()
        if group_begins and self._last_arrival - now > _LARGEST_STEP:
            return now
        return max(now, self._last_arrival + 1)

    def _is_due(self, drained: bool) -> bool:
        buffer = self._session.buffer
        now = self._monotonic()
        if buffer.rows == 0:
            return False
        if buffer.is_full or self._tick_wanted or (drained and self._waiting):
            return True
        if self._session.state != SessionState.CONNECTED:
            # In the journal before the next connection, which may bring the same messages again.
            return True
        # Nothing is read before then: waiting any longer would not fill the group.
        return self._next_read >= self._group_since + self._delay or now >= self._group_since + self._delay

    def _flush(self) -> None:
        group = self._session.take()
        self._waiting = group.pending
        self._write(group)

    def _write(self, group: Group) -> None:
        """Journal the group, and only then acknowledge it. Where it cannot be written it is held and tried again."""
        try:
            position, offset = self._append(group.chunk)
        except (StorageFullError, StorageCorruptError, OSError) as error:
            if self._held is None:
                log.error("the journal cannot be written: %s; nothing more is acknowledged until it can be", error)
                self._retry_delay = _FIRST_RETRY
            self._full = str(error)
            self._held = group
            self._retry_at = self._monotonic() + self._retry_delay
            self._retry_delay = min(2 * self._retry_delay, _LONGEST_RETRY)
            return
        if self._held is not None:
            log.info("the journal is written again")
        self._held = None
        self._waiting = 0
        self._tick_wanted = False
        self._session.acknowledge(group)
        self._messages += len(group.chunk)
        self._chunks += 1
        self._on_append(position, offset, group.chunk)

    def _write_given(self) -> None:
        """Journal what did not come from the broker, behind the messages that have come already."""
        if self._held is None and self._session.buffer.rows:
            self._flush()
        self.given.write(self._append_given)

    def _append_given(self, make: Made) -> tuple[int, int]:
        if self._held is not None:
            raise StorageFullError(self._full)
        now = self._next_arrival(group_begins=True)
        chunk = make(now)
        self._last_arrival = max(now, chunk.ticked_at)
        position, offset = self._append(chunk)
        self._messages += len(chunk)
        self._chunks += 1
        self._on_append(position, offset, chunk)
        return position, offset

    def _tick(self) -> None:
        """Journal a tick. In a full journal it is left out: the next message or tick brings the time."""
        self._tick_wanted = False
        self._last_arrival = self._next_arrival(group_begins=True)
        away = self._session.state != SessionState.CONNECTED
        now = self._last_arrival
        chunk = MessageChunk.reception_gap(now) if away else MessageChunk.of([], ticked_at=now)
        with contextlib.suppress(StorageFullError, StorageCorruptError, OSError):
            position, offset = self._append(chunk)
            self._chunks += 1
            self._on_append(position, offset, chunk)

    def _mark_connection(self, session_present: bool) -> None:
        """Journal a new connection, and whether its session is new; in a full journal before the next chunk."""
        self._pace.connected()
        self._last_arrival = self._next_arrival(group_begins=self._session.buffer.rows == 0)
        mark = MessageChunk.reception_gap if session_present else MessageChunk.session_mark
        if self._connection_mark is None or not self._connection_mark.begins_session:
            self._connection_mark = mark(self._last_arrival)
        with contextlib.suppress(StorageFullError, StorageCorruptError, OSError):
            self._append_mark()

    def _append(self, chunk: MessageChunk) -> tuple[int, int]:
        """Position and offset of the chunk, once it is in the journal. Raises StorageFullError."""
        self._append_mark()
        offset = self._journal.next_offset
        if self._on_written is None:
            return self._journal.append(chunk), offset
        begun = self._clock()
        position = self._journal.append(chunk)
        self._on_written(position, begun, self._clock())
        return position, offset

    def _append_mark(self) -> None:
        if (mark := self._connection_mark) is not None:
            offset = self._journal.next_offset
            position = self._journal.append(mark)
            self._connection_mark = None
            self._chunks += 1
            self._on_append(position, offset, mark)

    def _drain(self) -> None:
        """Take what the socket still holds, and journal it."""
        deadline = self._monotonic() + _DRAIN_WITHIN
        drained = self._paused
        while not drained and self._held is None and self._monotonic() < deadline:
            readable = self._session.wait(0.0, reading=True) or self._more
            drained = self._read() if readable else True
            if self._session.buffer.is_full:
                self._flush()
                drained = False
        if self._held is not None:
            self._write(self._held)
        elif self._session.buffer.rows:
            self._flush()
