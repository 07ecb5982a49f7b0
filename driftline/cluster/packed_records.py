"""Records of a shard's log as one value, as they travel between the source and the shard's engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from common.extras import optional
from driftline.cluster.shard import Record

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = optional("pyarrow", extra="spark", purpose="Running on Spark")
    pc = optional("pyarrow.compute", extra="spark", purpose="Running on Spark")

PACKED = "shard int, packed binary"
"""Columns of what `packed` gives, as Spark writes them."""
MESSAGE_COLUMNS = ("offset", "topic", "payload", "arrived", "flags")
"""Columns of a message beside its shard. One without a topic is a tick."""


def packed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches of messages, a row each, as one row for each shard in a batch: rows cost more than scoring."""
    for batch in batches:
        shards = batch.column("shard")
        for shard in pc.unique(shards).to_pylist():
            own = batch.filter(pc.equal(shards, shard)).select(MESSAGE_COLUMNS)
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, own.schema) as writer:
                writer.write_batch(own)
            rows = [pa.array([shard], pa.int32()), pa.array([bytes(sink.getvalue())], pa.binary())]
            yield pa.record_batch(rows, names=["shard", "packed"])


def unpacked(rows: Iterable[bytes]) -> tuple[list[Record], list[int]]:
    """The records of a shard in the order of their offsets, and these."""
    tables = []
    for row in rows:
        with pa.ipc.open_stream(row) as reader:
            tables.append(reader.read_all())
    if not tables:
        return [], []
    table = pa.concat_tables(tables)
    offsets = table.column("offset").to_numpy()
    if (np.diff(offsets) < 0).any():
        table = table.take(pa.array(np.argsort(offsets, kind="stable")))
    columns = [table.column(name).to_pylist() for name in MESSAGE_COLUMNS]
    records = [
        Record(topic or b"", payload or b"", arrived, flags)
        for topic, payload, arrived, flags in zip(*columns[1:], strict=True)
    ]
    return records, columns[0]
