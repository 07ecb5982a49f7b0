"""Faults of time and of content, through engine and store: what it learns is what the readings in order teach."""

from __future__ import annotations

import json
import random as randoms
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from undisturbed_runs import differences_of_state

from alerts.alarm_settings import AlarmSettings
from devices.messages import FLAG_RETAIN, MessageChunk
from driftline.runtime.store_worker import flattened
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.embedded.database import EmbeddedStore
from storage.store import JournalEntry

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

SECOND = 10**9
START = 1_750_000_000 * SECOND
WINDOW = 5
DETECTORS = {"default": ComponentSettings(type="zscore", warmup=20)}
Message = tuple[bytes, bytes, int, int]
"""Topic, payload, arrival (ns), flags."""


def engine(window: str = f"{WINDOW}s") -> Engine:
    route = RouteSettings(filter="#", reorder_window=window)
    return Engine((route,), DETECTORS, AlarmSettings(threshold=5.0, clear_after=5), LimitSettings())


def reading(second: float, value: float, *, arrival: float | None = None, flags: int = 1) -> Message:
    body = json.dumps({"ts": START // 10**6 + round(second * 1000), "v": value}).encode()
    return b"plant/pump", body, START + round((second if arrival is None else arrival) * SECOND), flags


def series(count: int = 600) -> list[Message]:
    """One reading a second, with a fault."""
    noise = randoms.Random(1)
    return [reading(s, 20 + noise.random() + (50 if 300 <= s < 310 else 0)) for s in range(count)]


def arrivals_in_order(messages: Sequence[Message]) -> list[Message]:
    """The messages as one receiver stamps them: each a little later than the one before."""
    stamped, last = [], 0
    for topic, payload, arrival, flags in messages:
        last = max(last + 1, arrival)
        stamped.append((topic, payload, last, flags))
    return stamped


def run(messages: Sequence[Message], database: Path, made: Engine | None = None, group: int = 7) -> Engine:
    """Feed the messages in chunks, let time pass until nothing waits, and store all; checks at each step that the
    counts close."""
    made = made or engine()
    stamped = arrivals_in_order(messages)
    chunks = [MessageChunk.of(stamped[i : i + group]) for i in range(0, len(stamped), group)]
    chunks.append(MessageChunk.of([], ticked_at=stamped[-1][2] + 60 * SECOND))
    with EmbeddedStore(database) as store:
        offset = 0
        for position, chunk in enumerate(chunks):
            store.commit(made.step(JournalEntry(position, offset, chunk)))
            offset += len(chunk)
            assert_closed(store.counts())
    return made


def assert_closed(counts: dict[str, int]) -> None:
    elsewhere = sum(count for name, count in counts.items() if name.startswith(("rejected.", "dropped.")))
    kept = sum(counts.get(name, 0) for name in ("stored", "late", "duplicates", "waiting"))
    assert counts.get("received", 0) == kept + elsewhere, counts


def learned(made: Engine) -> dict[str, Any]:
    """What detectors and alarms know; how arrivals and waiting readings were is left out."""
    arrays, _ = made.state()
    return {n: a for n, a in flattened(arrays).items() if n.startswith(("fleet/", "alarm/")) or n == "order/newest"}


def counts_of(database: Path) -> dict[str, int]:
    with EmbeddedStore(database, read_only=True) as store:
        return store.counts()


def points_of(database: Path) -> list[tuple[Any, ...]]:
    with EmbeddedStore(database, read_only=True) as store:
        return [tuple(row) for row in store.query("SELECT * FROM points WHERE NOT late ORDER BY time", 100_000).rows]


def shuffled(messages: list[Message], random: randoms.Random) -> list[Message]:
    """Each message is delayed by less than the window, and some come twice."""
    sent = [(m, START + round((i + random.uniform(0, WINDOW - 1)) * SECOND)) for i, m in enumerate(messages)]
    sent += [(m, at + random.randrange(2 * SECOND)) for m, at in random.sample(sent, len(sent) // 10)]
    return [(topic, payload, at, flags) for (topic, payload, _, flags), at in sorted(sent, key=lambda pair: pair[1])]


def test_duplicates_and_reordering_within_the_watermark_leave_no_trace(
    tmp_path: Path, extent: Any, report: Callable[..., None]
) -> None:
    whole = run(series(), tmp_path / "in-order.duckdb")
    for turn in range(extent.of(2, 20)):
        database = tmp_path / f"{turn}.duckdb"
        other = run(shuffled(series(), randoms.Random(extent.seed + turn)), database)
        assert not differences_of_state(learned(other), learned(whole))
        assert points_of(database) == points_of(tmp_path / "in-order.duckdb")
        counts = counts_of(database)
        assert counts["duplicates"] == 60
        assert counts.get("late", 0) == 0
    report("duplicates, reordering within the watermark", readings=600, duplicates=60, state="as in order")


def test_what_comes_behind_the_watermark_is_stored_and_counted_and_not_learned(
    tmp_path: Path, report: Callable[..., None]
) -> None:
    whole = run(series(), tmp_path / "in-order.duckdb")
    messages = series()
    stragglers = [reading(s + 0.5, 9_000.0, arrival=s + 60) for s in range(100, 500, 10)]
    late = run(sorted(messages + stragglers, key=lambda m: m[2]), tmp_path / "late.duckdb")
    assert not differences_of_state(learned(late), learned(whole))
    assert counts_of(tmp_path / "late.duckdb")["late"] == len(stragglers)
    assert points_of(tmp_path / "late.duckdb") == points_of(tmp_path / "in-order.duckdb")
    report("late beyond the watermark", late=len(stragglers), stored=len(stragglers), learned=0)


def test_readings_from_1970_and_2099_are_kept_at_their_arrival(tmp_path: Path, report: Callable[..., None]) -> None:
    odd = [
        (b"plant/pump", b'{"ts": "1970-01-01T00:00:10Z", "v": 1}', START + 100 * SECOND, 1),
        (b"plant/pump", b'{"ts": "2099-01-01T00:00:00Z", "v": 1}', START + 200 * SECOND, 1),
    ]
    other = run(sorted(series() + odd, key=lambda m: m[2]), tmp_path / "odd.duckdb")
    counts = counts_of(tmp_path / "odd.duckdb")
    assert (counts["odd.clock_not_set"], counts["odd.clock_ahead"]) == (1, 1)
    assert len(points_of(tmp_path / "odd.duckdb")) == len(series()) + 2
    status = other.observer.statuses.get("plant/pump")
    assert status is not None
    assert (status.clock_not_set, status.clock_ahead) == (1, 1)
    report("readings from 1970 and 2099", kept_at_arrival=2)


def test_the_hosts_clock_may_jump(tmp_path: Path, report: Callable[..., None]) -> None:
    """Arrival times leap a day ahead, and then stand nearly still until the clock has come there again."""
    whole = run(series(), tmp_path / "in-order.duckdb", engine("0s"))
    jumped = [
        (topic, payload, arrival + (86_400 * SECOND if 200 <= i < 220 else 0), flags)
        for i, (topic, payload, arrival, flags) in enumerate(series())
    ]
    other = run(jumped, tmp_path / "jumped.duckdb", engine("0s"))
    assert not differences_of_state(learned(other), learned(whole))
    assert points_of(tmp_path / "jumped.duckdb") == points_of(tmp_path / "in-order.duckdb")
    report("host clock a day ahead and back", readings=600, state="as without")


def test_a_devices_clock_may_jump(tmp_path: Path, report: Callable[..., None]) -> None:
    """An hour ahead: kept at arrival. Half an hour back: stored as late. Then it goes on as before."""
    messages = series()
    ahead = [reading(s + 3600, 1.0, arrival=s + 0.5) for s in range(200, 210)]
    back = [reading(s - 1800, 1.0, arrival=s + 0.5) for s in range(400, 410)]
    run(sorted(messages + ahead + back, key=lambda m: m[2]), tmp_path / "jumped.duckdb")
    counts = counts_of(tmp_path / "jumped.duckdb")
    assert (counts["odd.clock_ahead"], counts["late"]) == (10, 10)
    assert len(points_of(tmp_path / "jumped.duckdb")) == len(messages) + 10
    report("device clock an hour ahead, half an hour back", kept_at_arrival=10, late=10)


def test_retained_messages_at_a_restart_are_no_sign_of_life(tmp_path: Path, report: Callable[..., None]) -> None:
    messages = series(100)
    retained = (messages[-1][0], messages[-1][1], START + 7200 * SECOND, 1 | FLAG_RETAIN)
    other = run([*messages, retained], tmp_path / "retained.duckdb")
    assert int(other.liveness.last_arrival[0]) < START + 200 * SECOND
    assert counts_of(tmp_path / "retained.duckdb")["duplicates"] == 1
    report("retained message at a restart", duplicates=1, sign_of_life=0)


def test_a_gap_neither_opens_nor_clears_an_alarm(tmp_path: Path, report: Callable[..., None]) -> None:
    before, after = series(305), [reading(305 + 6 * 3600 + s, 20.5) for s in range(20)]
    made = run(before, tmp_path / "before.duckdb")
    assert len(made.open_alarms) == 1
    with EmbeddedStore(tmp_path / "gap.duckdb"):
        pass
    whole = run([*before, *after], tmp_path / "gap.duckdb")
    with EmbeddedStore(tmp_path / "gap.duckdb", read_only=True) as store:
        alarms = store.alarms()
    assert len(alarms) == 1
    assert alarms[0].cleared is not None
    assert alarms[0].cleared >= START + (305 + 6 * 3600) * SECOND, "the gap alone cleared it"
    assert len(whole.open_alarms) == 0
    report("gap of 6 h in an open alarm", opened=1, cleared_by_the_gap=0)
