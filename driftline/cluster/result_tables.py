"""Results of shards as tables with names in place of numbers, and as Parquet files that a repeated batch replaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import orjson

from common.extras import optional
from devices.records import DeadLetter
from storage.store import StepOutput

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = optional("pyarrow", extra="spark", purpose="Running on Spark")
    pq = optional("pyarrow.parquet", extra="spark", purpose="Running on Spark")

_NUMBERS = ("value", "score", "expected", "lower", "upper", "novelty")
_ALARM_TIMES = ("opened", "cleared")


def points_table(output: StepOutput) -> pa.Table:
    """A row for each point: device and metric, time, what was measured, and what the detectors made of it."""
    points = output.points
    series = pa.array(points.series)
    columns = {
        name: pa.array([getattr(record, name) for record in output.series], pa.string()).take(series)
        for name in ("device", "metric")
    }
    columns["time"] = pa.array(points.time).cast(pa.timestamp("ns"))
    columns |= {name: pa.array(getattr(points, name)) for name in (*_NUMBERS, "anomaly", "late")}
    return pa.table(columns)


def alarms_table(output: StepOutput, shard: int) -> pa.Table:
    """A row for each change of an alarm; the last one of a `shard` and `alarm` is how it stands."""
    rows = [
        {
            "shard": shard,
            "alarm": alarm.alarm,
            "device": output.series[alarm.series].device,
            "metric": output.series[alarm.series].metric,
            "state": alarm.state.value,
            "opened": alarm.opened,
            "cleared": alarm.cleared,
            "severity": alarm.severity,
            "peak_score": alarm.peak_score,
            "value": alarm.value,
            "expected": alarm.expected,
            "reason": alarm.reason,
            "cleared_reason": alarm.cleared_reason,
        }
        for alarm in output.alarms
    ]
    kinds = {"shard": pa.int32(), "alarm": pa.int64()} | dict.fromkeys(_ALARM_TIMES, pa.timestamp("ns"))
    kinds |= dict.fromkeys(("peak_score", "value", "expected"), pa.float64())
    names = ("shard", "alarm", "device", "metric", "state", "opened", "cleared", "severity", "peak_score", "value",
             "expected", "reason", "cleared_reason")  # fmt: skip
    return pa.Table.from_pylist(rows, pa.schema([(name, kinds.get(name, pa.string())) for name in names]))


def letters_table(letters: Sequence[DeadLetter], shard: int, offsets: Mapping[int, int]) -> pa.Table:
    """A row for each message that could not become points; `offsets` are those of the log, by the letter's own."""
    schema = pa.schema(
        [("shard", pa.int32()), ("offset", pa.int64()), ("arrived", pa.timestamp("ns")), ("topic", pa.string()),
         ("payload", pa.binary()), ("payload_bytes", pa.int64()), ("reason", pa.string()), ("detail", pa.string())]
    )  # fmt: skip
    rows = [
        (shard, offsets[each.offset], each.arrival, each.topic, each.payload, each.payload_bytes, each.reason,
         each.detail)
        for each in letters
    ]  # fmt: skip
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)


def counts_table(output: StepOutput, shard: int) -> pa.Table:
    """A row for each count of the ledger, what was added to it: over all batches they close."""
    names = list(output.counts)
    columns = {"shard": pa.array([shard] * len(names), pa.int32()), "name": pa.array(names, pa.string())}
    return pa.table({**columns, "count": pa.array(list(output.counts.values()), pa.int64())})


def encode_table(table: pa.Table) -> bytes:
    """A table as bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def decode_table(data: bytes) -> pa.Table:
    """What `encode_table` was given."""
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()


def write_tables(folder: Path, batch: int, shard: int, tables: Mapping[str, pa.Table]) -> None:
    """A file for each table with rows, `NAME/batch=BATCH/shard-SHARD.parquet`: the same one when it is done again."""
    for name, table in tables.items():
        target = folder / name / f"batch={batch:09d}" / f"shard-{shard}.parquet"
        if not table.num_rows:
            target.unlink(missing_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        begun = target.with_name(f".{target.name}.{uuid4().hex}")
        try:
            pq.write_table(table, begun, compression="zstd")
            begun.replace(target)
        finally:
            begun.unlink(missing_ok=True)


def claim(folder: Path, checkpoint: str) -> str:
    """Take a folder for the results of one checkpoint; why not, where it holds those of another, else ""."""
    owner = folder / "checkpoint.json"
    try:
        before = orjson.loads(owner.read_bytes())["checkpoint"]
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        owner.write_bytes(orjson.dumps({"checkpoint": checkpoint}))
        return ""
    if before != checkpoint:
        return f"{folder} holds the results of the checkpoint {before}: expected a folder of its own for {checkpoint}"
    return ""
