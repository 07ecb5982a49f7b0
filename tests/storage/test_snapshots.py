import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from common.storage_errors import StorageCorruptError
from storage.snapshots import SnapshotStore, _tells_of_damage

RECORD = np.dtype([("name", "U8"), ("level", "f8", (2, 3)), ("inner", [("a", "i4"), ("b", "?")])])


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    parts: dict[str, np.ndarray] = {
        "level": np.linspace(0, 1, 7).reshape(7, 1)[::2],
        "count": np.array(5, np.int64),
        "none": np.empty((0, 4), np.float32),
        "text": np.array(["é", "pump"]),
        "time": np.array([1, 2], "datetime64[ns]"),
        "records": np.ones(3, RECORD),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    }
    with SnapshotStore(tmp_path / "snapshots.db") as store:
        assert store.load() is None
        store.save(7, "abc", parts, {"clock": 9, "names": ["é"]})
    with SnapshotStore(tmp_path / "snapshots.db") as store:
        snapshot = store.load()
    assert snapshot is not None
    assert (snapshot.position, snapshot.fingerprint, snapshot.warnings) == (7, "abc", [])
    assert snapshot.meta == {"clock": 9, "names": ["é"]}
    assert list(snapshot.parts) == list(parts)
    for name, array in parts.items():
        assert snapshot.parts[name].dtype == array.dtype
        np.testing.assert_array_equal(snapshot.parts[name], array)


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(hnp.array_dtypes() | hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, min_side=0, max_side=4)))
def test_arrays_of_any_dtype_and_shape_come_back(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    with SnapshotStore(tmp_path_factory.mktemp("snapshots") / "snapshots.db") as store:
        store.save(0, "", {"array": array}, {})
        snapshot = store.load()
    assert snapshot is not None
    loaded = snapshot.parts["array"]
    assert loaded.shape == array.shape
    assert loaded.dtype == array.dtype
    assert loaded.tobytes() == array.tobytes()


def test_arrays_larger_than_a_block_come_back(tmp_path: Path) -> None:
    large = np.random.default_rng(1).normal(size=3_000_000)
    with SnapshotStore(tmp_path / "snapshots.db") as store:
        store.save(1, "", {"large": large}, {})
        snapshot = store.load()
    assert snapshot is not None
    np.testing.assert_array_equal(snapshot.parts["large"], large)


def test_arrays_of_objects_are_refused_by_name(tmp_path: Path) -> None:
    with SnapshotStore(tmp_path / "snapshots.db") as store:
        with pytest.raises(ValueError, match="snapshot part 'models' has dtype object"):
            store.save(1, "", {"models": np.array([object()])}, {})
        assert store.load() is None


def test_the_last_three_are_kept_and_the_file_stays_bounded(tmp_path: Path) -> None:
    path = tmp_path / "snapshots.db"
    with SnapshotStore(path) as store:
        for position in range(12):
            store.save(position, "", {"part": np.full(100_000, float(position))}, {})
            assert store.positions == list(range(max(0, position - 2), position + 1))
        snapshot = store.load()
        assert snapshot is not None
        assert snapshot.position == 11
    assert path.stat().st_size < 6 * 800_000


def test_of_large_ones_two_are_kept_in_a_file_of_twice_the_state(tmp_path: Path) -> None:
    path, state = tmp_path / "snapshots.db", 3_200_000
    with SnapshotStore(path, most_bytes=3 * state - 1) as store:
        for position in range(6):
            store.save(position, "", {"part": np.full(state // 8, float(position))}, {})
            assert store.positions == list(range(max(0, position - 1), position + 1))
        snapshot = store.load()
        assert snapshot is not None
        assert snapshot.parts["part"][[0, -1]].tolist() == [5.0, 5.0]
    assert 2 * state < path.stat().st_size < 2.2 * state


@pytest.mark.parametrize(("most", "kept"), [(3 * 800, [3, 4, 5]), (3 * 800 - 1, [4, 5])])
def test_three_are_kept_up_to_the_most_bytes_that_three_may_take(tmp_path: Path, most: int, kept: list[int]) -> None:
    with SnapshotStore(tmp_path / "snapshots.db", most_bytes=most) as store:
        for position in range(6):
            store.save(position, "", {"a": np.zeros(60), "b": np.zeros(40)}, {})
        assert store.positions == kept
        assert [store.load(at_most=at) is not None for at in (kept[0] - 1, kept[0])] == [False, True]


@pytest.mark.parametrize(
    ("code", "is_damage"),
    [
        (sqlite3.SQLITE_BUSY, False), (sqlite3.SQLITE_IOERR_READ, False), (sqlite3.SQLITE_CANTOPEN, False),
        (sqlite3.SQLITE_ERROR, True), (sqlite3.SQLITE_CONSTRAINT_UNIQUE, True), (None, False),
    ],
)  # fmt: skip
def test_a_file_is_set_aside_for_its_own_damage_and_not_for_what_a_disk_or_another_process_does(
    code: int | None, is_damage: bool
) -> None:
    error = OSError("it cannot be written")
    if code is not None:
        error.__cause__ = sqlite3.OperationalError("as SQLite says")
        error.__cause__.sqlite_errorcode = code
    assert _tells_of_damage(error) is is_damage


_DAMAGES = [
    (
        "UPDATE block SET data = CAST(zeroblob(length(data)) AS BLOB) WHERE part = 3",
        "wrong checksum of part 'part'",
    ),
    ("DELETE FROM block WHERE part = 3", "wrong checksum of part 'part'"),
    ("DELETE FROM part WHERE snapshot = 3", "0 of 1 parts are left"),
    ("UPDATE part SET shape = '[5]' WHERE snapshot = 3", "wrong checksum of part 'part'"),
    ("UPDATE part SET dtype = '\"x9\"' WHERE snapshot = 3", "the shape of part 'part' is damaged"),
    ("UPDATE snapshot SET position = 99 WHERE id = 3", "wrong checksum of its head"),
    ("UPDATE snapshot SET meta = '{}' WHERE id = 3", "wrong checksum of its head"),
    ("INSERT INTO block VALUES (3, 1, x'00')", "part 'part' is too long"),
    ("UPDATE block SET data = CAST(data || x'00' AS BLOB) WHERE part = 3", "part 'part' is too long"),
    ("UPDATE block SET data = CAST(data AS TEXT) WHERE part = 3", "a block of part 'part' is no bytes"),
    ("UPDATE block SET data = 5 WHERE part = 3", "a block of part 'part' is no bytes"),
    ("UPDATE block SET data = substr(data, 2) WHERE part = 3", "wrong checksum of part 'part'"),
    ("UPDATE part SET shape = '[3]' WHERE snapshot = 3", "part 'part' is too long"),
    ("UPDATE part SET name = 'other' WHERE snapshot = 3", "wrong checksum of part 'other'"),
    ("INSERT INTO part SELECT 9, snapshot, 'more', dtype, shape, crc FROM part WHERE id = 3", "2 of 1 parts are left"),
    ("UPDATE snapshot SET fingerprint = 'x' WHERE id = 3", "wrong checksum of its head"),
]
"""What is damaged of the newest of three snapshots, and what is said of it."""


def test_a_position_that_is_no_number_is_none_of_a_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "snapshots.db"
    with SnapshotStore(path) as store:
        for position in (1, 2):
            store.save(position, "", {"part": np.full(5, float(position))}, {})
    with sqlite3.connect(path) as database:
        database.execute("UPDATE snapshot SET position = x'00ff' WHERE id = 2")
    with SnapshotStore(path) as store:
        assert store.positions == [1]
        loaded = store.load()
        assert loaded is not None
        assert loaded.position == 1


@pytest.mark.parametrize(("damage", "said"), _DAMAGES)
def test_a_damaged_snapshot_is_passed_over_with_a_warning(tmp_path: Path, damage: str, said: str) -> None:
    path = tmp_path / "snapshots.db"
    with SnapshotStore(path) as store:
        for position in (10, 20, 30):
            store.save(position, "", {"part": np.full(4, float(position))}, {"at": position})
    with sqlite3.connect(path) as raw:
        raw.execute(damage)
    raw.close()
    with SnapshotStore(path) as store:
        snapshot = store.load()
    assert snapshot is not None
    assert snapshot.position == 20
    assert snapshot.parts["part"].tolist() == [20.0] * 4
    assert snapshot.warnings == [f"{path}: snapshot 3 is damaged ({said}); an older one is used"]


@pytest.mark.parametrize("damage", [damage for damage, _ in _DAMAGES])
def test_the_one_that_is_kept_while_a_large_one_is_written_is_intact(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "snapshots.db"
    with SnapshotStore(path) as store:
        for position in (10, 20, 30):
            store.save(position, "", {"part": np.full(4, float(position))}, {"at": position})
    with sqlite3.connect(path) as raw:
        raw.execute(damage)
    raw.close()
    with SnapshotStore(path, most_bytes=0) as store:
        store.save(40, "", {"part": np.full(4, 40.0)}, {})
        assert store.positions == [20, 40]
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE part SET crc = crc + 1 WHERE snapshot = (SELECT max(id) FROM snapshot)")
    raw.close()
    with SnapshotStore(path) as store:
        snapshot = store.load()
    assert snapshot is not None
    assert (snapshot.position, snapshot.parts["part"].tolist()) == (20, [20.0] * 4)


def test_nothing_but_damaged_snapshots_is_never_a_silent_fresh_start(tmp_path: Path) -> None:
    path = tmp_path / "snapshots.db"
    with SnapshotStore(path) as store:
        store.save(1, "", {"part": np.ones(3)}, {})
        store.save(2, "", {"part": np.ones(3)}, {})
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE part SET crc = crc + 1")
    raw.close()
    with SnapshotStore(path) as store, pytest.raises(StorageCorruptError, match="all 2 snapshots are damaged"):
        store.load()


def test_flipped_bytes_in_the_file_never_pass_unseen(tmp_path: Path) -> None:
    path = tmp_path / "snapshots.db"
    with SnapshotStore(path) as store:
        for position in range(3):
            store.save(position, "", {"part": np.full(20_000, float(position))}, {"at": position})
    whole = path.read_bytes()
    for place in np.random.default_rng(5).integers(0, len(whole), 40):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        try:
            with SnapshotStore(path) as store:
                snapshot = store.load()
        except (StorageCorruptError, OSError) as error:
            assert "snapshots.db" in str(error)
            continue
        assert snapshot is not None
        assert snapshot.parts["part"].tolist() == [float(snapshot.position)] * 20_000
        assert snapshot.position == 2 or snapshot.warnings


def test_a_damaged_snapshot_takes_no_place_of_an_intact_one(tmp_path: Path) -> None:
    path = tmp_path / "snapshots.db"
    with SnapshotStore(path) as store:
        store.save(1, "", {"part": np.ones(4)}, {})
    for position in range(2, 9):
        with SnapshotStore(path) as store:
            store.load()
            store.save(position, "", {"part": np.full(4, float(position))}, {})
        with sqlite3.connect(path) as raw:
            raw.execute("UPDATE part SET crc = crc + 1 WHERE snapshot = (SELECT max(id) FROM snapshot)")
        raw.close()
    with SnapshotStore(path) as store:
        snapshot = store.load()
        assert store.positions == [1, 8]
    assert snapshot is not None
    assert (snapshot.position, len(snapshot.warnings)) == (1, 1)


def test_a_file_that_cannot_be_written_to_is_set_aside_and_the_state_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "snapshots.db"
    with SnapshotStore(path) as store:
        for position in range(3):
            store.save(position, "", {"part": np.full(20_000, float(position))}, {})
    whole = path.read_bytes()
    page = int.from_bytes(whole[16:18])
    set_aside = 0
    for damaged_page in range(1, len(whole) // page):
        path.write_bytes(whole[: damaged_page * page] + b"\xa5" * page + whole[(damaged_page + 1) * page :])
        try:
            store = SnapshotStore(path).open()
        except StorageCorruptError:
            continue  # refused in words at the start
        with store:
            store.save(7, "", {"part": np.full(20_000, 7.0)}, {"at": 7})
        with SnapshotStore(path) as store:
            snapshot = store.load()
        assert snapshot is not None
        assert (snapshot.position, snapshot.parts["part"].tolist()) == (7, [7.0] * 20_000)
        aside = tmp_path / "snapshots.db.damaged"
        set_aside += aside.exists()
        aside.unlink(missing_ok=True)
    assert set_aside > 0


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE sqlite_sequence SET seq = 9223372036854775807", None),
        ("UPDATE snapshot SET id = 9223372036854775807 WHERE id = 3", "the newest snapshot has the number 92233720"),
        ("UPDATE snapshot SET id = 1000 WHERE id = 3", None),
        ("DROP TABLE block", "no such table: block"),
        ("ALTER TABLE part RENAME COLUMN shape TO shbpe", "no column named shape"),
        (
            "CREATE TRIGGER t AFTER INSERT ON block BEGIN DELETE FROM block; END",
            "what was saved is not what is read back",
        ),
    ],
)
def test_what_is_saved_is_what_the_next_start_loads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str, said: str | None
) -> None:
    path = tmp_path / "snapshots.db"
    with SnapshotStore(path) as store:
        for position in range(3):
            store.save(position, "", {"part": np.full(4, float(position))}, {})
    with sqlite3.connect(path) as raw:
        raw.execute(damage)
    raw.close()
    with SnapshotStore(path) as store:
        store.save(7, "", {"part": np.full(4, 7.0)}, {})
        assert max(store.positions) == 7
    with SnapshotStore(path) as store:
        snapshot = store.load()
    assert snapshot is not None
    assert (snapshot.position, snapshot.parts["part"].tolist()) == (7, [7.0] * 4)
    assert [record.getMessage() for record in caplog.records if said is None] == []
    if said is not None:
        [message] = [record.getMessage() for record in caplog.records]
        assert said in message
        assert message.endswith("it is moved to snapshots.db.damaged, and a new one is begun")
        assert (tmp_path / "snapshots.db.damaged").exists()


def test_a_damaged_file_stays_until_the_new_one_is_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "snapshots.db"
    with SnapshotStore(path) as store:
        store.save(1, "", {"part": np.ones(4)}, {})
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE snapshot SET id = 9223372036854775807")
    raw.close()
    before = path.read_bytes()
    (tmp_path / "snapshots.db.new").mkdir()  # nothing can be written there
    with SnapshotStore(path) as store, pytest.raises(OSError, match=r"snapshots\.db\.new"):
        store.save(2, "", {"part": np.ones(4)}, {})
    assert path.read_bytes() == before
    (tmp_path / "snapshots.db.new").rmdir()
    with SnapshotStore(path) as store:
        store.save(2, "", {"part": np.ones(4)}, {})
        assert store.positions == [2]


SAVER = """
import os, sys
from pathlib import Path
import numpy as np
from storage.snapshots import SnapshotStore

store = SnapshotStore(Path(sys.argv[1])).open()
position = max(store.positions, default=0)
while True:
    position += 1
    store.save(position, "f", {"part": np.full(200_000, float(position))}, {})
    os.write(1, b"%d\\n" % position)
"""


def test_a_saved_snapshot_survives_kill_9_during_the_next(tmp_path: Path) -> None:
    path = tmp_path / "snapshots.db"
    root = Path(__file__).parents[2]
    for lines in (1, 3, 5):
        child = subprocess.Popen(
            [sys.executable, "-c", SAVER, str(path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(root)},
            cwd=root,
        )
        assert child.stdout is not None
        for _ in range(lines):
            saved = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split(b"\n")[:-1]
        child.stdout.close()
        child.wait()
        saved = int(rest[-1]) if rest else saved
        with SnapshotStore(path) as store:
            snapshot = store.load()
        assert snapshot is not None
        assert snapshot.position in (saved, saved + 1)
        assert snapshot.warnings == []
        assert (snapshot.parts["part"] == snapshot.position).all()
