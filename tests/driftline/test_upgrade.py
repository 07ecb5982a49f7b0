"""A data folder that an earlier version left is opened; what starts anew is told, and learns from what is stored."""

from __future__ import annotations

import tarfile
from pathlib import Path

import duckdb
import numpy as np
import pytest

from detectors.fingerprint import NEW
from devices.messages import MessageChunk
from devices.records import AlarmState
from driftline.config import parse_config
from driftline.runtime.recovery import restored_engine, say_anew
from storage.embedded import schema
from storage.embedded.database import EmbeddedStore
from storage.journal.sqlite_journal import SqliteJournal
from storage.snapshots import SnapshotStore

OLDER = Path(__file__).parents[1] / "support" / "older"
OF_OTHER_LAYOUTS = ("8d36448.tar.gz", "ebd0d96.tar.gz")
"""Folders whose state of detectors fits no longer. That of the others is taken over as long as no layout changes."""
FOLDERS = sorted(OLDER.glob("*.tar.gz"))
START = 1_750_000_000 * 10**9
CONFIG = """
[alarm]
threshold = 4.0
[detectors.default]
type = "ensemble"
shape = false
[detectors.joint]
type = "joint"
warmup = 60
[[routes]]
filter = "#"
detectors = ["default", "joint"]
"""


def test_there_is_a_folder_of_every_version_of_the_database(tmp_path: Path) -> None:
    """Whoever changes the layout adds a folder of the version before: `tests/support/older/make_older_folder.py`."""
    versions = set()
    for packed in FOLDERS:
        with tarfile.open(packed) as tar:
            tar.extract("points.duckdb", tmp_path / packed.name, filter="data")
        with duckdb.connect(str(tmp_path / packed.name / "points.duckdb"), read_only=True) as database:
            versions |= set(database.execute("SELECT value FROM stored.meta WHERE name = 'version'").fetchall())
    assert versions >= {(str(version),) for version in range(1, schema.VERSION)}


@pytest.mark.parametrize("packed", FOLDERS, ids=lambda path: path.name.partition(".")[0])
def test_a_folder_of_an_earlier_version_goes_on(packed: Path, tmp_path: Path) -> None:
    with tarfile.open(packed) as tar:
        tar.extractall(tmp_path, filter="data")
    said: list[str] = []
    with (
        EmbeddedStore(tmp_path / "points.duckdb") as store,
        SqliteJournal(tmp_path / "journal.db") as journal,
        SnapshotStore(tmp_path / "snapshots.db") as snapshots,
    ):
        points = store.counts()["stored"]
        open_before = store.alarms(open_only=True)
        engine = restored_engine(parse_config(CONFIG), store, journal, snapshots, said.append)
        assert store.position == 8
        assert engine.position in (7, 8), "where the snapshot stands, or the database where the snapshot does not fit"
        rows = [(b"pump", b'{"flow": 20.5, "power": 41.5}', START + (400 + i) * 10**9, 0) for i in range(20)]
        journal.append(MessageChunk.of(rows))
        for entry in journal.read(engine.position):
            output = engine.step(entry)
            store.commit(output)
        assert store.counts()["stored"] == points + len(output.points)
        assert np.isfinite(output.points.score).all(), "scored at once, by what was stored before"
        numbers = [alarm.alarm for alarm in store.alarms()]
        assert len(numbers) == len(set(numbers))
        assert {a.alarm for a in open_before} <= set(numbers)
        assert all(a.state in (AlarmState.OPEN, AlarmState.CLEARED) for a in store.alarms())
        again = restored_engine(parse_config(CONFIG), store, journal, snapshots, said.append)
    text = "\n".join(said)
    starts_anew = 'detector "default" starts anew: ' in text
    assert starts_anew == ("learned from stored history: default" in text), "what does not fit is learned anew"
    assert starts_anew or packed.name not in OF_OTHER_LAYOUTS
    assert again.position <= 9


def test_a_detector_that_is_new_is_said_to_be_new() -> None:
    said: list[str] = []
    say_anew({"overflow": NEW, "slow": "its parameters changed"}, said.append)
    assert said == ['detector "overflow" is new', 'detector "slow" starts anew: its parameters changed']
