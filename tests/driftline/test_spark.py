"""The engine on a real Spark, in local mode: what one machine makes, over a failed batch and a restart."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from journal_cuts import SECOND
from shard_runs import PLANT, STEADY, by_one_machine, device_of, encoded, logs

from driftline.cluster.result_tables import alarms_table, points_table
from driftline.cluster.shard import Record
from driftline.cluster.spark_results import ResultWriter

pytest.importorskip("pyspark", reason="the extra spark is not installed")
pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402
from pyspark.errors import StreamingQueryException  # noqa: E402

from driftline.cluster.spark_application import SparkPlan, open_session, start  # noqa: E402

pytestmark = pytest.mark.service("java")

QUIET = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("spark")
    settings = {**QUIET, "spark.sql.warehouse.dir": str(folder), "spark.local.dir": str(folder)}
    found = open_session(SparkPlan("", files=str(folder), master="local[2]", tasks=2, settings=settings))
    yield found
    found.stop()


def write_log(folder: Path, number: int, parts: Sequence[Sequence[Record]], offsets: Sequence[int]) -> None:
    """A file of records as Spark's Kafka source has them, each shard's from its offset on."""
    headers = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
    kinds = {
        "key": pa.binary(),
        "value": pa.binary(),
        "headers": headers,
        "partition": pa.int32(),
        "offset": pa.int64(),
    }
    rows = [
        {
            "key": device_of(record.topic) or None,
            "value": record.payload or None,
            "headers": [
                {"key": name, "value": text}
                for name, text in (
                    ("topic", record.topic), ("arrived", b"%d" % record.arrived), ("flags", b"%d" % record.flags),
                )
                if text
            ],
            "partition": shard,
            "offset": offset,
        }
        for shard, part in enumerate(parts)
        for offset, record in enumerate(part, offsets[shard])
    ]  # fmt: skip
    folder.mkdir(exist_ok=True)
    path = folder / f"{number:03d}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(list(kinds.items()))), path)
    os.utime(path, (1_750_000_000 + number,) * 2)  # files are read in the order in which they were changed


def rows_of(folder: Path, *left_out: str) -> list[str]:
    """All rows of the files below a folder, as text."""
    tables = [pq.read_table(path, partitioning=None) for path in sorted(folder.rglob("*.parquet"))]
    return as_text(pa.concat_tables(tables), *left_out)


def as_text(table: Any, *left_out: str) -> list[str]:
    return sorted(repr(row) for row in table.drop_columns(list(left_out)).to_pylist())


def ended(begin: Callable[[], Any]) -> str:
    """Run a query to its end; what it ended with. Begun again where Spark gave a process too little time (ten seconds
    to import itself, which no setting changes): that is a restart like any other."""
    for _ in range(8):
        try:
            begin().awaitTermination()
        except StreamingQueryException as error:
            if "to connect back" not in str(error):
                return str(error)
        else:
            return ""
    pytest.fail("Spark's processes do not start within its ten seconds")


def test_a_batch_that_fails_once_it_is_written_and_a_restart_change_nothing(session: Any, tmp_path: Path) -> None:
    messages = [
        *STEADY,
        *[("rest/press", 0, [20, 90 if n in (4, 5) else 21], 0, SECOND // 3) for n in range(40)],
        *[("slow/pump", n % 3, [20 + n % 2, 21], 0, SECOND) for n in range(80)],
    ]
    records = encoded(messages)
    records.append(Record(b"slow/pump", b'{"m0": ', records[-1].arrived + SECOND))
    parts = logs(records, 3)
    third = [len(part) // 3 for part in parts]
    cuts = [[0, third[n], 2 * third[n], len(part)] for n, part in enumerate(parts)]
    plan = SparkPlan(
        str(tmp_path / "checkpoint"), files=str(tmp_path / "log"), results=tmp_path / "results", once=True,
        most_records=1,
    )  # fmt: skip
    for number in range(3):
        batch = [part[each[number] : each[number + 1]] for part, each in zip(parts, cuts, strict=True)]
        write_log(tmp_path / "log", number, batch, [each[number] for each in cuts])

    class FailsOnceWritten(ResultWriter):
        def write_batch(self, frame: Any, batch: int) -> None:
            super().write_batch(frame, batch)
            if batch == 1:
                raise OSError("the driver is gone")

    assert "the driver is gone" in ended(lambda: start(session, PLANT, plan, FailsOnceWritten((), plan.results)))
    written = sorted(path.name for path in (tmp_path / "results" / "points").iterdir())
    assert written == ["batch=000000000", "batch=000000001"]
    assert ended(lambda: start(session, PLANT, plan)) == ""
    written = sorted(path.name for path in (tmp_path / "results" / "points").iterdir())
    assert written == ["batch=000000000", "batch=000000001", "batch=000000002"]
    expected = by_one_machine(PLANT, records)
    own = ("shard", "alarm")
    assert rows_of(tmp_path / "results" / "points") == as_text(points_table(expected))
    assert rows_of(tmp_path / "results" / "alarms", *own) == as_text(alarms_table(expected, 0), *own)
    assert counts_of(tmp_path / "results") == {name: n for name, n in expected.counts.items() if n}
    letters = pq.read_table(tmp_path / "results" / "dead_letters", partitioning=None).to_pylist()
    assert [(each["topic"], each["payload"], each["reason"]) for each in letters] == [
        ("slow/pump", b'{"m0": ', "malformed")
    ]
    assert parts[letters[0]["shard"]][letters[0]["offset"]] == records[-1]


def counts_of(results: Path) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for path in (results / "counts").rglob("*.parquet"):
        for row in pq.read_table(path, partitioning=None).to_pylist():
            counts[row["name"]] += row["count"]
    return {name: count for name, count in counts.items() if count}
