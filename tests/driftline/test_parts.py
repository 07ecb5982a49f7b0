"""Parts of a data folder that do not belong together are named, red until a person confirms."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from driftline.runtime.clock_watch import ClockWatch
from driftline.runtime.confirmations import Confirmations, ask_to_confirm
from driftline.runtime.data_folder import DataFolder
from driftline.runtime.parts import what_is_lost


@pytest.mark.parametrize(
    ("stored", "first", "after", "snapshots", "words"),
    [
        (100, 0, 120, [80, 90, 100], []),
        (0, 0, 0, [], []),
        (100, 100, 100, [100], []),
        (0, 40, 120, [80, 90], ["var/points.duckdb stands at journal position 0, and the journal begins at 40"]),
        (70, 40, 120, [80, 90], ["var/points.duckdb stands at journal position 70, although 90 was stored already"]),
        (100, 60, 80, [70], ["var/journal.db ends at position 80, and var/points.duckdb holds 100"]),
    ],
)
def test_a_part_that_is_older_than_the_others_know_it_is_named(
    stored: int, first: int, after: int, snapshots: list[int], words: list[str]
) -> None:
    found = what_is_lost(
        stored=stored,
        journal_first=first,
        journal_next=after,
        snapshots=snapshots,
        database="var/points.duckdb",
        journal="var/journal.db",
    )
    assert len(found) == len(words)
    assert all(said.startswith(word) for said, word in zip(found, words, strict=True))
    assert all("`driftline confirm storage`" in said for said in found)


def test_what_an_earlier_version_let_others_read_is_closed_to_them(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    others = tmp_path / "notes.db"
    for file in (folder.journal, tmp_path / "journal.db-wal", folder.database, folder.session, others):
        file.write_bytes(b"")
        file.chmod(0o644)
    folder.broker.mkdir(mode=0o755)
    folder.lock()
    folder.remember_sinks(["influx"])
    assert DataFolder(tmp_path).sinks_before() == ["influx"]
    folder.release()
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    closed = dict.fromkeys(["journal.db", "journal.db-wal", "points.duckdb", "session.json"], 0o600)
    assert modes.items() >= {**closed, "broker": 0o700, "lock": 0o600, "notes.db": 0o644}.items()


def test_a_loss_is_kept_over_restarts_until_it_is_confirmed(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.remember_losses(["one is lost"])
    folder.remember_losses(["one is lost", "another too"])
    folder.remember_losses([])
    assert DataFolder(tmp_path).losses == ["one is lost", "another too"]
    confirmations = Confirmations(tmp_path, {"storage": folder.forget_losses, "clock": lambda: None})
    confirmations.look()
    assert len(folder.losses) == 2
    ask_to_confirm(tmp_path, "clock")
    ask_to_confirm(tmp_path, "storage")
    confirmations.look()
    assert folder.losses == []
    folder.remember_losses(["again"])
    confirmations.look()
    assert folder.losses == ["again"]


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"[1, 2]", b"null", b"7", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"filters": [1]}'),
        b'{"filters": {"a": "b"}, "words": 5, "names": 5, "base": "x"}',
        b'{"filters": {"a": 1e999}, "count": 1e999}',
    ],
)
def test_small_files_that_hold_anything_else_are_as_if_they_were_not_there(tmp_path: Path, content: bytes) -> None:
    folder = DataFolder(tmp_path)
    folder.remember_subscribed({"a/#": 1})
    folder.remember_losses(["lost"])
    folder.remember_sinks(["away"])
    folder.remember_clock({"boot": "b", "base": 5})
    folder.remember_broker_losses({"count": 5})
    assert folder.client_id() == "driftline"
    files = [file for file in tmp_path.iterdir() if file.suffix == ".json"]
    assert len(files) == 5
    for file in files:
        file.write_bytes(content)
    assert (folder.subscribed(), folder.losses, folder.sinks_before(), folder.broker_losses_before()) == (
        {},
        [],
        [],
        {},
    )
    watch = ClockWatch(lambda: 100, lambda: 10, boot="b", saved=folder.clock_state() | {"boot": "b"})
    assert watch.trusted() == 100


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"a\x00b", b"a\x1b[2J", b"x" * 501])
def test_a_client_id_that_no_broker_takes_is_made_up_anew(tmp_path: Path, content: bytes) -> None:
    folder = DataFolder(tmp_path)
    folder.client.write_bytes(content)
    made = folder.client_id()
    assert re.fullmatch("driftline-[0-9a-f]{8}", made)
    assert folder.client_id() == made


def test_a_full_disk_names_the_file_that_has_no_room(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    (tmp_path / "session.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*/session\.json'"):
        folder.remember_subscribed({"a/#": 1})
