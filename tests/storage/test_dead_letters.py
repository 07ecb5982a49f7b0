"""Dead letters in their file: which stay within the bounds, which are found, and what is removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devices.records import DeadLetter
from storage.dead_letters import DeadLetters, letters_path


def letter(offset: int, *, reason: str = "malformed", payload: bytes = b"x", arrival: int = 0) -> DeadLetter:
    return DeadLetter(offset, arrival, "a/b", payload, len(payload), reason, "why", {reason: 1})


SIZE = 256 + len(b"x") + len("a/b") + len("why")
"""What a letter with a payload of one byte is counted for."""


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[DeadLetters]:
    opened = DeadLetters(tmp_path / "letters.db", max_bytes=1 << 20, max_letters=100).open()
    yield opened
    opened.close()


def offsets(found: list[DeadLetter]) -> list[int]:
    return [each.offset for each in found]


def test_the_newest_come_first_as_many_as_asked_for(letters: DeadLetters) -> None:
    letters.put([letter(n) for n in (3, 1, 7, 5)])
    letters.put([])
    assert offsets(letters.newest(10)) == [7, 5, 3, 1]
    assert offsets(letters.newest(2)) == [7, 5]
    assert offsets(letters.newest(10, before=5)) == [3, 1]
    assert letters.newest(1) == [letter(7)]


def test_no_more_are_given_than_fit_and_one_at_least(letters: DeadLetters) -> None:
    letters.put([letter(n) for n in range(4)])
    assert offsets(letters.newest(10, max_bytes=2 * SIZE)) == [3, 2]
    assert offsets(letters.newest(10, max_bytes=2 * SIZE - 1)) == [3]
    assert offsets(letters.newest(10, max_bytes=0)) == [3]


@pytest.mark.parametrize("extra", [b"y" * 7])
def test_texts_count_by_their_bytes(tmp_path: Path, extra: bytes) -> None:
    long = replace(letter(2), detail="ä" * 5, topic="ö/b", payload=b"x" + extra, properties=b"pp")
    letters = DeadLetters(tmp_path / "letters.db", max_bytes=1 << 20, max_letters=100).open()
    letters.put([letter(1), long])
    size = 256 + 8 + 10 + 4
    assert offsets(letters.newest(10, max_bytes=size + SIZE)) == [2, 1]
    assert offsets(letters.newest(10, max_bytes=size + SIZE - 1)) == [2]
    letters.close()


def test_up_to_the_most_letters_all_stay_and_beyond_the_oldest_go(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "letters.db", max_bytes=1 << 20, max_letters=3).open()
    letters.put([letter(n) for n in range(3)])
    assert offsets(letters.newest(10)) == [2, 1, 0]
    letters.put([letter(3)])
    assert offsets(letters.newest(10)) == [3, 2, 1]
    letters.put([replace(letter(3), detail="again")])
    assert offsets(letters.newest(10)) == [3, 2, 1]
    assert letters.newest(1)[0].detail == "again"
    letters.close()


def test_up_to_the_most_bytes_all_stay_and_beyond_nine_tenths_do(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "letters.db", max_bytes=20 * SIZE, max_letters=1_000).open()
    letters.put([letter(n) for n in range(20)])
    assert offsets(letters.newest(100)) == list(range(19, -1, -1))
    letters.put([letter(20)])
    assert offsets(letters.newest(100)) == list(range(20, 2, -1)), "18 of 20 are nine tenths"
    letters.put([letter(21), letter(22)])
    assert len(letters.newest(100)) == 20
    letters.close()


def test_bounds_hold_for_what_an_earlier_run_left(tmp_path: Path) -> None:
    for first in (0, 2):
        letters = DeadLetters(tmp_path / "letters.db", max_bytes=1 << 20, max_letters=3).open()
        letters.put([letter(first), letter(first + 1)])
        letters.close()
    letters = DeadLetters(tmp_path / "letters.db", max_bytes=1 << 20, max_letters=3).open()
    assert offsets(letters.newest(10)) == [3, 2, 1]
    letters.close()


def test_those_that_arrived_before_a_time_go(letters: DeadLetters) -> None:
    letters.put([letter(n, arrival=n * 10) for n in range(4)])
    assert letters.remove_before(20) == 2
    assert letters.remove_before(20) == 0
    assert offsets(letters.newest(10)) == [3, 2]


def test_they_are_found_by_offset_and_by_reason_in_the_order_of_arrival(letters: DeadLetters) -> None:
    told = replace(letter(4, reason="late"), properties=b"\x03\x00\x01x")
    letters.put([letter(1), letter(2, reason="late"), letter(3, reason="late"), told])
    assert letters.find([4, 1, 9]) == [letter(1), told]
    assert offsets(letters.find(reason="late")) == [2, 3, 4]
    assert offsets(letters.find(reason="late", limit=2)) == [3, 4]
    assert letters.find(reason="none") == []
    assert letters.reasons() == {"late": 3, "malformed": 1}
    assert list(letters.reasons()) == ["late", "malformed"]
    letters.remove([4, 2])
    assert letters.reasons() == {"late": 1, "malformed": 1}
    letters.put([letter(4, reason="late")])
    assert letters.find([4])[0].properties == b"", "the properties of what was removed go with it"


def test_reasons_as_frequent_as_each_other_are_in_order_of_the_alphabet(letters: DeadLetters) -> None:
    letters.put([letter(1, reason="b"), letter(2, reason="a"), letter(3, reason="c"), letter(4, reason="c")])
    assert list(letters.reasons().items()) == [("c", 2), ("a", 1), ("b", 1)]


def test_a_file_that_is_not_open_holds_nothing_and_takes_nothing(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "none.db", max_bytes=1, max_letters=1, read_only=True).open()
    assert (letters.newest(5), letters.find([1]), letters.reasons(), letters.remove_before(5)) == ([], [], {}, 0)
    assert (letters.size_bytes, list(tmp_path.iterdir())) == (0, [])
    letters.remove([1])
    with pytest.raises(ValueError, match=r"none\.db: the dead letters are not open"):
        letters.put([letter(1)])


def test_a_damaged_file_is_set_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    path = letters_path(tmp_path / "points.duckdb")
    assert path.name == "points.dead-letters.db"
    path.write_bytes(b"no database" * 100)
    letters = DeadLetters(path, max_bytes=1 << 20, max_letters=5).open()
    assert letters.word.endswith(
        "; it was moved to points.dead-letters.db.damaged, and new dead letters go to a new file"
    )
    letters.put([letter(1)])
    assert offsets(letters.newest(5)) == [1]
    assert letters.size_bytes >= path.stat().st_size > 0
    letters.close()
    letters.close()
    assert path.with_name("points.dead-letters.db.damaged").read_bytes().startswith(b"no database")


def test_readers_beside_the_writer_see_letters_without_their_properties(letters: DeadLetters) -> None:
    letters.put([replace(letter(1), properties=b"\x03\x00\x01x")])
    reader = DeadLetters(letters.path, max_bytes=1, max_letters=1, read_only=True).open()
    assert reader.find([1]) == [letter(1)]
    reader.close()
