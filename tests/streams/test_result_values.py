"""What SQL may give a window: every type of DuckDB's as people see it, and that no value of one ends the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import duckdb
import numpy as np
import orjson
import pytest
from stream_steps import ALARM, DETECTORS, ROUTES, SECOND, START, message, results

from devices.messages import MessageChunk
from ingest.ingest_settings import LimitSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry, StepOutput
from streams.columns import Rows, texts
from streams.definitions import define
from streams.evaluation import WindowQueries
from streams.kinds import kind_of_type
from streams.stream_settings import StreamSettings
from streams.stream_stage import Streams

ALL_TYPES = [str(row[0]) for row in duckdb.sql("DESCRIBE FROM test_all_types()").fetchall()]


def stream(name: str, source: str, sql: str) -> StreamSettings:
    return StreamSettings.model_validate({"name": name, "from": source, "sql": sql, "window": {"size": "1s"}})


def outputs_of(*streams: StreamSettings) -> list[StepOutput]:
    engine = Engine(ROUTES, DETECTORS, ALARM, LimitSettings(), streams=Streams(streams))
    crowd = [message("ann", 0.1, heat=1.0), message("bob", 0.6, heat=2.0)]
    chunks = [MessageChunk.of(crowd)] + [MessageChunk.of([], ticked_at=START + at * SECOND) for at in (3, 6)]
    return [engine.step(JournalEntry(engine.position, 0, chunk)) for chunk in chunks]


def problems(outputs: list[StepOutput]) -> dict[str, str]:
    return {each.stream: each.problem for output in outputs for each in output.stream_progress if each.problem}


def test_the_time_between_rows_is_told_as_a_query_tells_it_and_streams_may_come_from_it() -> None:
    span = stream("span", "readings", "select max(time) - min(time) as span from window")
    outputs = outputs_of(span, stream("longest", "span", "select max(span) as longest from window"))
    assert [(each.stream, each.rows) for each in results(outputs)] == [
        ("span", [("0:00:00.500000",)]),
        ("longest", [("0:00:00.500000",)]),
    ]
    assert problems(outputs) == {}


@pytest.mark.parametrize(
    ("sql", "shown", "passed_on"),
    [
        ("170141183460469231731687303715884105727::hugeint", "170141183460469231731687303715884105727", "fails"),
        ("18446744073709551615::ubigint", 18446744073709551615, "fails"),
        ("'infinity'::timestamp", None, None),
        ("'-infinity'::date", None, None),
        ("'290000-01-01'::timestamp", "290000-01-01 00:00:00", None),
        ("'3000-01-01'::timestamp", "3000-01-01T00:00:00Z", None),
        ("'\\xff\\x00'::blob", "/wA=", "/wA="),
        ("'nan'::double", None, None),
        ("[interval 1 day]", ["1 day, 0:00:00"], '["1 day, 0:00:00"]'),
    ],
)
def test_values_that_json_does_not_hold_are_shown_and_end_nothing(sql: str, shown: Any, passed_on: Any) -> None:
    odd = stream("odd", "readings", f"select {sql} as odd from window limit 1")
    beside = stream("beside", "readings", "select count(*) as n from window")
    outputs = outputs_of(odd, beside, stream("behind", "odd", "select odd from window"))
    given = {each.stream: each.rows for each in results(outputs)}
    assert (given["odd"], given["beside"]) == ([(shown,)], [(2,)])
    if passed_on == "fails":
        assert "out of range" in problems(outputs)["behind"]
    else:
        assert (given["behind"], problems(outputs)) == ([(passed_on,)], {})


def test_a_column_that_changes_its_kind_fails_its_window_alone() -> None:
    texts_of = stream("texts", "readings", "select mode as n from window")
    stage = Streams([texts_of, stream("behind", "texts", "select n from window")])
    gives = stage.definitions[0].gives
    assert isinstance(gives, dict)
    gives["n"] = "number"
    engine = Engine(ROUTES, DETECTORS, ALARM, LimitSettings(), streams=stage)
    engine.step(JournalEntry(engine.position, 0, MessageChunk.of([message("ann", 0.1, mode="auto")])))
    outputs = [engine.step(JournalEntry(engine.position, 1, MessageChunk.of([], ticked_at=START + 3 * SECOND)))]
    [progress] = [each for each in outputs[0].stream_progress if each.stream == "texts"]
    assert (progress.counts, progress.problem) == (
        {"failed": 1},
        'the window from 2025-06-15T15:06:40.000Z: column "n": expected values of one kind, number, in every window',
    )


@pytest.mark.parametrize("column", ALL_TYPES)
def test_every_type_of_the_database_gives_values_that_are_kept_and_passed_on(column: str) -> None:
    [definition], mistakes = define([stream("all", "points", "select device from window")])
    assert mistakes == []
    sql = f'SELECT "{column}" AS value FROM test_all_types()'
    odd = replace(definition, query=replace(definition.query, sql=sql))
    none = np.zeros(1, np.int64)
    answer = WindowQueries().run(odd, Rows(none, none, {"device": texts(["p"])}))
    [(name, sql_type)], rows = answer.columns, answer.rows
    assert (name, len(rows)) == ("value", 3), "the smallest, the largest, and null"
    assert orjson.loads(orjson.dumps(rows)) == [list(row) for row in rows]
    assert (kind_of_type(sql_type) == "integer") == (sql_type in {
        "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT",
        "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT",
    })  # fmt: skip
