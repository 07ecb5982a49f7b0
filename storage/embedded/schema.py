"""Store: the tables of the embedded database, and the views that people query.

Points lie in three tables of the same columns. `point_recent` takes every commit, in order of arrival. Compaction moves
them to `point_sorted`, in runs ordered by series and time, and these, when there are many, to `point_merged`, in few
long runs. There a series' points lie together: they compress several times better, and the minimum and maximum that
DuckDB keeps of each block let a chart of one series read little else.
The band is stored as its reach below and above the expected value (see `storage.embedded.columns`); `above` is NULL
where it is the same as `below`, as it nearly always is, and NaN where the band reaches down alone.
No unique index is kept on points, since it would cost more than the points: `storage.embedded.database` sees to
uniqueness.
The journal position and the ledger of counts share one row, since an update of one row is all that a small commit can
afford beside its points.
"""

from __future__ import annotations

VERSION = 7
LETTERS_IN_A_TABLE = 2
"""The last version that held the dead letters."""

POINT_TABLES = ("point_recent", "point_sorted", "point_merged")

POINT_COLUMNS = "series, time, value, score, expected, below, above, anomaly, late, novelty"

_POINT_TYPES = """(
    series INTEGER NOT NULL,
    time TIMESTAMP_NS NOT NULL,
    value DOUBLE NOT NULL,
    score FLOAT,
    expected FLOAT,
    below FLOAT,
    above FLOAT,
    anomaly BOOLEAN NOT NULL,
    late BOOLEAN NOT NULL,
    novelty FLOAT
)"""

_ACTION_TABLE = """
CREATE TABLE IF NOT EXISTS stored.action(
    position BIGINT,
    number INTEGER,
    alarm BIGINT,
    kind VARCHAR NOT NULL,
    done_by VARCHAR NOT NULL,
    done_at TIMESTAMP_NS NOT NULL,
    text VARCHAR NOT NULL,
    refused VARCHAR NOT NULL,
    PRIMARY KEY (position, number)
);
"""
"""What people did, by its place in the journal: the history of alarms."""

STATE_TABLE = """
CREATE TABLE IF NOT EXISTS stored.state(
    series INTEGER NOT NULL,
    time TIMESTAMP_NS NOT NULL,
    text VARCHAR NOT NULL,
    PRIMARY KEY (series, time)
);
"""

DEVICE_TABLE = """
CREATE TABLE IF NOT EXISTS stored.device(
    device VARCHAR PRIMARY KEY,
    name VARCHAR NOT NULL,
    labels VARCHAR NOT NULL,
    first_seen TIMESTAMP_NS,
    retired_at TIMESTAMP_NS,
    merged_into VARCHAR NOT NULL,
    merged_at BIGINT,
    muted_at TIMESTAMP_NS
);
"""
"""What people and rules say of devices; `merged_at` is a journal position."""

TABLES = f"""
CREATE SCHEMA stored;
CREATE TABLE stored.meta(name VARCHAR PRIMARY KEY, value VARCHAR NOT NULL);
CREATE TABLE stored.point_recent {_POINT_TYPES};
CREATE TABLE stored.point_sorted {_POINT_TYPES};
CREATE TABLE stored.point_merged {_POINT_TYPES};
CREATE TABLE stored.series(
    series INTEGER PRIMARY KEY,
    device VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    unit VARCHAR NOT NULL,
    kind VARCHAR DEFAULT 'measurement',
    gone_at BIGINT
);
CREATE TABLE stored.alarm(
    alarm BIGINT PRIMARY KEY,
    series INTEGER NOT NULL,
    state VARCHAR NOT NULL,
    opened TIMESTAMP_NS NOT NULL,
    cleared TIMESTAMP_NS,
    severity VARCHAR NOT NULL,
    peak_score DOUBLE NOT NULL,
    value DOUBLE NOT NULL,
    expected DOUBLE,
    reason VARCHAR NOT NULL,
    parts VARCHAR NOT NULL,
    acknowledged_by VARCHAR DEFAULT '',
    acknowledged_at TIMESTAMP_NS,
    shelved_until TIMESTAMP_NS,
    cleared_reason VARCHAR DEFAULT '',
    note VARCHAR DEFAULT '',
    feedback VARCHAR DEFAULT ''
);
{_ACTION_TABLE}
CREATE TABLE stored.progress(position BIGINT NOT NULL, counts VARCHAR NOT NULL);
INSERT INTO stored.progress VALUES (0, '{{}}');
{STATE_TABLE}{DEVICE_TABLE}"""

MIGRATIONS = {
    1: "".join(
        f"UPDATE stored.{table} SET above = 'nan' WHERE above IS NULL AND below IS NOT NULL;" for table in POINT_TABLES
    ),
    2: "DROP VIEW dead_letters; DROP TABLE stored.dead_letter;",
    3: "".join(f"ALTER TABLE stored.{table} ADD COLUMN IF NOT EXISTS novelty FLOAT;" for table in POINT_TABLES)
    + "".join(
        f"ALTER TABLE stored.alarm ADD COLUMN IF NOT EXISTS {name} {kind};"
        for name, kind in (
            ("acknowledged_by", "VARCHAR DEFAULT ''"),
            ("acknowledged_at", "TIMESTAMP_NS"),
            ("shelved_until", "TIMESTAMP_NS"),
            ("cleared_reason", "VARCHAR DEFAULT ''"),
            ("note", "VARCHAR DEFAULT ''"),
            ("feedback", "VARCHAR DEFAULT ''"),
        )
    )
    + _ACTION_TABLE,
    4: "ALTER TABLE stored.series ADD COLUMN IF NOT EXISTS kind VARCHAR DEFAULT 'measurement';" + STATE_TABLE,
    5: "ALTER TABLE stored.series ADD COLUMN IF NOT EXISTS gone_at BIGINT;" + DEVICE_TABLE,
    6: "ALTER TABLE stored.device ADD COLUMN IF NOT EXISTS muted_at TIMESTAMP_NS;",
}
"""What makes a database of this version one of the next.

Up to version 1 `above` was NULL where there was no bound. Up to version 2 dead letters were in a table, a row for each
rejected reading; `storage.embedded.letter_table` carries them over first. Up to version 3 there was no novelty, and
nothing of what people did. Up to version 4 a series had no kind, and states were not kept.
Up to version 5 devices had no records, and none could go. Up to version 6 none could be muted.
"""

POINT_VIEW = """
CREATE OR REPLACE VIEW stored.point AS
    SELECT series, time, value, score, expected, (coalesce(expected, 0) - below)::FLOAT AS lower,
        (coalesce(expected, 0) + nullif(coalesce(above, below), 'nan'))::FLOAT AS upper, anomaly, late, novelty
    FROM (
        FROM stored.point_merged UNION ALL FROM stored.point_sorted UNION ALL FROM stored.point_recent
    );
"""

EXCLUDED = "point_excluded"
EXCLUDED_TABLE = f"CREATE TABLE IF NOT EXISTS stored.{EXCLUDED} {_POINT_TYPES};"
"""Points that people took out: in no chart, aggregate or history, until they are put back."""

EXCLUSION_TABLE = """
CREATE TABLE IF NOT EXISTS stored.exclusion(
    series INTEGER NOT NULL,
    first TIMESTAMP_NS NOT NULL,
    beyond TIMESTAMP_NS NOT NULL
);
"""
"""The stretches that people took out, up to and without `beyond`: the archive's points there are left out in reads."""

EXCLUDED_BEFORE = """
INSERT INTO stored.exclusion SELECT series, time, make_timestamp_ns(epoch_ns(time) + 1) FROM stored.point_excluded
WHERE NOT EXISTS (FROM stored.exclusion);
"""
"""A version that kept no stretches had taken these points out."""

ARCHIVE_TABLE = """
CREATE TABLE IF NOT EXISTS stored.archive(
    path VARCHAR PRIMARY KEY,
    day DATE NOT NULL,
    rows BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    sha256 VARCHAR NOT NULL,
    first TIMESTAMP_NS NOT NULL,
    last TIMESTAMP_NS NOT NULL
);
"""
"""Files of the archive: a file counts from the transaction on that removes its points from the tables."""

VIEWS = """
CREATE OR REPLACE VIEW points AS
    SELECT s.device, s.metric, p.time, p.value, p.score, p.expected, p.lower, p.upper, p.anomaly, p.late,
        p.novelty
    FROM stored.point p JOIN stored.series s USING (series);
CREATE OR REPLACE VIEW excluded AS
    SELECT s.device, s.metric, p.time, p.value FROM stored.point_excluded p JOIN stored.series s USING (series);
CREATE OR REPLACE VIEW series AS SELECT series, device, metric, unit, kind FROM stored.series WHERE gone_at IS NULL;
CREATE OR REPLACE VIEW states AS
    SELECT s.device, s.metric, c.time, c.text FROM stored.state c JOIN stored.series s USING (series);
CREATE OR REPLACE VIEW alarms AS
    SELECT a.alarm, s.device, s.metric, a.state, a.severity, a.opened, a.cleared, a.peak_score,
        nullif(a.value, 'nan') AS value, nullif(a.expected, 'nan') AS expected,
        a.reason, a.parts, a.acknowledged_by, a.acknowledged_at, a.shelved_until, a.cleared_reason, a.note, a.feedback
    FROM stored.alarm a LEFT JOIN stored.series s USING (series);
CREATE OR REPLACE VIEW actions AS
    SELECT position, number, alarm, kind, done_by, done_at, text, refused FROM stored.action;
CREATE OR REPLACE VIEW counts AS
    SELECT key AS name, value::BIGINT AS value FROM stored.progress, json_each(counts);
CREATE OR REPLACE VIEW devices AS
    WITH seen AS (
        SELECT series, min(time) AS first_seen, max(time) AS last_seen, count(*) AS points
        FROM stored.point GROUP BY ALL
    ), unclear AS (
        SELECT series, count(*) AS open_alarms FROM stored.alarm WHERE state <> 'cleared' GROUP BY ALL
    )
    SELECT s.device, list(s.metric ORDER BY s.metric) AS metrics, min(seen.first_seen) AS first_seen,
        max(last_seen) AS last_seen, coalesce(sum(points), 0)::BIGINT AS points,
        coalesce(sum(open_alarms), 0)::BIGINT AS open_alarms, any_value(coalesce(d.name, '')) AS name,
        any_value(coalesce(d.labels, '{}')) AS labels, any_value(d.retired_at) AS retired_at,
        any_value(d.muted_at) AS muted_at
    FROM stored.series s LEFT JOIN seen USING (series) LEFT JOIN unclear USING (series)
        LEFT JOIN stored.device d USING (device)
    WHERE s.gone_at IS NULL
    GROUP BY s.device;
"""
