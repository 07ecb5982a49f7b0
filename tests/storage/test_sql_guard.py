"""The guard of SQL under made-up statements: what it lets through reads views alone, whatever words it is made of."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.embedded.sql_guard import VIEWS, QueryError, check_query

CORPUS = (Path(__file__).parent / "hostile_sql.txt").read_text().splitlines()
WORDS = [
    *(
        "select",
        "from",
        "with",
        "recursive",
        "as",
        "copy",
        "to",
        "attach",
        "explain",
        "analyze",
        "pragma",
        "set",
        "into",
    ),
    *("insert", "update", "delete", "create", "drop", "union all", "(", ")", ",", ";", "*", "1", "'x.csv'", '"x.csv"'),
    *("points", "alarms", "stored.point", "duckdb_settings()", "read_csv('x')", "query('select 1')", "t", "range(3)"),
    *(
        "where",
        "in",
        "exists",
        "join",
        "using (device)",
        "describe",
        "summarize",
        "show tables",
        "--",
        "/*",
        "*/",
        "$$",
    ),
]


@pytest.mark.parametrize("sql", CORPUS)
def test_no_statement_of_the_corpus_runs(sql: str) -> None:
    with pytest.raises(QueryError) as refused:
        check_query(duckdb.connect(), sql)
    assert "\n" not in str(refused.value)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join) | st.text(max_size=60))
def test_what_passes_names_views_and_writes_nothing(sql: str) -> None:
    connection = duckdb.connect(config={"enable_external_access": "false"})
    try:
        checked = check_query(connection, sql)
    except QueryError as refused:
        assert str(refused)
        return
    assert checked.views <= set(VIEWS)
    for view in VIEWS:
        connection.execute(f"CREATE VIEW {view} AS SELECT 1 AS device, 2 AS x")
    connection.execute("BEGIN READ ONLY")
    try:
        connection.execute(sql).fetchall()
    except duckdb.Error as error:
        assert "read-only" not in str(error), "a statement that writes has passed"
