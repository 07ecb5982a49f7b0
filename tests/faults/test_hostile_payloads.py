"""Messages made to cost much: what is kept of them is bounded, and the sums close all the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devices.messages import MessageChunk
from driftline.config import Config
from driftline.runtime.recovery import new_engine
from storage.embedded.database import EmbeddedStore
from storage.store import JournalEntry, StepOutput

SECOND = 10**9
NOW = 1_800_000_000 * SECOND
AHEAD = NOW // SECOND + 900
MEBIBYTE = 1 << 20

PAYLOADS = {
    "65,535 commas": (b"," * 65_535, {}),
    "8,000 numbers": (json.dumps([n + 0.5 for n in range(8_000)]).encode(), {"too_many_series": 7_000}),
    "2,500 nulls": (json.dumps({f"metric-{n:04d}": None for n in range(2_500)}).encode(), {}),
    "2,500 readings 15 minutes ahead": (
        json.dumps([{"t": n, "ts": AHEAD} for n in range(2_500)]).encode(),
        {},
    ),
    "one name of 500,000 letters over the limit": (
        json.dumps([{"m": n, "device": "d" * 500_000} for n in range(1)]).encode(),
        {},
    ),
    "nesting": (b"[" * 100_000, {"malformed": 1}),
    "an image of 900 KB": (bytes(range(256)) * 3_600, {"malformed": 1}),
}


def step(payload: bytes, messages: int = 1) -> StepOutput:
    engine = new_engine(Config(), [])
    chunk = MessageChunk.of([(b"plant/pump", payload, NOW + n, 1) for n in range(messages)])
    return engine.step(JournalEntry(0, 0, chunk))


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_message_is_one_dead_letter_however_many_readings_it_holds(name: str, tmp_path: Path) -> None:
    payload, rejected = PAYLOADS[name]
    output = step(payload)
    counts = output.counts
    assert {key.partition(".")[2]: n for key, n in counts.items() if key.startswith("rejected.")} == rejected
    dropped = sum(n for key, n in counts.items() if key.startswith("dropped."))
    assert counts["received"] == len(output.points) + sum(rejected.values()) + dropped
    assert [letter.rejected for letter in output.dead_letters] == ([rejected] if rejected else [])
    for letter in output.dead_letters:
        assert letter.payload == payload[:16_384]
        assert letter.payload_bytes == len(payload)
        assert len(letter.detail) < 16_384
    with EmbeddedStore(tmp_path / "points.duckdb") as store:
        store.commit(output)
        assert store.dead_letters() == output.dead_letters
        kept = store.query("SELECT sum(len(map_values(rejected))), max(payload_bytes) FROM dead_letters").rows
        assert kept == ([(1, len(payload))] if rejected else [(None, None)])


def test_the_first_rejected_readings_are_named_and_the_others_counted() -> None:
    payload = json.dumps({f"metric-{n:04d}": "1,234" for n in range(2_500)}).encode()
    [letter] = step(payload).dead_letters
    lines = letter.detail.split("\n")
    assert lines[0].startswith("metric-0000: '1,234' may have a decimal comma")
    assert lines[19].startswith("metric-0019: '1,234' may have a decimal comma")
    assert lines[20:] == ["2,480 readings more"]


def test_a_camera_on_the_broker_fills_no_more_than_its_share(tmp_path: Path) -> None:
    """6,000 images of 300 KB: the newest rejected messages stay, and the database opens again and answers."""
    path = tmp_path / "points.duckdb"
    image = b"\xff\xd8\xff" + bytes(300_000)
    one = step(image).dead_letters[0]
    with EmbeddedStore(path) as store:
        for position in range(60):
            letters = [
                type(one)(position * 100 + n, NOW + position, one.topic, one.payload, len(image), "malformed", "no", {})
                for n in range(100)
            ]
            store.commit(StepOutput(position, position + 1, step(b"1").points, dead_letters=letters))
        files = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
        assert sum(files.values()) < 96 * MEBIBYTE, files
        assert files["points.duckdb"] < 2 * MEBIBYTE
        assert store.query('SELECT max("offset"), count(*) > 3000 FROM dead_letters').rows == [(5_999, True)]
    with EmbeddedStore(path) as store:
        assert [letter.offset for letter in store.dead_letters(3)] == [5_999, 5_998, 5_997]
        assert len(store.dead_letters(10_000)) < 600, "a reply is bounded in bytes"


def test_a_damaged_file_of_dead_letters_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "points.duckdb"
    output = step(b"{")
    with EmbeddedStore(path) as store:
        store.commit(output)
    letters = path.with_suffix(".dead-letters.db")
    letters.write_bytes(b"no database" * 1_000)
    with EmbeddedStore(path) as store:
        assert "it was moved to points.dead-letters.db.damaged" in store.letters_word
        assert store.dead_letters() == []
        store.commit(StepOutput(1, 2, output.points, dead_letters=output.dead_letters))
        assert store.dead_letters() == output.dead_letters
