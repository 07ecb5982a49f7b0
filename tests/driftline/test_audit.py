"""The audit log: what was there before and after, and that nobody can change it unseen."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from driftline.access.accounts import AccountBook
from driftline.cli.command_line import main

CHANGED = "is not what was written, or one before it is missing"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "accounts.db"
    with AccountBook(path, hasher=QUICK, clock=lambda: 1_772_366_400_000_000_000) as accounts:
        accounts.log("ada", "10.0.0.1", "device: label", "pump-1", before='{"line": "1"}', after='{"line": "2"}')
        for number in range(4):
            accounts.log("ben", "", "alarm: acknowledge", f"alarm {number}")
    return path


def verified(path: Path, known: str = "") -> tuple[int, str]:
    with AccountBook(path, hasher=QUICK) as accounts:
        state = accounts.verify_audit(known)
        return state.entries, state.broken


@pytest.mark.parametrize(
    ("statement", "entries", "broken"),
    [
        ("SELECT 1", 5, ""),
        (
            "UPDATE audit SET after = '{}' WHERE id = 1",
            0,
            f"entry 1 {CHANGED}",
        ),
        (
            "UPDATE audit SET who = 'ada' WHERE id = 3",
            2,
            f"entry 3 {CHANGED}",
        ),
        ("DELETE FROM audit WHERE id = 2", 1, "entry 2 is missing: 3 follows 1"),
        ("DELETE FROM audit WHERE id > 3", 3, "entries 4 to 5, the newest, are missing"),
    ],
)
def test_what_is_changed_or_taken_out_is_named(path: Path, statement: str, entries: int, broken: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    assert verified(path) == (entries, broken)


def test_a_log_that_was_made_anew_lacks_the_hash_that_was_noted(path: Path) -> None:
    with AccountBook(path, hasher=QUICK) as accounts:
        noted = accounts.verify_audit().hash
        accounts.log("ben", "", "alarm: clear", "alarm 3")
    assert verified(path, noted) == (6, "")
    path.unlink()
    with AccountBook(path, hasher=QUICK) as accounts:
        accounts.log("ben", "", "alarm: clear", "alarm 3")
    assert verified(path, noted) == (1, "no entry has the hash that was noted: the log was made anew")


def test_the_oldest_go_and_the_chain_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driftline.access.audit_chain._MOST_ROWS", 10)
    monkeypatch.setattr("driftline.access.audit_chain._MOST_TAKEN", 5)
    with AccountBook(path, hasher=QUICK) as accounts:
        for number in range(40):
            accounts.log("ben", "", "alarm: clear", f"alarm {number}")
        state = accounts.verify_audit()
        assert (len(accounts.audit(100)), state.entries, state.broken) == (state.entries, state.entries, "")
        assert 10 <= state.entries <= 15


def test_a_file_of_the_version_before_is_carried_over(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(
            """
            DROP TABLE audit; DROP TABLE audit_begin;
            CREATE TABLE audit(id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, who TEXT NOT NULL,
                address TEXT NOT NULL, action TEXT NOT NULL, detail TEXT NOT NULL);
            INSERT INTO audit VALUES (7, 1, 'ada', '', 'user added', 'ben'), (8, 2, 'ada', '', 'user removed', 'ben');
            UPDATE meta SET value = '1' WHERE name = 'version';
            PRAGMA user_version = 1;
            """
        )
    connection.close()
    with AccountBook(path, hasher=QUICK) as accounts:
        accounts.log("ada", "", "signed in")
        assert [each.action for each in accounts.audit()] == ["signed in", "user removed", "user added"]
    assert verified(path) == (3, "")


def test_the_command_shows_and_verifies(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "show", "--data", str(path.parent), "--format", "csv"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        '2026-03-01T12:00:00+00:00,ada,10.0.0.1,device: label,pump-1,"{""line"": ""1""}","{""line"": ""2""}"'
    )
    assert main(["audit", "verify", "--data", str(path.parent)]) == 0
    told, note = capsys.readouterr().out.splitlines()
    assert told.startswith("5 entries are what was written; the newest hash is ")
    assert note == (
        "Note it elsewhere: only verify --hash tells where the newest entries were cut off with their count."
    )
    assert main(["audit", "verify", "--data", str(path.parent), "--hash", told.split()[-1]]) == 0
    assert capsys.readouterr().out == f"{told}\n"
    assert main(["audit", "verify", "--data", str(path.parent), "--hash", "abc"]) == 1
    assert "no entry has the hash that was noted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DROP TABLE audit_begin", "its tables are not what was written (no such table: audit_begin); 0 entries"),
        ("DROP TABLE audit", "its tables are not what was written (no such table: audit); 0 entries"),
        ("ALTER TABLE audit RENAME COLUMN who TO whom", "its tables are not what was written (no such column: who)"),
        ("UPDATE audit SET detail = x'ff00' WHERE id = 3", f"entry 3 {CHANGED}; 2 entries before it"),
        ("INSERT INTO audit_begin VALUES (x'ff', '')", "where the log begins (table audit_begin) is not what was"),
        ("DROP TABLE meta", "this is not a Driftline accounts but another SQLite file"),
        ("", "opening the accounts: the file is damaged"),
    ],
)
def test_a_file_that_was_tampered_with_is_told_of_in_one_sentence(
    path: Path, capsys: pytest.CaptureFixture[str], damage: str, said: str
) -> None:
    if damage:
        with sqlite3.connect(path) as connection:
            connection.execute(damage)
        connection.close()
    else:
        path.write_bytes(b"overwritten" * 1_000)
    assert main(["audit", "verify", "--data", str(path.parent)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"driftline: {path}: {said}")
