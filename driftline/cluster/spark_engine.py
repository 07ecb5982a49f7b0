"""The engine on Spark Structured Streaming: a shard is a partition of the Kafka topic, and Spark keeps its state.

`transformWithState` gives each shard its new messages and the state before them, at one place at a time, and keeps the
state with the offsets in its checkpoint. A batch that fails, or that a restart finds half done, is done again from
there: with the same messages and the same state it gives the same results.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as columns
from pyspark.sql.streaming import StatefulProcessor

from driftline.cluster.packed_records import PACKED, packed, unpacked
from driftline.cluster.result_tables import encode_table, letters_table
from driftline.cluster.shard import Shard
from storage.external.outputs import encode_output

OUTPUT = "shard int, first_offset long, records long, output binary, letters binary"
"""Columns of the results, a row for each shard of a batch: the output as the spool has it, and its dead letters."""
KAFKA = "org.apache.spark:spark-sql-kafka-0-10_2.13"
"""The jar by which Spark reads Kafka, which pyspark does not bring."""


def messages_of(frame: DataFrame) -> DataFrame:
    """Messages out of the columns that Spark's Kafka source gives: key, value, headers, partition, offset, timestamp.

    docs/scale.md has the record format. A record of another producer, without our headers, is taken to be of the topic
    that its key names, arrived when Kafka took it.
    """

    def header(name: str) -> Any:
        return columns.expr(f"cast(try_element_at(filter(headers, each -> each.key = '{name}'), 1).value as string)")

    return frame.select(
        columns.col("partition").cast("int").alias("shard"),
        columns.col("offset").cast("long").alias("offset"),
        columns.coalesce(header("topic").cast("binary"), columns.col("key")).alias("topic"),
        columns.col("value").alias("payload"),
        columns.coalesce(header("arrived").try_cast("long"), columns.unix_micros("timestamp") * 1000).alias("arrived"),
        columns.coalesce(header("flags").try_cast("int"), columns.lit(0)).alias("flags"),
    )


class ShardProcessor(StatefulProcessor):  # type: ignore[misc]  # pyspark is not looked into
    """Steps the engine of one shard. `settings` are those of `shard_settings`, as JSON."""

    def __init__(self, settings: bytes) -> None:
        self._settings = settings

    def init(self, handle: Any) -> None:
        """Called by Spark before the first shard of a task."""
        self._state = handle.getValueState("engine", "state binary")

    def handleInputRows(self, key: Any, rows: Iterator[Any], timerValues: Any) -> Iterator[Row]:  # noqa: ARG002, N802, N803
        """What follows from the new messages of a shard."""
        before = self._state.get()
        shard = Shard(orjson.loads(self._settings), None if before is None else bytes(before[0]))
        records, offsets = unpacked(bytes(row.packed) for row in rows)
        in_log = dict(enumerate(offsets, shard.count))
        output = shard.step(records)
        self._state.update((shard.state(),))
        yield Row(
            shard=int(key[0]),
            first_offset=offsets[0],
            records=len(records),
            output=encode_output(output),
            letters=encode_table(letters_table(output.dead_letters, int(key[0]), in_log)),
        )

    def close(self) -> None:
        """Called by Spark at a task's end."""


def results_of(messages: DataFrame, settings: dict[str, Any]) -> DataFrame:
    """The results of messages (`messages_of`), in the columns `OUTPUT`."""
    return (
        messages.mapInArrow(packed, PACKED)
        .groupBy("shard")
        .transformWithState(ShardProcessor(orjson.dumps(settings)), OUTPUT, outputMode="Append", timeMode="None")
    )
