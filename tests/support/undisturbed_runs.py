"""The run without any fault, which what a killed service has stored is compared with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from fault_runs import KillableService
from numpy.typing import NDArray

from devices.records import SeriesRecord
from driftline.config import Config, load_config
from driftline.runtime.recovery import engine_of_settings, new_engine
from driftline.runtime.store_worker import flattened
from driftline.runtime.warm_start import warm_start
from ingest.pipeline import Engine
from storage.embedded.database import EmbeddedStore
from storage.journal.sqlite_journal import SqliteJournal
from storage.snapshots import SnapshotStore
from storage.store import JournalEntry, StepOutput

TABLES = {
    "points": "SELECT * FROM stored.point ORDER BY ALL",
    "series": "SELECT * FROM stored.series ORDER BY ALL",
    "alarms": "SELECT * FROM stored.alarm ORDER BY ALL",
    "counts": "SELECT name, value FROM counts WHERE value <> 0 ORDER BY ALL",
}
_LETTERS = "dead letters"


def entries_of(path: Path) -> list[JournalEntry]:
    """All entries of a journal file."""
    with SqliteJournal(path, read_only=True) as journal:
        return list(journal.read(journal.first_position))


class SettingsTrail:
    """The settings that the service's snapshots name, by the journal position from which each was in force."""

    def __init__(self, service: KillableService) -> None:
        self._path = service.data / "snapshots.db"
        self.changes: Changes = {0: [settings_of(load_config(service.config))]}

    def note(self) -> None:
        """Look at the newest snapshot. Needed at least once between two changes."""
        with SnapshotStore(self._path) as snapshots:
            saved = snapshots.load()
        if saved is not None:
            note_change(self.changes, saved.meta["settings_from"], saved.meta["settings"])


def settings_of(config: Config) -> Mapping[str, Any]:
    """The settings that an engine of this configuration has."""
    return new_engine(config, []).settings


Changes = dict[int, list[Mapping[str, Any]]]
"""By journal position: the settings put in force there, one after the other."""


def note_change(changes: Changes, position: int, settings: Mapping[str, Any]) -> None:
    """Note that `settings` are in force from `position` on; before the first entry only the last ones count."""
    there = changes.setdefault(position, [])
    if position == 0:
        there.clear()
    if there[-1:] != [settings]:
        there.append(settings)


def undisturbed(
    entries: Iterable[JournalEntry], changes: Changes, database: Path, *, together: int = 64
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Replay a journal into an empty database in one go; returns the engine's state at the end.

    Each of the `changes` is put in place as a reload does it.
    """
    engine = _engine_from(changes[0][-1])
    with EmbeddedStore(database) as store:
        waiting: list[StepOutput] = []
        for entry in entries:
            waiting.append(engine.step(entry))
            if len(waiting) == together:
                store.commit(StepOutput.merged(waiting))
                waiting.clear()
            if engine.position in changes:
                if waiting:
                    store.commit(StepOutput.merged(waiting))
                    waiting.clear()
                for settings in changes[engine.position]:
                    new = _engine_from(settings, engine.registry.records)
                    arrays, rest = engine.state()
                    warm_start(new, new.load(engine.position, arrays, rest), arrays, store, lambda _: None)
                    engine = new
        if waiting:
            store.commit(StepOutput.merged(waiting))
    arrays, rest = engine.state()
    return flattened(arrays), rest


def _engine_from(settings: Mapping[str, Any], known: Sequence[SeriesRecord] = ()) -> Engine:
    engine = engine_of_settings(settings, known)
    assert engine is not None, settings
    return engine


def tables_of(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table of a database as rows that compare equal where the stored bytes are equal."""
    with EmbeddedStore(database, read_only=True) as store, store._cursor() as cursor:
        tables = {name: cursor.execute(sql).fetchall() for name, sql in TABLES.items()}
        tables[_LETTERS] = [astuple(each) for each in store._letters.newest(1_000_000)]
    return {name: [tuple(map(repr, row)) for row in rows] for name, rows in tables.items()}


def differences_of_tables(one: Path, other: Path) -> list[str]:
    """What differs between two databases, a line each; empty where they hold the same."""
    found = []
    left, right = tables_of(one), tables_of(other)
    for name in (*TABLES, _LETTERS):
        if left[name] != right[name]:
            only_left, only_right = set(left[name]) - set(right[name]), set(right[name]) - set(left[name])
            found.append(
                f"{name}: {len(left[name])} rows and {len(right[name])}; only in the first {sorted(only_left)[:3]}, "
                f"only in the second {sorted(only_right)[:3]}"
            )
    return found


def differences_of_state(saved: Mapping[str, NDArray[Any]], whole: Mapping[str, NDArray[Any]]) -> list[str]:
    """What differs between two engine states, bit for bit; arrays may have different room at their ends."""
    found = [f"part {name} is in one only" for name in saved.keys() ^ whole.keys()]
    for name in saved.keys() & whole.keys():
        left, right = saved[name], whole[name]
        if left.dtype != right.dtype or left.shape[1:] != right.shape[1:]:
            found.append(f"{name}: {left.dtype}{left.shape} and {right.dtype}{right.shape}")
            continue
        rows = min(len(left), len(right)) if left.ndim else 0
        if left.ndim == 0 or left[:rows].tobytes() != right[:rows].tobytes():
            if left.tobytes() != right.tobytes():
                found.append(f"{name}: values differ")
            continue
        for rest in (left[rows:], right[rows:]):
            if len(rest) and rest.tobytes() != np.broadcast_to(rest[:1], rest.shape).tobytes():
                found.append(f"{name}: {len(rest)} rows in one only, and they are not empty ones")
    return found


def newest_snapshot(path: Path) -> tuple[int, dict[str, NDArray[Any]], dict[str, Any]]:
    """Position, arrays and the rest of the newest snapshot."""
    with SnapshotStore(path) as snapshots:
        saved = snapshots.load()
    assert saved is not None
    return saved.position, saved.parts, saved.meta


def assert_undisturbed(
    service: KillableService,
    entries: list[JournalEntry],
    scratch: Path,
    changes: Changes | None = None,
) -> None:
    """The ended service's tables and state are those of one undisturbed run over the same journal, bit for bit."""
    position, arrays, rest = newest_snapshot(service.data / "snapshots.db")
    assert position == len(entries), "the last snapshot does not stand at the journal's end"
    changes = changes or {0: [settings_of(load_config(service.config))]}
    whole_arrays, whole_rest = undisturbed(entries, changes, scratch)
    found = differences_of_tables(service.data / "points.duckdb", scratch)
    found += differences_of_state(arrays, whole_arrays)
    found += [] if _without_own(rest) == _without_own(whole_rest) else [f"{rest} and {whole_rest}"]
    assert not found, "\n".join(found)


def _without_own(rest: Mapping[str, Any]) -> dict[str, Any]:
    """The alarms of an engine's state; what JSON has no word for, as it is read back."""
    return {name: json.loads(orjson.dumps(rest[name])) for name in ("next_alarm", "open_alarms")}
