"""The outbox as a file: what a version may open, and what it leaves as it is."""

import sqlite3
from pathlib import Path

import pytest

from alerts.notices.outbox import Outbox
from alerts.notices.wording import Message
from common.storage_errors import StorageCorruptError


def test_an_outbox_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notices.db"
    Outbox(path).open().close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=7")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(
        StorageCorruptError, match=r"notices\.db: the outbox is of version 7, from a newer Driftline; .* version 1:"
    ):
        Outbox(path).open()
    assert path.read_bytes() == before


def test_a_file_that_is_no_outbox_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notices.db"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 40)
    with pytest.raises(
        StorageCorruptError, match=r"notices\.db: opening the outbox: the file is damaged .*move it away"
    ):
        Outbox(path).open()


def test_an_outbox_of_a_version_that_did_not_say_what_it_is_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "notices.db"
    with Outbox(path) as outbox:
        outbox.put(7, "open", [("mail", Message("7-opened", "too hot", "at 90", {}), 5)], 5, follow_up=False)
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE meta")
    connection.close()
    with Outbox(path) as outbox:
        (waiting,) = outbox.due("mail", 5)
        assert (waiting.message.subject, waiting.alarm, outbox.state_of(7)) == ("too hot", 7, "open")
