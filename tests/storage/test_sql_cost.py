"""What a person's SQL may cost: what makes long texts out of short ones is refused before it runs, all else is not."""

from __future__ import annotations

import duckdb
import pytest

from storage.embedded.sql_cost import check_cost
from storage.embedded.sql_guard import QueryError, check_query, query_nodes

DOUBLED = (
    "WITH a AS (SELECT device s FROM points), b AS (SELECT s||s||s||s||s||s s FROM a), "
    "c AS (SELECT s||s||s||s||s||s s FROM b) SELECT length(s) FROM c"
)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (DOUBLED, "can be 1,024 times as long"),
        ("SELECT replace(replace(device, 'a', repeated), 'a', 'aa') FROM points", "more than a billion times"),
        (f"SELECT replace(replace(device, 'a', '{'a' * 30}'), 'a', '{'a' * 30}') FROM points", "can be 900 times"),
        (f"SELECT replace(device, '', '{'a' * 600}') FROM points", "can be 1,406 times"),
        (f"SELECT regexp_replace(device, '.*', '{chr(92) + '0'}{'x' * 600}') FROM points", "can be 1,418 times"),
        ("SELECT hex(hex(hex(hex(device)))) FROM points", "can be 4,096 times"),
        (f"SELECT '{'x' * 16_000}' || '{'x' * 16_000}' || device FROM points", "can be 9,766 times"),
        (f"SELECT '{'x' * 20_000}' FROM points", "a constant is 20,000 letters long: expected at most 16,384"),
        ("SELECT payload||payload||payload||payload||payload||payload FROM dead_letters", "at most 16 times"),
        ("SELECT string_agg(device||device||device||device, ',') FROM points", "expected at most 4 times"),
        ("SELECT string_agg(device, ',') OVER (ORDER BY time) FROM points", '"string_agg" may not be used with OVER'),
        ("SELECT [x||x FOR x IN string_split(device, '')] FROM points", "any size|not known how long"),
        ("SELECT list_transform([device], x -> x) FROM points", "any size|not known how long"),
        ("SELECT list_aggregate([device], 'string_agg', ',') FROM points", '"list_aggregate" may not be used'),
        ("SELECT main.array_to_string([device], ',') FROM points", '"array_to_string" may not be used'),
    ],
)
def test_what_makes_texts_of_any_size_is_refused(sql: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        checked(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT device||'/'||metric AS name, avg(value) FROM points GROUP BY device||'/'||metric ORDER BY name",
        "SELECT string_agg(DISTINCT device||'/'||metric, ', ' ORDER BY metric) FROM points",
        "SELECT time_bucket(INTERVAL 1 HOUR, time), max(value), quantile_cont(value, 0.9) FROM points GROUP BY 1",
        "SELECT lag(value) OVER (PARTITION BY device ORDER BY time), row_number() OVER (), rank() OVER () FROM points",
        "SELECT reason, count(*), string_agg(DISTINCT topic, ', ') FROM dead_letters GROUP BY 1",
        "SELECT hex(payload), decode(payload), json_extract_string(payload, '$.a') FROM dead_letters",
        "SELECT replace(device, '/', '.'), regexp_replace(device, '^.*/', ''), split_part(device, '/', 1) FROM points",
        "SELECT unnest(string_split(device, '/')), upper(device), strftime(time, '%H') FROM points",
        "SELECT round(value, 2) % 2 + abs(value) ^ 2 - value // 2, greatest(1, value), coalesce(score, 0) FROM points",
        "SELECT sum(value)::VARCHAR || ' kWh', median(value), mode(metric), arg_max(device, value) FROM points",
        "SELECT device, list(value), histogram(metric) FROM points GROUP BY 1",
        "SELECT time AT TIME ZONE 'Europe/Berlin', date_trunc('day', time), extract(hour FROM time) FROM points",
        f"SELECT replace(device, 'abc', '{'a' * 600}') FROM points",
        "SELECT no_such_function(1)",
        "SUMMARIZE points",
    ],
)
def test_what_people_ask_for_passes(sql: str) -> None:
    checked(sql)


def checked(sql: str) -> None:
    connection = duckdb.connect()
    views = check_query(connection, sql).views
    check_cost(query_nodes(connection, sql), views)
