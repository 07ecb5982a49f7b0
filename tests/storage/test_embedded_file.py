"""The database file: other files and versions, damage, and kill -9."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest
from stored_points import NOW, SECOND, one_sided, put, regular

from common.storage_errors import StorageCorruptError
from devices.records import DeadLetter
from storage.embedded.database import EmbeddedStore


def test_other_files_and_versions_are_refused_with_a_clear_word(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    EmbeddedStore(path).open().close()
    for version, word in ((99, "version 99, from a newer Driftline"), (0, "version 0, from an older Driftline")):
        with duckdb.connect(str(path)) as raw:
            raw.execute(f"UPDATE stored.meta SET value = '{version}'")
        with pytest.raises(StorageCorruptError, match=word):
            EmbeddedStore(path).open()
    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as raw:
        raw.execute("CREATE TABLE photos(name VARCHAR)")
    with pytest.raises(StorageCorruptError, match="not a Driftline database"):
        EmbeddedStore(other).open()
    text = tmp_path / "text.duckdb"
    text.write_text("hello, this is a text file that is long enough to look at" * 400)
    with pytest.raises(StorageCorruptError, match=r"text\.duckdb: opening the database: the file is damaged"):
        EmbeddedStore(text).open()


def test_a_database_of_version_1_is_carried_over_without_a_change_to_its_points(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    points = one_sided(8)
    with EmbeddedStore(path) as store:
        put(store, points)
    with duckdb.connect(str(path)) as raw:
        # Version 1 held both reaches always, and NULL for a bound that is not there.
        raw.execute("UPDATE stored.point_recent SET above = nullif(coalesce(above, below), 'nan')")
        raw.execute("UPDATE stored.meta SET value = '1' WHERE name = 'version'")
        raw.execute(LETTERS_OF_VERSION_2)
    with pytest.raises(StorageCorruptError, match=r"version 1, from an older Driftline.*`driftline up` on it once"):
        EmbeddedStore(path, read_only=True).open()
    for _ in range(2):
        with EmbeddedStore(path) as store:
            read = store.points(0)
            np.testing.assert_array_equal(read.lower, points.lower)
            np.testing.assert_array_equal(read.upper, points.upper)
            assert store.dead_letters() == [
                DeadLetter(9, NOW + 1, "b", b"y" * 16_384, 20_000, "too_large", "why", {"too_large": 1}),
                DeadLetter(7, NOW, "a", b"x", 1, "malformed", "first\nsecond", {"malformed": 1, "not_finite": 1}),
            ]


LETTERS_OF_VERSION_2 = f"""
CREATE TABLE stored.dead_letter(
    "offset" BIGINT, part INTEGER, arrival TIMESTAMP_NS NOT NULL, topic VARCHAR NOT NULL, payload BLOB NOT NULL,
    reason VARCHAR NOT NULL, detail VARCHAR NOT NULL, PRIMARY KEY ("offset", part)
);
CREATE VIEW dead_letters AS SELECT * FROM stored.dead_letter;
INSERT INTO stored.dead_letter VALUES
    (7, 1, make_timestamp_ns({NOW}), 'a', 'x', 'malformed', 'first'),
    (7, 2, make_timestamp_ns({NOW}), 'a', 'x', 'not_finite', 'second'),
    (9, 0, make_timestamp_ns({NOW + 1}), 'b', repeat('y', 20000)::BLOB, 'too_large', 'why');
"""


def test_flipped_bytes_in_the_file_never_pass_unseen(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    with EmbeddedStore(path) as store:
        for i in range(4):
            put(store, regular(0, 20_000, start=NOW + i * 20_000 * SECOND))
        store.compact(at_least=1)
        whole = store.points(0)
    content = path.read_bytes()
    seen = 0
    for place in np.random.default_rng(1).integers(0, len(content), 40):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            with EmbeddedStore(path) as store:
                read = store.points(0)
        except (StorageCorruptError, OSError) as error:
            assert "store.duckdb" in str(error)
            seen += 1
            continue
        assert read.time.tolist() == whole.time.tolist()
        assert read.value.tolist() == whole.value.tolist()
    assert seen > 0


COMMITTER = """
import os, sys, threading
from pathlib import Path
import numpy as np
from devices.batch import Batch, ScoredBatch
from devices.records import DeadLetter
from storage.store import StepOutput
from storage.embedded.database import EmbeddedStore

store = EmbeddedStore(Path(sys.argv[1])).open()
rows, commits = int(sys.argv[2]), int(sys.argv[3])
kill = threading.Timer(float(sys.argv[4]), os.kill, (os.getpid(), 9))
first = store.position
while True:
    at = store.position
    if at == first + commits:
        kill.start()
    batch = Batch(np.arange(rows, dtype=np.int32) % 10, at * rows + np.arange(rows), np.full(rows, float(at)))
    letter = DeadLetter(at, at, "t", b"", 0, "malformed", "", {"malformed": 1})
    store.commit(StepOutput(at, at + 1, ScoredBatch.unscored(batch, late=False), dead_letters=[letter],
                            counts={"received": rows + 1}))
    if at % 7 == 3:
        store.compact(at_least=1)
    os.write(1, b"%d\\n" % store.position)
"""


def test_every_commit_survives_kill_9_whole_and_once(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    root = Path(__file__).parents[2]
    rows = 3000
    for commits, delay in ((2, 0.001), (5, 0.006), (9, 0.011), (12, 0.017)):
        child = subprocess.run(
            [sys.executable, "-c", COMMITTER, str(path), str(rows), str(commits), str(delay)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(root)},
            cwd=root,
            check=False,
            timeout=240,
        )
        assert child.returncode == -9
        confirmed = int(child.stdout.split()[-1])
        with EmbeddedStore(path) as store:
            position = store.position
            assert position in (confirmed, confirmed + 1)
            read = [store.points(series) for series in range(10)]
            times = np.sort(np.concatenate([points.time for points in read]))
            assert np.array_equal(times, np.arange(position * rows))
            assert store.counts() == {
                "received": position * (rows + 1),
                "stored": position * rows,
                "duplicates": 0,
                "late": 0,
            }
            # Dead letters are written ahead: the next commit brings the same ones again.
            assert len(store.dead_letters(10_000)) in (position, position + 1)
