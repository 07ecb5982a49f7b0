"""What streams give: windows, late rows, limits."""

from __future__ import annotations

import pytest
from stream_steps import SECOND, START, counted, engine_with, message, results, run, shown, stream, tick

from devices.messages import MessageChunk
from ingest.pipeline import Engine
from storage.store import JournalEntry, StepOutput
from streams.stream_stage import Streams

DISTINCT_USERS = """select count(distinct device) as unique_user_count,
                 count(distinct device) filter (where os = 'Android') as android_count,
                 count(distinct device) filter (where quadrant = 'A') as quadrant_a_count
          from window"""


def test_distinct_users_by_platform_and_quadrant() -> None:
    engine = engine_with(stream("distinct_users", "readings", DISTINCT_USERS))
    crowd = [
        message("ann", 0.1, os="Android", quadrant="A"),
        message("bob", 0.2, os="iOS", quadrant="A"),
        message("cia", 0.3, os="Android", quadrant="B"),
        message("ann", 0.9, os="Android", quadrant="B"),
        message("bob", 1.2, os="iOS", quadrant="A"),
    ]
    outputs = [*run(engine, [crowd]), tick(engine, 2.5, 5), tick(engine, 3.0, 5)]
    assert shown(results(outputs)) == [(0, 1, "final", [(3, 2, 2)]), (1, 2, "final", [(1, 0, 1)])]
    [first, second] = results(outputs)
    assert [name for name, _ in first.columns] == ["unique_user_count", "android_count", "quadrant_a_count"]
    assert (first.journal_offset, second.journal_offset) == (5, 5)
    assert counted(outputs, "distinct_users") == {"received": 5, "taken": 5, "windows": 2, "rows": 2}


def test_a_window_that_nobody_follows_is_given_by_a_tick_and_the_time_of_it_is_known() -> None:
    engine = engine_with(stream("count", "readings", "select count(*) as n from window", lateness="2s"))
    run(engine, [[message("ann", 0.4, heat=1.0)]])
    assert engine.streams is not None
    assert engine.streams.due == START + 3 * SECOND
    assert results([tick(engine, 2.999, 1)]) == []
    assert shown(results([tick(engine, 3.0, 1)])) == [(0, 1, "final", [(1,)])]
    assert engine.streams.due is None


def test_numbers_and_texts_of_one_field_stand_side_by_side_as_text() -> None:
    engine = engine_with(stream("modes", "readings", "select mode, count(*) as n from window group by mode"))
    rows = [message("ann", 0.1, mode="auto"), message("bob", 0.2, mode=3), message("cia", 0.3, other=1)]
    outputs = [*run(engine, [rows]), tick(engine, 2)]
    assert shown(results(outputs)) == [(0, 1, "final", [("3", 1), ("auto", 1), (None, 1)])]


def test_rows_behind_the_lateness_are_late_and_counted() -> None:
    engine = engine_with(stream("count", "readings", "select count(*) as n from window", lateness="1s"))
    rows = [
        message("ann", 0.5, said=0.5, heat=1),
        message("bob", 1.9, said=0.6, heat=1),
        message("cia", 2.1, said=2.1, heat=1),
        message("bob", 2.2, said=0.7, heat=1),
    ]
    outputs = [*run(engine, [rows]), tick(engine, 5)]
    assert shown(results(outputs)) == [(0, 1, "final", [(2,)]), (2, 3, "final", [(1,)])]
    assert counted(outputs, "count") == {"received": 4, "taken": 3, "late": 1, "windows": 2, "rows": 2}


def test_late_rows_give_a_correction_where_it_is_asked_for() -> None:
    one = stream("count", "readings", "select count(*) as n from window", lateness="0s", corrections="5s")
    engine = engine_with(one)
    rows = [
        message("ann", 0.5, said=0.5, heat=1),
        message("cia", 1.1, said=1.1, heat=1),
        message("bob", 1.2, said=0.7, heat=1),
        message("bob", 1.3, said=0.8, heat=1),
        message("cia", 2.1, said=2.1, heat=1),
    ]
    outputs = [*run(engine, [rows]), tick(engine, 9)]
    assert shown(results(outputs)) == [
        (0, 1, "final", [(1,)]),
        (0, 1, "correction", [(3,)]),
        (1, 2, "final", [(1,)]),
        (2, 3, "final", [(1,)]),
    ]
    assert [each.revision for each in results(outputs)] == [0, 1, 0, 0]
    assert counted(outputs, "count")["corrected"] == 2
    assert "late" not in counted(outputs, "count")


def test_early_results_come_before_the_final_one() -> None:
    window = {"type": "tumbling", "size": "10s"}
    engine = engine_with(
        stream("count", "readings", "select count(*) as n from window", window=window, early="4s", lateness="0s")
    )
    outputs = [*run(engine, [[message("ann", second, heat=1)] for second in (1, 3, 5, 9, 11)])]
    assert shown(results(outputs)) == [(0, 10, "early", [(3,)]), (0, 10, "early", [(4,)]), (0, 10, "final", [(4,)])]


def test_hopping_windows_overlap() -> None:
    window = {"type": "hopping", "size": "2s", "hop": "1s"}
    engine = engine_with(stream("sum", "readings", "select sum(heat) as s from window", window=window, lateness="0s"))
    outputs = [*run(engine, [[message("ann", second + 0.5, heat=10**second) for second in range(4)]]), tick(engine, 9)]
    assert shown(results(outputs)) == [
        (-1, 1, "final", [(1.0,)]),
        (0, 2, "final", [(11.0,)]),
        (1, 3, "final", [(110.0,)]),
        (2, 4, "final", [(1100.0,)]),
        (3, 5, "final", [(1000.0,)]),
    ]


def test_a_sliding_window_ends_with_each_row() -> None:
    window = {"type": "sliding", "size": "2s"}
    engine = engine_with(stream("sum", "readings", "select sum(heat) as s from window", window=window, lateness="0s"))
    outputs = [
        *run(engine, [[message("ann", second, heat=10 ** (second // 2)) for second in (0, 1, 2, 5)]]),
        tick(engine, 9),
    ]
    assert [each.rows for each in results(outputs)] == [[(1.0,)], [(2.0,)], [(11.0,)], [(100.0,)]]
    assert results(outputs)[0].window_end == START + 1


def test_sessions_end_a_gap_after_the_last_row_of_each_key() -> None:
    window = {"type": "session", "gap": "2s"}
    sql = "select count(*) as n, sum(heat) as s from window"
    engine = engine_with(stream("visits", "readings", sql, window=window, by=["device"], lateness="0s"))
    rows = [message("ann", second, heat=second) for second in (0, 1, 2, 6)]
    rows.insert(2, message("bob", 1.5, heat=7))
    outputs = [*run(engine, [rows]), tick(engine, 9)]
    assert [(each.key, each.rows) for each in results(outputs)] == [
        ('["audience/bob"]', [("audience/bob", 1, 7.0)]),
        ('["audience/ann"]', [("audience/ann", 3, 3.0)]),
        ('["audience/ann"]', [("audience/ann", 1, 6.0)]),
    ]
    assert shown(results(outputs))[1][:2] == (0, 4)


def test_a_row_is_of_one_session_though_a_later_one_reaches_back_over_it() -> None:
    window = {"type": "session", "gap": "2s"}
    one = stream("visits", "readings", "select count(*) as n from window", window=window, by=["device"], lateness="0s")
    rows = [
        message("ann", 0.2, said=0.0, heat=1),
        message("ann", 0.9, said=0.9, heat=1),
        message("cia", 3.0, said=3.0, heat=1),
        message("cia", 3.1, said=1.5, heat=1),
        message("ann", 3.12, said=1.2, heat=1),
        message("ann", 3.13, said=0.8, heat=1),
    ]
    for pieces in ([rows], [[row] for row in rows]):
        engine = engine_with(one)
        outputs = [*run(engine, pieces), tick(engine, 9, 6)]
        assert [row for each in results(outputs) for row in each.rows] == [
            ("audience/ann", 2),
            ("audience/ann", 2),
            ("audience/cia", 2),
        ]


def test_keys_split_the_rows_and_stand_beside_the_result() -> None:
    engine = engine_with(stream("by_site", "readings", "select count(*) as n from window", by=["site"]))
    rows = [message("ann", 0.1, site="north"), message("bob", 0.2, site="south"), message("cia", 0.3, site="north")]
    found = results([*run(engine, [rows]), tick(engine, 3)])
    assert [each.columns[0] for each in found] == [("site", "VARCHAR")] * 2
    assert [each.rows for each in found] == [[("north", 2)], [("south", 1)]]


def test_rows_and_keys_beyond_the_limits_are_counted_and_the_window_says_so() -> None:
    sql = "select count(*) as n from window"
    engine = engine_with(
        stream("rows", "readings", sql, max_rows=2), stream("keys", "readings", sql, by=["site"], max_keys=1)
    )
    rows = [message("ann", 0.1 * number, site=site) for number, site in enumerate(("north", "south", "north"))]
    outputs = [*run(engine, [rows]), tick(engine, 3)]
    assert [(each.stream, each.rows, each.complete) for each in results(outputs)] == [
        ("rows", [(2,)], False),
        ("keys", [("north", 2)], True),
    ]
    assert counted(outputs, "rows") == {"received": 3, "taken": 2, "over_limit": 1, "windows": 1, "rows": 1}
    assert counted(outputs, "keys")["over_limit"] == 1


def test_sql_that_fails_over_the_rows_is_counted_and_said() -> None:
    engine = engine_with(stream("heat", "readings", "select avg(heat) as mean from window"))
    outputs = [*run(engine, [[message("ann", 0.1, heat="hot")]]), tick(engine, 3)]
    assert results(outputs) == []
    [progress] = [each for each in outputs[-1].stream_progress if each.counts]
    assert progress.counts == {"failed": 1}
    assert progress.problem.startswith("the window from 2025-06-15T15:06:40.000Z: Binder Error: No function matches")


def test_one_stream_comes_from_another() -> None:
    engine = engine_with(
        stream(
            "peak",
            "seconds",
            "select max(n) as most, min(window_start) as since from window",
            window={"type": "tumbling", "size": "5s"},
        ),
        stream("seconds", "readings", "select count(*) as n from window", lateness="0s"),
    )
    rows = [
        message("ann", 0.5, heat=1),
        message("bob", 1.5, heat=1),
        message("bob", 1.6, heat=1),
        message("bob", 8, heat=1),
    ]
    outputs = [*run(engine, [rows]), tick(engine, 20, 4), tick(engine, 30, 4)]
    assert shown(results(outputs, "peak")) == [
        (0, 5, "final", [(2, "2025-06-15T15:06:40Z")]),
        (5, 10, "final", [(1, "2025-06-15T15:06:48Z")]),
    ]


def test_a_clock_ahead_makes_nothing_late() -> None:
    engine = engine_with(stream("count", "readings", "select count(*) as n from window", lateness="0s"))
    rows = [message("fast", 0.1, said=30.0, heat=1), message("ann", 0.2, heat=1)]
    outputs = [*run(engine, [rows]), tick(engine, 1)]
    assert shown(results(outputs)) == [(0, 1, "final", [(1,)])]


def test_rows_that_go_on_after_a_pause_where_they_stopped_are_not_late() -> None:
    engine = engine_with(stream("count", "readings", "select count(*) as n from window", lateness="1s"))
    before, after = message("ann", 10, said=0.5, heat=1), message("ann", 70, said=1.5, heat=1)
    outputs = [*run(engine, [[before]]), tick(engine, 40, 1), *run(engine, [[after]], 1), tick(engine, 90, 2)]
    assert shown(results(outputs)) == [(0, 1, "final", [(1,)]), (1, 2, "final", [(1,)])]
    assert "late" not in counted(outputs, "count")


def received_again(engine: Engine, seconds: float, offset: int) -> StepOutput:
    """The mark of a connection: nothing was received since the entry before it."""
    chunk = MessageChunk.reception_gap(START + round(seconds * SECOND))
    return engine.step(JournalEntry(engine.position, offset, chunk))


def test_what_the_broker_kept_while_nothing_was_received_is_not_late() -> None:
    engine = engine_with(stream("count", "readings", "select count(*) as n from window", lateness="1s"))
    first, second = message("ann", 0.4, said=0.4, heat=1), message("bob", 0.5, said=0.5, heat=1)
    kept = [message("ann", 31.5, said=0.3, heat=1), message("cia", 33, said=0.6, heat=1)]
    outputs = [*run(engine, [[first, second]]), received_again(engine, 20, 2), received_again(engine, 31, 2)]
    outputs += [tick(engine, 32, 2), *run(engine, [kept], 2)]
    assert results(outputs) == []
    outputs += [tick(engine, 34.3, 4), tick(engine, 34.4, 4)]
    assert shown(results(outputs)) == [(0, 1, "final", [(4,)])]
    assert counted(outputs, "count") == {"received": 4, "taken": 4, "windows": 1, "rows": 1}


def test_a_window_that_was_open_when_reception_ended_is_given_ten_seconds_after_it_went_on() -> None:
    engine = engine_with(stream("count", "readings", "select count(*) as n from window", lateness="1s"))
    outputs = [*run(engine, [[message("ann", 0.5, heat=1)]]), received_again(engine, 20, 1)]
    assert engine.streams is not None
    assert engine.streams.due == START + 31_500_000_000
    outputs += [tick(engine, 31.4, 1)]
    assert results(outputs) == []
    assert shown(results([tick(engine, 31.5, 1)])) == [(0, 1, "final", [(1,)])]


def test_a_silence_is_a_row_of_alarms() -> None:
    sql = "select device, state, severity, count(*) as n from window group by all"
    engine = engine_with(stream("changes", "alarms", sql, window={"type": "tumbling", "size": "1h"}))
    pump = [message("pump", 10 * number, level=3.0) for number in range(60)]
    outputs = [*run(engine, [pump]), *(tick(engine, 600 + 10 * number, 60) for number in range(30))]
    outputs += [*run(engine, [[message("pump", 900, level=3.0)]], 60), tick(engine, 9000, 61)]
    given = sorted(row for result in results(outputs) for row in result.rows)
    assert given == [("audience/pump", "cleared", "major", 1), ("audience/pump", "open", "major", 1)]


def test_a_rising_highest_score_is_stored_with_its_alarm_and_is_no_row_of_alarms() -> None:
    sql = "select state, severity, count(*) as n from window group by all"
    engine = engine_with(stream("changes", "alarms", sql, window={"type": "tumbling", "size": "1h"}))
    levels = [3.0 + 0.1 * (number % 3) for number in range(60)] + [3.35, 3.4, 3.45]
    pump = [message("pump", 10 * number, level=level) for number, level in enumerate(levels)]
    outputs = [*run(engine, [pump]), tick(engine, 9000, 63)]
    peaks = [alarm.peak_score for output in outputs for alarm in output.alarms]
    assert len(peaks) > 1
    assert peaks == sorted(set(peaks))
    assert [row for result in results(outputs) for row in result.rows] == [("open", "minor", 1)]


def test_rows_that_come_more_slowly_than_their_time_passes_are_not_late() -> None:
    engine = engine_with(stream("count", "readings", "select count(*) as n from window", lateness="1s"))
    slow = [message("ann", 1 + number * 0.9, said=number * 0.25, heat=1) for number in range(12)]
    outputs = [*run(engine, [slow]), tick(engine, 60, 12)]
    assert shown(results(outputs)) == [(second, second + 1, "final", [(4,)]) for second in range(3)]


def test_streams_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r'streams\[0\].from: unknown "reading"; did you mean "readings"'):
        Streams([stream("a", "reading", "select 1 as n from window")])
