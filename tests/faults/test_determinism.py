"""A model of the service in one thread, over the real journal, database and snapshots: any order of publishes, kills,
restarts, reloads, snapshots and compactions ends as an undisturbed run over the same journal does."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from undisturbed_runs import Changes, differences_of_state, differences_of_tables, note_change, settings_of, undisturbed

from devices.messages import FLAG_DUPLICATE, FLAG_REDELIVERED, MessageChunk
from driftline.config import Config
from driftline.runtime.recovery import new_engine, restored_engine
from driftline.runtime.store_worker import SnapshotRequest, flattened
from driftline.runtime.warm_start import warm_start
from ingest.pipeline import Engine
from storage.embedded.database import EmbeddedStore
from storage.journal.sqlite_journal import SqliteJournal
from storage.snapshots import SnapshotStore
from storage.store import JournalEntry, StepOutput

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

START_MS = 1_750_000_000_000
LIMITS = {"type": "threshold", "upper": 70.0}
CONFIGURATIONS = [
    Config.model_validate(text)
    for text in (
        {"detectors": {"default": {"type": "zscore", "warmup": 5}}, "alarm": {"threshold": 3.0, "clear_after": 2}},
        {
            "detectors": {"default": {"type": "zscore", "warmup": 5}, "limits": LIMITS},
            "routes": [{"filter": "#", "detectors": ["default", "limits"], "reorder_window": "2s"}],
            "alarm": {"threshold": 3.0, "clear_after": 2},
        },
        {
            "detectors": {"default": {"type": "zscore", "warmup": 8}, "limits": LIMITS},
            "routes": [
                {"filter": "d/0", "detectors": ["limits"]},
                {"filter": "#", "device": "all", "reorder_window": "1s"},
            ],
            "alarm": {"threshold": 3.0, "clear_after": 2},
        },
    )
]
MESSAGES = st.lists(st.tuples(st.integers(0, 3), st.integers(-4, 4), st.integers(0, 100)), min_size=1, max_size=12)


class Pipeline(RuleBasedStateMachine):
    """The service's parts, stepped by hand. `queue` is what the engine made and the store does not have yet."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name)
        self.config = CONFIGURATIONS[0]
        self.changes: Changes = {0: [settings_of(self.config)]}
        self.entries: list[JournalEntry] = []
        self.second = 0
        self.arrival = START_MS * 10**6
        self.open()

    def open(self) -> None:
        self.queue: list[StepOutput | SnapshotRequest] = []
        self.store = EmbeddedStore(self.path / "points.duckdb").open()
        self.journal = SqliteJournal(self.path / "journal.db").open()
        self.snapshots = SnapshotStore(self.path / "snapshots.db").open()
        self.engine: Engine = restored_engine(self.config, self.store, self.journal, self.snapshots, lambda _: None)
        note_change(self.changes, self.engine.settings_from, self.engine.settings)

    def close(self) -> None:
        for part in (self.snapshots, self.journal, self.store):
            part.close()

    @rule(messages=MESSAGES, again=st.sampled_from([0, FLAG_DUPLICATE, FLAG_DUPLICATE | FLAG_REDELIVERED]))
    def publish(self, messages: list[tuple[int, int, int]], again: int) -> None:
        """A chunk is journaled; one that comes again stands for a delivery whose acknowledgement was lost, recognised
        or not. Odd values have no time."""
        rows = []
        for device, shift, value in messages:
            self.second += 1
            time = {} if value % 2 else {"ts": START_MS + (self.second + shift) * 1000}
            body = json.dumps({**time, "v": value}).encode()
            self.arrival += 10**9
            rows.append((b"d/%d" % device, body, self.arrival, 1))
        for _ in range(1 + (again > 0)):
            chunk = MessageChunk.of(rows)
            offset = self.journal.next_offset
            self.entries.append(JournalEntry(self.journal.append(chunk), offset, chunk))
            self.arrival += 1000
            rows = [(t, p, a + 1000, f | again) for t, p, a, f in rows]

    @rule(seconds=st.integers(1, 20))
    def tick(self, seconds: int) -> None:
        self.arrival += seconds * 10**9
        chunk = MessageChunk.of([], ticked_at=self.arrival)
        offset = self.journal.next_offset
        self.entries.append(JournalEntry(self.journal.append(chunk), offset, chunk))

    @rule(most=st.integers(1, 4))
    def score(self, most: int) -> None:
        for entry in self.journal.read(self.engine.position):
            self.queue.append(self.engine.step(entry))
            most -= 1
            if not most:
                break

    @rule()
    def snapshot(self) -> None:
        self.queue.append(SnapshotRequest(self.engine.position, *self.engine.state()))

    @rule(most=st.integers(1, 6), together=st.booleans())
    def write(self, most: int, together: bool) -> None:
        """Commit what is queued, several outputs in one transaction or each in its own."""
        taken, self.queue = self.queue[:most], self.queue[most:]
        outputs: list[StepOutput] = []
        for item in [*taken, None]:
            if isinstance(item, StepOutput):
                if item.next_position > self.store.position:
                    outputs.append(item)
                if together:
                    continue
            if outputs:
                self.store.commit(StepOutput.merged(outputs))
                outputs = []
            if isinstance(item, SnapshotRequest):
                self.snapshots.save(item.position, "", flattened(item.arrays), dict(item.rest))
                note_change(self.changes, item.rest["settings_from"], item.rest["settings"])

    @rule()
    def kill_and_restart(self) -> None:
        self.close()
        self.open()

    @rule(choice=st.integers(0, 2))
    def change_while_stopped(self, choice: int) -> None:
        self.close()
        self.config = CONFIGURATIONS[choice]
        self.open()

    @rule(choice=st.integers(0, 2))
    def reload(self, choice: int) -> None:
        """As the service does; where it is killed before this is saved, the change takes effect at the restart."""
        self.write(1 << 30, True)
        self.config = CONFIGURATIONS[choice]
        new = new_engine(self.config, self.engine.registry.records)
        arrays, rest = self.engine.state()
        anew = new.load(self.engine.position, arrays, rest)
        warm_start(new, anew, arrays, self.store, lambda _: None)
        self.engine = new
        self.snapshot()

    @precondition(lambda self: self.snapshots.positions)
    @rule()
    def compact(self) -> None:
        self.journal.compact(min(*self.snapshots.positions, self.store.position), 1 << 62)

    @invariant()
    def counts_close(self) -> None:
        counts = self.store.counts()
        elsewhere = sum(count for name, count in counts.items() if name.startswith(("rejected.", "dropped.")))
        kept = sum(counts.get(name, 0) for name in ("stored", "late", "duplicates", "waiting"))
        assert counts.get("received", 0) == kept + elsewhere

    def teardown(self) -> None:
        self.score(1 << 30)
        self.snapshot()
        self.write(1 << 30, True)
        arrays, rest = self.engine.state()
        self.close()
        whole, whole_rest = undisturbed(self.entries, self.changes, self.path / "undisturbed.duckdb", together=3)
        found = differences_of_tables(self.path / "points.duckdb", self.path / "undisturbed.duckdb")
        found += differences_of_state(flattened(arrays), whole)
        assert not found, "\n".join(found)
        assert alarms_of(rest) == alarms_of(whole_rest)
        self._folder.cleanup()


def alarms_of(rest: Mapping[str, Any]) -> str:
    """Open alarms as text, in which one NaN is like another."""
    return repr((rest["next_alarm"], rest["open_alarms"]))


def test_any_order_of_faults_ends_as_an_undisturbed_run(extent: Any, report: Any) -> None:
    examples, steps = extent.of(6, 40), extent.of(12, 25)
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Pipeline, settings=chosen)
    report("any order of kills, restarts, reloads, replays", sequences=examples, steps=steps, differences=0)


def test_a_journal_replayed_twice_gives_identical_tables(tmp_path: Path, report: Any) -> None:
    with SqliteJournal(tmp_path / "journal.db") as journal:
        for n in range(200):
            rows = [
                (b"d/%d" % (i % 5), b'{"ts": %d, "v": %d}' % (START_MS + n * 1000 - 1500 * (i % 3), n * i % 97), n, 1)
                for i in range(8)
            ]
            arrival = (START_MS + n * 1000) * 10**6
            journal.append(MessageChunk.of([(t, p, arrival + i, f) for i, (t, p, _, f) in enumerate(rows)]))
        entries = list(journal.read(0))
    changes: Changes = {0: [settings_of(CONFIGURATIONS[1])]}
    one, one_rest = undisturbed(entries, changes, tmp_path / "one.duckdb")
    other, other_rest = undisturbed(entries, changes, tmp_path / "other.duckdb", together=1)
    assert not differences_of_tables(tmp_path / "one.duckdb", tmp_path / "other.duckdb")
    assert not differences_of_state(one, other)
    assert one_rest == other_rest
    report("journal replayed twice into empty databases", entries=len(entries), differences=0)
