"""The outbox as a file: what a version may open, and what it leaves as it is."""

import sqlite3
from pathlib import Path

import pytest

from alerts.notices.outbox import Outbox


def test_an_outbox_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notices.db"
    Outbox(path).open().close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=7")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(
        OSError, match=r"notices\.db: the outbox is of version 7, from a newer Driftline; .* version 1:"
    ):
        Outbox(path).open()
    assert path.read_bytes() == before


def test_a_file_that_is_no_outbox_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notices.db"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 40)
    with pytest.raises(OSError, match=r"notices\.db: the outbox cannot be opened: .*; move the file away"):
        Outbox(path).open()
