"""Store: dead letters and the database: as a table of a query, and from the table of earlier versions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import duckdb

from devices.records import MOST_PAYLOAD_KEPT, DeadLetter
from storage.dead_letters import DeadLetters

_AT_ONCE = 1_000

_TABLE = """
CREATE OR REPLACE TEMP TABLE dead_letters(
    "offset" BIGINT, arrival TIMESTAMP_NS, topic VARCHAR, payload VARCHAR, reason VARCHAR, detail VARCHAR,
    rejected MAP(VARCHAR, BIGINT), payload_bytes BIGINT, payload_blob BLOB
)
"""
_INSERT = """
INSERT INTO dead_letters
SELECT "offset", make_timestamp_ns(arrival), topic, try(decode(payload)), reason, detail, map(reasons, readings),
    payload_bytes, payload
FROM (
    SELECT unnest($1) AS "offset", unnest($2::BIGINT[]) AS arrival, unnest($3) AS topic, unnest($4::BLOB[]) AS payload,
        unnest($5) AS payload_bytes, unnest($6) AS reason, unnest($7) AS detail, unnest($8::VARCHAR[][]) AS reasons,
        unnest($9::BIGINT[][]) AS readings
)
"""
_OLDER = (
    'SELECT "offset", part, epoch_ns(arrival), topic, payload[:?], octet_length(payload), reason, detail '
    'FROM stored.dead_letter ORDER BY "offset", part'
)


def make_letter_table(cursor: duckdb.DuckDBPyConnection, letters: DeadLetters) -> None:
    """A table `dead_letters` of this cursor alone that holds all of `letters`."""
    cursor.execute(_TABLE)
    for portion in _portions(letters):
        rows = [
            (
                *(each.offset, each.arrival, each.topic, each.payload, each.payload_bytes, each.reason, each.detail),
                list(each.rejected),
                list(each.rejected.values()),
            )
            for each in portion
        ]
        cursor.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])


def carry_over(connection: duckdb.DuckDBPyConnection, letters: DeadLetters) -> None:
    """Take the dead letters of a database of version 2, which had a row for each rejected reading."""
    rows = connection.execute(_OLDER, [MOST_PAYLOAD_KEPT])
    waiting: list[DeadLetter] = []
    for _, of_message in groupby(iter(rows.fetchone, None), key=lambda row: row[0]):
        waiting.append(_joined(list(of_message)))
        if len(waiting) == _AT_ONCE:
            letters.put(waiting)
            waiting.clear()
    letters.put(waiting)


def _joined(rows: list[tuple[Any, ...]]) -> DeadLetter:
    offset, _, arrival, topic, payload, payload_bytes, reason, _ = rows[0]
    detail = "\n".join(row[7] for row in rows)
    return DeadLetter(
        offset, arrival, topic, payload, payload_bytes, reason, detail, dict(Counter(row[6] for row in rows))
    )


def _portions(letters: DeadLetters) -> Iterator[list[DeadLetter]]:
    portion = letters.newest(_AT_ONCE)
    while portion:
        yield portion
        portion = letters.newest(_AT_ONCE, before=portion[-1].offset)
