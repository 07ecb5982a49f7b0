"""What `driftline check` says of streams that cannot run: place and reason, all at once."""

from __future__ import annotations

import pytest

from driftline.config import parse_config
from driftline.config_errors import ConfigError
from streams.stream_sql import quoted_window

WHOLE = """
[[streams]]
name = "no_size"
from = "readings"
window = { type = "tumbling" }
sql = "select count(*) as n from window"

[[streams]]
name = "no_column"
from = "points"
window = { size = "1s" }
sql = "select devce from window"

[[streams]]
name = "first"
from = "second"
window = { size = "1s" }
sql = "select now() as n from window"

[[streams]]
name = "second"
from = "first"
window = { size = "1s" }
sql = "select * from read_csv('/etc/passwd')"

[[streams]]
name = "no_source"
from = "alarm"
window = { size = "1s" }
sql = "delete from window"

[[streams]]
name = "no_key"
from = "alarms"
window = { size = "1s" }
by = ["sevrity"]
sql = "select count(*) as n from window"
"""


def errors_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, name="plant.toml")
    return caught.value.errors


def test_everything_that_is_wrong_is_said_at_once_with_its_place() -> None:
    found = errors_of(WHOLE)
    expected = [
        'streams[0].window: a tumbling window needs size, such as size = "10s"',
        'streams[1].sql: unknown column "devce"; did you mean "device"?',
        "streams[2].from: a circle: first comes from second comes from first",
        'streams[2].sql: "now" may not be used: it depends on the clock, on chance or on the connection',
        "streams[3].from: a circle: second comes from first comes from second",
        'streams[3].sql: "read_csv" may not be read from: expected one of window',
        'streams[4].from: unknown "alarm"; did you mean "alarms"?',
        "streams[4].sql: only a SELECT may run, over window",
        'streams[5].by: unknown column "sevrity"; did you mean "severity"?',
    ]
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(f"plant.toml: {start}"), line


ONE = '[[streams]]\nname = "one"\nfrom = "points"\nwindow = {{ size = "1s" }}\nsql = """{sql}"""\n'


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("selec 1 from window", "Parser Error: syntax error at or near"),
        ("select random() as r from window", '"random" may not be used'),
        ("select current_date as d from window", '"current_date" may not be used'),
        ("select age(time) as a from window", '"age" may not be used'),
        ("select uuid() as u from window", '"uuid" may not be used'),
        ("select device from window using sample 3", "a sample is drawn by chance"),
        ("select getenv('HOME') as h from window", "it reads the environment"),
        ("select * from 'points.parquet'", '"points.parquet" may not be read: expected one of window'),
        ("create table x as select * from window", "only a SELECT may run"),
        ("select 1 as n", "the SQL reads no rows: expected FROM window"),
        ("select 1 as n from window; select 2 as n from window", "2 statements were given: expected one"),
        ("select value, value from window", "two columns have one name"),
        ("select value as id from window", 'the column "id" has a name that stands beside the rows already'),
        ("select devise from window", 'unknown column "devise"; did you mean "device"?'),
    ],
)
def test_sql_that_may_not_run_is_refused_with_the_reason(sql: str, reason: str) -> None:
    [found] = errors_of(ONE.format(sql=sql))
    assert found.startswith(f"plant.toml: streams[0].sql: {reason}") or reason in found


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('window = { type = "hopping", size = "10s", hop = "3s" }', "expected size to be 1 to 1,000 times hop"),
        ('window = { type = "session", gap = "3s", size = "3s" }', "a session window has no size: expected gap"),
        ('window = { size = "0s" }', "expected a duration above 0"),
        ('window = { size = "1s" }\nto = ["mqtt:a/#"]', '"mqtt:a/#": expected "table", "alarm", "mqtt:" with a topic'),
        ('window = { size = "1s" }\nto = ["sink:plant"]', 'streams[0].to: unknown sink "plant" (known: none)'),
        ('window = { size = "1s" }\nearly = "2s"', "expected less than the window's size"),
        ('window = { type = "session", gap = "1s" }\ncorrections = "2s"', "expected a tumbling or hopping window"),
        ('window = { size = "1s" }\ntopics = ["a"]', 'expected from = "readings", got "points"'),
    ],
)
def test_settings_that_do_not_fit_are_refused(line: str, reason: str) -> None:
    text = f'[[streams]]\nname = "one"\nfrom = "points"\nsql = "select count(*) as n from window"\n{line}\n'
    [found] = errors_of(text)
    assert reason in found


def test_names_and_topics_are_each_taken_once() -> None:
    one = ONE.format(sql="select count(*) as n from window")
    taken = '"one" is taken by streams[0]; give each its own name'
    assert errors_of(one + one) == [f"plant.toml: streams[1].name: {taken}"]
    named = one.replace('"one"', '"alarms"')
    assert errors_of(named) == ['plant.toml: streams[0].name: "alarms" is a table already; choose another name']
    published = one + 'to = ["mqtt:same"]\n'
    assert errors_of(published + published.replace('"one"', '"two"')) == [
        'plant.toml: streams[1].to: "same" is published to by streams[0]; give each its own topic'
    ]


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        ("select * from window", 'select * from "window"'),
        ("SELECT a FROM Window w, window", 'SELECT a FROM "window" w, "window"'),
        ("select window.a from window", 'select "window".a from "window"'),
        ("select 'from window' from \"window\"", "select 'from window' from \"window\""),
        (
            "select sum(a) over w from window window w as (order by b)",
            'select sum(a) over w from "window" window w as (order by b)',
        ),
    ],
)
def test_the_table_window_is_told_from_the_clause_window(sql: str, read: str) -> None:
    assert quoted_window(sql) == read
